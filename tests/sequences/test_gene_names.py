from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from seqexpr.errors import InputError
from seqexpr.sequences.annotation import read_tss
from seqexpr.sequences.gene_names import pick_genes
from seqexpr.sequences.windows import Tss


def picked(path: Path, wanted: Collection[str], *, allow_unknown: bool = False) -> list[Tss]:
    return pick_genes(path, read_tss(path), wanted, allow_unknown=allow_unknown)


GENES_BED = "1\t5\t6\tENSG01.3\t0\t+\n1\t7\t8\tENSG02\t0\t+\n1\t9\t10\tENSG03.1_PAR_Y\t0\t+\n"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["ENSG01"], ["ENSG01.3"]),
        (["ENSG01.3"], ["ENSG01.3"]),
        (["ENSG02.7", "ENSG01"], ["ENSG01.3", "ENSG02"]),
        (["ENSG03.1_PAR_Y"], ["ENSG03.1_PAR_Y"]),
        ({"ENSG01.3": 0, "ENSG02": 0}, ["ENSG01.3", "ENSG02"]),
    ],
)
def test_genes_are_picked_with_or_without_version(tmp_path: Path, wanted: list[str], found: list[str]) -> None:
    (tmp_path / "tss.bed").write_text(GENES_BED)
    assert [site.id for site in picked(tmp_path / "tss.bed", wanted)] == found


def test_genes_that_are_not_there_are_listed(tmp_path: Path) -> None:
    (tmp_path / "tss.bed").write_text(GENES_BED)
    with pytest.raises(InputError, match=r"found no gene ENSG01\.4, NOPE \(2 of 3\)"):
        picked(tmp_path / "tss.bed", ["ENSG01.4", "NOPE", "ENSG02"])


@pytest.mark.parametrize(
    ("ids", "name", "found"),
    [
        (["ENSG00000223972.5_2"], "ENSG00000223972", ["ENSG00000223972.5_2"]),
        (["NM_1.3"], "NM_1", ["NM_1.3"]),
        (["SPAC212.11"], "SPAC212", None),
        (["AT1G01010.1"], "AT1G01010", None),
        (["Y74C9A.3"], "Y74C9A", None),
        (["ENSG1.1", "ENSG1.2"], "ENSG1", None),
        (["ENSG1", "ENSG1.2"], "ENSG1", ["ENSG1"]),
    ],
)
def test_only_a_version_may_be_left_out(tmp_path: Path, ids: list[str], name: str, found: list[str] | None) -> None:
    rows = "".join(f"1\t{place}\t{place + 1}\t{gene}\t0\t+\n" for place, gene in enumerate(ids))
    (tmp_path / "t.bed").write_text(rows)
    if found is None:
        with pytest.raises(InputError, match=name):
            picked(tmp_path / "t.bed", [name])
    else:
        assert [site.id for site in picked(tmp_path / "t.bed", [name])] == found


def test_unknown_genes_may_be_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tss.bed").write_text(GENES_BED)
    assert [site.id for site in picked(tmp_path / "tss.bed", ["NOPE", "ENSG02"], allow_unknown=True)] == ["ENSG02"]
    assert "no gene NOPE (1 of 2); the others are used" in caplog.text
    with pytest.raises(InputError, match="no gene NOPE"):
        picked(tmp_path / "tss.bed", ["NOPE"], allow_unknown=True)


def site(name: str, symbol: str = "", *aliases: str) -> Tss:
    return Tss(name, "1", 5, "+", symbol, aliases)


@pytest.mark.parametrize(
    ("own", "name", "found"),
    [
        ("ENSG00000223972.5_2", "ENSG00000223972.5", True),
        ("ENSG00000223972.5", "ENSG00000223972.5_2", True),
        ("ENSG00000223972.5_2", "ENSG00000223972.6", False),
        ("ENSG00000223972.5_2", "ENSG00000223972.5_3", False),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378_PAR_Y", True),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378", False),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378.15", False),
        ("ENSG00000182378.15", "ENSG00000182378_PAR_Y", False),
    ],
)
def test_versions_and_what_follows_them(own: str, name: str, found: bool) -> None:
    if found:
        assert pick_genes("a.gtf", [site(own), site("other")], [name]) == [site(own)]
    else:
        with pytest.raises(InputError, match="no gene"):
            pick_genes("a.gtf", [site(own), site("other")], [name])


def test_an_id_counts_before_a_symbol_and_both_before_other_names(caplog: pytest.LogCaptureFixture) -> None:
    genes = [site("g1", "A", "B"), site("A", "B"), site("g3", "C", "A", "g1", "FUN24")]
    for name, found in (("A", "A"), ("B", "A"), ("g1", "g1"), ("FUN24", "g3")):
        assert [one.id for one in pick_genes("a.gtf", genes, [name])] == [found]
    assert caplog.text == ""


def test_a_symbol_of_several_genes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    genes = [site("g1", "Y_RNA"), site("g2", "Y_RNA"), site("g3", "U6"), site("g4", "U6")]
    assert pick_genes("a.gtf", genes, ["Y_RNA", "U6"]) == genes
    assert "Y_RNA names 2 genes, all of which are used: g1, g2 (and so with 1 more of the names)" in caplog.text


def test_an_alias_of_several_genes_is_an_error() -> None:
    with pytest.raises(InputError, match="2 genes that p21 may stand for: CDKN1A, KRAS; expected the id of one gene"):
        pick_genes("a.gtf", [site("CDKN1A", "", "p21"), site("KRAS", "", "p21")], ["p21"])


def test_a_name_in_other_capitals_is_proposed() -> None:
    with pytest.raises(InputError, match=r"no gene nac001 .*; expected symbols or ids in the file, such as NAC001"):
        pick_genes("a.gtf", [site("AT1G01010", "NAC001")], ["nac001"])
