from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences.annotation import read_annotation, read_tss
from seqexpr.sequences.gene_names import pick_genes
from seqexpr.sequences.transcripts import Transcript
from seqexpr.sequences.windows import Tss

# A gene on each strand; the - gene has a longer transcript (t2) and a canonical one (t1). In GTF the stop
# codon lies outside the CDS.
GTF = """\
#!genome-build test
1 x gene 101 900 . - . gene_id "g1.4"; gene_name "ALPHA";
1 x transcript 101 800 . - . gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA"; tag "MANE_Select";
1 x exon 601 800 . - . gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x CDS 601 700 . - 0 gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x exon 101 300 . - . gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x CDS 204 300 . - 0 gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x stop_codon 201 203 . - 0 gene_id "g1.4"; transcript_id "t1"; gene_name "ALPHA";
1 x transcript 101 900 . - . gene_id "g1.4"; transcript_id "t2"; gene_name "ALPHA";
1 x exon 101 900 . - . gene_id "g1.4"; transcript_id "t2"; gene_name "ALPHA";
1 x CDS 101 900 . - . gene_id "g1.4"; transcript_id "t2"; gene_name "ALPHA";
2 x exon 51 60 . + . gene_id "g2"; transcript_id "t3";
2 x exon 71 90 . + . gene_id "g2"; transcript_id "t3";
"""

GFF3 = """\
##gff-version 3
1 x region 1 5000 . . . ID=region:1;Name=1
1 x gene 101 900 . - . ID=gene:g1;Name=ALPHA;gene_id=g1.4
1 x mRNA 101 800 . - . ID=transcript:t1;Parent=gene:g1;tag=b,MANE_Select;transcript_id=t1
1 x exon 601 800 . - . Parent=transcript:t1
1 x exon 101 300 . - . Parent=transcript:t1,transcript:t2
1 x CDS 601 700 . - 0 ID=CDS:p1;Parent=transcript:t1
1 x CDS 201 300 . - 0 ID=CDS:p1;Parent=transcript:t1
1 x exon 301 900 . - . Parent=transcript:t2
1 x CDS 101 900 . - . ID=CDS:p2;Parent=transcript:t2
1 x mRNA 101 900 . - . ID=transcript:t2;Parent=gene:g1
2 x exon 51 60 . + . Parent=rna-t3
2 x exon 71 90 . + . Parent=rna-t3
2 x lnc_RNA 51 90 . + . ID=rna-t3;Parent=gene-g2
2 x gene 51 90 . + . ID=gene-g2
##FASTA
>1
ACGT
"""

ALPHA = Transcript("t1", "g1.4", "ALPHA", "1", "-", ((100, 300), (600, 800)), ((200, 300), (600, 700)), tier=2)
SECOND = Transcript("t3", "g2", "", "2", "+", ((50, 60), (70, 90)), ())


def tabs(text: str) -> str:
    """Columns are written with spaces above, for the reader's sake."""
    return "\n".join(
        line if line.startswith((">", "#", "ACGT")) else "\t".join(line.split(" ", 8)) for line in text.split("\n")
    )


def annotation(folder: Path, text: str, name: str = "a.gtf") -> list[Transcript]:
    path = folder / name
    path.write_text(tabs(text), encoding="utf-8")
    return read_annotation(path)


@pytest.mark.parametrize(("text", "name"), [(GTF, "a.gtf"), (GFF3, "a.gff3"), (GFF3, "wrong-suffix.gtf")])
def test_gtf_and_gff3_say_the_same(tmp_path: Path, text: str, name: str) -> None:
    assert annotation(tmp_path, text, name) == [ALPHA, SECOND]


def test_annotation_gzip_and_crlf(tmp_path: Path) -> None:
    (tmp_path / "a.gtf.gz").write_bytes(gzip.compress(tabs(GTF).replace("\n", "\r\n").encode()))
    assert read_annotation(tmp_path / "a.gtf.gz") == [ALPHA, SECOND]
    assert read_tss(tmp_path / "a.gtf.gz") == [ALPHA.tss, SECOND.tss]


def test_tss_is_the_five_prime_end_of_the_transcript() -> None:
    assert ALPHA.tss == Tss("g1.4", "1", 800, "-", "ALPHA")
    assert SECOND.tss == Tss("g2", "2", 50, "+", "")


