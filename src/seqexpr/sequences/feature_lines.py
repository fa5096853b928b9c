"""Read the lines of GTF and GFF3 files, and count what cannot be used instead of refusing the file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from seqexpr.errors import InputError
from seqexpr.sequences.windows import STRANDS

logger = logging.getLogger(__name__)

MOST_DIGITS = 18
"""Digits of a coordinate, at most: what 64 bits hold."""

COLUMNS = 9

_PHASES = {b"1": 1, b"2": 2}
_BROWSER_LINES = ([b"track"], [b"browser"])
"""First words of the headers that the UCSC browser takes before GTF lines."""
_STRANDS = {strand.encode(): strand for strand in STRANDS}


class FeatureLine(NamedTuple):  # made for each of millions of lines: a frozen dataclass takes several times longer
    """One line; coordinates are 0-based half-open."""

    number: int
    chrom: str
    feature: bytes
    start: int
    end: int
    strand: str
    """"" where the file has neither + nor -."""
    attributes: bytes
    phase: int = 0
    """Bases before the first whole codon of a coding line."""


class LeftOut:
    """Counts what was left out of a file, by reason, with the first example of each."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.counts: dict[str, int] = {}
        self.examples: dict[str, str] = {}

    def add(self, what: str, example: str) -> None:
        """Count one more of `what`, a plural noun with its reason."""
        self.counts[what] = self.counts.get(what, 0) + 1
        self.examples.setdefault(what, example)

    def report(self) -> None:
        """Log one warning for each reason."""
        for what, count in self.counts.items():
            logger.warning("%s: left out %s %s (first: %s)", self.path, f"{count:,}", what, self.examples[what])

    def error(self, found: str, expected: str) -> InputError:
        """Say that nothing could be used: for the first reason, or `found` where nothing had to be left out."""
        for what, count in self.counts.items():
            return InputError(self.path, record=self.examples[what], found=f"{count:,} {what}", expected=expected)
        return InputError(self.path, found=found, expected=expected)


def read_feature_lines(lines: Iterable[tuple[int, bytes]], left_out: LeftOut) -> Iterator[FeatureLine]:
    """Parse the lines about genes, up to the sequences that GFF3 may end with (`##FASTA`, or a line that begins `>`).

    Args:
        lines: numbered lines without their ends. Those of features that say nothing about genes are not looked at.
        left_out: counts lines that cannot be read.
    """
    for number, line in lines:
        if line.startswith(b"#"):
            if line.startswith(b"##FASTA"):
                return
            continue
        if line.startswith(b">"):
            return
        if not line or line.isspace():
            continue
        parsed = _parse(number, line, left_out)
        if parsed is not None:
            yield parsed


def _parse(number: int, line: bytes, left_out: LeftOut) -> FeatureLine | None:
    columns = line.split(b"\t", COLUMNS - 1)  # attributes may hold tabs
    if len(columns) < COLUMNS:
        if columns[0].split()[:1] in _BROWSER_LINES:
            return None
        count = len(columns)
        left_out.add(
            "lines without the 9 columns of GTF and GFF3, separated by tabs",
            f"line {number:,} of {count} column{'s' if count > 1 else ''}",
        )
        return None
    chrom, _, feature, start, end, _, strand, phase, attributes = columns
    if not kind_of(feature):
        return None
    numbers = start.isdigit() and end.isdigit() and max(len(start), len(end)) <= MOST_DIGITS
    if not (numbers and 1 <= int(start) <= int(end)):
        found = f"{text(start)[:20]!r} and {text(end)[:20]!r}"
        left_out.add("lines whose coordinates are not integers with 1 <= start <= end", f"line {number:,}: {found}")
        return None
    if text(chrom).split() != [text(chrom)] or has_control(text(chrom)):
        left_out.add("lines without a contig's name", f"line {number:,}: {text(chrom)[:40]!r}")
        return None
    return FeatureLine(
        number,
        text(chrom),
        feature,
        int(start) - 1,
        int(end),
        _STRANDS.get(strand.strip(), ""),
        attributes,
        _PHASES.get(phase, 0),
    )


EXONS = frozenset({b"exon", b"pseudogenic_exon"})
CODING = frozenset({b"CDS", b"stop_codon"})
"""GTF keeps the stop codon out of the CDS, GFF3 has it inside."""
PROTEINS = frozenset({b"protein", b"polypeptide", b"mature_protein_region_of_CDS", b"mat_peptide"})
_UTRS = frozenset({"utr", "5utr", "3utr", "fiveprimeutr", "threeprimeutr", "fiveprimeutrs", "threeprimeutrs"})
_kinds: dict[bytes, str] = {}


def kind_of(feature: bytes) -> str:
    """Say what a feature is to us: exon, coding, utr, transcript, gene, protein, or "" for all others.

    Spellings of untranslated regions differ by file (five_prime_UTR, 5UTR, 5'UTR, UTR), and transcripts are all terms
    that end in RNA or transcript.
    """
    kind = _kinds.get(feature)
    if kind is None:
        kind = _kind(feature)
        if len(_kinds) < 10_000:  # a file can name any number of features
            _kinds[feature] = kind
    return kind


def _kind(feature: bytes) -> str:
    lower = text(feature).lower()
    if feature in EXONS or lower == "exon":
        return "exon"
    if feature in CODING or lower in ("cds", "stop_codon"):
        return "coding"
    if "".join(letter for letter in lower if letter.isalnum()) in _UTRS:
        return "utr"
    if feature in PROTEINS:
        return "protein"
    if lower.endswith(("rna", "transcript", "transcript_variant", "gene_segment")):
        return "transcript"
    return "gene" if lower.endswith("gene") else ""


def text(value: bytes) -> str:
    """Decode UTF-8; bytes that are none are replaced."""
    return value.decode("utf-8", "replace")


def has_control(name: str) -> bool:
    """Whether a name holds a control character, which would break a row of a table or a terminal."""
    return not name.isprintable() and any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name)
