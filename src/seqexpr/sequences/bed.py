"""Read TSSs from BED rows, as UCSC describes the format."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.sequences.feature_lines import MOST_DIGITS, has_control
from seqexpr.sequences.streams import read_lines
from seqexpr.sequences.windows import STRANDS, Interval, Tss

logger = logging.getLogger(__name__)

_COLUMNS = 6
FEWEST_COLUMNS = 3
"""Of a BED row: contig, start and end."""
_HEADER = re.compile(rb"(?:track|browser)(?:\s|$)")


def read_bed(path: str | Path) -> list[Tss]:
    """Read the TSSs of a BED file of 6 columns or more.

    A row is the first transcribed base, or an interval whose 5' end is the TSS.

    Raises:
        InputError: with the line: too few columns, coordinates that are no integers or out of order, no name,
            a strand other than + and -, a name twice; or no row at all.
    """
    return read_bed_lines(path, read_lines(path))


def read_bed_lines(path: str | Path, lines: Iterable[tuple[int, bytes]], window: int = 0) -> list[Tss]:
    """Read BED rows from numbered lines, as `read_bed` does; `window` as in `annotation.read_tss`."""
    rows, lengths = [], []
    for number, line in lines:
        if is_data(line):
            site, length = _parse_row(path, number, line)
            rows.append(site)
            lengths.append(length)
    if not rows:
        raise InputError(path, found="no row", expected="BED rows: chrom start end name score strand")
    _check_unique(path, rows)
    _check_lengths(path, lengths, window)
    return rows


def read_intervals(path: str | Path) -> list[tuple[int, Interval]]:
    """Read the intervals of a BED file of 3 columns or more, each with the number of its line; strands are ignored.

    Raises:
        InputError: with the line: too few columns, or coordinates that are no integers or out of order; or no row.
    """
    found = []
    for number, line in read_lines(path):
        if is_data(line):
            columns = _columns(path, number, line)
            if len(columns) < FEWEST_COLUMNS:
                raise InputError(
                    path,
                    record=f"line {number:,}",
                    found=f"{len(columns)} column{'' if len(columns) == 1 else 's'}",
                    expected="at least 3 (chrom start end)",
                )
            found.append((number, _interval(path, f"line {number:,}", columns[:FEWEST_COLUMNS], "+")))
    if not found:
        raise InputError(path, found="no row", expected="BED rows: chrom start end")
    return found


def _check_lengths(path: str | Path, lengths: Sequence[int], window: int) -> None:
    """Find out whole windows, whose 5' end is no TSS."""
    whole = sum(length == window for length in lengths)
    if window > 1 and 2 * whole > len(lengths):
        raise InputError(
            path,
            found=f"{whole:,} of {len(lengths):,} rows that are {window:,} bp long, as the window around a TSS is",
            expected="rows that name the first transcribed base, or transcripts: the 5' end of a row is its TSS",
        )
    if len(lengths) > 1 and lengths[0] > 1 and len(set(lengths)) == 1:
        logger.warning(
            "%s: every row is %s bp long, as windows are and transcripts are not; its 5' end is taken as the TSS",
            path,
            f"{lengths[0]:,}",
        )


def is_data(line: bytes) -> bool:
    """Whether a line is a row, not a comment, a blank line or a header of the UCSC browser."""
    if not line.strip() or line.startswith(b"#"):
        return False
    if not _HEADER.match(line):
        return True
    columns = line.split()  # a contig may be called track
    return len(columns) >= FEWEST_COLUMNS and columns[1].isdigit() and columns[2].isdigit()


def _parse_row(path: str | Path, number: int, line: bytes) -> tuple[Tss, int]:
    """The TSS and the length of the row's interval."""
    record = f"line {number:,}"
    columns = _columns(path, number, line)
    if len(columns) < _COLUMNS:
        raise InputError(
            path,
            record=record,
            found=f"{len(columns)} columns",
            expected="at least 6 (chrom start end name score strand)",
        )
    name, _, strand = columns[FEWEST_COLUMNS:_COLUMNS]
    interval = _interval(path, record, columns[:FEWEST_COLUMNS], strand if strand in STRANDS else "+")
    if strand not in STRANDS:
        raise InputError(path, record=record, found=f"strand {strand!r}", expected="'+' or '-'")
    if name in ("", "."):
        raise InputError(path, record=record, found=f"name {name!r}", expected="the gene's id in column 4")
    if has_control(name):
        raise InputError(path, record=record, found=f"name {name!r}", expected="a name without control characters")
    return Tss(name, interval.chrom, interval.five_prime, strand), len(interval)


def _columns(path: str | Path, number: int, line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(
            path, record=f"line {number:,}", found="bytes that are not UTF-8", expected="BED text"
        ) from None
    return [column.strip() for column in (text.split("\t") if "\t" in text else text.split())]


def _interval(path: str | Path, record: str, columns: Sequence[str], strand: str) -> Interval:
    """The interval of a row's first three columns."""
    chrom, start, end = columns
    if not _is_count(start) or not _is_count(end):
        wrong = end if _is_count(start) else start
        raise InputError(path, record=record, found=f"coordinate {wrong!r}", expected="an integer from 0")
    if int(end) <= int(start):
        raise InputError(path, record=record, found=f"end {end} with start {start}", expected="end > start")
    if not chrom or any(letter.isspace() for letter in chrom) or has_control(chrom):
        raise InputError(path, record=record, found=f"contig {chrom!r}", expected="a contig's name")
    return Interval(chrom, int(start), int(end), strand)


def _is_count(text: str) -> bool:
    # int() alone would take "1_000" and "+1", and refuses thousands of digits
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _check_unique(path: str | Path, sites: list[Tss]) -> None:
    seen: set[str] = set()
    for site in sites:
        if site.id in seen:
            raise InputError(path, record=f"name {site.id!r}", found="a second row", expected="each name once")
        seen.add(site.id)
