"""The arguments that several verbs take, in every form that a notebook gives them in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from seqexpr.errors import UsageError
from seqexpr.inputs.gene_ids import read_gene_names
from seqexpr.inputs.tables import TextTable, frame_table

if TYPE_CHECKING:
    import pandas as pd

Path_ = str | os.PathLike[str]
"""A file or a folder."""

Table: TypeAlias = "Path_ | pd.DataFrame | pd.Series"
"""A table: its file, or a DataFrame whose ids are the index or the first column."""


def gene_names(genes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Genes to pick: a list of names, a text with commas between, or a file with one on each line; None for all.

    Raises:
        UsageError: no names, or some that are no text.
        InputError: a bad file.
    """
    if isinstance(genes, str) or genes is None:
        return read_gene_names(genes)
    picked = tuple(genes)
    if odd := next((name for name in picked if not isinstance(name, str)), None):
        raise UsageError(f"genes hold a {type(odd).__name__}; expected symbols or ids as text")
    if not picked:
        raise UsageError("genes are an empty list; leave it out for all genes")
    return picked


def names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name or several."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def path(given: Path_ | None, name: str = "a path") -> Path | None:
    """A path as such.

    Args:
        given: what the caller gave.
        name: of the argument, for the message.

    Raises:
        UsageError: it is no path.
    """
    text = path_text(given, name)
    return None if text is None else Path(text)


def path_text(given: Path_ | None, name: str) -> str | None:
    """A path as text; arguments and errors as `path`."""
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"{name} is a {type(given).__name__}; expected a path")
    return os.fspath(given)


def table(given: Table | None, name: str) -> Path | TextTable | None:
    """A table's file, or the table that a DataFrame or Series holds.

    Args:
        given: what the caller gave.
        name: of the argument, for messages.

    Raises:
        UsageError: it is neither.
        InputError: a frame that is no table of genes.
    """
    if hasattr(given, "iloc"):  # of pandas, which is not imported for those who give paths
        return frame_table(given, f"{name} (a {type(given).__name__})")
    if given is not None and not isinstance(given, str | os.PathLike):
        raise UsageError(f"{name} is a {type(given).__name__}; expected a path or a DataFrame")
    return path(given, name)
