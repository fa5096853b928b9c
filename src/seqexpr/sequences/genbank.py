"""Read GenBank and EMBL files: sequences, the TSSs of their genes, and proteins at once.

Biopython reads the records (INSDC feature table definition 11). Of every gene one transcript is chosen, as in
`annotation`: the one with the longest coding sequence, else the longest. Its TSS is the 5' end of the mRNA feature,
else of the gene feature, else of the coding sequence.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import DNA, reverse_complement, reverse_complement_letters
from seqexpr.sequences.contigs import ContigNames
from seqexpr.sequences.fasta import FastaRecord
from seqexpr.sequences.feature_lines import LeftOut, has_control
from seqexpr.sequences.gene_names import pick_genes
from seqexpr.sequences.streams import read_blocks
from seqexpr.sequences.transcripts import Transcript
from seqexpr.sequences.windows import Interval, Tss, merged_intervals, place_window

SeqRecord = Any  # of Biopython, whose attributes are optional to the type checker and set by its parsers
SeqFeature = Any

logger = logging.getLogger(__name__)

_TRANSCRIPTS = ("mRNA", "tRNA", "rRNA", "ncRNA", "tmRNA", "misc_RNA", "precursor_RNA", "prim_transcript")
_GENE_ID = "GeneID:"


class GenbankSequences:
    """The sequences of the records, which windows are cut from. A circular one goes on over its origin.

    Args:
        path: the file, for messages.
        letters: by record.
        circular: names of circular records.
    """

    def __init__(self, path: str | Path, letters: dict[str, bytes], circular: Collection[str]) -> None:
        self.path = Path(path)
        self.aliases: dict[str, str] = {}
        self._letters, self._circular = letters, frozenset(circular)
        self._names = ContigNames(letters)

    @property
    def contigs(self) -> dict[str, int]:
        """Length of each record."""
        return {name: len(letters) for name, letters in self._letters.items()}

    def find(self, name: str) -> str | None:
        """The own name of a record, or None."""
        return self._names.find(name)

    def check_inside(self, tss: Tss) -> None:
        """Check that a TSS lies on its record.

        Raises:
            InputError: it does not.
        """
        length = len(self._letters[tss.chrom])
        if not 0 <= tss.first_base < length:
            raise InputError(
                self.path,
                record=f"TSS of {tss.id!r}",
                found=f"position {tss.first_base + 1:,}",
                expected=f"1 to {length:,}",
            )

    def placed_window(self, tss: Tss, upstream: int, downstream: int) -> tuple[np.ndarray, int]:
        """The window around a TSS, as `Genome.placed_window` gives it."""
        letters = self._letters[tss.chrom]
        window = tss.window(upstream, downstream)
        if tss.chrom in self._circular and len(window) <= len(letters):
            start = window.start % len(letters)
            around = (letters + letters[: len(window)])[start : start + len(window)]
            tokens = self._encode(around, tss.chrom)
            return (tokens if tss.strand == "+" else reverse_complement(tokens)), 0
        inside = window.clip(len(letters))
        tokens = self._encode(letters[inside.start : inside.end], tss.chrom)
        tokens = tokens if tss.strand == "+" else reverse_complement(tokens)
        return place_window(tokens, tss.offset_in(inside), upstream, downstream)

    def letters(self, interval: Interval) -> bytes:
        """Upper-case letters of an interval, reverse complemented on the - strand."""
        found = self._letters[interval.chrom][interval.start : interval.end]
        return found if interval.strand == "+" else reverse_complement_letters(found)

    def _encode(self, letters: bytes, chrom: str) -> np.ndarray:
        return DNA.encode(letters, file=self.path, record=f"record {chrom!r}")


@dataclass
class GenbankFile:
    """What a GenBank or EMBL file holds about genes."""

    path: str
    sequences: GenbankSequences
    sites: list[Tss]
    """TSSs of the genes, in the file's order."""
    transcripts: dict[str, Transcript]
    """The chosen transcript by gene; genes that lie over the origin of a circular record have none."""
    translations: dict[str, str] = field(default_factory=dict)
    """Protein by gene: the file's own translation, else one by the feature's codon table."""

    def proteins(self) -> Iterator[FastaRecord]:
        """The proteins of the genes in `sites`, in their order."""
        wanted = [site.id for site in self.sites if site.id in self.translations]
        for number, gene in enumerate(wanted, start=1):
            yield FastaRecord(gene, "", self.translations[gene].encode("ascii"), number)


