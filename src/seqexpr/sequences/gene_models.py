"""Read transcripts with their exons and coding segments, as GTF and GFF3 files of all databases spell them.

What a file says of one transcript is gathered under (gene, transcript, contig), whatever the order of its lines, and
then judged once: a transcript that cannot be used is left out and counted, and never refuses the others.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from seqexpr.sequences.feature_lines import FeatureLine, LeftOut, has_control, kind_of, read_feature_lines, text
from seqexpr.sequences.streams import read_lines
from seqexpr.sequences.windows import merged_intervals

_EXPECTED = "GTF (gene_id, transcript_id) or GFF3 (ID, Parent) lines of transcripts, exons or CDS"

# Higher is better; NCBI writes "MANE Select" where Ensembl writes "MANE_Select".
_TIERS = {"Ensembl_canonical": 3, "MANE_Select": 2, "MANE Select": 2, "RefSeq_Select": 1, "RefSeq Select": 1}
_HIGHEST_TIER = 3
_TAGGED = re.compile(rb"Ensembl_canonical|MANE.Select|RefSeq.Select")
_GTF_PAIR = re.compile(rb"""\s*([^\s;="']+)(?:\s*=\s*|\s+)(?:"([^"]*)"|'([^']*)'|([^;"']+))\s*(?:;|$)""")
_GTF_TRANSCRIPT, _GTF_GENE = (
    re.compile(rb"""(?:^|;)\s*%s(?:\s*=\s*|\s+)(?:"([^"]*)"|'([^']*)'|([^\s;"']+))""" % key)
    for key in (b"transcript_id", b"gene_id")
)
_NO_ATTRIBUTES = (b"", b".")
_GFF3_PAIR = re.compile(rb"\s*[^\s=;\"']+=[^;]*(?:;|$)")
_GFF3_SIGN = re.compile(rb"(?:^|;)\s*(?:ID|Parent)=")
_GTF_SIGN = re.compile(rb"(?:^|;)\s*(?:gene_id|transcript_id)[\s=]")
_SYMBOLS = ("gene_name", "gene_symbol", "symbol", "gene", "ref_gene_name", "locus", "standard_name", "Name")
"""Where databases write a gene's symbol, the most certain first: SGD's and WormBase's `Name` is the systematic name."""
_ALIASES = ("Name", "locus_tag", "sequence_name", "gene", "locus", "old_locus_tag")
_KEPT = frozenset(
    {
        "ID",
        "Parent",
        "Derives_from",
        "gene_id",
        "transcript_id",
        "tag",
        "Dbxref",
        "db_xref",
        "exception",
        "part",
        "transl_table",
        "transl_except",
    }
    | {*_SYMBOLS, *_ALIASES}
)
_OF_CODING = frozenset({"transl_table", "transl_except"})
"""Attributes of coding lines that say how they are translated."""
_ID_PREFIX = re.compile(r"^(?:gene|pseudogene|transcript|rna|mrna|cds)[:-](?=.)", re.IGNORECASE)
_COUNTED_ID = re.compile(r"^gene-?[0-9]+$")
"""Ids of older RefSeq files, which number the genes of a file and mean nothing."""
_GENE_NUMBER = re.compile(r"GeneID:([0-9]+)")

Intervals = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class GeneModel:
    """One transcript; intervals are 0-based half-open, ascending and apart from each other."""

    id: str
    gene_id: str
    symbol: str
    chrom: str
    strand: str
    exons: Intervals
    cds: Intervals
    tier: int
    """3: tagged Ensembl_canonical, 2: MANE_Select, 1: RefSeq Select, 0: none of them."""
    aliases: tuple[str, ...] = field(default=(), compare=False)
    """Other names of the gene, by which a user may ask for it."""
    phase: int = field(default=0, compare=False)
    """Bases before the first whole codon of the coding sequence, for one that is incomplete there."""
    codon_table: int | None = field(default=None, compare=False)
    """`transl_table` of the coding lines: a number of NCBI's codon tables."""
    selenoprotein: bool = field(default=False, compare=False)
    """Tagged `seleno`, or with a `transl_except` of Sec: a TGA within is selenocysteine."""


