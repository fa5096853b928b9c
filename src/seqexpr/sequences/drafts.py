"""What a GTF or GFF3 file says of one transcript, gathered from lines in any order, and then judged once.

A transcript that cannot be used is left out and counted, and never refuses the others.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from seqexpr.sequences.feature_lines import FeatureLine, LeftOut, has_control
from seqexpr.sequences.transcripts import Intervals, Transcript
from seqexpr.sequences.windows import merged_intervals

# Higher is better; NCBI writes "MANE Select" where Ensembl writes "MANE_Select".
_TIERS = {"Ensembl_canonical": 3, "MANE_Select": 2, "MANE Select": 2, "RefSeq_Select": 1, "RefSeq Select": 1}
HIGHEST_TIER = 3

_SYMBOLS = ("gene_name", "gene_symbol", "symbol", "gene", "ref_gene_name", "locus", "standard_name", "Name")
"""Where databases write a gene's symbol, the most certain first: SGD's and WormBase's `Name` is the systematic name."""
_ALIASES = ("ID", "Name", "locus_tag", "sequence_name", "gene", "locus", "old_locus_tag")
_ALIAS_LISTS = ("Alias", "gene_synonym")
_REFERENCES = ("Dbxref", "db_xref")
_ABOUT_TRANSCRIPTS = ("Parent", "Derives_from", "gene_id", "transcript_id", "tag", "exception")
OF_CODING = frozenset({"transl_table", "transl_except"})
"""Attributes of coding lines that say how they are translated."""
KEPT = frozenset({*_ABOUT_TRANSCRIPTS, *OF_CODING, *_SYMBOLS, *_ALIASES, *_ALIAS_LISTS, *_REFERENCES})
"""Attributes that say something of use."""


@dataclass(slots=True)
class Pieces:
    """What is known of a transcript on one strand. Intervals are flat start, end, ...: 16 bytes each."""

    exons: array[int] = field(default_factory=lambda: array("q"))
    cds: array[int] = field(default_factory=lambda: array("q"))
    utrs: array[int] = field(default_factory=lambda: array("q"))
    extents: array[int] = field(default_factory=lambda: array("q"))
    """Of the transcript's own lines."""
    phases: dict[int, int] = field(default_factory=dict)
    """Of coding lines that do not begin with a whole codon, by their start and, negative, by their end."""

    def extend(self, other: Pieces) -> None:
        """Add what another record knows of the same transcript."""
        for own, more in zip(self._flat(), other._flat(), strict=True):
            own.extend(more)
        self.phases.update(other.phases)

    def _flat(self) -> tuple[array[int], ...]:
        return self.exons, self.cds, self.utrs, self.extents


@dataclass(slots=True)
class Draft:
    """What is known of one transcript of one contig so far."""

    line: int
    chrom: str
    names: dict[str, str] = field(default_factory=dict)
    strands: dict[str, Pieces] = field(default_factory=dict)
    tier: int = 0

    def add(self, line: FeatureLine, kind: str) -> None:
        """Add a line of the transcript itself, or of an exon, a coding segment or a UTR of it."""
        pieces = self.strands.get(line.strand)
        if pieces is None:
            pieces = self.strands[line.strand] = Pieces()
        chosen = {"exon": pieces.exons, "coding": pieces.cds, "utr": pieces.utrs}.get(kind, pieces.extents)
        chosen.extend((line.start, line.end))
        if kind == "coding" and line.phase:
            pieces.phases[line.start] = pieces.phases[-line.end] = line.phase

    def learn(self, names: dict[str, str]) -> None:
        """Keep the names of one more line; the first of each kind counts, and the best tag."""
        self.tier = max(self.tier, tier_of(names))
        for key, value in names.items():
            self.names.setdefault(key, value)

    def extend(self, other: Draft) -> None:
        """Add what another draft knows of the same transcript."""
        self.learn(other.names)
        for strand, pieces in other.strands.items():
            self.strands.setdefault(strand, Pieces()).extend(pieces)

    def has_coding(self) -> bool:
        """Whether there is any coding segment."""
        return any(pieces.cds for pieces in self.strands.values())


def tier_of(names: dict[str, str]) -> int:
    """How the `tag` among a line's names marks the transcript: as `Transcript.tier`."""
    if "tag" not in names:
        return 0
    return max((_TIERS.get(tag.strip(), 0) for tag in names["tag"].split(",")), default=0)


