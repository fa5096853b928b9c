"""Read transcripts from the lines of a GFF3 file: GFF3 1.26 (Sequence Ontology) as databases and tools write it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from seqexpr.sequences.drafts import HIGHEST_TIER, KEPT, OF_CODING, Draft, Pieces, finished, tier_of
from seqexpr.sequences.feature_lines import FeatureLine, LeftOut, has_control, kind_of, text
from seqexpr.sequences.transcripts import Transcript

_ID_PREFIX = re.compile(r"^(?:gene|pseudogene|transcript|rna|mrna|cds)[:-](?=.)", re.IGNORECASE)
_COUNTED_ID = re.compile(r"^gene-?[0-9]+$")
"""Ids of older RefSeq files, which number the genes of a file and mean nothing."""

_Key = tuple[str, str]
"""Contig and ID: one ID may be on X and on Y."""


@dataclass(slots=True)
class _Node:
    """A feature with an ID."""

    kind: str
    names: dict[str, str]
    parent: str
    draft: Draft


class _Parts:
    """Exons, coding segments and UTRs, gathered under the features that they name as parents."""

    def __init__(self) -> None:
        self.drafts: dict[_Key, Draft] = {}
        self._beside: dict[_Key, list[str]] = {}
        """Of a feature that is never named alone: what is named next to it."""

    def add(self, line: FeatureLine, kind: str, parents: list[str], names: dict[str, str]) -> None:
        """Add one line."""
        for parent in parents:
            key = (line.chrom, parent)
            draft = self.drafts.get(key)
            if draft is None:
                draft = self.drafts[key] = Draft(line.number, line.chrom)
                draft.learn(names)
                if len(parents) > 1:
                    self._beside[key] = parents
            elif draft.tier < HIGHEST_TIER and "tag" in names:
                draft.tier = max(draft.tier, tier_of(names))
            if len(parents) == 1:
                self._beside.pop(key, None)
            if kind == "coding":
                for key_ in OF_CODING & names.keys():
                    draft.names.setdefault(key_, names[key_])
            draft.add(line, kind)

    def of_transcripts(self, nodes: dict[_Key, _Node]) -> dict[_Key, Draft]:
        """Leave out parts of proteins: TAIR's CDS name the protein next to the transcript.

        Parts that a protein alone has are its transcript's.
        """
        chosen = {}
        of_proteins = []
        for key, draft in self.drafts.items():
            node = nodes.get(key)
            if node is not None and node.kind == "protein":
                of_proteins.append(((key[0], node.parent), draft))
            elif node is not None or not any((key[0], other) in nodes for other in self._beside.get(key, ())):
                chosen[key] = draft
        for key, draft in of_proteins:
            if key[1] and key not in chosen:
                chosen[key] = draft
            elif key[1] and not chosen[key].has_coding():
                chosen[key].extend(draft)
        return chosen


def read_gff3(lines: Iterable[FeatureLine], left_out: LeftOut) -> Iterator[Transcript]:
    """Gather parts under their parents first, for GFF3 does not promise parents before children; then judge each.

    Args:
        lines: of genes, transcripts, exons, coding segments, UTRs and proteins.
        left_out: counts lines and transcripts that cannot be used.
    """
    nodes: dict[_Key, _Node] = {}
    parts = _Parts()
    has_children: set[_Key] = set()
    for line in lines:
        kind = kind_of(line.feature)
        names = _names(line.attributes)
        parents = _parents(names)
        if kind in ("exon", "coding", "utr"):
            if not parents and kind == "coding" and (own := _own_name(names)):
                parents = [own]  # Prokka, Prodigal: each CDS is a gene of its own
            if parents:
                parts.add(line, kind, parents, names)
            else:
                left_out.add(f"{text(line.feature)} lines without Parent", f"line {line.number:,}")
            continue
        id_ = names.get("ID") or _own_name(names)
        if not id_:
            if kind in ("gene", "transcript") and not parents:
                left_out.add(f"{text(line.feature)} lines without ID", f"line {line.number:,}")
            continue
        node = nodes.get((line.chrom, id_))
        if node is None:
            node = nodes[line.chrom, id_] = _Node(
                kind, names, parents[0] if parents else "", Draft(line.number, line.chrom)
            )
        node.draft.learn(names)
        node.draft.add(line, kind)
        if kind == "transcript" and parents:
            has_children.add((line.chrom, parents[0]))
    chosen = parts.of_transcripts(nodes)
    for (chrom, parent), draft in chosen.items():
        node = nodes.get((chrom, parent))
        if node is not None:
            for strand, pieces in node.draft.strands.items():
                draft.strands.setdefault(strand, Pieces()).extents.extend(pieces.extents)
        yield from _finished(chrom, parent, draft, nodes, left_out)
        has_children.update((chrom, above) for above in _line_of_ancestors(chrom, parent, nodes))
    for key, node in nodes.items():
        if key not in chosen and (node.kind == "transcript" or (node.kind == "gene" and key not in has_children)):
            yield from _finished(*key, node.draft, nodes, left_out)


def _finished(
    chrom: str, transcript: str, draft: Draft, nodes: dict[_Key, _Node], left_out: LeftOut
) -> Iterator[Transcript]:
    """Judge one transcript under the names of its own line and those of its gene's."""
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
    tier = max(draft.tier, tier_of(own), node.draft.tier if node is not None else 0)
    names: dict[str, str] = {
        **gene_names,
        **{key: own[key] for key in ("gene_name", "gene_symbol", "exception") if key in own},
    }
    names.update({key: draft.names[key] for key in OF_CODING & draft.names.keys()})
    if "tag" in own:
        names["tag"] = own["tag"]
    names["ID"] = gene
    if not above and node is None:
        names.pop("ID")
    judged = Draft(draft.line, chrom, names, draft.strands, tier)
    yield from finished(own.get("transcript_id") or _ID_PREFIX.sub("", transcript), gene_id, judged, left_out)


def _line_of_ancestors(chrom: str, id_: str, nodes: dict[_Key, _Node]) -> list[str]:
    """The features above a transcript, the last of which is its gene; an operon above that counts for nothing."""
    above: list[str] = []
    seen = {id_}
    while (
        (node := nodes.get((chrom, id_))) is not None
        and node.kind != "gene"
        and node.parent
        and node.parent not in seen
    ):
        id_ = node.parent
        seen.add(id_)
        above.append(id_)
    return above


def _names(attributes: bytes) -> dict[str, str]:
    """Read the attributes of a line that matter; some files put quotes around values."""
    names: dict[str, str] = {}
    for pair in text(attributes).split(";"):
        key, equals, value = pair.partition("=")
        key, value = key.strip(), value.strip().strip('"')
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1]
        if equals and key in KEPT and value:
            names[key] = value if key in ("Parent", "Derives_from") else _decoded(value)
    return names


def _decoded(value: str) -> str:
    """Decode %XX, but for control characters: an id must not split its row."""
    decoded = unquote(value)
    return value if has_control(decoded) else decoded


def _parents(names: dict[str, str]) -> list[str]:
    """Split Parent, which `_names` leaves encoded: %2C is a comma within an id. Derives_from stands in for it."""
    above = names.get("Parent") or names.get("Derives_from", "")
    return [_decoded(parent.strip()) for parent in above.split(",") if parent.strip()]


def _own_name(names: dict[str, str]) -> str:
    return next((names[key] for key in ("ID", "locus_tag", "Name", "gene") if names.get(key)), "")
