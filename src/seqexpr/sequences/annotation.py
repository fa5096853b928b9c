"""Find the TSSs of genes in BED, GTF and GFF3 files.

Formats: BED as UCSC describes it; GTF 2.2 (Brent lab) as Ensembl, GENCODE, RefSeq and gene finders write it; GFF3 1.26
(Sequence Ontology). The content decides which of them a file is. Of every gene one transcript is chosen: the canonical
one where the file tags it, else the one with the longest CDS, else the longest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.sequences.feature_lines import COLUMNS, MOST_DIGITS, has_control
from seqexpr.sequences.gene_models import GeneModel, read_gene_models
from seqexpr.sequences.streams import BYTE_ORDER_MARK, read_lines
from seqexpr.sequences.windows import STRANDS, Interval, Tss

logger = logging.getLogger(__name__)

_BED_COLUMNS = 6
_FEWEST_BED_COLUMNS = 3
_BED_HEADER = re.compile(rb"(?:track|browser)(?:\s|$)")
_COMPRESSED = (".gz", ".bgz")
_VERSION = re.compile(r"^((?:ENS[A-Z]*|LRG_|[NX][MR]_)[0-9]+)\.[0-9]+(?:_[0-9]+)?$")
"""Ids of the databases that give versions, GENCODE's for GRCh37 (`.5_2`) too. Elsewhere a dot is part of the name."""
_NAMES_SHOWN = 10
_SECONDARY = re.compile(
    r"_(?:alt|random|fix|hap[0-9]*)$|^chrUn|^CHR_|^HSCHR|^HG[0-9]+|PATCH|^(?:NT|NW|NG)_|^(?:GL|KI|KN|KQ|KV|KZ|ML|JH|MU)[0-9]{6}"
)
"""Alternative haplotypes, patches and unplaced contigs of the databases."""
_MANY_ROWS = 10

FEW_UTRS = 0.01
"""Share of the coding transcripts with a UTR below which an annotation is one without UTRs."""


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
    aliases: tuple[str, ...] = field(default=(), compare=False)
    """Other names of the gene, by which a user may ask for it."""
    phase: int = field(default=0, compare=False)
    """Bases before the first whole codon of the coding sequence."""
    codon_table: int | None = field(default=None, compare=False)
    """NCBI's number of the codon table that the annotation gives; None where it gives none."""
    selenoprotein: bool = field(default=False, compare=False)

    @property
    def tss(self) -> Tss:
        """The TSS of the gene: the 5' end of this transcript."""
        extent = Interval(self.chrom, self.exons[0][0], self.exons[-1][1], self.strand)
        return Tss(self.gene_id, self.chrom, extent.five_prime, self.strand, self.symbol, self.aliases)

    @property
    def starts_at_start_codon(self) -> bool:
        """Whether the transcript is coding and has no 5'UTR."""
        if not self.cds:
            return False
        return self.exons[0][0] == self.cds[0][0] if self.strand == "+" else self.exons[-1][1] == self.cds[-1][1]


def lacks_utrs(transcripts: Iterable[Transcript]) -> bool:
    """Whether an annotation gives no 5'UTRs, so that its TSSs are in truth start codons.

    Such files may hold a few all the same (yeast's has 3 in 6,600): fewer than one in a hundred do not count.
    """
    coding = [transcript.starts_at_start_codon for transcript in transcripts if transcript.cds]
    return bool(coding) and sum(coding) > (1 - FEW_UTRS) * len(coding)


def read_bed(path: str | Path) -> list[Tss]:
    """Read the TSSs of a BED file of 6 columns or more.

    A row is the first transcribed base, or an interval whose 5' end is the TSS.

    Raises:
        InputError: with the line: too few columns, coordinates that are no integers or out of order, no name,
            a strand other than + and -, a name twice; or no row at all.
    """
    return _read_bed(path, read_lines(path))


def _read_bed(path: str | Path, lines: Iterable[tuple[int, bytes]], window: int = 0) -> list[Tss]:
    rows, lengths = [], []
    for number, line in lines:
        if _is_bed_data(line):
            site, length = _parse_bed_row(path, number, line)
            rows.append(site)
            lengths.append(length)
    if not rows:
        raise InputError(path, found="no row", expected="BED rows: chrom start end name score strand")
    _check_unique(path, rows)
    _check_lengths(path, lengths, window)
    return rows