@dataclass(slots=True)
class _Pieces:
    """What is known of a transcript on one strand. Intervals are flat start, end, ...: 16 bytes each."""

    exons: array[int] = field(default_factory=lambda: array("q"))
    cds: array[int] = field(default_factory=lambda: array("q"))
    utrs: array[int] = field(default_factory=lambda: array("q"))
    extents: array[int] = field(default_factory=lambda: array("q"))
    """Of the transcript's own lines."""
    phases: dict[int, int] = field(default_factory=dict)
    """Of coding lines that do not begin with a whole codon, by their start and, negative, by their end."""


@dataclass(slots=True)
class _Draft:
    """What is known of one transcript of one contig so far."""

    line: int
    chrom: str
    names: dict[str, str] = field(default_factory=dict)
    strands: dict[str, _Pieces] = field(default_factory=dict)
    tier: int = 0

    def add(self, line: FeatureLine, kind: str) -> None:
        pieces = self.strands.get(line.strand)
        if pieces is None:
            pieces = self.strands[line.strand] = _Pieces()
        chosen = {"exon": pieces.exons, "coding": pieces.cds, "utr": pieces.utrs}.get(kind, pieces.extents)
        chosen.extend((line.start, line.end))
        if kind == "coding" and line.phase:
            pieces.phases[line.start] = pieces.phases[-line.end] = line.phase

    def learn(self, names: dict[str, str]) -> None:
        """Keep the names of one more line; the first of each kind counts, and the best tag."""
        self.tier = max(self.tier, _tier(names))
        for key, value in names.items():
            self.names.setdefault(key, value)


def read_gene_models(path: str | Path, lines: Iterable[tuple[int, bytes]] | None = None) -> Iterator[GeneModel]:
    """Read all transcripts of a GTF or GFF3 file, in the order in which the file first names them.

    The two formats are told apart by the first line that has attributes: `key "value"` or `key=value`. What cannot be
    used is left out, and a warning for each reason says how much.

    Args:
        path: the file, for messages; it is opened where `lines` is None.
        lines: its numbered lines.

    Raises:
        InputError: nothing in the file can be used; the text names the first reason.
    """
    left_out = LeftOut(path)
    features = read_feature_lines(read_lines(path) if lines is None else lines, left_out)
    head: list[FeatureLine] = []
    for line in features:
        head.append(line)
        if line.attributes.strip() not in _NO_ATTRIBUTES and (
            b"=" in line.attributes or b" " in line.attributes.strip()
        ):
            break
    if not head:
        raise left_out.error("no feature of a gene", _EXPECTED)
    chained = chain(head, features)
    read = _read_gff3 if _is_gff3(head[-1].attributes) else _read_gtf
    count = 0
    for model in read(chained, left_out):
        count += 1
        yield model
    if not count:
        raise left_out.error("no transcript", _EXPECTED)
    left_out.report()


def _is_gff3(attributes: bytes) -> bool:
    if _GFF3_SIGN.search(attributes):
        return True
    return _GFF3_PAIR.match(attributes) is not None and not _GTF_SIGN.search(attributes)


# GTF


def _read_gtf(lines: Iterable[FeatureLine], left_out: LeftOut) -> Iterator[GeneModel]:
    drafts: dict[tuple[str, bytes, bytes], _Draft] = {}  # one transcript id may be on two contigs, or of two genes
    genes: dict[tuple[str, bytes], _Draft] = {}
    bare: dict[tuple[str, str], FeatureLine] = {}  # AUGUSTUS names a transcript in its own line and says no more
    for line in lines:
        kind = kind_of(line.feature)
        gene, transcript = _value(_GTF_GENE, line.attributes), _value(_GTF_TRANSCRIPT, line.attributes)
        if kind == "gene" and not (transcript and _names_transcripts_by_biotype(line)):
            if gene:
                draft = genes.setdefault((line.chrom, gene), _Draft(line.number, line.chrom))
                draft.add(line, kind)
                draft.learn(_gtf_names(line.attributes))
            continue
        if kind in ("", "protein"):
            continue
        if not transcript and kind == "transcript" and not gene:
            bare[line.chrom, text(line.attributes.strip().rstrip(b";"))] = line
            continue
        if not transcript or not gene:
            lacking = "transcript_id" if not transcript else "gene_id"
            left_out.add(f"{text(line.feature)} lines without {lacking}", f"line {line.number:,}")
            continue
        key = (line.chrom, gene, transcript)
        draft_ = drafts.get(key)
        if draft_ is None:
            draft_ = drafts[key] = _Draft(line.number, line.chrom)
            draft_.learn(_gtf_names(line.attributes))
        elif (
            kind == "transcript"
            or (draft_.tier < _HIGHEST_TIER and _TAGGED.search(line.attributes))
            or (kind == "coding" and b"transl_" in line.attributes)
        ):
            draft_.learn(_gtf_names(line.attributes))
        draft_.add(line, kind)
    whole = {gene for _, gene, _ in drafts}
    for (chrom, gene, transcript), draft in drafts.items():
        name = text(transcript)
        if (own := bare.get((chrom, name))) is not None:
            draft.add(own, "transcript")
        if (above := genes.get((chrom, gene))) is not None:
            draft.names = {**{key: value for key, value in above.names.items() if key != "tag"}, **draft.names}
        yield from _models(name, text(gene), draft, left_out)
    for (_, gene), draft in genes.items():
        if gene not in whole:
            yield from _models(text(gene), text(gene), draft, left_out)


