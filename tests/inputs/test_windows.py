from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError, UsageError
from seqexpr.inputs.gene_ids import strip_version, unchanged
from seqexpr.inputs.windows import CutWindows, DnaCounts, FastaWindows, check_window, parse_tss_at
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Tss


def fasta(folder: Path, text: str, **options: Any) -> FastaWindows:
    (folder / "w.fa").write_text(text)
    return FastaWindows(folder / "w.fa", **options)


def everything(source: FastaWindows | CutWindows) -> list[tuple[str, str]]:
    return [(gene, DNA.decode(window)) for gene, window in source.stream(unchanged, lambda _: True)]


def test_windows_as_they_stand(tmp_path: Path) -> None:
    source = fasta(tmp_path, ">a.1\nACGTn\n>b.1\nRRGTA\n>c\nAAAAA\n", upstream=2, downstream=3)
    found = [(gene, window.tolist()) for gene, window in source.stream(strip_version, lambda gene: gene != "c")]
    assert found == [("a", [1, 2, 3, 4, 0]), ("b", [0, 0, 3, 4, 1])]
    assert source.ids == ["a", "b", "c"]
    assert source.counts == DnaCounts(unknown_windows=2, unknown_bases=3)


def test_records_are_cropped_and_padded_around_the_boundary(tmp_path: Path) -> None:
    source = fasta(tmp_path, ">long\nAACCGGTT\n>short\nNCG\n>left\nAC\n", tss_at=2, upstream=3, downstream=4)
    assert everything(source) == [("long", "NAACCGG"), ("short", "NNCGNNN"), ("left", "NACNNNN")]
    # long: 1 before, its last 2 cropped; short: 1 before, 3 behind, an N of its own; left: 1 before, 4 behind
    assert source.counts == DnaCounts(
        padded_windows=3, padded_bases=10, unknown_windows=1, unknown_bases=1, cropped_records=1, cropped_bases=2
    )


def test_center_is_the_middle_of_each_record(tmp_path: Path) -> None:
    source = fasta(tmp_path, ">a\nAACCC\n>b\nAAACCC\n", tss_at="center", upstream=1, downstream=2)
    assert everything(source) == [("a", "ACC"), ("b", "ACC")]


@pytest.mark.parametrize(("tss_at", "boundary"), [("center", 4), (0, 0), (1, 1), (8, 8)])
def test_tss_at_alone_keeps_the_whole_record(tmp_path: Path, tss_at: int | str, boundary: int) -> None:
    source = fasta(tmp_path, ">a\nAACCGGTT\n>b\nACGTACGT\n", tss_at=tss_at)
    assert (source.upstream, source.downstream) == (boundary, 8 - boundary)
    assert everything(source) == [("a", "AACCGGTT"), ("b", "ACGTACGT")]


def test_one_length_may_be_left_to_the_first_record(tmp_path: Path) -> None:
    source = fasta(tmp_path, ">a\nAACCGGTT\n>b\nACGT\n", tss_at=3, upstream=1)
    assert (source.upstream, source.downstream) == (1, 5)
    assert everything(source) == [("a", "CCGGTT"), ("b", "GTNNNN")]


@given(
    st.lists(st.text("ACGTN", min_size=1, max_size=12), min_size=1, max_size=4),
    st.integers(0, 12) | st.just("center"),
    st.integers(0, 15),
    st.integers(1, 15),
)
def test_each_base_of_a_window_comes_from_its_place(
    tmp_path_factory: pytest.TempPathFactory, records: list[str], tss_at: Any, upstream: int, downstream: int
) -> None:
    text = "".join(f">g{number}\n{letters}\n" for number, letters in enumerate(records))
    boundaries = [len(letters) // 2 if tss_at == "center" else tss_at for letters in records]
    options = {"tss_at": tss_at, "upstream": upstream, "downstream": downstream}
    if any(boundary > len(letters) for boundary, letters in zip(boundaries, records, strict=True)):
        with pytest.raises(InputError, match=f"expected at least {tss_at} bp, because of --tss-at {tss_at}"):
            everything(fasta(tmp_path_factory.getbasetemp(), text, **options))
        return
    source = fasta(tmp_path_factory.getbasetemp(), text, **options)
    windows = [window for _, window in everything(source)]
    padded = []
    for letters, boundary, window in zip(records, boundaries, windows, strict=True):
        places = range(boundary - upstream, boundary + downstream)
        assert window == "".join(letters[at] if 0 <= at < len(letters) else "N" for at in places)
        padded.append(sum(not 0 <= at < len(letters) for at in places))
    kept = sum(map(len, windows)) - sum(padded)
    assert source.counts == DnaCounts(
        padded_windows=sum(count > 0 for count in padded),
        padded_bases=sum(padded),
        unknown_windows=sum(window.count("N") > off for window, off in zip(windows, padded, strict=True)),
        unknown_bases="".join(windows).count("N") - sum(padded),
        cropped_records=sum(
            len(letters) > len(window) - off for letters, window, off in zip(records, windows, padded, strict=True)
        ),
        cropped_bases=sum(map(len, records)) - kept,
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            ">a\nACGT\n",
            {},
            "w.fa, record 1 'a': found 4 bp; expected a window of exactly 20,000 bp, 10,000 of them before the TSS, or "
            "--tss-at N|center to say where the TSS lies in every record",
        ),
        (
            ">a\nACGT\n>b\nACGTA\n",
            {"upstream": 3, "downstream": 1},
            "w.fa, record 2 'b': found 5 bp; expected a window of exactly 4 bp",
        ),
        (
            ">a\nACGT\n>b\nACGTA\n",
            {"tss_at": "center"},
            "w.fa, record 2 'b': found 5 bp; expected 4 bp as the first record; to crop and pad to one length give "
            "--upstream N --downstream N",
        ),
        (
            ">a\nACGT\n",
            {"tss_at": 5},
            "w.fa, record 1 'a': found 4 bp; expected at least 5 bp, because of --tss-at 5",
        ),
        (">a\nMKLVEEFFQQ\n", {}, "w.fa, record 1 'a': found 'L' at position 3 of 10, which looks like a protein"),
        (">a\nAC?T\n", {"tss_at": 2}, "w.fa, record 1 'a': found '?' at position 3 of 4"),
        ("", {"tss_at": 2}, "w.fa: found an empty file"),
    ],
)
def test_bad_records(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        everything(fasta(tmp_path, text, **options))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"tss_at": 4, "upstream": 0}, {"tss_at": 0, "downstream": 0}])
def test_a_window_that_the_first_record_leaves_empty_is_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="leaves a window of no letters"):
        fasta(tmp_path, ">a\nACGT\n", **options)


