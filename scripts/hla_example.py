"""examples/hla: the annotated genes of BA000025.2, 2.2 Mb of human chromosome 6p21.3.

The record describes a gene by its `exon` and `CDS` features, and a few by an `mRNA`. Its exons carry no strand: that is
the CDS's, or the mRNA's.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord
from genbank_genes import Gene, Location, fasta, is_exact, write_bed, write_half_life

ACCESSION = "BA000025.2"

# Introns of BAT1 and MICA are 101 and 103 kb, the next longest is 21 kb: one exon of each lies about 100,000 bases
# from the others, beyond other genes. A misprint of one digit would explain both.
LONGEST_INTRON = 50_000


def write_hla_example(folder: Path, record: SeqRecord) -> dict[str, list[str]]:
    """Write genome.fa.gz, genes.gtf.gz, tss.bed and half_life.tsv; return the names left out, by reason."""
    genes, left_out = annotated_genes(record)
    folder.mkdir(parents=True, exist_ok=True)
    _write_gzip(folder / "genome.fa.gz", fasta(f"{record.id} {record.description}", str(record.seq).upper()))
    _write_gzip(folder / "genes.gtf.gz", "".join(line for gene in genes for line in gtf_lines(gene)))
    write_bed(folder / "tss.bed", genes)
    write_half_life(folder / "half_life.tsv", genes)
    return left_out


def annotated_genes(record: SeqRecord) -> tuple[list[Gene], dict[str, list[str]]]:
    """The genes that the record describes completely, by position, and the names of the others, by reason."""
    features: dict[str, dict[str, list[SeqFeature]]] = defaultdict(lambda: defaultdict(list))
    for feature in record.features:
        for name in feature.qualifiers.get("gene", []):
            features[name][feature.type].append(feature)
    genes, left_out = [], defaultdict(list)
    for name, of_gene in features.items():
        gene = _gene(name, record, of_gene)
        if isinstance(gene, Gene):
            genes.append(gene)
        else:
            left_out[gene].append(name)
    return sorted(genes, key=lambda gene: (min(gene.exons), gene.symbol)), dict(left_out)


def _gene(name: str, record: SeqRecord, features: dict[str, list[SeqFeature]]) -> Gene | str:
    """The gene, or why it is left out."""
    coding, exons = features["CDS"], features["exon"]
    if not coding:
        if len(features["mRNA"]) != 1:
            return "neither CDS nor mRNA: the strand is unknown"
        location = features["mRNA"][0].location
        return Gene(name, record, location, None) if is_exact(location) else "incomplete ends"
    if len(coding) > 1:
        return "two CDS features"
    cds = coding[0]
    if "translation" not in cds.qualifiers:
        return "a CDS without a protein: pseudogenes and fragments"
    if not all(is_exact(feature.location) for feature in (cds, *exons)):
        return "incomplete ends"
    by_number = sorted(exons, key=lambda exon: int(exon.qualifiers["number"][0]))
    parts = [SimpleLocation(exon.location.start, exon.location.end, cds.location.strand) for exon in by_number]
    location = CompoundLocation(parts) if len(parts) > 1 else parts[0]
    positions = list(location)
    forward = positions if cds.location.strand == 1 else positions[::-1]
    numbers = [int(exon.qualifiers["number"][0]) for exon in by_number]
    if numbers != list(range(1, len(numbers) + 1)) or any(left >= right for left, right in pairwise(forward)):
        return "exons that are not numbered one by one along the gene"
    if any(right - left > LONGEST_INTRON for left, right in pairwise(forward)):
        return "an exon about 100,000 bases from the others"
    if str(cds.extract(record.seq).translate(cds=True)) != cds.qualifiers["translation"][0]:
        return "a CDS that is not its protein's"
    return Gene(name, record, location, cds.location, cds.qualifiers["protein_id"][0])


def gtf_lines(gene: Gene) -> Iterable[str]:
    """Lines of GTF 2.2: transcript, exons, CDS without the stop codon, and the stop codon."""
    attributes = f'gene_id "{gene.symbol}"; transcript_id "{gene.symbol}.t1"; gene_name "{gene.symbol}";'
    if gene.protein_id:
        attributes += f' protein_id "{gene.protein_id}";'

    def line(kind: str, start: int, end: int, frame: str = ".") -> str:
        columns = (gene.record.id, "INSDC", kind, str(start + 1), str(end), ".", gene.strand, frame, attributes)
        return "\t".join(columns) + "\n"

    yield line("transcript", min(gene.exons), max(gene.exons) + 1)
    for part in gene.exons.parts:
        yield line("exon", part.start, part.end)
    if gene.cds is None:
        return
    done = 0
    for kind, positions in (("CDS", list(gene.cds)[:-3]), ("stop_codon", list(gene.cds)[-3:])):
        for start, end in _runs(positions, gene.cds):
            yield line(kind, start, end, str(-done % 3))
            done += end - start


def _runs(positions: list[int], location: Location) -> Iterable[tuple[int, int]]:
    """The stretches of `positions` within each part of a location."""
    for part in location.parts:
        if inside := [position for position in positions if position in part]:
            yield min(inside), max(inside) + 1


def _write_gzip(path: Path, text: str) -> None:
    """The same bytes for the same text: no name and no time in the header."""
    path.write_bytes(gzip.compress(text.encode("ascii"), compresslevel=9, mtime=0))
