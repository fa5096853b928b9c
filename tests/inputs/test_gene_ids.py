from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seqexpr.errors import InputError, UsageError
from seqexpr.inputs.gene_ids import Side, cleaned, nothing_joined, read_gene_names, strip_version, unchanged

LABELS = Side("labels", "labels.tsv", ["g1", "g2"])


@pytest.mark.parametrize(
    ("id", "bare"),
    [
        ("ENSG00000000003.15", "ENSG00000000003"),
        ("ENSG00000000003", "ENSG00000000003"),
        ("NM_1.2.3", "NM_1.2"),
        ("ENSG00000002586.20_PAR_Y", "ENSG00000002586.20_PAR_Y"),
        ("AC011043.1a", "AC011043.1a"),
        ("gene.", "gene."),
        ("ENSG00000223972.5_2", "ENSG00000223972"),
        ("NC_000913.3_12", "NC_000913.3_12"),
    ],
)
def test_only_a_number_at_the_end_is_a_version(id: str, bare: str) -> None:
    assert strip_version(id) == bare


def test_ids_are_cleaned_in_order() -> None:
    side = Side("labels", "labels.tsv", ["b.2", "a.10", "c"])
    assert cleaned(side, strip_version) == ["b", "a", "c"]
    assert cleaned(side, unchanged) == ["b.2", "a.10", "c"]


def test_two_versions_of_a_gene_are_refused() -> None:
    with pytest.raises(InputError) as error:
        cleaned(Side("labels", "labels.tsv", ["a.1", "b.1", "a.2"]), strip_version)
    assert str(error.value) == (
        "labels.tsv, 'a.2': found the same gene as 'a.1' once versions are stripped; expected one row per gene"
    )


@pytest.mark.parametrize(
    ("sides", "with_map", "message"),
    [
        (
            [Side("the windows", "w.fa", ["x"]), LABELS],
            False,
            "labels.tsv: found none of the 1 ids of the windows (for instance 'x') in its 2 ids of labels "
            "(for instance 'g1'), so 0 genes joined; expected gene ids that both share",
        ),
        (
            [Side("the windows", "w.fa", ["g1.4", "g1.4", "g2.1"]), LABELS],
            False,
            "labels.tsv: found none of the 2 ids of the windows (for instance 'g1.4') in its 2 ids of labels "
            "(for instance 'g1'), so 0 genes joined; expected gene ids that both share; "
            "they agree without version suffixes: add --strip-versions",
        ),
        (
            [Side("proteins", "p.fa", ["P1"]), LABELS],
            False,
            "labels.tsv: found none of the 1 ids of proteins (for instance 'P1') in its 2 ids of labels "
            "(for instance 'g1'), so 0 genes joined; expected gene ids that both share; "
            "--protein-map says which protein belongs to which gene",
        ),
        (
            [Side("proteins", "p.fa", ["P1"]), LABELS],
            True,
            "labels.tsv: found none of the 1 ids of proteins (for instance 'P1') in its 2 ids of labels "
            "(for instance 'g1'), so 0 genes joined; expected gene ids that both share",
        ),
        (
            [Side("the windows", "w.fa", ["g1"]), Side("labels", "empty.tsv", [])],
            False,
            "empty.tsv: found none of the 1 ids of the windows (for instance 'g1') in its 0 ids of labels, "
            "so 0 genes joined; expected gene ids that both share",
        ),
        (  # the second and the third share no gene; the first shares one with each
            [Side("the windows", "w.fa", ["g1", "p1"]), LABELS, Side("other", "o.tsv", ["p1"])],
            False,
            "o.tsv: found none of the 2 ids of labels (for instance 'g1') in its 1 ids of other "
            "(for instance 'p1'), so 0 genes joined; expected gene ids that both share",
        ),
        (
            [Side("the windows", "w.fa", ["g1", "g3"]), LABELS, Side("proteins", "p.fa", ["g2", "g3"])],
            False,
            "w.fa: found no gene that every file holds (2 ids of the windows (for instance 'g1'); 2 ids of labels "
            "(for instance 'g1'); 2 ids of proteins (for instance 'g2')); expected genes with all that is asked for",
        ),
    ],
    ids=["nothing", "versions", "no-map", "map", "empty", "later-pair", "pairwise"],
)
def test_files_that_share_no_gene_are_named(sides: list[Side], with_map: bool, message: str) -> None:
    assert str(nothing_joined(sides, with_map)) == message


@pytest.mark.parametrize(
    "text",
    [
        "A\nB b",
        "\ufeff# genes\r\nA\r\n\r\n  # more\r\nB b  \r\n",
        "A\tfirst\nB b\tsecond\n",
        "A,first\nB b,second\n",
        "A;1\nB b;2\n",
        "A # the first\nB b\nA\n",
        '"gene_id","x"\n"A",1\n"B b",2\n',
        "Gene stable ID\tGene name\nA\tx\nB b\ty\n",
        "A,B b\n",
        "A;B b;\n",
        "A\rB b\r",
        "gene\rA\r\r# more\rB b",
    ],
)
def test_lists_of_genes_in_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "genes.txt").write_bytes(text.encode())
    assert read_gene_names(str(tmp_path / "genes.txt")) == ("A", "B b")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"tRNA,Ser",x\nB,y\n', ("tRNA,Ser", "B")),
        ('"tRNA,Ser"\n', ("tRNA,Ser",)),
        ('"tRNA,Ser", B\n', ("tRNA,Ser", "B")),
        ('"a ""b""; c";x\n"d #1";y # more\n', ('a "b"; c', "d #1")),
        ('"tRNA\tSer"\n', None),
        ("A" * 200_000, None),
    ],
)
def test_names_may_be_quoted(tmp_path: Path, text: str, names: tuple[str, ...] | None) -> None:
    (tmp_path / "genes.txt").write_text(text)
    if names is None:
        with pytest.raises(InputError, match=r"genes\.txt: found (the name|names that cannot be read)"):
            read_gene_names(str(tmp_path / "genes.txt"))
    else:
        assert read_gene_names(str(tmp_path / "genes.txt")) == names


def test_names_on_the_command_line_may_be_quoted() -> None:
    assert read_gene_names('"tRNA,Ser",B') == ("tRNA,Ser", "B")
    with pytest.raises(UsageError, match="names no gene"):
        read_gene_names("")


def test_one_gene_next_to_something_else_is_one_gene(tmp_path: Path) -> None:
    (tmp_path / "genes.txt").write_text("A\tfirst\n")
    assert read_gene_names(str(tmp_path / "genes.txt")) == ("A",)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_list_from_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as other:
        other.submit((tmp_path / "pipe").write_text, "# genes\nA\nB\n")
        assert read_gene_names(str(tmp_path / "pipe")) == ("A", "B")


def test_a_list_that_is_not_there_and_a_folder_named_like_a_gene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"genes\.txt: found no such file; expected a list of genes"):
        read_gene_names("genes.txt")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TP53").mkdir()
    assert read_gene_names("TP53") == ("TP53",)


def test_a_file_that_is_called_like_a_gene_is_named(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "HBB").write_text("HBD\n")
    (tmp_path / "genes.txt").write_text("HBD\n")
    with caplog.at_level("WARNING", logger="seqexpr"):
        assert read_gene_names("genes.txt") == read_gene_names("./HBB") == ("HBD",)
        assert caplog.text == ""
        assert read_gene_names("HBB") == ("HBD",)
    assert "--genes HBB: names are read from the file of that name (1)" in caplog.text
