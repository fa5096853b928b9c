"""Find the TSSs of genes in BED, GTF and GFF3 files.

The content decides which of them a file is. Of every gene one transcript is chosen: the canonical one where the file
tags it, else the one with the longest CDS, else the longest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.sequences.bed import FEWEST_COLUMNS, is_data, read_bed_lines
from seqexpr.sequences.contigs import common_name
from seqexpr.sequences.feature_lines import COLUMNS
from seqexpr.sequences.gene_models import read_gene_models
from seqexpr.sequences.streams import BYTE_ORDER_MARK, read_lines
from seqexpr.sequences.transcripts import Intervals, Transcript, lacks_utrs
from seqexpr.sequences.windows import Tss

logger = logging.getLogger(__name__)

_COMPRESSED = (".gz", ".bgz")
_SECONDARY = re.compile(
    r"_(?:alt|random|fix|hap[0-9]*)$|^chrUn|^Un_|^CHR_|^HSCHR|^MMCHR|^HG[0-9]+|^HLA-|PATCH|^(?:NT|NW|NG)_"
    r"|^(?:GL|KI|KN|KQ|KV|KZ|ML|JH|MU)[0-9]{6}"
)
"""Alternative haplotypes, patches and unplaced contigs of the databases."""
_CHROMOSOME = re.compile(r"[0-9]{1,2}[A-Z]{0,2}|[IVX]+[LR]?|[XYZWU]|MT|PT|(?:NC_|CM)[0-9]{6}\.[0-9]+")

_Rank = tuple[int, int, int, int, str, str, int]


def read_annotation(path: str | Path, *, gives_tss: bool = True) -> list[Transcript]:
    """Choose one transcript for each gene of a GTF or GFF3 file, genes in the file's order.

    The choice: on a chromosome before another contig, an alternative or unplaced one last, and on X before Y, which
    share genes; then tagged Ensembl_canonical, then MANE_Select, then RefSeq Select, then the longest CDS, then the
    longest transcript, then the first id. Transcripts that cannot be used are left out. Warnings count them, by reason,
    and the genes that lie on several contigs or strands.

    Args:
        path: the file, or "-".
        gives_tss: whether TSSs are taken from it: a warning then says where they are start codons.

    Raises:
        InputError: nothing in the file can be used.
    """
    return _read_annotation(path, read_lines(path), gives_tss=gives_tss)


def _read_annotation(path: str | Path, lines: Iterable[tuple[int, bytes]], *, gives_tss: bool) -> list[Transcript]:
    best: dict[str, tuple[_Rank, Transcript]] = {}
    elsewhere: dict[str, str] = {}
    symbols: dict[str, str] = {}  # some files name the gene in the lines of another transcript
    for transcript in read_gene_models(path, lines):
        gene = transcript.gene_id
        if transcript.symbol:
            symbols.setdefault(gene, transcript.symbol)
        rank = _rank(transcript)
        rival = best.get(gene)
        if rival is not None and _side(rival[1]) != _side(transcript):
            elsewhere[gene] = _side(max(rival, (rank, transcript), key=itemgetter(0))[1])
        if rival is None or rank < rival[0]:
            best[gene] = (rank, transcript)
    chosen = [
        one if one.symbol or gene not in symbols else replace(one, symbol=symbols[gene])
        for gene, (_, one) in best.items()
    ]
    for gene, other in list(elsewhere.items())[:1]:
        logger.warning(
            "%s: %s of several contigs or strands, and one place is used of each (first: %s on %s, not %s)",
            *(path, "1 gene" if len(elsewhere) == 1 else f"{len(elsewhere):,} genes"),
            *(gene, _side(best[gene][1]), other),
        )
    if gives_tss and lacks_utrs(chosen):
        logger.warning("%s: the annotation has no 5'UTRs, so the TSS of a coding gene is its start codon", path)
    return chosen


def read_tss(path: str | Path, *, window: int = 0) -> list[Tss]:
    """Read the TSSs of a BED, GTF or GFF3 file, in the file's order; its content says which of them it is.

    Args:
        path: the file, or "-".
        window: length of the window around a TSS, bp: a BED file of such windows is refused. 0 checks nothing.

    Raises:
        InputError: as `bed.read_bed` and `read_annotation`, or content of neither kind.
    """
    lines = iter(read_lines(path))
    head: list[tuple[int, bytes]] = []
    for number, line in lines:
        head.append((number, line))
        if is_data(line):
            break
    chained = chain(head, lines)
    if _looks_like_bed(path, head):
        return read_bed_lines(path, chained, window)
    return [transcript.tss for transcript in _read_annotation(path, chained, gives_tss=True)]


def _looks_like_bed(path: str | Path, head: Sequence[tuple[int, bytes]]) -> bool:
    """Judge by the first line of data, and where that fits neither format by the file's name."""
    line = head[-1][1] if head else b""
    columns = line.removeprefix(BYTE_ORDER_MARK).rstrip().split(b"\t")
    if len(columns) >= COLUMNS - 1 and columns[3].isdigit() and columns[4].isdigit() and not columns[2].isdigit():
        return False
    columns = columns if len(columns) > 1 else line.split()
    if len(columns) >= FEWEST_COLUMNS and columns[1].isdigit() and columns[2].isdigit():
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


def _side(one: Transcript) -> str:
    return f"{one.chrom} {one.strand}"


def _rank(one: Transcript) -> _Rank:
    """Sorts the transcripts of a gene, the best one first."""
    return (
        _contig_rank(one.chrom),
        -one.tier,
        -_total(one.cds),
        -_total(one.exons),
        one.id,
        one.chrom,
        one.exons[0][0],
    )


@lru_cache(maxsize=10_000)
def _contig_rank(name: str) -> int:
    """0 for a chromosome, 1 for Y (and W), 2 for a contig of no known kind, 3 for what is alternative or unplaced."""
    if _SECONDARY.search(name):
        return 3
    common = common_name(name)
    return int(common in ("Y", "W")) if _CHROMOSOME.fullmatch(common) else 2


def _total(intervals: Intervals) -> int:
    return sum(end - start for start, end in intervals)
