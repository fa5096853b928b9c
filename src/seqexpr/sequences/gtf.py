"""Read transcripts from the lines of a GTF file: GTF 2.2 (Brent lab) as databases and gene finders write it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from seqexpr.sequences.drafts import HIGHEST_TIER, KEPT, Draft, finished
from seqexpr.sequences.feature_lines import FeatureLine, LeftOut, kind_of, text
from seqexpr.sequences.transcripts import Transcript

_TAGGED = re.compile(rb"Ensembl_canonical|MANE.Select|RefSeq.Select")
_PAIR = re.compile(rb"""\s*([^\s;="']+)(?:\s*=\s*|\s+)(?:"([^"\\]*(?:\\.[^"\\]*)*)"|'([^']*)'|([^;"']+))\s*(?:;|$)""")
_TRANSCRIPT, _GENE = (
    re.compile(rb"""(?:^|;)\s*(%s)(?:\s*=\s*|\s+)(?:"([^"]*)"|'([^']*)'|([^\s;"']+))""" % key)
    for key in (b"transcript_id", b"gene_id")
)

_Key = tuple[str, bytes, bytes]
"""Contig, gene and transcript: one transcript id may be on two contigs, or of two genes."""


def read_gtf(lines: Iterable[FeatureLine], left_out: LeftOut) -> Iterator[Transcript]:
    """Gather the lines of each transcript, then give what can be used, in the order in which the file names them.

    Args:
        lines: of genes, transcripts, exons, coding segments and UTRs.
        left_out: counts lines and transcripts that cannot be used.
    """
    drafts: dict[_Key, Draft] = {}
    genes: dict[tuple[str, bytes], Draft] = {}
    bare: dict[tuple[str, bytes], FeatureLine] = {}  # AUGUSTUS names genes and transcripts in their own lines, bare
    for line in lines:
        kind = kind_of(line.feature)
        gene, transcript = _value(_GENE, line.attributes), _value(_TRANSCRIPT, line.attributes)
        if kind in ("gene", "transcript") and not gene and not transcript:
            bare[line.chrom, line.attributes.strip().rstrip(b";")] = line
            continue
        if kind == "gene" and not (transcript and _names_transcripts_by_biotype(line)):
            if gene:
                draft = genes.setdefault((line.chrom, gene), Draft(line.number, line.chrom))
                draft.add(line, kind)
                draft.learn(_names(line.attributes))
            continue
        if kind in ("", "protein"):
            continue
        if not transcript or (not gene and b"gene_id" in line.attributes):
            _without_id(line, "transcript_id" if not transcript else "gene_id", left_out)
            continue
        key = (line.chrom, gene, transcript)
        draft_ = drafts.get(key)
        if draft_ is None:
            draft_ = drafts[key] = Draft(line.number, line.chrom)
            draft_.learn(_names(line.attributes))
        elif (
            kind == "transcript"
            or (draft_.tier < HIGHEST_TIER and _TAGGED.search(line.attributes))
            or (b"gene_name" in line.attributes and "gene_name" not in draft_.names)
            or (kind == "coding" and b"transl_" in line.attributes)
        ):
            draft_.learn(_names(line.attributes))
        draft_.add(line, kind)
    if bare or any(not gene for _, gene, _ in drafts):
        _give_to_genes(drafts, bare, left_out)
    whole = {gene for _, gene, _ in drafts}
    for (chrom, gene, transcript), draft in drafts.items():
        if (above := genes.get((chrom, gene))) is not None:
            draft.names = {**{key: value for key, value in above.names.items() if key != "tag"}, **draft.names}
        yield from finished(text(transcript), text(gene), draft, left_out)
    for (_, gene), draft in genes.items():
        if gene not in whole:
            yield from finished(text(gene), text(gene), draft, left_out)


def _give_to_genes(drafts: dict[_Key, Draft], bare: dict[tuple[str, bytes], FeatureLine], left_out: LeftOut) -> None:
    """Find the genes of lines that name none: by another line of the transcript, or by a bare line above g1.t1."""
    for (chrom, name), line in bare.items():
        if kind_of(line.feature) == "transcript":
            draft = drafts.setdefault((chrom, b"", name), Draft(line.number, chrom))
            draft.add(line, "transcript")
    owners = {(chrom, transcript): gene for chrom, gene, transcript in drafts if gene}
    nameless = [key for key in drafts if not key[1]]
    for key in nameless:
        chrom, _, transcript = key
        draft = drafts.pop(key)
        above = transcript.rpartition(b".")[0]
        own = bare.get((chrom, above))
        gene = owners.get((chrom, transcript)) or (above if own is not None and own.feature == b"gene" else b"")
        if not gene:
            left_out.add("transcripts without gene_id", f"line {draft.line:,}: {text(transcript)[:40]!r}")
        elif (known := drafts.get((chrom, gene, transcript))) is not None:
            known.extend(draft)
        else:
            drafts[chrom, gene, transcript] = draft
    whole = {(chrom, gene) for chrom, gene, _ in drafts}
    for key_, line in bare.items():
        if kind_of(line.feature) == "gene" and key_ not in whole:
            _without_id(line, "gene_id", left_out)


def _without_id(line: FeatureLine, lacking: str, left_out: LeftOut) -> None:
    left_out.add(f"{text(line.feature)} lines without {lacking}", f"line {line.number:,}")


def _names_transcripts_by_biotype(line: FeatureLine) -> bool:
    """Whether a line of some `..._pseudogene` is a transcript's; lines of genes have a transcript_id in old GENCODE."""
    return line.feature not in (b"gene", b"pseudogene")


def _value(pattern: re.Pattern[bytes], attributes: bytes) -> bytes:
    match = pattern.search(attributes)
    if match is None:
        return b""
    value: bytes = match[2] or match[3] or match[4] or b""
    if attributes.count(b'"', 0, match.start()) % 2 or value.endswith(b"\\"):
        # The key stands within the quotes of another value, or a quote within its own: read pair by pair.
        value = _names(attributes).get(text(match[1]), "").encode() or value
    return value.strip()


def _names(attributes: bytes) -> dict[str, str]:
    """Read the attributes of a line that matter; values of a key that comes again are joined by commas."""
    names: dict[str, str] = {}
    at = 0
    while at < len(attributes):
        match = _PAIR.match(attributes, at)
        if match is None:  # go on behind the next semicolon: time stays proportional to the line
            at = attributes.find(b";", at) + 1
            if not at:
                break
            continue
        at = match.end()
        name = text(match[1])
        if name in KEPT:
            value = text(match[2] or match[3] or match[4] or b"").replace('\\"', '"').strip()
            if value:
                names[name] = f"{names[name]},{value}" if name in names else value
    return names