def finished(name: str, gene_id: str, draft: Draft, left_out: LeftOut) -> Iterator[Transcript]:
    """Judge one transcript: where it lies, which may be at several places of a contig, or why it is left out.

    Args:
        name: the transcript's id.
        gene_id: its gene's.
        draft: all that the file says of it.
        left_out: counts it where it cannot be used.
    """
    label = f"{gene_id or name}, transcript {name}, line {draft.line:,}".replace("\n", " ")
    if not gene_id.strip() or has_control(gene_id) or has_control(name):
        left_out.add("transcripts whose ids are empty or hold control characters", f"line {draft.line:,}: {gene_id!r}")
        return
    known = {strand: pieces for strand, pieces in draft.strands.items() if strand}
    if len(known) != len(draft.strands) and any(
        pieces.exons or pieces.cds or not known for strand, pieces in draft.strands.items() if not strand
    ):
        left_out.add("transcripts whose strand is neither + nor -", label)
        return
    trans_spliced = "trans-splicing" in draft.names.get("exception", "")
    parted = len(known) > 1 and not all(pieces.extents for pieces in known.values())
    if parted or (trans_spliced and len(known) > 1):
        left_out.add("transcripts with pieces on both strands (trans-splicing)", label)
        return
    if trans_spliced and any(len(_merged(pieces.extents)) > 1 for pieces in known.values()):
        left_out.add("transcripts put together from several places (trans-splicing)", label)
        return
    symbol = next((draft.names[key] for key in _SYMBOLS if draft.names.get(key)), "")
    aliases = tuple(sorted(_aliases(draft.names) - {symbol, gene_id}))
    for strand, pieces in known.items():
        for place in _places(pieces):
            exons, cds = _structure(place)
            yield Transcript(
                name,
                gene_id,
                "" if has_control(symbol) else symbol,
                draft.chrom,
                strand,
                exons,
                cds,
                draft.tier,
                aliases,
                pieces.phases.get(cds[0][0] if strand == "+" else -cds[-1][1], 0) if cds else 0,
                int(table) if (table := draft.names.get("transl_table", "")).isdigit() else None,
                "seleno" in draft.names.get("tag", "").split(",") or "aa:Sec" in draft.names.get("transl_except", ""),
            )


def _aliases(names: dict[str, str]) -> set[str]:
    """Other names of a gene: synonyms, and its ids in other databases (GeneID:60, also as 60; HGNC:132)."""
    found = {names[key] for key in _ALIASES if names.get(key)}
    for key in _ALIAS_LISTS:
        found.update(alias.strip() for alias in names.get(key, "").split(","))
    for key in _REFERENCES:
        for reference in names.get(key, "").split(","):
            database, _, id_ = reference.strip().partition(":")
            if database == "GeneID":
                found.add(f"{database}:{id_}")
            if database == "GeneID" or not id_.isdigit():
                found.add(id_)
    return found - {""}


def _places(pieces: Pieces) -> list[Pieces]:
    """Divide pieces among the copies of a transcript that one contig holds under one id.

    Copies are told by the transcript's own lines, where those lie apart; a piece belongs to the line that it lies in.
    """
    extents = _merged(pieces.extents)
    if len(extents) < 2:
        return [pieces]
    places = []
    for start, end in extents:
        exons, cds, utrs = (_within(flat, start, end) for flat in (pieces.exons, pieces.cds, pieces.utrs))
        places.append(Pieces(exons, cds, utrs, array("q", (start, end))))
    return places


def _within(flat: array[int], start: int, end: int) -> array[int]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return array("q", [at for pair in pairs if start <= pair[0] < end for at in pair])


def _structure(pieces: Pieces) -> tuple[Intervals, Intervals]:
    """Exons and coding segments. Where a file has no exon lines, CDS and UTRs, or the whole extent, stand for them."""
    cds = _merged(pieces.cds)
    exons = list(_merged(pieces.exons + pieces.utrs + pieces.cds))
    if pieces.extents and not pieces.exons:
        start, end = min(pieces.extents[::2]), max(pieces.extents[1::2])
        if not exons:
            exons = [(start, end)]
        exons[0] = (min(start, exons[0][0]), exons[0][1])
        exons[-1] = (exons[-1][0], max(end, exons[-1][1]))
    return tuple(exons), cds


def _merged(flat: array[int]) -> Intervals:
    return merged_intervals(zip(flat[::2], flat[1::2], strict=True))