def test_windows_of_a_genome_on_both_strands(tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_text(">1\nAACCGGNTAC\n")
    sites = [
        Tss("plus", "1", 4, "+"),  # bases 1 to 7: ACC|GGN
        Tss("minus", "1", 4, "-"),  # the same bases, read back: NCC|GGT
        Tss("start", "1", 1, "+"),  # bases -2 to 4
        Tss("left", "1", 1, "-"),  # the same bases, read back
        Tss("off.1", "1", 2, "+"),
    ]
    with Genome(tmp_path / "genome.fa") as genome:
        source = CutWindows(genome, sites, 3, 3)
        found = [
            (gene, DNA.decode(window)) for gene, window in source.stream(strip_version, lambda gene: gene != "off")
        ]
        assert found == [("plus", "ACCGGN"), ("minus", "NCCGGT"), ("start", "NNAACC"), ("left", "GGTTNN")]
        assert source.ids == ["plus", "minus", "start", "left", "off"]
        assert source.counts == DnaCounts(padded_windows=2, padded_bases=4, unknown_windows=2, unknown_bases=2)
        with pytest.raises(InputError, match=r"TSS of 'g': found position 11 of contig 1; expected 1 to 10"):
            everything(CutWindows(genome, [Tss("g", "1", 10, "+")], 3, 3))
        default = CutWindows(genome, sites, None, None)
        assert (default.upstream, default.downstream) == (10_000, 10_000)


@pytest.mark.parametrize(
    ("upstream", "downstream", "message"),
    [
        (-1, 5, "--upstream -1: must be at least 0"),
        (5, -2, "--downstream -2: must be at least 0"),
        (0, 0, "--upstream 0 --downstream 0 leaves a window of no letters"),
    ],
)
def test_options_that_place_no_window(upstream: int | None, downstream: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        check_window(upstream, downstream)


def sites_on(*contigs: str) -> list[Tss]:
    return [Tss(f"g{number}", contig, 4, "+") for number, contig in enumerate(contigs)]


def test_genes_on_contigs_that_the_genome_lacks_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "genome.fa").write_text(">1\nAACCGGNTAC\n")
    with Genome(tmp_path / "genome.fa") as genome:
        source = CutWindows(genome, sites_on("1", "GL000009.2", "chr1"), 3, 3)
        assert [gene for gene, _ in everything(source)] == ["g0", "g2"]
        assert source.counts.missing_contigs == 1
        assert source.counts.describe()[-2:] == [
            "1 gene on contigs that the genome lacks left out",
            "1 contig found under another name (chr1 as 1)",
        ]
        assert "no sequence for 1 of 3 genes on contig 'GL000009.2': left out" in caplog.text
        with pytest.raises(InputError, match=r"2 of 3 genes on 2 contigs, for instance 'a'; .*--skip-missing-contigs"):
            CutWindows(genome, sites_on("1", "a", "b"), 3, 3)
        assert len(CutWindows(genome, sites_on("1", "a", "b"), 3, 3, skip_missing=True).sites) == 1
        with pytest.raises(InputError, match="no sequence for 1 of 1 genes"):
            CutWindows(genome, sites_on("a"), 3, 3, skip_missing=True)


def test_the_option_holds_for_records_of_the_windows_own_length_too(tmp_path: Path) -> None:
    source = fasta(tmp_path, ">a\nAACCGGTT\n>b\nAACCGGTTA\n", tss_at="center", upstream=6, downstream=2)
    assert everything(source) == [("a", "NNAACCGG"), ("b", "NNAACCGG")]


@pytest.mark.parametrize(("text", "found"), [(None, None), ("center", "center"), ("0", 0), ("7000", 7000)])
def test_the_value_of_tss_at(text: str | None, found: int | str | None) -> None:
    assert parse_tss_at(text) == found


@pytest.mark.parametrize("text", ["mid", "-1", "1.5", "", "\u0663", "9" * 30])
def test_other_values_of_tss_at(text: str) -> None:
    with pytest.raises(UsageError, match="neither an offset of at least 0 nor 'center'"):
        parse_tss_at(text)


@pytest.mark.parametrize("tss_at", [-3, "middle", 1.5])
def test_an_offset_from_python_is_checked_by_the_same_rule(tss_at: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^--tss-at {tss_at}: neither an offset of at least 0 nor 'center'$"):
        fasta(tmp_path, ">a\nACGT\n", tss_at=tss_at)
