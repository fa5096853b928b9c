"""Small files in the exact formats of the public sources, with their oddities, for a set of made-up genes.

`make_source_files(folder)` lays them out as `seqexpr fetch --from folder` looks for them: SOURCE/FILE.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import numpy as np

TRAIN, VALID, TEST = 24, 6, 6
GENES = TRAIN + VALID + TEST
"""Genes of each species' Xpresso files."""

_AMINO_ACIDS = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", dtype=np.uint8)
_PROTEIN = "proteomics_gene_abundance_log2_reference_intensity_normalized"
_RNA = "RNAseq_gene_RSEM_coding_UQ_1500_log2"


def gene(number: int, prefix: str = "ENSG") -> str:
    """The id of a made-up gene."""
    return f"{prefix}{number:011d}"


def make_source_files(folder: Path, seed: int = 0) -> Path:
    """All files that the named tasks need; returns `folder`.

    What there is to count, of genes 1 to 36 of Xpresso's files:

    - CPTAC protein: genes 3 to 40; gene 3 has only missing values, gene 4 a value in one case, gene 5 a copy on Y.
    - CPTAC mRNA: genes 1 to 34, and 50.
    - UniProt: genes 1 to 38 except 10; gene 12 has two entries; one entry has genes 20 and 21; one has no gene.
    """
    generator = np.random.default_rng(seed)
    for source, prefix in (("xpresso-human", "ENSG"), ("xpresso-mouse", "ENSMUSG")):
        start = 1
        for split, size in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
            ids = [gene(number, prefix) for number in range(start, start + size)]
            write_xpresso(folder / source / f"{split}.h5", ids, generator)
            start += size
    for cohort in ("lscc", "gbm"):
        for kind, name, numbers in (("protein", _PROTEIN, range(3, 41)), ("rna", _RNA, [*range(1, 35), 50])):
            path = folder / f"cptac-{cohort}-{kind}" / f"{cohort.upper()}_{name}_Tumor.txt"
            path.parent.mkdir(parents=True)
            path.write_text(cptac_text(numbers, generator, odd=kind == "protein"))
    write_uniprot(folder / "uniprot-human", generator)
    return folder


def write_xpresso(path: Path, ids: list[str], generator: np.random.Generator) -> None:
    """As Xpresso's own script writes it: gzip level 1, chunks as h5py guesses them, fixed-length names."""
    import h5py

    letters = generator.integers(0, 5, (len(ids), 20_000))  # 4: unknown, none of the four
    promoter = np.eye(5, dtype=bool)[letters][:, :, :4]
    path.parent.mkdir(parents=True, exist_ok=True)
    compression = {"compression": "gzip", "compression_opts": 1}
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=generator.normal(size=(len(ids), 8)), **compression)
        file.create_dataset("promoter", data=promoter, **compression)
        file.create_dataset("label", data=generator.normal(size=len(ids)), **compression)
        file.create_dataset("geneName", data=np.array([name.encode() for name in ids]), **compression)


def cptac_text(numbers: Iterable[int], generator: np.random.Generator, odd: bool) -> str:
    """A matrix of 5 cases; gene n has level n / 10 in case 1, n / 10 + 1 in case 2 and so on, some not measured."""
    lines = ["idx\tC3L-00081\tC3L-00415\tC3L-00444\tC3N-00497\tC3N-01017"]
    for number in numbers:
        cells = [f"{number / 10 + case:.4f}" for case in range(5)]
        if odd and number == 3:
            cells = ["NA"] * 5
        elif odd and number == 4:
            cells = ["NA", "", "2.5", "NA", "NA"]
        elif number % 7 == 0:  # not measured in one case, never the first
            cells[int(generator.integers(1, 5))] = "NA"
        lines.append("\t".join([f"{gene(number)}.{number % 9 + 1}", *cells]))
        if odd and number == 5:
            lines.append("\t".join([f"{gene(5)}.6_PAR_Y", *["99"] * 5]))
    return "\n".join(lines) + "\n"


def write_uniprot(folder: Path, generator: np.random.Generator) -> None:
    """FASTA and table as the service streams them, gzip-compressed."""
    folder.mkdir(parents=True)
    fasta, table = [], ["Entry\tGene Names (primary)\tEnsembl"]
    for number in range(1, 39):
        if number in (10, 21):  # 10 has no protein, 21 shares that of 20
            continue
        accession = f"P{number:05d}"
        fasta.append(fasta_record(accession, f"G{number}", random_protein(generator)))
        genes = (20, 21) if number == 20 else (number,)
        table.append(f"{accession}\tG{number}\t{references(accession, genes)}")
    fasta.append(fasta_record("Q00012", "G12", random_protein(generator, 300)))  # longer than any other
    table.append(f"Q00012\tG12\t{references('Q00012', (12,))}")
    fasta.append(fasta_record("Q99999", "NOGENE", random_protein(generator)))
    table.append("Q99999\tNOGENE\t")
    (folder / "proteins.fasta.gz").write_bytes(gzip.compress("".join(fasta).encode(), mtime=0))
    (folder / "ensembl_map.tsv.gz").write_bytes(gzip.compress(("\n".join(table) + "\n").encode(), mtime=0))


def references(accession: str, numbers: Iterable[int]) -> str:
    """The column Ensembl (xref_ensembl_full) of an entry with two transcripts a gene."""
    return "".join(
        f'"ENST{number:010d}{copy}.{copy + 3}; ENSP{number:010d}{copy}.2; {gene(number)}.13. [{accession}-{copy}]";'
        for number in numbers
        for copy in (1, 2)
    )


def fasta_record(accession: str, symbol: str, protein: str) -> str:
    """A record of UniProt's FASTA, 60 residues a line."""
    lines = "\n".join(protein[start : start + 60] for start in range(0, len(protein), 60))
    return f">sp|{accession}|{symbol}_HUMAN Protein {symbol} OS=Homo sapiens OX=9606 GN={symbol} PE=1 SV=2\n{lines}\n"


def random_protein(generator: np.random.Generator, length: int | None = None) -> str:
    """A protein of 80 to 200 residues, or of that length."""
    size = int(generator.integers(80, 200)) if length is None else length
    return "M" + generator.choice(_AMINO_ACIDS, size - 1).tobytes().decode()