def read_genbank(path: str | Path, genes: Collection[str] | None = None, *, allow_unknown: bool = False) -> GenbankFile:
    """Read a GenBank or EMBL file; gzipped or not, "-" is standard input. All of it is held in memory.

    Ids are the locus tag, else the gene's name, else its GeneID. Features that cannot be used are left out, and a
    warning for each reason says how many.

    Args:
        path: the file.
        genes: symbols or ids to pick; None: all.
        allow_unknown: leave out genes that are not in the file, with a warning.

    Raises:
        InputError: no such format, a record without sequence, a damaged record, no gene, or genes that are not there.
    """
    left_out = LeftOut(path)
    letters: dict[str, bytes] = {}
    circular: set[str] = set()
    chosen: dict[str, _Gene] = {}
    for record in _records(path):
        if record.id in letters:
            raise InputError(path, record=f"record {record.id!r}", found="a second record", expected="each record once")
        letters[record.id] = _letters_of(path, record)
        if record.annotations.get("topology") == "circular":
            circular.add(record.id)
        for gene in _genes(record, left_out):
            rival = chosen.get(gene.site.id)
            if rival is None:
                chosen[gene.site.id] = gene
            else:
                left_out.add("genes whose id is that of an earlier one", f"{gene.site.id} of {record.id}")
    if not letters:
        raise InputError(path, found="no record", expected="GenBank or EMBL records")
    if not chosen:
        raise left_out.error("no gene", "records with gene, mRNA or CDS features")
    left_out.report()
    coding = [gene for gene in chosen.values() if gene.transcript is not None and gene.transcript.cds]
    if coding and not any(gene.has_transcript for gene in coding):
        logger.warning(
            "%s: no coding gene has an mRNA feature, so its TSS is the gene's start, or the start codon", path
        )
    sites = [gene.site for gene in chosen.values()]
    if genes is not None:
        sites = pick_genes(path, sites, genes, allow_unknown=allow_unknown)
    return GenbankFile(
        str(path),
        GenbankSequences(path, letters, circular),
        sites,
        {name: gene.transcript for name, gene in chosen.items() if gene.transcript is not None},
        {name: gene.protein for name, gene in chosen.items() if gene.protein},
    )


@dataclass
class _Gene:
    site: Tss
    transcript: Transcript | None
    protein: str
    has_transcript: bool


def _records(path: str | Path) -> Iterator[SeqRecord]:
    from Bio import SeqIO

    text = b"".join(read_blocks(path)).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("LOCUS"):
        kind = "genbank"
    elif text.startswith("ID "):
        kind = "embl"
    else:
        shown = repr(text[:40].split("\n")[0])
        raise InputError(path, found=f"a start of {shown}", expected="GenBank (LOCUS) or EMBL (ID) records")
    number = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Biopython warns of what it mends
        records = SeqIO.parse(io.StringIO(text), kind)
        while True:
            number += 1
            try:
                record = next(records, None)
            except Exception as error:  # Biopython raises whatever a damaged line gives rise to
                found = str(error).split("\n")[0][:100] or type(error).__name__
                raise InputError(
                    path, record=f"record {number:,}", found=f"a record that cannot be read ({found})",
                    expected=f"an intact {kind} record",
                ) from None  # fmt: skip
            if record is None:
                return
            yield record


def _letters_of(path: str | Path, record: SeqRecord) -> bytes:
    from Bio.Seq import UndefinedSequenceError

    try:
        letters = bytes(record.seq).upper()
    except UndefinedSequenceError:
        letters = b""
    if not letters:
        raise InputError(
            path,
            record=f"record {record.id!r}",
            found="no sequence (a CONTIG line alone?)",
            expected="a full record, with its ORIGIN",
        )
    return letters


def _genes(record: SeqRecord, left_out: LeftOut) -> Iterator[_Gene]:
    groups: dict[str, dict[str, list[SeqFeature]]] = {}
    for feature in record.features:
        kind = "transcript" if feature.type in _TRANSCRIPTS else feature.type
        if kind not in ("gene", "transcript", "CDS", "exon"):
            continue
        name = _name(feature)
        if not name or has_control(name):
            left_out.add(
                f"{feature.type} features without locus_tag, gene or GeneID", f"{record.id}:{feature.location}"
            )
            continue
        groups.setdefault(name, {}).setdefault(kind, []).append(feature)
    for name, features in groups.items():
        if not set(features) - {"exon"}:
            continue
        try:
            gene = _gene(name, record, features)
        except (AttributeError, TypeError, ValueError, IndexError):  # no location, an unknown one, or on another record
            gene = "positions that are unknown or on another record"
        if isinstance(gene, str):
            left_out.add(f"genes with {gene}", f"{name} of {record.id}")
        else:
            yield gene