def _names_transcripts_by_biotype(line: FeatureLine) -> bool:
    """Whether a line of some `..._pseudogene` is a transcript's; lines of genes have a transcript_id in old GENCODE."""
    return line.feature not in (b"gene", b"pseudogene")


def _value(pattern: re.Pattern[bytes], attributes: bytes) -> bytes:
    match = pattern.search(attributes)
    return b"" if match is None else match[1] or match[2] or match[3] or b""


def _gtf_names(attributes: bytes) -> dict[str, str]:
    """Read the attributes of a GTF line that matter; values of a key that comes again are joined by commas."""
    names: dict[str, str] = {}
    at = 0
    while at < len(attributes):
        match = _GTF_PAIR.match(attributes, at)
        if match is None:  # go on behind the next semicolon: time stays proportional to the line
            at = attributes.find(b";", at) + 1
            if not at:
                break
            continue
        at = match.end()
        name = text(match[1])
        if name in _KEPT:
            value = text(match[2] or match[3] or match[4] or b"").strip()
            if value:
                names[name] = f"{names[name]},{value}" if name in names else value
    return names


# GFF3


@dataclass(slots=True)
class _Node:
    """A feature with an ID."""

    kind: str
    names: dict[str, str]
    parent: str
    draft: _Draft


def _read_gff3(lines: Iterable[FeatureLine], left_out: LeftOut) -> Iterator[GeneModel]:
    """Gather parts under their parents first: GFF3 does not promise parents before children."""
    nodes: dict[tuple[str, str], _Node] = {}  # by contig and ID: one ID may be on X and on Y
    parts: dict[tuple[str, str], _Draft] = {}  # every feature that is the parent of exons, CDS or UTRs
    has_children: set[tuple[str, str]] = set()
    for line in lines:
        kind = kind_of(line.feature)
        names = _gff3_names(line.attributes)
        parents = _parents(names)
        if kind in ("exon", "coding", "utr"):
            if not parents and kind == "coding" and (own := _own_name(names)):
                parents = [own]  # Prokka, Prodigal: each CDS is a gene of its own
            if not parents:
                left_out.add(f"{text(line.feature)} lines without Parent", f"line {line.number:,}")
                continue
            for parent in parents:
                draft = parts.get((line.chrom, parent))
                if draft is None:
                    draft = parts[line.chrom, parent] = _Draft(line.number, line.chrom)
                    draft.learn(names)
                elif draft.tier < _HIGHEST_TIER and "tag" in names:
                    draft.tier = max(draft.tier, _tier(names))
                if kind == "coding":
                    for key in _OF_CODING & names.keys():
                        draft.names.setdefault(key, names[key])
                draft.add(line, kind)
            continue
        id_ = names.get("ID") or _own_name(names)
        if not id_:
            continue
        node = nodes.get((line.chrom, id_))
        if node is None:
            node = nodes[line.chrom, id_] = _Node(
                kind, names, parents[0] if parents else "", _Draft(line.number, line.chrom)
            )
        if kind == "protein" and not node.parent:
            node.parent = names.get("Derives_from", "")
        node.draft.learn(names)
        node.draft.add(line, kind)
        if kind == "transcript":
            has_children.update((line.chrom, parent) for parent in parents)
    for (chrom, parent), draft in _of_transcripts(parts, nodes).items():
        node = nodes.get((chrom, parent))
        if node is not None:
            for strand, pieces in node.draft.strands.items():
                draft.strands.setdefault(strand, _Pieces()).extents.extend(pieces.extents)
        yield from _gff3_models(chrom, parent, draft, nodes, left_out)
        has_children.update((chrom, above) for above in _line_of_ancestors(chrom, parent, nodes))
    for (chrom, id_), node in nodes.items():
        if (chrom, id_) in parts or (chrom, id_) in has_children or node.kind not in ("transcript", "gene"):
            continue
        yield from _gff3_models(chrom, id_, node.draft, nodes, left_out)