def _check_lengths(path: str | Path, lengths: Sequence[int], window: int) -> None:
    """Find out whole windows, whose 5' end is no TSS."""
    whole = sum(length == window for length in lengths)
    if window > 1 and 2 * whole > len(lengths):
        raise InputError(
            path,
            found=f"{whole:,} of {len(lengths):,} rows that are {window:,} bp long, as the window around a TSS is",
            expected="rows that name the first transcribed base, or transcripts: the 5' end of a row is its TSS",
        )
    if len(lengths) >= _MANY_ROWS and lengths[0] > 1 and len(set(lengths)) == 1:
        logger.warning(
            "%s: every row is %s bp long, as windows are and transcripts are not; its 5' end is taken as the TSS",
            path,
            f"{lengths[0]:,}",
        )


def read_annotation(path: str | Path) -> list[Transcript]:
    """Choose one transcript for each gene of a GTF or GFF3 file, genes in the file's order.

    The choice: on a chromosome before an alternative or unplaced contig, then tagged Ensembl_canonical, then
    MANE_Select, then RefSeq Select, then the longest CDS, then the longest transcript, then the first id. Transcripts
    that cannot be used are left out, and a warning for each reason says how many.

    Raises:
        InputError: nothing in the file can be used.
    """
    return _read_annotation(path, read_lines(path))


def _read_annotation(path: str | Path, lines: Iterable[tuple[int, bytes]]) -> list[Transcript]:
    best: dict[str, GeneModel] = {}
    for model in read_gene_models(path, lines):
        rival = best.get(model.gene_id)
        if rival is None or _rank(model) < _rank(rival):
            best[model.gene_id] = model
    chosen = [
        Transcript(
            model.id,
            model.gene_id,
            model.symbol,
            model.chrom,
            model.strand,
            model.exons,
            model.cds,
            model.tier > 0,
            model.aliases,
            model.phase,
            model.codon_table,
            model.selenoprotein,
        )
        for model in best.values()
    ]
    if lacks_utrs(chosen):
        logger.warning("%s: the annotation has no 5'UTRs, so the TSS of a coding gene is its start codon", path)
    return chosen


def read_tss(
    path: str | Path, genes: Collection[str] | None = None, *, window: int = 0, allow_unknown: bool = False
) -> list[Tss]:
    """Read the TSSs of a BED, GTF or GFF3 file, in the file's order; its content says which of them it is.

    Args:
        path: the file, or "-".
        genes: symbols or ids, with or without their version, of the genes wanted; None for all.
        window: length of the window around a TSS, bp: a BED file of such windows is refused. 0 checks nothing.
        allow_unknown: leave out genes that are not in the file, with a warning, instead of an error.

    Raises:
        InputError: as `read_bed` and `read_annotation`, content of neither kind, genes that are not in the file, or a
            name without version that fits several genes.
    """
    lines = iter(read_lines(path))
    head: list[tuple[int, bytes]] = []
    for number, line in lines:
        head.append((number, line))
        if _is_bed_data(line):
            break
    chained = chain(head, lines)
    if _looks_like_bed(path, head):
        sites = _read_bed(path, chained, window)
    else:
        sites = [transcript.tss for transcript in _read_annotation(path, chained)]
    return sites if genes is None else pick_genes(path, sites, genes, allow_unknown=allow_unknown)


def _looks_like_bed(path: str | Path, head: Sequence[tuple[int, bytes]]) -> bool:
    """Judge by the first line of data, and where that fits neither format by the file's name."""
    line = head[-1][1] if head else b""
    columns = line.removeprefix(BYTE_ORDER_MARK).rstrip().split(b"\t")
    if len(columns) >= COLUMNS - 1 and columns[3].isdigit() and columns[4].isdigit() and not columns[2].isdigit():
        return False
    columns = columns if len(columns) > 1 else line.split()
    if len(columns) >= _FEWEST_BED_COLUMNS and columns[1].isdigit() and columns[2].isdigit():
        return True
    if any(text.startswith(b"##gff-version") for _, text in head) or line.startswith(b">"):
        return False
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix in (".gtf", ".gff", ".gff3"):
        return False
    if suffix == ".bed" or str(path) == "-" or not line:
        return True
    raise InputError(
        path,
        record=f"line {head[-1][0]:,}",
        found=repr(line[:60].decode("utf-8", "replace")),
        expected="BED rows (chrom start end name score strand), GTF or GFF3 lines",
    )


