"""TSSs from BED6, GTF and GFF3.

Formats: BED as UCSC describes it; GTF 2.2 (Brent lab) as Ensembl, GENCODE and RefSeq write it; GFF3 1.26
(Sequence Ontology). Of every gene one transcript is chosen: the canonical one where the file tags it, else
the one with the longest CDS, else the longest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.sequences.gene_models import MOST_DIGITS, GeneModel, read_gene_models
from seqexpr.sequences.streams import read_lines
from seqexpr.sequences.windows import STRANDS, Interval, Tss

_BED_COLUMNS = 6
_NO_BED_DATA = (b"#", b"track", b"browser")
_COMPRESSED = (".gz", ".bgz")
_VERSION = re.compile(r"\.[0-9]+$")
_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Transcript:
    """The chosen transcript of a gene; intervals are 0-based half-open, ascending, whatever the strand."""

    id: str
    gene_id: str
    symbol: str
    chrom: str
    strand: str
    exons: tuple[tuple[int, int], ...]
    cds: tuple[tuple[int, int], ...]
    """Coding segments, stop codon included; empty for a non-coding transcript."""
    canonical: bool

    @property
    def tss(self) -> Tss:
        """The TSS of the gene: the 5' end of this transcript."""
        extent = Interval(self.chrom, self.exons[0][0], self.exons[-1][1], self.strand)
        return Tss(self.gene_id, self.chrom, extent.five_prime, self.strand, self.symbol)


def read_bed(path: str | Path) -> list[Tss]:
    """The TSSs of a BED file of 6 columns or more.

    A row is the first transcribed base, or an interval whose 5' end is the TSS.

    Raises:
        InputError: with the line: too few columns, coordinates that are no integers or out of order, no name,
            a strand other than + and -, a name twice; or no row at all.
    """
    rows = [_parse_bed_row(path, number, line) for number, line in _bed_lines(path)]
    if not rows:
        raise InputError(path, found="no row", expected="BED rows: chrom start end name score strand")
    _check_unique(path, rows)
    return rows


def read_annotation(path: str | Path) -> list[Transcript]:
    """One transcript per gene of a GTF or GFF3 file, genes in the file's order.

    The choice: tagged Ensembl_canonical, then MANE_Select, then the longest CDS, then the longest transcript,
    then the first id.

    Raises:
        InputError: with the line: columns, coordinates, strand or attributes that are not GTF or GFF3; or no
            transcript at all.
    """
    best: dict[str, GeneModel] = {}
    for model in read_gene_models(path):
        rival = best.get(model.gene_id)
        if rival is None or _rank(model) < _rank(rival):
            best[model.gene_id] = model
    return [
        Transcript(
            model.id,
            model.gene_id,
            model.symbol,
            model.chrom,
            model.strand,
            model.exons,
            model.cds,
            model.tier > 0,
        )
        for model in best.values()
    ]


def read_tss(path: str | Path, genes: Collection[str] | None = None) -> list[Tss]:
    """The TSSs of a BED, GTF or GFF3 file (by suffix, with or without .gz; "-" is BED), in the file's order.

    Args:
        path: the file.
        genes: symbols or ids, with or without their version, of the genes wanted; None for all.

    Raises:
        InputError: as `read_bed` and `read_annotation`, another suffix, or genes that are not in the file.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if str(path) == "-" or suffix == ".bed":
        sites = read_bed(path)
    elif suffix in (".gtf", ".gff", ".gff3"):
        sites = [transcript.tss for transcript in read_annotation(path)]
    else:
        expected = "a file named .bed, .gtf, .gff or .gff3 (or that and .gz)"
        raise InputError(path, found=f"the suffix {suffix!r}", expected=expected)
    return sites if genes is None else _pick(path, sites, genes)


def _bed_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    for number, line in read_lines(path):
        if line.strip() and not line.startswith(_NO_BED_DATA):
            yield number, line


def _parse_bed_row(path: str | Path, number: int, line: bytes) -> Tss:
    record = f"line {number:,}"
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(path, record=record, found="bytes that are not UTF-8", expected="BED text") from None
    columns = [column.strip() for column in (text.split("\t") if "\t" in text else text.split())]
    if len(columns) < _BED_COLUMNS:
        raise InputError(
            path,
            record=record,
            found=f"{len(columns)} columns",
            expected="at least 6 (chrom start end name score strand)",
        )
    chrom, start, end, name, _, strand = columns[:_BED_COLUMNS]
    if not _is_count(start) or not _is_count(end):
        wrong = end if _is_count(start) else start
        raise InputError(path, record=record, found=f"coordinate {wrong!r}", expected="an integer from 0")
    if int(end) <= int(start):
        raise InputError(path, record=record, found=f"end {end} with start {start}", expected="end > start")
    if strand not in STRANDS:
        raise InputError(path, record=record, found=f"strand {strand!r}", expected="'+' or '-'")
    if not chrom or any(letter.isspace() for letter in chrom):
        raise InputError(path, record=record, found=f"contig {chrom!r}", expected="a contig's name")
    if name in ("", "."):
        raise InputError(path, record=record, found=f"name {name!r}", expected="the gene's id in column 4")
    return Tss(name, chrom, Interval(chrom, int(start), int(end), strand).five_prime, strand)


def _is_count(text: str) -> bool:
    # int() alone would take "1_000" and "+1", and refuses thousands of digits
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _check_unique(path: str | Path, sites: list[Tss]) -> None:
    seen: set[str] = set()
    for site in sites:
        if site.id in seen:
            raise InputError(path, record=f"name {site.id!r}", found="a second row", expected="each name once")
        seen.add(site.id)


def _rank(model: GeneModel) -> tuple[int, int, int, str, str]:
    """Sorts the transcripts of a gene, the best one first."""
    return (-model.tier, -_total(model.cds), -_total(model.exons), model.id, model.chrom)


def _total(intervals: tuple[tuple[int, int], ...]) -> int:
    return sum(end - start for start, end in intervals)


def _pick(path: str | Path, sites: list[Tss], genes: Collection[str]) -> list[Tss]:
    wanted = dict.fromkeys(genes)
    versions: dict[str, set[str]] = {}  # id without version -> the names asked for with one
    for name in wanted:
        if (bare := _VERSION.sub("", name)) != name:
            versions.setdefault(bare, set()).add(name)
    found: set[str] = set()
    picked = []
    for site in sites:
        # A version is ignored where only one side has one; two different versions do not match.
        names = {site.id, site.symbol, _VERSION.sub("", site.id)} & wanted.keys()
        names |= versions.get(site.id, set())
        if names:
            found |= names
            picked.append(site)
    missing = [name for name in wanted if name not in found]
    if missing:
        some = ", ".join(missing[:_NAMES_SHOWN]) + (", ..." if len(missing) > _NAMES_SHOWN else "")
        raise InputError(
            path,
            found=f"no gene {some} ({len(missing):,} of {len(wanted):,})",
            expected="symbols or ids in the file",
        )
    return picked