def transcript_lines(name: str, start: int, end: int, cds: int = 0, tag: str = "") -> str:
    attributes = f'gene_id "g"; transcript_id "{name}"; ' + (f'tag "{tag}";' if tag else "")
    lines = f"1 x exon {start} {end} . + . {attributes}\n"
    return lines + (f"1 x CDS {start} {start + cds - 1} . + 0 {attributes}\n" if cds else "")


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([("a", 1, 99, 50, ""), ("b", 1, 50, 20, "MANE_Select"), ("c", 1, 50, 10, "Ensembl_canonical")], "c"),
        ([("a", 1, 99, 50, ""), ("b", 1, 50, 20, "MANE_Select")], "b"),
        ([("a", 1, 99, 50, ""), ("b", 1, 50, 20, "MANE Select")], "b"),
        ([("a", 1, 99, 20, "basic"), ("b", 1, 50, 30, "")], "b"),
        ([("a", 1, 80, 30, ""), ("b", 1, 99, 30, "")], "b"),
        ([("b", 1, 99, 30, ""), ("a", 101, 199, 30, "")], "a"),
        ([("a", 1, 80, 0, ""), ("b", 1, 20, 3, "")], "b"),
    ],
    ids=["canonical", "mane", "ncbi-mane", "longest-cds", "longest-transcript", "first-id", "coding"],
)
def test_choice_of_the_transcript(
    tmp_path: Path, candidates: list[tuple[str, int, int, int, str]], chosen: str
) -> None:
    for order in (candidates, candidates[::-1]):
        (transcript,) = annotation(tmp_path, "".join(transcript_lines(*candidate) for candidate in order))
        assert transcript.id == chosen


GENES_BED = "1\t5\t6\tENSG01.3\t0\t+\n1\t7\t8\tENSG02\t0\t+\n1\t9\t10\tENSG03.1_PAR_Y\t0\t+\n"


def test_genes_are_picked_by_symbol(tmp_path: Path) -> None:
    (tmp_path / "a.gtf").write_text(tabs(GTF))
    assert pick_genes("a.gtf", read_tss(tmp_path / "a.gtf"), ["ALPHA"]) == [ALPHA.tss]


def read_tss_of(path: Path, content: str) -> list[Tss]:
    path.write_text(content)
    return read_tss(path)


def test_content_decides_the_format(tmp_path: Path) -> None:
    (tmp_path / "tss.txt").write_text(GENES_BED)
    assert len(read_tss(tmp_path / "tss.txt")) == 3
    (tmp_path / "a.txt").write_text(tabs(GTF))
    assert read_tss(tmp_path / "a.txt") == read_tss_of(tmp_path / "a.gtf", tabs(GTF))
    (tmp_path / "page.txt").write_text("<html>\n")
    with pytest.raises(InputError, match=r"line 1: found '<html>'; expected BED rows .*, GTF or GFF3 lines"):
        read_tss(tmp_path / "page.txt")
    (tmp_path / "TSS.BED.GZ").write_bytes(gzip.compress(GENES_BED.encode()))
    assert len(read_tss(tmp_path / "TSS.BED.GZ")) == 3


def test_bed_of_whole_windows_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(f"1\t{place}\t{place + 60}\tg{place}\t0\t+\n" for place in range(12))
    (tmp_path / "t.bed").write_text(rows)
    with pytest.raises(InputError, match="12 of 12 rows that are 60 bp long, as the window around a TSS is"):
        read_tss(tmp_path / "t.bed", window=60)
    assert len(read_tss(tmp_path / "t.bed", window=61)) == 12
    assert "every row is 60 bp long, as windows are" in caplog.text