def _of_transcripts(
    parts: dict[tuple[str, str], _Draft], nodes: dict[tuple[str, str], _Node]
) -> dict[tuple[str, str], _Draft]:
    """Leave out parts of proteins: TAIR's CDS name the protein next to the transcript.

    Parts that a protein alone has are its transcript's.
    """
    chosen: dict[tuple[str, str], _Draft] = {}
    for (chrom, parent), draft in parts.items():
        node = nodes.get((chrom, parent))
        if node is not None and node.kind == "protein":
            if node.parent and (chrom, node.parent) not in parts:
                chosen.setdefault((chrom, node.parent), draft)
        else:
            chosen[chrom, parent] = draft
    return chosen


def _gff3_models(
    chrom: str, transcript: str, draft: _Draft, nodes: dict[tuple[str, str], _Node], left_out: LeftOut
) -> Iterator[GeneModel]:
    node = nodes.get((chrom, transcript))
    own = dict(node.names if node is not None else draft.names)
    if node is None and "Parent" in own:  # the names of an exon, of which few say something about its transcript
        own = {key: own[key] for key in ("gene_id", "transcript_id", "gene_name") if key in own}
    above = _line_of_ancestors(chrom, transcript, nodes)
    gene = above[-1] if above else transcript
    gene_names: dict[str, str] = {} if above else own
    if (chrom, gene) in nodes:
        gene_names = nodes[chrom, gene].names
    gene_id = own.get("gene_id") or gene_names.get("gene_id") or _ID_PREFIX.sub("", gene)
    if _COUNTED_ID.match(gene_id):
        gene_id = next((gene_names[key] for key in ("locus_tag", "gene", "Name") if gene_names.get(key)), gene_id)
    tier = max(draft.tier, _tier(own), node.draft.tier if node is not None else 0)
    names: dict[str, str] = {
        **gene_names,
        **{key: own[key] for key in ("gene_name", "gene_symbol", "exception", "part") if key in own},
    }
    names.update({key: draft.names[key] for key in _OF_CODING & draft.names.keys()})
    if "tag" in own:
        names["tag"] = own["tag"]
    names["ID"] = gene
    if not above and node is None:
        names.pop("ID")
    judged = _Draft(draft.line, chrom, names, draft.strands, tier)
    yield from _models(own.get("transcript_id") or _ID_PREFIX.sub("", transcript), gene_id, judged, left_out)


def _line_of_ancestors(chrom: str, id_: str, nodes: dict[tuple[str, str], _Node]) -> list[str]:
    """The features above a transcript, the last of which is its gene."""
    above: list[str] = []
    seen = {id_}
    while (node := nodes.get((chrom, id_))) is not None and node.parent and node.parent not in seen:
        id_ = node.parent
        seen.add(id_)
        above.append(id_)
    return above


def _gff3_names(attributes: bytes) -> dict[str, str]:
    names: dict[str, str] = {}
    for pair in text(attributes).split(";"):
        key, equals, value = pair.partition("=")
        key, value = key.strip(), value.strip().strip('"')
        if equals and key in _KEPT and value:
            names[key] = value if key in ("Parent", "Derives_from") else _decoded(value)
    return names


def _decoded(value: str) -> str:
    """Decode %XX, but for control characters: an id must not split its row."""
    decoded = unquote(value)
    return value if has_control(decoded) else decoded


def _parents(names: dict[str, str]) -> list[str]:
    """Split Parent, which `_gff3_names` leaves encoded: %2C is a comma within an id."""
    return [_decoded(parent) for parent in names.get("Parent", "").split(",") if parent]


