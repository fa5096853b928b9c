#!/usr/bin/env python3
"""Make examples/ from two public INSDC records and a few UniProt entries.

    python scripts/make_examples.py --genbank gbpri1.seq --proteins human.fasta.gz --out examples

`--genbank` is any GenBank flat file that holds U01317.1 (beta-globin region) and AF129756.1 (HLA class III
region); Debian's package emboss-test installs one as /usr/share/EMBOSS/test/genbank/gbpri1.seq. `--proteins`
is a UniProt FASTA file that holds the accessions in PROTEINS.

The windows are cut with Biopython alone, so they are an independent check of `seqexpr.sequences`. The same
input always gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from Bio import SeqIO
from Bio.SeqFeature import SeqFeature
from Bio.SeqRecord import SeqRecord

from seqexpr.datasets.half_life import FEATURES, half_life_features
from seqexpr.sequences.annotation import Transcript
from seqexpr.sequences.genome import Genome

UPSTREAM, DOWNSTREAM = 7_000, 3_500
LINE = 60  # letters per FASTA line

# Symbol -> (accession, /gene or /product of the record's mRNA and CDS features). Only genes whose mRNA is
# complete at its 5' end: its first base is then the TSS.
GENES = {
    "HBE1": ("U01317.1", "HBE1"),
    "HBG2": ("U01317.1", "HBG2"),
    "HBG1": ("U01317.1", "HBG1"),
    "HBD": ("U01317.1", "HBD"),
    "HBB": ("U01317.1", "HBB"),
    "CLIC1": ("AF129756.1", "CLIC1"),
    "DDAH2": ("AF129756.1", "DDAH"),
    "CSNK2B": ("AF129756.1", "casein kinase II beta subunit"),
    "AIF1": ("AF129756.1", "AIF-1"),
    "LTB": ("AF129756.1", "lymphotoxin beta"),
    "TNF": ("AF129756.1", "tumor necrosis factor"),
    "LTA": ("AF129756.1", "lymphotoxin alpha"),
}

# HBB, HBA1, TNF, TP53, GAPDH, ACTB, ALB, INS
PROTEINS = ("P68871", "P69905", "P01375", "P04637", "P04406", "P60709", "P02768", "P01308")


@dataclass(frozen=True)
class Gene:
    """One annotated gene of a record: `boundary` is the 0-based TSS boundary of the record's coordinates."""

    symbol: str
    record: SeqRecord
    mrna: SeqFeature
    cds: SeqFeature

    @property
    def strand(self) -> str:
        """The record's strand that the gene lies on."""
        return "+" if self.mrna.location.strand == 1 else "-"

    @property
    def boundary(self) -> int:
        """The first transcribed base on "+", that position + 1 on "-"."""
        return int(self.mrna.location.start if self.strand == "+" else self.mrna.location.end)

    def window(self) -> tuple[int, int, str]:
        """Start, end and strand-oriented letters of the TSS window."""
        up, down = (UPSTREAM, DOWNSTREAM) if self.strand == "+" else (DOWNSTREAM, UPSTREAM)
        start, end = self.boundary - up, self.boundary + down
        if start < 0 or end > len(self.record):
            raise SystemExit(f"{self.symbol}: window {start}-{end} sticks out of {self.record.id}")
        letters = self.record.seq[start:end]
        return start, end, str(letters if self.strand == "+" else letters.reverse_complement()).upper()

    def transcript(self) -> Transcript:
        """The gene as seqexpr's annotation readers would give it."""
        return Transcript(
            id=self.symbol,
            gene_id=self.symbol,
            symbol=self.symbol,
            chrom=self.record.id,
            strand=self.strand,
            exons=_segments(self.mrna),
            cds=_segments(self.cds),
            canonical=True,
        )