# Lines as the databases write them, columns separated by spaces, and of each gene its symbol and TSS boundary.
DIALECTS = {
    "phytozome": (
        """c x gene 9 12 . + . ID=Potri.1.v4.1;Name=Potri.1
c x mRNA 9 12 . + . ID=PAC:1;Name=Potri.1.1;Parent=Potri.1.v4.1
c x five_prime_UTR 9 9 . + . ID=u;Parent=PAC:1
c x CDS 10 12 . + 0 ID=c;Parent=PAC:1
""",
        {"Potri.1.v4.1": ("Potri.1", 8)},
    ),
    "utr of gencode, no exon lines": (
        'c x UTR 3 4 . + . gene_id "g"; transcript_id "t";\nc x CDS 5 9 . + 0 gene_id "g"; transcript_id "t";\n',
        {"g": ("", 2)},
    ),
    "tair10": (
        """c x gene 9 99 . - . ID=AT1;Name=AT1
c x mRNA 9 99 . - . ID=AT1.1;Parent=AT1
c x protein 20 30 . - . ID=AT1.1-Protein;Derives_from=AT1.1
c x exon 9 99 . - . Parent=AT1.1
c x CDS 20 30 . - 0 Parent=AT1.1,AT1.1-Protein;
""",
        {"AT1": ("AT1", 99)},
    ),
    "a protein alone has the CDS": (
        """c x gene 9 99 . + . ID=g
c x mRNA 9 99 . + . ID=t;Parent=g
c x polypeptide 20 30 . + . ID=p;Derives_from=t
c x CDS 20 30 . + 0 Parent=p
""",
        {"g": ("", 8)},
    ),
    "refseq gtf": (
        """c x gene 5 9 . + . gene_id "ND1"; transcript_id ""; gene "ND1";
c x CDS 5 9 . + 0 gene_id "ND1"; transcript_id "unknown_transcript_1"; gene "ND1";
c x gene 15 19 . - . gene_id "ND2"; transcript_id ""; gene "ND2";
c x CDS 15 19 . - 0 gene_id "ND2"; transcript_id "unknown_transcript_1"; gene "ND2";
""",
        {"ND1": ("ND1", 4), "ND2": ("ND2", 19)},
    ),
    "old refseq gff3": (
        """c x gene 5 9 . + . ID=gene0;Dbxref=GeneID:7;Name=ACTB;gene=ACTB
c x mRNA 5 9 . + . ID=rna0;Parent=gene0;Name=NM_1.1;transcript_id=NM_1.1
c x exon 5 9 . + . ID=id1;Parent=rna0
c x gene 15 19 . + . ID=gene1;Name=b0001;locus_tag=b0001
c x CDS 15 19 . + 0 ID=cds0;Parent=gene1;Name=NP_1.1
""",
        {"ACTB": ("ACTB", 4), "b0001": ("b0001", 14)},
    ),
    "refseq select": (
        """c x gene 5 99 . + . ID=gene-A;Name=A
c x mRNA 50 99 . + . ID=rna-1;Parent=gene-A;tag=RefSeq Select
c x exon 50 99 . + . Parent=rna-1;tag=RefSeq Select
c x mRNA 5 99 . + . ID=rna-2;Parent=gene-A
c x exon 5 99 . + . Parent=rna-2
c x CDS 5 99 . + 0 Parent=rna-2
""",
        {"A": ("A", 49)},
    ),
    "tag on a line that comes later": (
        """c x exon 5 9 . + . gene_id "g"; transcript_id "t1";
c x exon 50 99 . + . gene_id "g"; transcript_id "t2";
c x transcript 5 9 . + . gene_id "g"; transcript_id "t1"; gene_name "N"; tag "basic"; tag "MANE_Select";
c x gene 5 99 . + . gene_id "g"; gene_name "N";
""",
        {"g": ("N", 4)},
    ),
    "the name on the gene's line alone": (
        'c x exon 5 9 . + . gene_id "g"; transcript_id "t";\nc x gene 5 9 . + . gene_id "g"; gene_name "N";\n',
        {"g": ("N", 4)},
    ),
    "augustus": (
        """c A gene 5 99 . + . g1
c A transcript 5 99 . + . g1.t1
c A CDS 50 60 . + 0 transcript_id "g1.t1"; gene_id "g1";
""",
        {"g1": ("", 4)},
    ),
    "prokka": (
        """c P CDS 5 10 . + 0 ID=L_1;Name=dnaA;gene=dnaA;locus_tag=L_1
c A tRNA 20 30 . - . ID=L_2;locus_tag=L_2;product=tRNA-Met
""",
        {"L_1": ("dnaA", 4), "L_2": ("", 30)},
    ),
    "wormbase": (
        """c W gene 5 9 . + . ID=Gene:WBGene1;Name=WBGene1;locus=homt-1;sequence_name=Y74C9A.3
c W mRNA 5 9 . + . ID=Transcript:Y74C9A.3.1;Parent=Gene:WBGene1;Name=Y74C9A.3.1
c W exon 5 9 . + . Parent=Transcript:Y74C9A.3.1
""",
        {"WBGene1": ("homt-1", 4)},
    ),
    "flybase": (
        'c F exon 5 9 . + . gene_id "FBgn1"; gene_symbol "CR1"; transcript_id "FBtr1"; transcript_symbol "CR1-RB";\n',
        {"FBgn1": ("CR1", 4)},
    ),
    "sgd": (
        """c S gene 5 9 . + . ID=YAL001C;Name=YAL001C;gene=TFC3
c S mRNA 5 9 . + . ID=YAL001C_mRNA;Parent=YAL001C
c S CDS 5 9 . + 0 Parent=YAL001C_mRNA
""",
        {"YAL001C": ("TFC3", 4)},
    ),
    "a gene and a transcript without children": (
        "c x gene 5 9 . + . ID=g1;Name=A\nc x gene 15 19 . - . ID=g2\nc x mRNA 16 18 . - . ID=t2;Parent=g2\n",
        {"g1": ("A", 4), "g2": ("", 18)},
    ),
    "x and y": (
        "".join(
            f"{c} x gene 5 9 . + . ID=S\n{c} x mRNA 5 9 . + . ID=S.1;Parent=S\n{c} x exon 5 9 . + . Parent=S.1\n"
            for c in ("chrY", "chrX")
        ),
        {"S": ("", 4)},
    ),
    "a chromosome before its haplotype": (
        "".join(
            f'{c} x exon {at} 99 . + . gene_id "L"; transcript_id "{t}"; tag "MANE_Select"\n'
            for c, at, t in (("chr1_KI270762v1_alt", 5, "L"), ("chr1", 50, "L_2"), ("NT_187515.1", 5, "L_3"))
        ),
        {"L": ("", 49)},
    ),
    "single quotes": ("c x exon 5 9 . + . gene_id 'G1'; transcript_id 'T1';\n", {"G1": ("", 4)}),
    "equals signs": ("c x exon 5 9 . + . gene_id=G1; transcript_id=T1\n", {"G1": ("", 4)}),
    "old gencode": (
        """c x gene 5 9 . + . gene_id "G.1"; transcript_id "G.1"; gene_name "N";
c x exon 7 9 . + . gene_id "G.1"; transcript_id "T.1"; gene_name "N";
""",
        {"G.1": ("N", 6)},
    ),
    "implied fasta": ("c x exon 5 9 . + . Parent=t\n>c\nACGT\n", {"t": ("", 4)}),
    "a cds of two parents, of which the file has one": (
        """c x mRNA 9 99 . + . ID=AT1.1;Parent=AT1
c x exon 9 99 . + . Parent=AT1.1
c x CDS 20 30 . + 0 Parent=AT1.1,AT1.1-Protein;
""",
        {"AT1": ("", 8)},
    ),
    "a cds that derives from its transcript": (
        """c x gene 9 99 . + . ID=g
c x mRNA 9 99 . + . ID=t;Parent=g
c x exon 9 99 . + . Parent=t
c x CDS 20 30 . + 0 ID=c;Derives_from=t
""",
        {"g": ("", 8)},
    ),
    "genes of an operon": (
        """c x operon 5 99 . + . ID=O
c x gene 5 9 . + . ID=A;Parent=O
c x CDS 5 9 . + 0 ID=c;Parent=A
c x gene 15 99 . + . ID=B;Parent=O
c x mRNA 20 99 . + . ID=t;Parent=B
c x exon 20 99 . + . Parent=t
""",
        {"A": ("", 4), "B": ("", 19)},
    ),
    "a transcript of two genes": (
        """c x gene 5 9 . + . ID=A
c x gene 15 99 . + . ID=B
c x mRNA 5 99 . + . ID=t;Parent=A,B
c x exon 5 99 . + . Parent=t
""",
        {"A": ("", 4), "B": ("", 14)},
    ),
    "mirbase": (
        """c . miRNA_primary_transcript 9 99 . + . ID=MI1;Alias=MI1;Name=mir-1
c . miRNA 20 40 . + . ID=MIMAT1;Name=miR-1-5p;Derives_from=MI1
""",
        {"MI1": ("mir-1", 8)},
    ),
    "utrs beside exons that lack them": (
        """c x mRNA 9 99 . + . ID=t
c x five_prime_UTR 9 19 . + . Parent=t
c x exon 20 99 . + . Parent=t
""",
        {"t": ("", 8)},
    ),
    "bare lines of augustus alone": (
        "c A gene 9 99 . - . g1\nc A transcript 9 99 . - . g1.t1\n",
        {"g1": ("", 99)},
    ),
    "augustus with the transcript's name alone": (
        """c A gene 9 99 . + . g1
c A transcript 9 99 . + . g1.t1
c A CDS 20 30 . + 0 transcript_id "g1.t1";
""",
        {"g1": ("", 8)},
    ),
    "exons that name their transcript alone": (
        """c C transcript 9 99 . + . gene_id "g"; transcript_id "t";
c C exon 19 99 . + . transcript_id "t";
""",
        {"g": ("", 18)},
    ),
    "a name in exon lines alone": (
        """c x transcript 5 9 . + . gene_id "g"; transcript_id "t";
c x exon 5 9 . + . gene_id "g"; transcript_id "t"; gene_name "N";
""",
        {"g": ("N", 4)},
    ),
    "a name in the lines of another transcript": (
        """c S exon 5 99 . + . gene_id "MSTRG.1"; transcript_id "MSTRG.1.1";
c S exon 50 99 . + . gene_id "MSTRG.1"; transcript_id "ENST1"; gene_name "N";
""",
        {"MSTRG.1": ("N", 4)},
    ),
    "the name of a key within quotes": (
        'c x exon 5 9 . + . note "x; gene_id y"; gene_id "g"; transcript_id "t";\n',
        {"g": ("", 4)},
    ),
    "a quote within quotes": ('c x exon 5 9 . + . gene_id "g\\"1"; transcript_id "t";\n', {'g"1': ("", 4)}),
    "spaces around the equals sign, and single quotes": ("c x gene 5 9 . + . ID = 'g'; Name = N\n", {"g": ("N", 4)}),
    "a custom track": (
        "track name=x\nbrowser position c\nc x exon 5 9 . + . gene_id G; transcript_id T\n",
        {"G": ("", 4)},
    ),
    "x before a longer y": (
        "".join(f'{c} x exon 5 {end} . + . gene_id "S"; transcript_id "{c}"\n' for c, end in (("Y", 99), ("X", 9))),
        {"S": ("", 4)},
    ),
    "encoded tab": ("c x gene 5 9 . + . ID=g%091\nc x exon 5 9 . + . Parent=g%091\n", {"g%091": ("", 4)}),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_dialects(tmp_path: Path, name: str, ending: str) -> None:
    content, expected = DIALECTS[name]
    text = "".join("\t".join(line.split(" ", 8)) + ending for line in content.splitlines())
    (tmp_path / "a.gff").write_bytes(text.encode())
    found = {site.id: (site.symbol, site.boundary) for site in read_tss(tmp_path / "a.gff")}
    assert found == expected


@pytest.mark.parametrize(
    "contig",
    [
        "chr6_GL000250v2_alt",
        "HSCHR6_MHC_APD_CTG1",
        "CHR_HG1_PATCH",
        "chr1_KI270706v1_random",
        "chr6_mann_hap4",
        "chrUn_GL000195v1",
        "Un_KI270742v1",
        "chr1_ML143341v1_fix",
        "GL000194.1",
        "NT_187633.1",
        "HLA-A*01:01",
        "MMCHR1_CHORI29_IDD5_1",
        "scaffold_12",
        "Zv9_scaffold1",
        "AABR07024104.1",
    ],
)
@pytest.mark.parametrize("chromosome", ["chr6", "6", "IV", "2L", "NC_000006.12", "CM000668.2", "NC_037328.1"])
def test_a_gene_is_taken_from_its_chromosome(tmp_path: Path, contig: str, chromosome: str) -> None:
    lines = (
        f'{c} x exon 5 {end} . + . gene_id "g"; transcript_id "{c}";\n' for c, end in ((contig, 99), (chromosome, 9))
    )
    (found,) = annotation(tmp_path, "".join(lines))
    assert found.chrom == chromosome


@pytest.mark.parametrize(
    ("name", "gene"),
    [("FUN24", "Y1"), ("ECK1", "b1"), ("60", "ACTB"), ("GeneID:60", "ACTB"), ("HGNC:132", "ACTB"), ("102630", None)],
)
def test_other_names_of_genes(tmp_path: Path, name: str, gene: str | None) -> None:
    (tmp_path / "a.gff").write_text(
        tabs(
            """c x gene 5 9 . + . ID=Y1;Alias=TFC3,FUN24
c x gene 15 19 . + . ID=gene-b1;gene=thrL;gene_synonym=ECK1
c x gene 25 29 . + . ID=gene-ACTB;Dbxref=GeneID:60,HGNC:HGNC:132,MIM:102630
"""
        )
    )
    if gene is None:
        with pytest.raises(InputError, match="no gene"):
            pick_genes("a.gff", read_tss(tmp_path / "a.gff"), [name])
    else:
        assert [site.id for site in pick_genes("a.gff", read_tss(tmp_path / "a.gff"), [name])] == [gene]


def test_genes_at_several_places_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = [("a", "chrY", "+"), ("a", "chrX", "+"), ("b", "1", "+"), ("b", "1", "-"), *[("c", "1", "+")] * 2]
    annotation(
        tmp_path,
        "".join(
            f'{chrom} x exon 5 9 . {strand} . gene_id "{gene}"; transcript_id "{number}";\n'
            for number, (gene, chrom, strand) in enumerate(places)
        ),
    )
    assert (
        "2 genes of several contigs or strands, and one place is used of each (first: a on chrX +, not chrY +)"
        in caplog.text
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("c x gene 9 99 . + . note=no id", "left out 1 gene lines without ID (first: line 2)"),
        ('c x exon 9 99 . + . gene_id " "; transcript_id "t"', "left out 1 exon lines without gene_id (first: line 2)"),
        ("c A transcript 9 99 . + . 2_t", "left out 1 transcripts without gene_id (first: line 2: '2_t')"),
        ("c A gene 9 99 . + . g9", "left out 1 gene lines without gene_id (first: line 2)"),
    ],
)
def test_features_without_a_name_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, said: str
) -> None:
    good = "c x exon 5 9 . + . Parent=good" if "=" in line else 'c x exon 5 9 . + . gene_id "good"; transcript_id "t"'
    assert [one.gene_id for one in annotation(tmp_path, f"{good}\n{line}\n")] == ["good"]
    assert said in caplog.text


