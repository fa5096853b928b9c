from __future__ import annotations

from pathlib import Path

import pytest

from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genbank_genes import GenbankGene, genes_of
from seqexpr.sequences.genbank_records import read_records

from ..genbank_text import ENSEMBL, feature, record


def genes(folder: Path, text: str) -> tuple[list[GenbankGene], dict[str, int]]:
    (folder / "r.gb").write_text(text)
    left_out = LeftOut("r.gb")
    found = [gene for one in read_records(folder / "r.gb", left_out) for gene in genes_of(one, left_out)]
    return found, left_out.counts


@pytest.mark.parametrize(
    ("features", "id", "symbol", "aliases"),
    [
        (
            feature("gene", "1..8", gene="dnaA", locus_tag="Q_RS1", old_locus_tag="Q1", db_xref="GeneID:5")
            + feature("CDS", "1..8", gene="dnaA", locus_tag="Q_RS1", protein_id="WP_1.1"),
            "Q_RS1",
            "dnaA",
            ("GeneID:5", "Q1", "WP_1.1"),
        ),
        (feature("CDS", "1..8", gene="bla"), "bla", "", ()),
        (feature("CDS", "1..8", db_xref="GeneID:7"), "GeneID:7", "", ()),
        (feature("CDS", "1..8", label="AmpR"), "AmpR", "", ()),  # SnapGene, Benchling
        (feature("CDS", "1..8", product="toxin", protein_id="AAA1.1"), "AAA1.1", "", ()),
        (feature("gene", "1..8", gene="x", locus_tag="T") + feature("CDS", "1..8", gene="x"), "x", "T", ()),
        (feature("gene", "1..8", gene="x", locus_tag="T") + feature("exon", "1..8", gene="x"), "T", "x", ()),
    ],
)
def test_how_a_gene_is_called(tmp_path: Path, features: str, id: str, symbol: str, aliases: tuple[str, ...]) -> None:
    (gene,), left_out = genes(tmp_path, record(features))
    assert (gene.site.id, gene.site.symbol, gene.site.aliases) == (id, symbol, aliases)
    assert not left_out


def test_a_gene_of_ensembl_is_one_gene(tmp_path: Path) -> None:
    (gene,), _ = genes(tmp_path, ENSEMBL)
    assert (gene.site.id, gene.site.symbol, gene.site.boundary, gene.site.strand) == (
        "ENSG00000000003.15",
        "TSPAN6",
        20,
        "-",
    )
    assert gene.transcript.exons == ((0, 10), (14, 20))
    assert gene.transcript.cds == ((2, 10), (14, 18))


@pytest.mark.parametrize(
    ("location", "topology", "said"),
    [
        ("join(3..8,complement(13..18))", "linear", "parts on both strands (trans-splicing)"),
        ("complement(join(complement(3..5),8..9))", "linear", "a location that cannot be read"),
        ("join(3..8", "linear", "a location that cannot be read"),
        ("12..3", "linear", "a location that cannot be read"),
        ("?..12", "linear", "a location that cannot be read"),
        ("join(3..8,J1.1:1..5)", "linear", "a part on another record"),
        ("join(13..18,3..8)", "linear", "parts out of order"),
        ("join(13..18,3..16)", "circular", "parts out of order"),
        ("join(13..18,3..8,1..2)", "circular", "positions beyond the end of the record"),
        ("3..80", "linear", "positions beyond the end of the record"),
        ("join(3..8,99999999999999999999999..99999999999999999999999)", "linear", "positions beyond the end"),
        ("3^4", "linear", "a part without a base"),
    ],
)
def test_a_feature_that_cannot_be_used_is_left_out(tmp_path: Path, location: str, topology: str, said: str) -> None:
    text = record(feature("CDS", location, locus_tag="X") + feature("gene", "1..8", locus_tag="Q"), topology)
    found, left_out = genes(tmp_path, text)
    assert [gene.site.id for gene in found] == ["Q"]
    ((what, count),) = left_out.items()
    assert count == 1 and what.startswith(f"CDS features with {said}")


@pytest.mark.parametrize(
    ("qualifiers", "said"),
    [
        ({"locus_tag": "X", "trans_splicing": True}, "trans-splicing"),
        ({"locus_tag": "X", "codon_start": 4}, "a codon_start that is not 1, 2 or 3"),
        ({"locus_tag": "X", "transl_table": 99}, "a codon table that does not exist (transl_table 99)"),
        ({"product": "x"}, "CDS features without locus_tag, gene, GeneID or label"),
    ],
)
def test_so_is_one_whose_qualifiers_cannot(tmp_path: Path, qualifiers: dict[str, str], said: str) -> None:
    text = record(feature("CDS", "3..8", **qualifiers) + feature("gene", "1..8", locus_tag="Q"))
    found, left_out = genes(tmp_path, text)
    assert [gene.site.id for gene in found] == ["Q"]
    assert [what for what, count in left_out.items() if said in what and count == 1]


