"""Rules about options that predict and prepare share: the same mistake is said in the same words by both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from seqexpr.datasets.options import PrepareOptions
from seqexpr.errors import UsageError
from seqexpr.inputs.options import GeneOptions, check_output
from seqexpr.prediction.inputs import InputSources

SAME_WINDOWS = "--fasta, --genome with --tss, and --genbank are sources of the same windows; give one"
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "no input: give a FASTA of windows, or --genome with --tss, or --genbank, or --proteins"),
    ({"half_life": "h.tsv"}, "no input: give a FASTA of windows"),
    ({"fasta": "a.fa", "genome": "g.fa", "tss": "t.bed"}, SAME_WINDOWS),
    ({"fasta": "a.fa", "genome": "g.fa"}, SAME_WINDOWS),
    ({"fasta": "a.fa", "genbank": "a.gb"}, SAME_WINDOWS),
    ({"genbank": "a.gb", "genome": "g.fa", "tss": "t.bed"}, SAME_WINDOWS),
    ({"genome": "g.fa"}, "--genome needs --tss: windows are cut from the genome around each TSS"),
    ({"genome": "g.fa", "annotation": "a.gtf"}, "--genome needs --tss"),
    ({"genome": "g.fa", "proteins": "p.fa"}, "--genome needs --tss"),
    ({"tss": "t.bed"}, "--tss needs --genome: windows are cut from the genome around each TSS"),
    ({"fasta": "a.fa", "genes": ("MYC",)}, "--genes picks genes of --tss or --genbank, which are not given"),
    ({"fasta": "a.fa", "half_life": "h.tsv", "annotation": "a.gtf"}, "both give half-life features; give one"),
    ({"genbank": "a.gb", "annotation": "a.gtf"}, "--genbank gives half-life features itself; leave --annotation out"),
    ({"genome": "g.fa", "tss": "t.bed", "tss_at": 0}, "--tss-at says where the TSS lies in records of --fasta"),
    ({"proteins": "p.fa", "tss_at": "center"}, "--tss-at says where the TSS lies in records of --fasta"),
    ({"fasta": "a.fa", "tss_at": -1}, "--tss-at -1: neither an offset of at least 0 nor 'center'"),
    ({"fasta": "a.fa", "contig_aliases": "a.tsv"}, "--contig-aliases gives names of the contigs of --genome"),
    ({"genome": "-", "tss": "t.bed"}, "--genome must be a file: it is read at random places"),
    ({"fasta": "-", "proteins": "-"}, "only one input can come from standard input (-)"),
    ({"fasta": "-", "proteins": "/dev/stdin"}, "only one input can come from standard input (-)"),
    ({"genome": "g.fa", "tss": "-", "annotation": "a.gtf", "contig_aliases": "-"}, "only one input can come from"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=str)
def test_one_mistake_has_one_message(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as of_predict:
        InputSources(**options).check()
    with pytest.raises(UsageError) as of_prepare:
        PrepareOptions(Path("out"), **options)
    assert str(of_predict.value).removesuffix(", or --example") == str(of_prepare.value)
    assert message in str(of_prepare.value)


@pytest.mark.parametrize(
    "options",
    [
        {"fasta": "a.fa", "genome": "g.fa", "annotation": "a.gtf"},
        {"fasta": "a.fa", "genome": "g.fa", "annotation": "a.gtf", "tss": "t.bed"},
        {"proteins": "p.fa", "genome": "g.fa", "annotation": "a.gtf"},
        {"genome": "g.fa", "tss": "-", "annotation": "-", "contig_aliases": "a.tsv"},
        {"genbank": "a.gb", "genes": ("MYC",)},
    ],
    ids=str,
)
def test_what_fits_passes_in_both(options: dict[str, Any]) -> None:
    InputSources(**options).check()
    PrepareOptions(Path("out"), **options)


def test_one_annotation_is_known_under_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.gtf").touch()
    Path("b.gtf").touch()
    os.symlink("a.gtf", "link.gtf")
    assert GeneOptions(tss="a.gtf", annotation="./a.gtf").one_annotation
    assert GeneOptions(tss="a.gtf", annotation="link.gtf").one_annotation
    assert GeneOptions(tss="-", annotation="-").one_annotation
    assert not GeneOptions(tss="a.gtf", annotation="b.gtf").one_annotation
    assert not GeneOptions(tss="absent.gtf", annotation="a.gtf").one_annotation
    assert not GeneOptions(tss="a.gtf").one_annotation


def test_a_result_never_takes_the_place_of_an_input(tmp_path: Path) -> None:
    table, other = tmp_path / "table.tsv", tmp_path / "other.tsv"
    table.write_text("id\n")
    link = tmp_path / "link.tsv"
    link.symlink_to(table)
    check_output(None, table)
    check_output("-", "-", table)
    check_output(other, None, table)
    other.write_text("id\n")
    check_output(other, "human-mrna", str(tmp_path), str(tmp_path / "absent"), table)
    check_output(os.devnull, os.devnull)
    for out in (table, link, f"{tmp_path}/./table.tsv"):
        with pytest.raises(UsageError, match=r"--out .*(table|link).tsv is an input, .*table.tsv: give another file"):
            check_output(out, None, other, str(table))