def _is_bed_data(line: bytes) -> bool:
    if not line.strip() or line.startswith(b"#"):
        return False
    if not _BED_HEADER.match(line):
        return True
    columns = line.split(b"\t")  # a contig may be called track
    return len(columns) >= _FEWEST_BED_COLUMNS and columns[1].isdigit() and columns[2].isdigit()


def _parse_bed_row(path: str | Path, number: int, line: bytes) -> tuple[Tss, int]:
    """The TSS and the length of the row's interval."""
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
    if has_control(name) or has_control(chrom):
        raise InputError(path, record=record, found=f"name {name!r}", expected="a name without control characters")
    interval = Interval(chrom, int(start), int(end), strand)
    return Tss(name, chrom, interval.five_prime, strand), len(interval)


def _is_count(text: str) -> bool:
    # int() alone would take "1_000" and "+1", and refuses thousands of digits
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _check_unique(path: str | Path, sites: list[Tss]) -> None:
    seen: set[str] = set()
    for site in sites:
        if site.id in seen:
            raise InputError(path, record=f"name {site.id!r}", found="a second row", expected="each name once")
        seen.add(site.id)


def _rank(model: GeneModel) -> tuple[bool, int, int, int, str, str, int]:
    """Sorts the transcripts of a gene, the best one first."""
    secondary = _SECONDARY.search(model.chrom) is not None
    coding, exonic = -_total(model.cds), -_total(model.exons)
    return (secondary, -model.tier, coding, exonic, model.id, model.chrom, model.exons[0][0])


def _total(intervals: tuple[tuple[int, int], ...]) -> int:
    return sum(end - start for start, end in intervals)


def without_version(name: str) -> str:
    """Drop the version of an id, where the database that it is from gives versions."""
    match = _VERSION.match(name)
    return match[1] if match else name


def pick_genes(path: str | Path, sites: list[Tss], genes: Collection[str], *, allow_unknown: bool = False) -> list[Tss]:
    """Pick TSSs by symbol or id, as `read_tss` does."""
    wanted = dict.fromkeys(genes)
    by_name: dict[str, list[int]] = {}
    by_alias: dict[str, list[int]] = {}
    by_bare: dict[str, list[int]] = {}
    for place, site in enumerate(sites):
        for name in {site.id, site.symbol} - {""}:
            by_name.setdefault(name, []).append(place)
        for name in site.aliases:
            by_alias.setdefault(name, []).append(place)
        by_bare.setdefault(without_version(site.id), []).append(place)
    chosen: set[int] = set()
    missing = []
    for name in wanted:
        places = by_name.get(name)
        if places is None:
            # A version is ignored where only one side has one; two different versions do not match.
            bare = without_version(name)
            places = [place for place in by_bare.get(bare, []) if bare == name or sites[place].id == bare]
            places = places or by_alias.get(name, [])
            if len(places) > 1:
                ids = ", ".join(sites[place].id for place in places[:_NAMES_SHOWN])
                raise InputError(
                    path, found=f"{len(places):,} genes that {name} may stand for: {ids}", expected="the id of one gene"
                )
        chosen.update(places)
        if not places:
            missing.append(name)
    if missing:
        some = ", ".join(missing[:_NAMES_SHOWN]) + (", ..." if len(missing) > _NAMES_SHOWN else "")
        found = f"no gene {some} ({len(missing):,} of {len(wanted):,})"
        if not allow_unknown or not chosen:
            expected = "symbols or ids in the file" + (", or --allow-unknown-genes" if chosen else "")
            raise InputError(path, found=found, expected=expected)
        logger.warning("%s: %s; the others are used", path, found)
    return [site for place, site in enumerate(sites) if place in chosen]
