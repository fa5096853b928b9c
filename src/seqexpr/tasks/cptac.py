"""CPTAC's pan-cancer matrices: a level for every gene and tumour, as one label per gene.

A text file, tab-separated. Header: `idx`, then one column per case. Rows: a versioned Ensembl gene (GENCODE v34),
then log2 levels; `NA` or an empty cell where a tumour was not measured. GENCODE gives the genes of the
pseudoautosomal regions twice, the copy on Y as `ENSG00000182378.14_PAR_Y`.

The label is the mean over the tumours that have a value (Stefanini et al. 2023, section 2.1: "mediated").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.inputs.gene_ids import strip_version
from seqexpr.inputs.tables import MISSING, parse_number
from seqexpr.sequences.streams import read_lines

_GENE = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?(_PAR_Y)?")
_PAR_Y = "_PAR_Y"
_MISSING = (*MISSING, "NaN", "nan")  # pandas and R each have their way to write what was not measured


@dataclass(frozen=True)
class CaseMeans:
    """A matrix as labels, and what was left out on the way."""

    file: str
    means: dict[str, float]
    """Mean over the cases by gene without version, in the file's order."""
    cases: int
    """Columns of the matrix."""
    min_cases: int
    """In how many of them a gene had to be measured."""
    par_y: int
    """Copies on Y of pseudoautosomal genes."""
    other_rows: int
    """Rows that are no Ensembl gene."""
    unmeasured: int
    """Genes with a value in fewer cases than asked for."""

    def left_out(self) -> str:
        """What was left out, in words; empty for nothing."""
        few = "genes without a value" if self.min_cases == 1 else f"genes with fewer than {self.min_cases:,} values"
        parts = {
            few: self.unmeasured,
            "copies of pseudoautosomal genes on Y": self.par_y,
            "rows that are no Ensembl gene": self.other_rows,
        }
        return ", ".join(f"{what} {count:,}" for what, count in parts.items() if count)


def read_case_means(path: str | Path, min_cases: int = 1) -> CaseMeans:
    """Read a matrix, line by line.

    Args:
        path: the file, gzipped or not.
        min_cases: a gene counts if at least so many cases (tumours) have a value.

    Raises:
        InputError: a header without cases or with a case twice, a row of another length, a cell that is no number,
            a gene twice, or no gene at all.
    """
    lines = ((number, line.decode("utf-8", "replace").split("\t")) for number, line in read_lines(path) if line.strip())
    cases = _read_header(path, lines)
    means: dict[str, float] = {}
    first_line: dict[str, int] = {}
    par_y = other_rows = unmeasured = 0
    for number, cells in lines:
        name = _bare(cells[0])
        if len(cells) != len(cases) + 1:
            found = f"{len(cells)} fields"
            raise InputError(
                path, record=f"line {number:,}", found=found, expected=f"{len(cases) + 1}, a gene and cases"
            )
        if not _GENE.fullmatch(name):
            other_rows += 1
        elif name.endswith(_PAR_Y):
            par_y += 1
        else:
            gene = strip_version(name)
            if gene in first_line:
                found = f"gene {gene} again (first on line {first_line[gene]:,})"
                raise InputError(path, record=f"line {number:,}", found=found, expected="one row per gene")
            first_line[gene] = number
            known = _known(path, number, cells, cases)
            if len(known) >= max(1, min_cases):
                means[gene] = float(np.mean(known))
            else:
                unmeasured += 1
    if not first_line:
        raise InputError(path, found="no row of an Ensembl gene", expected="rows such as ENSG00000000003.15")
    return CaseMeans(str(path), means, len(cases), max(1, min_cases), par_y, other_rows, unmeasured)


def _read_header(path: str | Path, lines: Iterator[tuple[int, list[str]]]) -> list[str]:
    _, header = next(lines, (0, []))
    cases = [_bare(cell) for cell in header[1:]]
    if not cases:
        raise InputError(
            path, record="header", found=f"{len(header)} columns", expected="idx, then one column per case"
        )
    twice = next((case for case in cases if cases.count(case) > 1), None)
    if twice is not None or "" in cases:
        found = "a column without a name" if twice is None else f"case {twice!r} twice"
        raise InputError(path, record="header", found=found, expected="case names that are all different")
    return cases


def _known(path: str | Path, number: int, cells: list[str], cases: list[str]) -> list[float]:
    """The values of a row that are not missing."""
    known = []
    for case, cell in zip(cases, cells[1:], strict=True):
        text = cell.strip()
        if text in _MISSING:
            continue
        value = parse_number(text)
        if value is None:
            raise InputError(
                path,
                record=f"line {number:,}, case {case!r}",
                found=repr(text[:40]),
                expected="a finite number, or NA for a tumour that was not measured",
            )
        known.append(value)
    return known


def _bare(cell: str) -> str:
    """A cell without the quotes that R puts around text."""
    return cell.strip().strip('"')