def main() -> None:
    """Write every generated file of examples/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genbank", type=Path, required=True, help="GenBank flat file with both records")
    parser.add_argument("--proteins", type=Path, required=True, help="UniProt FASTA file (.gz or plain)")
    parser.add_argument("--out", type=Path, default=Path("examples"), help="folder to write (default: examples)")
    options = parser.parse_args()

    wanted = list(dict.fromkeys(accession for accession, _ in GENES.values()))
    records = {record.id: record for record in SeqIO.parse(options.genbank, "genbank") if record.id in wanted}
    if absent := [accession for accession in wanted if accession not in records]:
        raise SystemExit(f"{options.genbank}: no record {', '.join(absent)}")
    genes = [find_gene(symbol, records[accession], label) for symbol, (accession, label) in GENES.items()]

    options.out.mkdir(parents=True, exist_ok=True)
    genome = options.out / "genome.fa"
    with genome.open("w", encoding="ascii", newline="\n") as file:
        for accession in wanted:
            record = records[accession]
            file.write(fasta(f"{accession} {record.description}", str(record.seq).upper()))
    write_genes(options.out / "genes.fa", genes)
    write_bed(options.out / "tss.bed", genes)
    write_half_life(options.out / "half_life.tsv", genes, genome)
    write_proteins(options.out / "proteins.fa", options.proteins)


def find_gene(symbol: str, record: SeqRecord, label: str) -> Gene:
    """The mRNA and CDS features of a gene; both must be there once, and the mRNA complete at its 5' end."""
    found = {}
    for kind in ("mRNA", "CDS"):
        features = [feature for feature in record.features if feature.type == kind and label in _names(feature)]
        if len(features) != 1:
            raise SystemExit(f"{record.id}: {len(features)} {kind} features for {label!r}, expected 1")
        found[kind] = features[0]
    gene = Gene(symbol, record, found["mRNA"], found["CDS"])
    position = gene.mrna.location.start if gene.strand == "+" else gene.mrna.location.end
    if type(position).__name__ != "ExactPosition":
        raise SystemExit(f"{record.id}: the mRNA of {label!r} is partial at its 5' end ({position})")
    return gene


def write_genes(path: Path, genes: list[Gene]) -> None:
    """TSS windows; the header gives the 0-based half-open interval of the record."""
    with path.open("w", encoding="ascii", newline="\n") as file:
        for gene in genes:
            start, end, letters = gene.window()
            place = f"{gene.record.id}:{start}-{end}({gene.strand})"
            file.write(fasta(f"{gene.symbol} {place} TSS at {UPSTREAM} (annotated mRNA)", letters))


def write_bed(path: Path, genes: list[Gene]) -> None:
    """BED6: one row per gene, naming the first transcribed base."""
    rows = []
    for gene in genes:
        first = gene.boundary if gene.strand == "+" else gene.boundary - 1
        rows.append(f"{gene.record.id}\t{first}\t{first + 1}\t{gene.symbol}\t0\t{gene.strand}\n")
    path.write_text("".join(rows), encoding="ascii", newline="\n")


def write_half_life(path: Path, genes: list[Gene], genome: Path) -> None:
    """The eight raw half-life features of each annotated mRNA."""
    rows = ["\t".join(["id", *FEATURES])]
    with Genome(genome) as opened:
        for gene in genes:
            values = half_life_features(gene.transcript(), opened)
            rows.append("\t".join([gene.symbol, *(_number(value) for value in values)]))
    genome.with_name(genome.name + ".fai").unlink(missing_ok=True)  # an index is made where it is needed
    path.write_text("\n".join(rows) + "\n", encoding="ascii", newline="\n")


def write_proteins(path: Path, source: Path) -> None:
    """The entries PROTEINS of a UniProt file, unchanged, in the order of PROTEINS."""
    with gzip.open(source, "rt") if source.suffix == ".gz" else source.open() as file:
        found = {
            record.id.split("|")[1]: fasta(record.description, str(record.seq))
            for record in SeqIO.parse(file, "fasta")
            if record.id.split("|")[1:2] and record.id.split("|")[1] in PROTEINS
        }
    if absent := [accession for accession in PROTEINS if accession not in found]:
        raise SystemExit(f"{source}: no entry {', '.join(absent)}")
    path.write_text("".join(found[name] for name in PROTEINS), encoding="ascii", newline="\n")


def fasta(header: str, letters: str) -> str:
    """One FASTA record."""
    return "".join([f">{header}\n", *(f"{line}\n" for line in _lines(letters))])


def _lines(letters: str) -> Iterator[str]:
    for start in range(0, len(letters), LINE):
        yield letters[start : start + LINE]


def _names(feature: SeqFeature) -> list[str]:
    return [*feature.qualifiers.get("gene", []), *feature.qualifiers.get("product", [])]


def _segments(feature: SeqFeature) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((int(part.start), int(part.end)) for part in feature.location.parts))


def _number(value: np.floating) -> str:
    return "" if np.isnan(value) else f"{value:.10g}"


if __name__ == "__main__":
    main()
