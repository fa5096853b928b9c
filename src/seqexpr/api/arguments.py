"""The arguments that several verbs take, in every form that a notebook gives them in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from seqexpr.inputs.gene_ids import read_gene_names

Path_ = str | os.PathLike[str]
"""A file or a folder."""


def gene_names(genes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Genes to pick: a list of names, a text with commas between, or a file with one on each line; None for all."""
    return read_gene_names(genes) if isinstance(genes, str) or genes is None else tuple(genes)


def names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name or several."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def path(given: Path_ | None) -> Path | None:
    """A path as such."""
    return None if given is None else Path(given)