def _name(feature: SeqFeature) -> str:
    for key in ("locus_tag", "gene"):
        if value := feature.qualifiers.get(key, [""])[0].strip():
            return str(value)
    references = feature.qualifiers.get("db_xref", [])
    return next((reference for reference in references if reference.startswith(_GENE_ID)), "")


def _gene(name: str, record: SeqRecord, features: dict[str, list[SeqFeature]]) -> _Gene | str:
    """A gene, or why it is left out."""
    coding = [one for one in features.get("CDS", []) if not {"pseudo", "pseudogene"} & set(one.qualifiers)]
    cds = max(coding, key=lambda one: len(one.location), default=None)
    transcripts = [one for one in features.get("transcript", []) if cds is None or _holds(one, cds)]
    transcript = max(transcripts, key=lambda one: len(one.location), default=None)
    gene = next(iter(features.get("gene", [])), None)
    whole = transcript or gene or cds or next(iter(features.get("CDS", [])), None)
    if whole is None or whole.location is None:
        return "no feature that has a strand"
    strands = {part.strand for feature in (whole, cds) if feature is not None for part in feature.location.parts}
    if len(strands) > 1:
        return "parts on both strands (trans-splicing)"
    strand = {1: "+", -1: "-"}.get(strands.pop() or 0)
    if strand is None:
        return "an unknown strand"
    first = whole.location.parts[0]
    boundary = int(first.start) if strand == "+" else int(first.end)
    symbol = str(whole.qualifiers.get("gene", [""])[0])
    aliases = {
        reference for one in (whole, gene, cds) if one is not None for reference in one.qualifiers.get("db_xref", [])
    }
    site = Tss(name, record.id, boundary, strand, "" if symbol == name else symbol, tuple(sorted(aliases)))
    parts = None if transcript is None else _ascending(transcript, strand)
    if transcript is None and cds is not None and (exons := features.get("exon")):
        together = sorted((int(part.start), int(part.end)) for one in exons for part in one.location.parts)
        if together[0][0] <= int(cds.location.start) and together[-1][1] >= int(cds.location.end):
            parts = together  # exons of some records carry no strand: that of the CDS holds
            boundary = together[0][0] if strand == "+" else together[-1][1]
            site = Tss(name, record.id, boundary, strand, site.symbol, site.aliases)
    cds_parts = [] if cds is None else _ascending(cds, strand)
    spans_origin = parts == [] or (cds is not None and not cds_parts)
    if parts is None:
        parts = cds_parts or [(int(whole.location.start), int(whole.location.end))]
        if gene is not None and len(gene.location.parts) == 1:
            parts[0] = (min(parts[0][0], int(gene.location.start)), parts[0][1])
            parts[-1] = (parts[-1][0], max(parts[-1][1], int(gene.location.end)))
    found = None
    if not spans_origin:
        found = Transcript(
            name,
            name,
            site.symbol,
            record.id,
            strand,
            merged_intervals(parts),
            merged_intervals(cds_parts),
            aliases=site.aliases,
        )
    return _Gene(site, found, "" if cds is None else _protein(record, cds), transcript is not None)


def _holds(transcript: SeqFeature, cds: SeqFeature) -> bool:
    outer, inner = transcript.location, cds.location
    return bool(outer.strand == inner.strand and outer.start <= inner.start and inner.end <= outer.end)


def _ascending(feature: SeqFeature, strand: str) -> list[tuple[int, int]]:
    """Parts from left to right; none where they go over the origin of a circular record."""
    parts = [(int(part.start), int(part.end)) for part in feature.location.parts]
    ordered = parts if strand == "+" else parts[::-1]
    goes_round = any(right[0] < left[0] for left, right in pairwise(ordered))
    return [] if goes_round else ordered


def _protein(record: SeqRecord, cds: SeqFeature) -> str:
    """The protein of a CDS, "" where its sequence has none."""
    given: Any = cds.qualifiers.get("translation", [""])[0]
    if given:
        return str(given).rstrip("*")
    from Bio.Data.CodonTable import TranslationError

    try:
        table = int(cds.qualifiers.get("transl_table", ["1"])[0])
        offset = int(cds.qualifiers.get("codon_start", ["1"])[0]) - 1
        spliced = cds.extract(record.seq)[offset:]
        protein = str(spliced[: len(spliced) // 3 * 3].translate(table=table)).rstrip("*")
    except (KeyError, ValueError, TranslationError):
        return ""
    return "" if "*" in protein else protein
