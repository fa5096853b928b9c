"""Join genes of several files by their ids, and read lists of genes; say what is wrong when nothing joins."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

from seqexpr.errors import InputError, UsageError
from seqexpr.inputs.tables import outside_quotes
from seqexpr.sequences.feature_lines import has_control
from seqexpr.sequences.streams import read_lines

logger = logging.getLogger(__name__)

_VERSION = re.compile(r"\.\d+$|(?<=[0-9]{11})\.\d+_\d+$")


_QUOTED_OR_COMMENT = re.compile(r'((?<![^\t,;])"(?:[^"]|"")*")|(?:^|\s)#.*')
_SEPARATOR = re.compile(r"[\t,;]")
_FILE_NAMES = (".txt", ".tsv", ".csv", ".list", ".lst", ".gz")
"""Ends of names that no gene has."""


def strip_version(id: str) -> str:
    """The id without its version: ENSG00000000003.15 -> ENSG00000000003; so for GENCODE's .15_2."""
    return _VERSION.sub("", id)


def unchanged(id: str) -> str:
    """The id as it is."""
    return id


_HEADINGS = frozenset(
    {"gene", "genes", "geneid", "gene_id", "gene id", "gene_name", "gene name", "gene_symbol", "gene symbol", "symbol",
     "hgnc_symbol", "approved symbol", "ensembl_gene_id", "gene stable id", "gene stable id version", "locus_tag", "id",
     "name"}
)  # fmt: skip


def read_gene_names(genes: str | None) -> tuple[str, ...] | None:
    """Read the value of --genes: names with commas between, or a file (- is standard input) with one on each line.

    Of a file's lines the first column counts, before a tab, comma or semicolon; a file of one line may be a list.
    Comments (#), blank lines and a heading are left out. Names may be quoted, as "tRNA,Ser" must be.

    Raises:
        UsageError: a list without a name.
        InputError: a file that is not there, without a name, or with names that are no text.
    """
    if genes is None:
        return None
    # A pipe, <(...), is no regular file; and Path refuses a list that is too long for a name.
    in_file = genes == "-" or (os.path.exists(genes) and not os.path.isdir(genes))
    if not in_file and "," not in genes and genes.lower().endswith(_FILE_NAMES):
        raise InputError(genes, found="no such file", expected="a list of genes")
    if in_file:
        try:
            text = [line.decode("utf-8") for _, line in read_lines(genes)]
        except UnicodeDecodeError:
            raise InputError(genes, found="bytes that are not UTF-8", expected="one gene on each line") from None
        lines = [_QUOTED_OR_COMMENT.sub(r"\1", line).rstrip() for lf_ended in text for line in lf_ended.split("\r")]
        cells = [_cells(line, genes) for line in lines if line.strip()]
        is_list = len(cells) == 1 and not any("\t" in line for line in lines)
        names = cells[0] if is_list else [row[0] for row in cells]
        if len(names) > 1 and names[0].strip().lower() in _HEADINGS:
            names = names[1:]
    else:
        names = _cells(genes, genes, ",")
    kept = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if odd := next((name for name in kept if has_control(name)), None):
        raise InputError(genes, found=f"the name {odd!r}", expected="names without control characters")
    if in_file and _could_be_a_name(genes):
        logger.warning("--genes %s: names are read from the file of that name (%d)", genes, len(kept))
    if not kept and in_file:
        raise InputError(genes, found="no gene", expected="one gene on each line")
    if not kept:
        raise UsageError(f"--genes {genes!r} names no gene")
    return kept


def _could_be_a_name(genes: str) -> bool:
    """Whether a file's name looks like a gene's, so that a user may have meant the gene."""
    return genes != "-" and not set(genes) & {"/", os.sep, "."}


def _cells(line: str, file: str, separator: str | None = None) -> list[str]:
    """The cells of a line, without their quotes; the first separator outside quotes is that of the line."""
    if separator is None:
        first = _SEPARATOR.search(outside_quotes(line))
        separator = first[0] if first is not None else ","
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error as problem:
        raise InputError(file, found=f"names that cannot be read ({problem})", expected="names of genes") from None


@dataclass(frozen=True)
class Side:
    """One file's part in a join: what it holds ("labels"), its name, and its ids."""

    role: str
    file: str
    ids: Sequence[str]


def cleaned(side: Side, clean: Callable[[str], str]) -> list[str]:
    """The side's ids, cleaned.

    Raises:
        InputError: two ids become one.
    """
    seen: dict[str, str] = {}
    for id in side.ids:
        if clean(id) in seen:
            raise InputError(
                side.file,
                record=repr(id),
                found=f"the same gene as {seen[clean(id)]!r} once versions are stripped",
                expected="one row per gene",
            )
        seen[clean(id)] = id
    return list(seen)


def nothing_joined(sides: Sequence[Side], with_map: bool) -> InputError:
    """The error for files that share no gene: names the first two that share none, or else all of them."""
    for left, right in combinations(sides, 2):
        if not set(left.ids) & set(right.ids):
            return InputError(
                right.file,
                found=f"none of the {_count(left)} in its {_count(right)}, so 0 genes joined",
                expected=f"gene ids that both share{_hint(left, right, with_map)}",
            )
    counts = "; ".join(_count(side) for side in sides)
    return InputError(
        sides[0].file,
        found=f"no gene that every file holds ({counts})",
        expected="genes with all that is asked for",
    )


def _count(side: Side) -> str:
    example = f" (for instance {side.ids[0]!r})" if side.ids else ""
    return f"{len(set(side.ids)):,} ids of {side.role}{example}"


def _hint(left: Side, right: Side, with_map: bool) -> str:
    if _stripped(left.ids) & _stripped(right.ids):
        return "; they agree without version suffixes: add --strip-versions"
    if "proteins" in (left.role, right.role) and not with_map:
        return "; --protein-map says which protein belongs to which gene"
    return ""


def _stripped(ids: Collection[str]) -> set[str]:
    return {strip_version(id) for id in ids}
