"""Transcripts with their exons and coding segments, as GTF and GFF3 files spell them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from seqexpr.errors import InputError
from seqexpr.sequences.streams import read_lines
from seqexpr.sequences.windows import STRANDS

MOST_DIGITS = 18
"""Of a coordinate: what 64 bits hold."""

_COLUMNS = 9
_STRANDS = {strand.encode(): strand for strand in STRANDS}
# Higher is better; NCBI writes "MANE Select" where Ensembl writes "MANE_Select".
_TIERS = {"Ensembl_canonical": 2, "MANE_Select": 1, "MANE Select": 1}
_CODING = (b"CDS", b"stop_codon")  # GTF keeps the stop codon out of the CDS, GFF3 has it inside
_GTF_PARTS = (b"transcript", b"mRNA", b"exon", *_CODING)
_GTF_PAIR = re.compile(rb'\s*([^\s;"]+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|$)')
_GTF_TRANSCRIPT = re.compile(rb'(?:^|;)\s*transcript_id\s+(?:"([^"]*)"|([^\s;"]+))')
_NO_ATTRIBUTES = (b"", b".")
_GFF3_PAIR = re.compile(rb'\s*[^\s=;"]+=')
_KEPT = {"ID", "Parent", "Name", "gene", "gene_id", "gene_name", "transcript_id", "tag"}
_ID_PREFIX = re.compile(r"^(?:gene|transcript|rna|cds)[:-]")

Intervals = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class GeneModel:
    """One transcript; intervals 0-based half-open, ascending and apart from each other."""

    id: str
    gene_id: str
    symbol: str
    chrom: str
    strand: str
    exons: Intervals
    cds: Intervals
    tier: int
    """2: tagged Ensembl_canonical, 1: tagged MANE_Select, 0: neither."""


@dataclass(slots=True)
class _Draft:
    """What is known of one transcript so far. Intervals are flat start, end, ...: 16 bytes each."""

    chrom: str
    strand: str
    names: dict[str, str] = field(default_factory=dict)
    parent: str = ""
    start: int = 0
    end: int = 0
    exons: array[int] = field(default_factory=lambda: array("q"))
    cds: array[int] = field(default_factory=lambda: array("q"))


class _Line(NamedTuple):  # made for each of millions of lines: a frozen dataclass takes several times longer
    number: int
    chrom: str
    feature: bytes
    start: int
    end: int
    strand: bytes
    attributes: bytes


def read_gene_models(path: str | Path) -> Iterator[GeneModel]:
    """All transcripts of a GTF or GFF3 file, in the order in which the file first names them.

    The two formats are told apart by the first line that has attributes: `key "value"` or `key=value`.

    Raises:
        InputError: see `read_annotation`.
    """
    lines = _feature_lines(path)
    head: list[_Line] = []
    for line in lines:
        head.append(line)
        if line.attributes.strip() not in _NO_ATTRIBUTES:
            break
    if not head:
        raise InputError(path, found="no feature", expected="GTF or GFF3 lines of 9 columns")
    is_gff3 = _GFF3_PAIR.match(head[-1].attributes) is not None
    chained = chain(head, lines)
    count = 0
    for model in _read_gff3(path, chained) if is_gff3 else _read_gtf(path, chained):
        count += 1
        yield model
    if not count:
        raise InputError(path, found="no transcript", expected="lines of transcripts, exons or CDS")


def _feature_lines(path: str | Path) -> Iterator[_Line]:
    for number, line in read_lines(path):
        if line.startswith(b"#"):
            if line.startswith(b"##FASTA"):
                return
            continue
        if line and not line.isspace():
            yield _parse_line(path, number, line)


def _parse_line(path: str | Path, number: int, line: bytes) -> _Line:
    columns = line.split(b"\t")
    if len(columns) != _COLUMNS:
        raise InputError(
            path,
            record=f"line {number:,}",
            found=f"{len(columns)} columns separated by tabs",
            expected="the 9 of GTF or GFF3",
        )
    chrom, _, feature, start, end, _, strand, _, attributes = columns
    numbers = start.isdigit() and end.isdigit() and max(len(start), len(end)) <= MOST_DIGITS
    if not (numbers and 1 <= int(start) <= int(end)):
        raise InputError(
            path,
            record=f"line {number:,}",
            found=f"coordinates {_text(start)!r} and {_text(end)!r}",
            expected="integers, 1 <= start <= end",
        )
    if not chrom or chrom.split() != [chrom]:
        raise InputError(path, record=f"line {number:,}", found=f"contig {_text(chrom)!r}", expected="a contig's name")
    return _Line(number, _text(chrom), feature, int(start) - 1, int(end), strand, attributes)


def _read_gtf(path: str | Path, lines: Iterable[_Line]) -> Iterator[GeneModel]:
    drafts: dict[tuple[str, bytes], _Draft] = {}  # one id on two contigs (X and Y) is two transcripts
    for line in lines:
        if line.feature not in _GTF_PARTS:
            continue
        match = _GTF_TRANSCRIPT.search(line.attributes)
        transcript = b"" if match is None else match[1] or match[2]
        if not transcript:
            raise _no_attribute(path, line, "transcript_id")
        key = (line.chrom, transcript)
        draft = drafts.get(key)
        if draft is None:
            names = _gtf_names(path, line)
            draft = drafts[key] = _Draft(line.chrom, _strand(path, line), names)
        _add_part(path, draft, line)
    for (_, transcript), draft in drafts.items():
        names = draft.names
        symbol = names.get("gene_name") or names.get("gene") or ""
        yield _model(_text(transcript), names["gene_id"], symbol, _tier(names), draft)


def _gtf_names(path: str | Path, line: _Line) -> dict[str, str]:
    """The attributes of a GTF line that matter; values of a key that comes again are joined by commas."""
    names: dict[str, str] = {}
    for key, quoted, plain in _GTF_PAIR.findall(line.attributes):
        name, value = _text(key), _text(quoted or plain)
        if name in _KEPT:
            names[name] = f"{names[name]},{value}" if name in names else value
    if not names.get("gene_id"):
        raise _no_attribute(path, line, "gene_id")
    return names


def _read_gff3(path: str | Path, lines: Iterable[_Line]) -> Iterator[GeneModel]:
    """Parts are gathered under their parents first: GFF3 does not promise parents before children."""
    nodes: dict[str, _Draft] = {}  # every feature with an ID, exons and CDS apart
    parts: dict[str, _Draft] = {}  # every feature that is the parent of exons or CDS
    for line in lines:
        names = _gff3_names(line)
        if line.feature != b"exon" and line.feature not in _CODING:
            if id_ := names.get("ID"):
                draft = _Draft(line.chrom, _text(line.strand), names, next(iter(_parents(names)), ""))
                draft.start, draft.end = line.start, line.end
                nodes.setdefault(id_, draft)
            continue
        parents = _parents(names)
        if not parents:
            raise _no_attribute(path, line, "Parent")
        for parent in parents:
            draft = parts.setdefault(parent, _Draft(line.chrom, _strand(path, line), names))
            _add_part(path, draft, line)
    for transcript, draft in parts.items():
        own = nodes[transcript].names if transcript in nodes else draft.names
        gene, gene_names = _ancestor(transcript, nodes)
        gene_id = own.get("gene_id") or gene_names.get("gene_id") or _ID_PREFIX.sub("", gene)
        symbol = own.get("gene_name") or gene_names.get("gene_name") or gene_names.get("Name") or ""
        id_ = own.get("transcript_id") or _ID_PREFIX.sub("", transcript)
        yield _model(id_, gene_id, symbol, max(_tier(own), _tier(draft.names)), draft)


def _gff3_names(line: _Line) -> dict[str, str]:
    pairs = (pair.split("=", 1) for pair in _text(line.attributes).split(";") if "=" in pair)
    kept = {key.strip(): value.strip() for key, value in pairs if key.strip() in _KEPT}
    return {key: value if key == "Parent" else unquote(value) for key, value in kept.items()}


def _parents(names: dict[str, str]) -> list[str]:
    """The ids in Parent, which `_gff3_names` leaves encoded: %2C is a comma within an id."""
    return [unquote(parent) for parent in names.get("Parent", "").split(",") if parent]


def _ancestor(id_: str, nodes: dict[str, _Draft]) -> tuple[str, dict[str, str]]:
    """The top feature above a transcript, its gene: id and attributes."""
    seen = {id_}
    while id_ in nodes and (parent := nodes[id_].parent) and parent not in seen:
        id_ = parent
        seen.add(id_)
    return id_, nodes[id_].names if id_ in nodes else {}


def _add_part(path: str | Path, draft: _Draft, line: _Line) -> None:
    strand = _strand(path, line)
    if (line.chrom, strand) != (draft.chrom, draft.strand):
        raise InputError(
            path,
            record=f"line {line.number:,}",
            found=f"{line.chrom} {strand} in a transcript on {draft.chrom} {draft.strand}",
            expected="one contig and strand per transcript",
        )
    if line.feature == b"exon":
        draft.exons.extend((line.start, line.end))
    elif line.feature in _CODING:
        draft.cds.extend((line.start, line.end))
    else:
        draft.start, draft.end = line.start, line.end


def _model(id_: str, gene_id: str, symbol: str, tier: int, draft: _Draft) -> GeneModel:
    cds = _merged(draft.cds)
    # Files without exon lines exist (bacteria, minimal GTF): the CDS, or the whole extent, stands for them.
    exons = _merged(draft.exons) or cds or ((draft.start, draft.end),)
    return GeneModel(id_, gene_id, symbol, draft.chrom, draft.strand, exons, cds, tier)


def _merged(flat: array[int]) -> Intervals:
    """Ascending intervals; those that touch or overlap become one, such as a CDS and its stop codon."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(zip(flat[::2], flat[1::2], strict=True)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _tier(names: dict[str, str]) -> int:
    return max((_TIERS.get(tag.strip(), 0) for tag in names.get("tag", "").split(",")), default=0)


def _strand(path: str | Path, line: _Line) -> str:
    strand = _STRANDS.get(line.strand)
    if strand is None:
        raise InputError(
            path,
            record=f"line {line.number:,}",
            found=f"strand {_text(line.strand)!r}",
            expected="'+' or '-'",
        )
    return strand


def _no_attribute(path: str | Path, line: _Line, name: str) -> InputError:
    return InputError(
        path,
        record=f"line {line.number:,}",
        found=f"{_text(line.feature)!r} without {name}",
        expected="GTF (gene_id, transcript_id) or GFF3 (ID, Parent) attributes",
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
