#!/usr/bin/env python3
"""Make examples/ from three public INSDC records and a few UniProt entries.

    python scripts/make_examples.py --genbank gbpri1.seq --proteins human.fasta.gz --out examples

`--genbank` is any GenBank flat file that holds U01317.1 (beta-globin region), AF129756.1 (HLA class III region) and
BA000025.2 (HLA class I region); Debian's package emboss-test installs one as
/usr/share/EMBOSS/test/genbank/gbpri1.seq. `--proteins` is a UniProt FASTA file that holds the accessions in PROTEINS.

All is cut and computed with Biopython alone, so it is an independent check of `seqexpr`. The same input always gives
the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

from Bio import SeqIO
from Bio.SeqFeature import SeqFeature
from Bio.SeqRecord import SeqRecord
from genbank_genes import Gene, fasta, is_exact, write_bed, write_half_life
from hla_example import ACCESSION, write_hla_example

UPSTREAM, DOWNSTREAM = 7_000, 3_500

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


def main() -> None:
    """Write every generated file of examples/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genbank", type=Path, required=True, help="GenBank flat file with the three records")
    parser.add_argument("--proteins", type=Path, required=True, help="UniProt FASTA file (.gz or plain)")
    parser.add_argument("--out", type=Path, default=Path("examples"), help="folder to write (default: examples)")
    options = parser.parse_args()

    records = read_records(options.genbank)
    write_windows(options.out, records)
    write_proteins(options.out / "proteins.fa", options.proteins)
    for reason, names in write_hla_example(options.out / "hla", records[ACCESSION]).items():
        print(f"{ACCESSION}: left out for {reason} ({len(names)}): {' '.join(names)}")


def read_records(path: Path) -> dict[str, SeqRecord]:
    """The records that the examples are made from, by accession."""
    wanted = [*dict.fromkeys(accession for accession, _ in GENES.values()), ACCESSION]
    records = {record.id: record for record in SeqIO.parse(path, "genbank") if record.id in wanted}
    if absent := [accession for accession in wanted if accession not in records]:
        raise SystemExit(f"{path}: no record {', '.join(absent)}")
    return {accession: records[accession] for accession in wanted}


def write_windows(folder: Path, records: dict[str, SeqRecord]) -> None:
    """genes.fa, genome.fa, tss.bed and half_life.tsv: the twelve genes of GENES."""
    genes = [find_gene(symbol, records[accession], label) for symbol, (accession, label) in GENES.items()]
    folder.mkdir(parents=True, exist_ok=True)
    whole = [fasta(f"{name} {records[name].description}", str(records[name].seq).upper()) for name in sources()]
    (folder / "genome.fa").write_text("".join(whole), encoding="ascii", newline="\n")
    write_genes(folder / "genes.fa", genes)
    write_bed(folder / "tss.bed", genes)
    write_half_life(folder / "half_life.tsv", genes)


def sources() -> list[str]:
    """The accessions of GENES, each once."""
    return list(dict.fromkeys(accession for accession, _ in GENES.values()))


def find_gene(symbol: str, record: SeqRecord, label: str) -> Gene:
    """The mRNA and CDS features of a gene; both must be there once, and the mRNA complete at its 5' end."""
    found = {}
    for kind in ("mRNA", "CDS"):
        features = [feature for feature in record.features if feature.type == kind and label in _names(feature)]
        if len(features) != 1:
            raise SystemExit(f"{record.id}: {len(features)} {kind} features for {label!r}, expected 1")
        found[kind] = features[0].location
    first = found["mRNA"].parts[0]
    if not is_exact(first):
        raise SystemExit(f"{record.id}: the mRNA of {label!r} is partial at its 5' end ({first})")
    return Gene(symbol, record, found["mRNA"], found["CDS"])


def write_genes(path: Path, genes: list[Gene]) -> None:
    """TSS windows; the header gives the 0-based half-open interval of the record."""
    with path.open("w", encoding="ascii", newline="\n") as file:
        for gene in genes:
            start, end, letters = gene.window(UPSTREAM, DOWNSTREAM)
            place = f"{gene.record.id}:{start}-{end}({gene.strand})"
            file.write(fasta(f"{gene.symbol} {place} TSS at {UPSTREAM} (annotated mRNA)", letters))


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


def _names(feature: SeqFeature) -> list[str]:
    return [*feature.qualifiers.get("gene", []), *feature.qualifiers.get("product", [])]


if __name__ == "__main__":
    main()
