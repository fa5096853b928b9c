"""Make genes of the features of a GenBank or EMBL record (INSDC feature table definition 11).

A feature that cannot be used is left out and counted. The others are gathered into genes by their names and places, and
of every gene one coding sequence and one transcript are chosen.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from seqexpr.sequences.coding import start_codons
from seqexpr.sequences.feature_lines import LeftOut, has_control
from seqexpr.sequences.genbank_records import GenbankRecord, SeqFeature
from seqexpr.sequences.transcripts import Transcript
from seqexpr.sequences.windows import STRANDS, Tss, merged_intervals

_TRANSCRIPTS = ("mRNA", "tRNA", "rRNA", "ncRNA", "tmRNA", "misc_RNA", "precursor_RNA", "prim_transcript")
_KINDS = {**dict.fromkeys(_TRANSCRIPTS, "transcript"), "gene": "gene", "CDS": "CDS", "exon": "exon"}
_ORDER = ("gene", "transcript", "CDS")
_OTHER_NAMES = ("label", "standard_name", "protein_id")
"""Where plasmid editors, and records without genes, name a feature."""
_ALIASES = ("locus_tag", "old_locus_tag", "gene", "protein_id", "db_xref")
_GENE_ID = "GeneID:"
_PSEUDO = frozenset({"pseudo", "pseudogene"})
_EXCEPTION = re.compile(r"pos:(?P<place>.*),\s*aa:(?P<residue>\w+)")
_RESIDUES = re.compile(r"[A-Z*]+")

Parts = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Coding:
    """How the protein of a gene is read from its record."""

    strand: str
    parts: Parts
    """From left to right, 0-based half-open; those behind the origin of a circular record go on counting, and parts
    overlap where the ribosome slips back."""
    phase: int
    from_start: bool
    table: int | None
    """The codon table that the feature gives."""
    exceptions: Mapping[int, str]
    given: str
    """The protein that the feature gives, "" where it gives none."""


@dataclass(frozen=True, slots=True)
class GenbankGene:
    """A gene with what was chosen for it."""

    site: Tss
    transcript: Transcript
    coding: Coding | None
    has_transcript: bool
    """Whether the record has a transcript, or the exons of one, for it."""


@dataclass(frozen=True, slots=True)
class _Feature:
    """A feature whose place can be used."""

    kind: str
    qualifiers: dict[str, list[str]] = field(repr=False)
    strand: str
    parts: Parts
    """As those of `Coding`."""
    from_start: bool

    @property
    def start(self) -> int:
        return self.parts[0][0]

    @property
    def end(self) -> int:
        return max(end for _, end in self.parts)

    @property
    def length(self) -> int:
        return sum(end - start for start, end in self.parts)

    def value(self, key: str) -> str:
        """The first value of a qualifier, "" where there is none."""
        return (self.qualifiers.get(key) or [""])[0].strip()

    def moved(self, by: int) -> _Feature:
        return replace(self, parts=tuple((start + by, end + by) for start, end in self.parts)) if by else self


def genes_of(record: GenbankRecord, left_out: LeftOut) -> Iterator[GenbankGene]:
    """Gather the genes of a record, in the order in which their features come."""
    usable = []
    for feature in record.features:
        kind = _KINDS.get(feature.type)
        if kind is None:
            continue
        found = _placed(feature, kind, record)
        if isinstance(found, str):
            left_out.add(f"{feature.type} features with {found}", f"{_named(feature)} of {record.name}")
        else:
            usable.append(found)
    for name, group in _groups(usable, record, left_out).items():
        for place in _places(group, record):
            yield _gene(name, place, record)


def _named(feature: SeqFeature) -> str:
    names = (feature.qualifiers.get(key, [""])[0] for key in ("locus_tag", "gene", *_OTHER_NAMES))
    return next((name for name in names if name), str(feature.location))


# Places


def _placed(feature: SeqFeature, kind: str, record: GenbankRecord) -> _Feature | str:
    """The feature with its place, or why it cannot be used."""
    from Bio.SeqFeature import AfterPosition, BeforePosition

    if feature.location is None:
        return "a location that cannot be read"
    parts = feature.location.parts
    strands = {part.strand for part in parts}
    if any(part.ref is not None for part in parts):
        return "a part on another record"
    if len(strands) > 1:
        return "parts on both strands (trans-splicing)"
    if "trans_splicing" in feature.qualifiers:
        return "trans-splicing"
    strand = {1: "+", -1: "-"}.get(strands.pop() or 0)
    if strand is None:
        return "an unknown strand"
    try:
        ordered = [(int(part.start), int(part.end)) for part in parts]
    except TypeError:
        return "an unknown position"
    ordered = ordered if strand == "+" else ordered[::-1]
    length = len(record.letters)
    unrolled = list(ordered[:1])
    for start, end in ordered[1:]:
        over = length if record.circular and start < unrolled[-1][0] % length else 0
        turns = (unrolled[-1][0] // length) * length + over
        unrolled.append((start + turns, end + turns))
    if any(right[0] < left[0] for left, right in pairwise(unrolled)):
        return "parts out of order"
    last = max(end for _, end in unrolled)
    if unrolled[0][0] < 0 or last > (2 * length if record.circular else length) or unrolled[0][0] >= length:
        return "positions beyond the end of the record"
    if last - unrolled[0][0] > length:
        return "parts out of order"
    if any(end <= start for start, end in unrolled):
        return "a part without a base"
    if kind == "CDS":
        if feature.qualifiers.get("codon_start", ["1"])[0] not in ("1", "2", "3"):
            return "a codon_start that is not 1, 2 or 3"
        table = feature.qualifiers.get("transl_table", ["1"])[0]
        if not (table.isascii() and table.isdigit() and len(table) < 4 and start_codons(int(table))):
            return f"a codon table that does not exist (transl_table {table[:20]})"
    first = parts[0].start if strand == "+" else parts[0].end
    from_start = not isinstance(first, BeforePosition | AfterPosition)
    return _Feature(kind, feature.qualifiers, strand, tuple(unrolled), from_start)


# Names


def _groups(features: Iterable[_Feature], record: GenbankRecord, left_out: LeftOut) -> dict[str, list[_Feature]]:
    """Features by the gene that they name: locus tag, else gene, GeneID, or what else names them.

    Ensembl writes the symbol as the locus tag of the gene feature alone, and the gene's id into all of its features:
    there the id is what they share.
    """
    features = list(features)
    tags: dict[str, set[str]] = {}  # locus tags by the gene name in the same feature
    untagged: set[str] = set()
    for feature in features:
        tag, name = feature.value("locus_tag"), feature.value("gene")
        if tag and name:
            tags.setdefault(name, set()).add(tag)
        elif name and feature.kind != "exon":
            untagged.add(name)
    shared = {name for name, own in tags.items() if len(own) == 1 and name in untagged}
    groups: dict[str, list[_Feature]] = {}
    for feature in features:
        tag, name = feature.value("locus_tag"), feature.value("gene")
        if name in shared:
            chosen = name
        elif not tag and len(tags.get(name, ())) == 1:
            (chosen,) = tags[name]
        else:
            chosen = tag or name or _gene_number(feature)
        if not chosen and feature.kind != "exon":
            chosen = next((feature.value(key) for key in _OTHER_NAMES if feature.value(key)), "")
        if not chosen or has_control(chosen):
            if feature.kind != "exon":
                what = f"{feature.kind} features without locus_tag, gene, GeneID or label"
                left_out.add(what, f"{record.name}:{feature.start + 1}..{feature.end}")
            continue
        groups.setdefault(chosen, []).append(feature)
    return groups


def _gene_number(feature: _Feature) -> str:
    return next((one for one in feature.qualifiers.get("db_xref", []) if one.startswith(_GENE_ID)), "")


@dataclass(slots=True)
class _Place:
    """Features of one name and strand that overlap."""

    number: int
    """Of the first of them in the file."""
    start: int
    end: int
    features: list[_Feature]

    def take(self, number: int, feature: _Feature) -> None:
        self.number, self.end = min(self.number, number), max(self.end, feature.end)
        self.features.append(feature)

    def distance(self, feature: _Feature) -> int:
        """Bases between the place and a feature; less than 0 where they overlap."""
        return max(self.start - feature.end, feature.start - self.end)


def _places(group: list[_Feature], record: GenbankRecord) -> list[list[_Feature]]:
    """Divide the features of one name by place: a name may stand for several copies of a gene.

    Exons are those of the only place, else of each that they overlap, whatever their strand. Those behind the origin of
    a circular record are moved beside a place that lies over it.
    """
    around = len(record.letters) if record.circular else 0
    by_strand = [_overlapping(group, strand, around) for strand in STRANDS]
    exons = [one for one in group if one.kind == "exon"]
    places = [place for stranded in by_strand for place in stranded]
    if len(places) == 1:
        places[0].features += [min((one, one.moved(around)), key=places[0].distance) for one in exons]
    else:
        for stranded in by_strand:
            starts = [place.start for place in stranded]
            for exon in exons:
                for one in (exon, exon.moved(around)) if around else (exon,):
                    at = bisect_left(starts, one.end) - 1
                    if at >= 0 and one.start < stranded[at].end:
                        stranded[at].features.append(one)
    return [place.features for place in sorted(places, key=lambda place: place.number)]


def _overlapping(group: list[_Feature], strand: str, around: int) -> list[_Place]:
    """The places of a strand, from left to right; `around` is the length of a circular record, else 0."""
    numbered = [(at, one) for at, one in enumerate(group) if one.kind != "exon" and one.strand == strand]
    places: list[_Place] = []
    for number, feature in sorted(numbered, key=lambda pair: pair[1].start):
        if not places or feature.start >= places[-1].end:
            places.append(_Place(number, feature.start, feature.end, []))
        places[-1].take(number, feature)
    behind = 0  # places that the last one reaches, over the origin
    while around and behind < len(places) - 1 and places[behind].start + around < places[-1].end:
        for feature in places[behind].features:
            places[-1].take(places[behind].number, feature.moved(around))
        behind += 1
    return places[behind:]


# Genes


def _gene(name: str, features: list[_Feature], record: GenbankRecord) -> GenbankGene:
    of_kind = {kind: [one for one in features if one.kind == kind] for kind in (*_ORDER, "exon")}
    gene = next(iter(of_kind["gene"]), None)
    silent = gene is not None and _PSEUDO & set(gene.qualifiers)
    coding = [one for one in of_kind["CDS"] if not silent and not _PSEUDO & set(one.qualifiers)]
    cds = max(coding, key=lambda one: one.length, default=None)
    transcript = _transcript(of_kind["transcript"], cds)
    whole = transcript or gene or cds or features[0]
    parts = whole.parts
    has_transcript = transcript is not None
    if transcript is None and cds is not None:
        exons = merged_intervals(part for one in of_kind["exon"] for part in one.parts)
        if exons and exons[0][0] <= cds.start and exons[-1][1] >= cds.end:
            parts = exons  # exons of some records are all given on the + strand: that of the CDS holds
            has_transcript = True
        elif gene is not None:  # its exons are those of the CDS, as far as anyone knows
            first, last = min(gene.start, cds.start), max(gene.end, cds.end)
            parts = _widened(cds.parts, first, last)
    merged = merged_intervals(parts)
    first, last = merged[0][0], merged[-1][1]
    length = len(record.letters)
    boundary = first % length if whole.strand == "+" else (last - 1) % length + 1
    names = [one for one in (whole, gene, cds) if one is not None]
    symbols = (one.value(key) for key in ("gene", "locus_tag") for one in names)
    symbol = next((one for one in symbols if one not in ("", name) and not has_control(one)), "")
    aliases = {alias.strip() for one in names for key in _ALIASES for alias in one.qualifiers.get(key, [])}
    site = Tss(name, record.name, boundary, whole.strand, symbol, tuple(sorted(filter(None, aliases - {name, symbol}))))
    chosen = Transcript(
        name,
        name,
        symbol,
        record.name,
        whole.strand,
        merged,
        () if cds is None else merged_intervals(cds.parts),
        aliases=site.aliases,
    )
    return GenbankGene(site, chosen, None if cds is None else _coding(cds, record), has_transcript)


def _transcript(transcripts: list[_Feature], cds: _Feature | None) -> _Feature | None:
    """The longest transcript that the coding sequence is spliced as, else the longest one around it."""
    if cds is not None:
        around = [one for one in transcripts if one.start <= cds.start and cds.end <= one.end]
        coding = merged_intervals(cds.parts)
        transcripts = [one for one in around if _cut(one.parts, cds.start, cds.end) == coding] or around
    return max(transcripts, key=lambda one: one.length, default=None)


def _cut(parts: Parts, first: int, last: int) -> Parts:
    inside = ((max(start, first), min(end, last)) for start, end in merged_intervals(parts))
    return tuple((start, end) for start, end in inside if start < end)


def _widened(parts: Parts, first: int, last: int) -> Parts:
    merged = list(merged_intervals(parts))
    merged[0] = (first, merged[0][1])
    merged[-1] = (merged[-1][0], last)
    return tuple(merged)


def _coding(cds: _Feature, record: GenbankRecord) -> Coding:
    phase = int(cds.value("codon_start") or "1") - 1
    exceptions = {}
    for given in cds.qualifiers.get("transl_except", []):
        match = _EXCEPTION.search(given)
        positions = [] if match is None else [int(one) for one in re.findall(r"[0-9]{1,18}", match["place"])]
        offsets = [offset for one in positions if (offset := _offset(cds, one - 1, len(record.letters))) is not None]
        if match is not None and offsets and (min(offsets) - phase) % 3 == 0:
            exceptions[(min(offsets) - phase) // 3] = _residue(match["residue"])
    table = cds.value("transl_table")
    protein = "".join(cds.value("translation").upper().split()).rstrip("*")
    usable = _RESIDUES.fullmatch(protein) is not None and "*" not in protein
    return Coding(
        cds.strand,
        cds.parts,
        phase,
        cds.from_start,
        int(table) if table else None,
        exceptions,
        protein if usable else "",
    )


def _offset(cds: _Feature, position: int, length: int) -> int | None:
    """Where a position of the record lies in the spliced letters; None where it does not."""
    before = 0
    for start, end in cds.parts if cds.strand == "+" else cds.parts[::-1]:
        for at in (position, position + length):
            if start <= at < end:
                return before + (at - start if cds.strand == "+" else end - 1 - at)
        before += end - start
    return None


def _residue(name: str) -> str:
    """The letter of a residue in `transl_except`; X for those that have none."""
    from Bio.Data.IUPACData import protein_letters_3to1_extended

    return "*" if name == "TERM" else protein_letters_3to1_extended.get(name.capitalize(), "X")