def test_the_coding_segments_of_a_protein_are_its_transcripts(tmp_path: Path) -> None:
    text = """c x mRNA 9 99 . + . ID=t
c x exon 9 99 . + . Parent=t
c x polypeptide 20 30 . + . ID=p;Derives_from=t
c x CDS 20 30 . + 0 Parent=p
"""
    (found,) = annotation(tmp_path, text)
    assert (found.exons, found.cds) == (((8, 99),), ((19, 30),))


def test_a_gene_spliced_together_from_two_places_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "".join(
        f"c x {feature} {at} . + 0 {attributes};exception=trans-splicing;part={part}\n"
        for part, at in ((1, "70 99"), (2, "9 19"))
        for feature, attributes in (("gene", "ID=rps12"), ("CDS", "ID=c;Parent=rps12"))
    )
    assert [one.gene_id for one in annotation(tmp_path, text + "c x gene 5 9 . + . ID=good\n")] == ["good"]
    assert "1 transcripts put together from several places (trans-splicing) (first: rps12" in caplog.text


def test_an_annotation_without_utrs_says_that_its_tss_are_start_codons(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    annotation(tmp_path, "c\tx\tCDS\t5\t9\t.\t+\t0\tgene_id g; transcript_id t\n")
    assert "the annotation has no 5'UTRs, so the TSS of a coding gene is its start codon" in caplog.text
    caplog.clear()
    annotation(tmp_path, tabs(GTF))
    assert caplog.text == ""


WORDS = st.sampled_from(
    [
        "gene_id",
        "transcript_id",
        "ID=",
        "Parent=",
        '"',
        "'",
        ";",
        "=",
        " ",
        "g",
        "t",
        "%09",
        "\x07",
        "é",
        "tag",
        "9" * 30,
    ]
)
FIELDS = st.one_of(
    st.sampled_from([".", "+", "-", "?", "exon", "CDS", "mRNA", "gene", "5'UTR", "0", "7", "-1", "c", ""]),
    st.lists(WORDS, max_size=8).map("".join),
)


@given(st.lists(st.lists(FIELDS, max_size=11).map("\t".join), max_size=6), st.integers(0, 6))
def test_odd_lines_never_cost_a_good_gene(tmp_path_factory: pytest.TempPathFactory, odd: list[str], place: int) -> None:
    good = 'c\tx\texon\t50\t90\t.\t+\t.\tgene_id "KEEP"; transcript_id "K1";'
    lines = [good, *[line for line in odd if not line.startswith((">", "#"))]]
    path = tmp_path_factory.getbasetemp() / "odd.gtf"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    found = {site.id: site.boundary for site in read_tss(path)}
    assert found["KEEP"] == 49