def _own_name(names: dict[str, str]) -> str:
    return next((names[key] for key in ("ID", "locus_tag", "Name", "gene") if names.get(key)), "")


# Both formats


def _models(name: str, gene_id: str, draft: _Draft, left_out: LeftOut) -> Iterator[GeneModel]:
    """Judge one transcript: where it lies, which may be at several places of a contig, or why it is left out."""
    label = f"{gene_id or name}, transcript {name}, line {draft.line:,}".replace("\n", " ")
    if not gene_id or has_control(gene_id) or has_control(name):
        left_out.add("transcripts whose ids are empty or hold control characters", f"line {draft.line:,}: {gene_id!r}")
        return
    known = {strand: pieces for strand, pieces in draft.strands.items() if strand}
    if len(known) != len(draft.strands) and any(
        pieces.exons or pieces.cds or not known for strand, pieces in draft.strands.items() if not strand
    ):
        left_out.add("transcripts whose strand is neither + nor -", label)
        return
    parted = len(known) > 1 and not all(pieces.extents for pieces in known.values())
    if parted or ("trans-splicing" in draft.names.get("exception", "") and len(known) > 1):
        left_out.add("transcripts with pieces on both strands (trans-splicing)", label)
        return
    symbol = next((draft.names[key] for key in _SYMBOLS if draft.names.get(key)), "")
    aliases = {draft.names[key] for key in _ALIASES if draft.names.get(key)}
    aliases.update(f"GeneID:{number}" for number in _GENE_NUMBER.findall(_references(draft.names)))
    aliases.update(id_ for key, id_ in draft.names.items() if key == "ID")
    aliases -= {symbol, gene_id}
    for strand, pieces in known.items():
        for place in _places(pieces):
            exons, cds = _structure(place)
            yield GeneModel(
                name,
                gene_id,
                "" if has_control(symbol) else symbol,
                draft.chrom,
                strand,
                exons,
                cds,
                draft.tier,
                tuple(sorted(aliases)),
                pieces.phases.get(cds[0][0] if strand == "+" else -cds[-1][1], 0) if cds else 0,
                int(table) if (table := draft.names.get("transl_table", "")).isdigit() else None,
                "seleno" in draft.names.get("tag", "").split(",") or "aa:Sec" in draft.names.get("transl_except", ""),
            )


def _references(names: dict[str, str]) -> str:
    return f"{names.get('Dbxref', '')},{names.get('db_xref', '')}"


def _places(pieces: _Pieces) -> list[_Pieces]:
    """Divide pieces among the copies of a transcript that one contig holds under one id.

    Copies are told by the transcript's own lines, where those lie apart; a piece belongs to the line that it lies in.
    """
    extents = _merged(pieces.extents)
    if len(extents) < 2:
        return [pieces]
    places = []
    for start, end in extents:
        exons, cds, utrs = (_within(flat, start, end) for flat in (pieces.exons, pieces.cds, pieces.utrs))
        places.append(_Pieces(exons, cds, utrs, array("q", (start, end))))
    return places


def _within(flat: array[int], start: int, end: int) -> array[int]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return array("q", [at for pair in pairs if start <= pair[0] < end for at in pair])


def _structure(pieces: _Pieces) -> tuple[Intervals, Intervals]:
    """Exons and coding segments. Where a file has no exon lines, CDS and UTRs, or the whole extent, stand for them."""
    cds = _merged(pieces.cds)
    if pieces.exons:
        return _merged(pieces.exons + pieces.cds), cds
    exons = list(_merged(pieces.utrs + pieces.cds))
    if pieces.extents:
        start, end = min(pieces.extents[::2]), max(pieces.extents[1::2])
        if not exons:
            exons = [(start, end)]
        exons[0] = (min(start, exons[0][0]), exons[0][1])
        exons[-1] = (exons[-1][0], max(end, exons[-1][1]))
    return tuple(exons), cds


def _merged(flat: array[int]) -> Intervals:
    return merged_intervals(zip(flat[::2], flat[1::2], strict=True))


def _tier(names: dict[str, str]) -> int:
    if "tag" not in names:
        return 0
    return max((_TIERS.get(tag.strip(), 0) for tag in names["tag"].split(",")), default=0)