def test_copies_of_a_gene_are_apart(tmp_path: Path) -> None:
    """Organelles have several genes of one name: none of them may be spliced out of two places."""
    copies = "".join(
        feature(kind, place, gene="trnM")
        for place in ("1..8", "complement(3..9)", "21..28")
        for kind in ("gene", "tRNA")
    )
    found, _ = genes(tmp_path, record(copies))
    assert [(gene.site.strand, gene.transcript.exons) for gene in found] == [
        ("+", ((0, 8),)),
        ("-", ((2, 9),)),
        ("+", ((20, 28),)),
    ]


def test_the_transcript_is_the_one_that_the_cds_is_spliced_as(tmp_path: Path) -> None:
    text = record(
        feature("gene", "1..30", locus_tag="Q")
        + feature("mRNA", "join(1..8,13..30)", locus_tag="Q")  # longer, and another splicing
        + feature("mRNA", "join(1..5,9..29)", locus_tag="Q")
        + feature("CDS", "3..5", locus_tag="Q")
        + feature("CDS", "join(3..5,9..14)", locus_tag="Q")
    )
    (gene,), _ = genes(tmp_path, text)
    assert (gene.transcript.exons, gene.transcript.cds) == (((0, 5), (8, 29)), ((2, 5), (8, 14)))


@pytest.mark.parametrize("where", ["gene", "CDS"])
def test_a_pseudogene_has_no_protein(tmp_path: Path, where: str) -> None:
    text = record(
        feature("gene", "1..8", locus_tag="Q", **({"pseudo": True} if where == "gene" else {}))
        + feature("CDS", "1..8", locus_tag="Q", **({"pseudogene": "unknown"} if where == "CDS" else {}))
    )
    (gene,), _ = genes(tmp_path, text)
    assert (gene.coding, gene.transcript.cds, gene.site.boundary) == (None, (), 0)


@pytest.mark.parametrize(
    ("location", "boundary", "parts"),
    [
        ("join(35..40,1..6)", 34, ((34, 40), (40, 46))),
        ("complement(join(35..40,1..6))", 6, ((34, 40), (40, 46))),
        ("join(complement(1..6),complement(35..40))", 6, ((34, 40), (40, 46))),
        ("38..5", 37, ((37, 40), (40, 45))),
        ("join(30..32,38..40,1..2,5..6)", 29, ((29, 32), (37, 40), (40, 42), (44, 46))),
    ],
)
def test_a_gene_over_the_origin(
    tmp_path: Path, location: str, boundary: int, parts: tuple[tuple[int, int], ...]
) -> None:
    (gene,), _ = genes(tmp_path, record(feature("CDS", location, locus_tag="O"), "circular"))
    assert gene.site.boundary == boundary
    assert gene.coding is not None and gene.coding.parts == parts


def test_the_cds_behind_the_origin_belongs_to_the_gene_over_it(tmp_path: Path) -> None:
    text = record(
        feature("gene", "join(35..40,1..20)", locus_tag="O") + feature("CDS", "3..11", locus_tag="O"), "circular"
    )
    (gene,), _ = genes(tmp_path, text)
    assert (gene.site.boundary, gene.transcript.exons, gene.transcript.cds) == (34, ((34, 60),), ((42, 51),))


@pytest.mark.parametrize("copy", ["", feature("gene", "25..30", locus_tag="O")], ids=["one-place", "two-places"])
def test_the_exons_behind_the_origin_belong_to_the_gene_over_it(tmp_path: Path, copy: str) -> None:
    text = record(
        feature("gene", "join(35..40,1..20)", locus_tag="O")
        + feature("exon", "35..38", locus_tag="O")
        + feature("exon", "3..11", locus_tag="O")
        + feature("exon", "14..20", locus_tag="O")
        + feature("CDS", "join(5..11,14..18)", locus_tag="O")
        + copy,
        "circular",
    )
    gene = genes(tmp_path, text)[0][0]
    assert gene.site.boundary == 34
    assert (gene.transcript.exons, gene.transcript.cds) == (
        ((34, 38), (42, 51), (53, 60)),
        ((44, 51), (53, 58)),
    )
    assert gene.has_transcript


def test_many_features_of_one_name_take_no_square_of_time(tmp_path: Path) -> None:
    letters = "acgt" * 20_000
    text = record(
        "".join(feature("CDS", f"{at}..{at + 2}", label="ORF") for at in range(1, 80_000, 4)), "circular", letters
    )
    assert len(genes(tmp_path, text)[0]) == 20_000
