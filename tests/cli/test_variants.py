"""`seqexpr variants` as a user runs it: complete output, messages, exit codes."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from ..device_line import cpu_line

Command = Callable[..., Any]
Weights = Callable[..., Path]
HEADER = "\t".join(
    [
        *("chrom", "pos", "id", "ref", "alt", "gene_id", "gene", "strand", "tss_distance", "ref_level", "alt_level"),
        *("delta", "fold_change", "delta_sd", "percentile", "flag"),
    ]
)
LETTERS = "".join(random.Random(9).choices("ACGT", k=3_000))
REF = LETTERS[999]
ALT = "A" if REF != "A" else "C"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "genome.fa").write_text(f">chr1\n{LETTERS}\n>chr2\n{LETTERS[::-1]}\n")
    (tmp_path / "tss.bed").write_text("chr1\t1049\t1050\tone\t0\t+\nchr1\t1100\t1101\ttwo\t0\t-\n")
    (tmp_path / "calls.vcf").write_text(vcf(f"chr1\t1000\trs1\t{REF}\t{ALT}\t50\tPASS\tDP=7"))
    return tmp_path


def vcf(*rows: str) -> str:
    return "\n".join(["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO", *rows]) + "\n"


@pytest.fixture
def variants(folder: Path, weights: Weights, seqexpr: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr("seqexpr.prediction.device.usable_cores", lambda: 3)

    def run(*options: object, stdin: bytes = b"") -> Any:
        genome = ("--genome", folder / "genome.fa", "--tss", folder / "tss.bed", "--model", weights())
        return seqexpr("variants", *genome, *options, stdin=stdin)

    return run


def test_a_row_for_each_gene_and_all_is_told(variants: Command, weights: Weights) -> None:
    done = variants("--variant", f"chr1:1000:{REF}:{ALT}")
    lines = done.out.splitlines()
    assert (done.code, lines[0], len(lines)) == (0, HEADER, 3)
    for line, gene, strand, distance in zip(lines[1:], ("one", "two"), "+-", ("-50", "101"), strict=True):
        cells = dict(zip(HEADER.split("\t"), line.split("\t"), strict=True))
        assert [cells[name] for name in ("chrom", "pos", "id", "ref", "alt")] == ["chr1", "1000", "", REF, ALT]
        assert [cells[name] for name in ("gene_id", "gene", "strand", "tss_distance")] == [gene, gene, strand, distance]
        assert float(cells["alt_level"]) - float(cells["ref_level"]) == pytest.approx(float(cells["delta"]), abs=1e-5)
        assert float(cells["fold_change"]) == pytest.approx(10 ** float(cells["delta"]), rel=1e-5)
        assert [cells[name] for name in ("delta_sd", "percentile", "flag")] == ["", "", ""]
    assert done.err == (
        f"{cpu_line(3)}; {weights()}: 1 network\n"
        "1 record, 1 allele: 2 rows with a value\n"
        "2 genes: all windows as the genome has them\n"
        "half-life features missing: all 8 for all 2 genes; the model predicts from the rest\n"
    )


def test_sources_give_the_same_rows(variants: Command, folder: Path) -> None:
    table = folder / "table.csv"
    table.write_text(f"chrom,pos,ref,alt,note\nchr1,1000,{REF},{ALT},x\n")
    expected = variants("--variant", f"chr1:1000:{REF}:{ALT}", "-q").out
    assert variants("--table", table, "-q").out == expected
    text = (folder / "calls.vcf").read_bytes()
    for given in (text, gzip.compress(text)):
        assert variants("--vcf", "-", "-q", stdin=given).out == expected.replace("\t\t" + REF, "\trs1\t" + REF)


def test_vcf_comes_back_whole_with_one_more_entry(variants: Command, folder: Path, weights: Weights) -> None:
    done = variants("--vcf", folder / "calls.vcf", "--format", "vcf", "-q")
    version, info, ours, columns, row = done.out.splitlines()
    assert (version, done.code, done.err) == ("##fileformat=VCFv4.2", 0, "")
    assert info.startswith("##INFO=<ID=seqexpr,Number=.,Type=String,Description=") and "ALLELE|GENE|" in info
    assert ours.startswith("##seqexpr=<Version=") and weights().stem in ours and "SHA256=" in ours
    assert columns.startswith("#CHROM") and row.startswith(f"chr1\t1000\trs1\t{REF}\t{ALT}\t50\tPASS\tDP=7;seqexpr=")
    entries = [entry.split("|") for entry in row.rpartition("seqexpr=")[2].split(",")]
    table = [line.split("\t") for line in variants("--vcf", folder / "calls.vcf", "-q").out.splitlines()[1:]]
    for entry, cells in zip(entries, table, strict=True):
        assert entry == [cells[4], cells[6], cells[5], *cells[7:12], *cells[13:16]]
    out = folder / "effects.vcf.gz"
    assert variants("--vcf", folder / "calls.vcf", "--out", out, "-q").code == 0
    assert gzip.decompress(out.read_bytes()).decode() == done.out
    assert out.read_bytes()[12:16] == b"BC\x02\x00"  # BGZF


def test_files_of_other_formats(variants: Command, folder: Path) -> None:
    out = folder / "effects.jsonl"
    assert variants("--vcf", folder / "calls.vcf", "--out", out, "-q").code == 0
    first = json.loads(out.read_text().splitlines()[0])
    assert (first["id"], first["pos"], first["tss_distance"], first["flag"]) == ("rs1", 1000, -50, None)


@pytest.mark.parametrize("name", ["effects.txt", "effects", "effects.gz", "effects.txt.gz", "effects.vcf.zip"])
def test_a_suffix_that_stands_for_no_format_is_refused(variants: Command, folder: Path, name: str) -> None:
    given, out = ("--vcf", folder / "calls.vcf", "--out", folder / name, "-q"), folder / name
    refused = variants(*given)
    assert (refused.code, refused.out, out.exists()) == (2, "", False)
    expected = "its suffix is none of .tsv, .csv, .jsonl, .parquet, .vcf; or say which with --format"
    assert refused.err == f"seqexpr: error: --out {out}: {expected}\n"
    assert variants(*given, "--format", "csv").code == 0 and out.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_needs_no_suffix(variants: Command, folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    rows: list[str] = []
    reader = threading.Thread(target=lambda: rows.extend(pipe.read_text().splitlines()))
    reader.start()
    assert variants("--vcf", folder / "calls.vcf", "--out", pipe, "-q").code == 0
    reader.join()
    assert rows[0] == HEADER and len(rows) == 3


def test_the_input_is_never_overwritten(variants: Command, folder: Path) -> None:
    calls, before = folder / "calls.vcf", (folder / "calls.vcf").read_bytes()
    for options in (("--out", calls), ("--out", folder / "." / "calls.vcf", "--format", "vcf")):
        refused = variants("--vcf", calls, *options, "-q")
        assert (refused.code, refused.out) == (2, "") and calls.read_bytes() == before
        assert refused.err == f"seqexpr: error: --out {calls} is an input, {calls}: give another file\n"
    over_genome = variants("--vcf", calls, "--out", folder / "genome.fa", "--format", "tsv", "-q")
    assert over_genome.code == 2 and "genome.fa is an input" in over_genome.err


def test_every_allele_comes_out_and_the_totals_add_up(variants: Command, folder: Path) -> None:
    rows = [
        f"chr1\t1000\t.\t{REF}\t{ALT},*,<DEL>,<X>\t.\t.\tEND=1010",
        "chr1\t0\t.\tN\tA\t.\t.\t.",
        f"chr1\t2900\t.\t{LETTERS[2899]}\t.\t.\t.\t.",
        f"chr1\t2900\t.\t{LETTERS[2899]}\tGG\t.\t.\t.",
        "chr9\t5\t.\tA\tC\t.\t.\t.",
        f"chr2\t5\t.\t{LETTERS[::-1][4]}\tGG\t.\t.\t.",
        f"chr1\t1000\t.\t{ALT}\tGG\t.\t.\t.",
    ]
    (folder / "odd.vcf").write_text(vcf(*rows))
    done = variants("--vcf", folder / "odd.vcf", "--max-mismatch", 1)
    lines = [line.split("\t") for line in done.out.splitlines()[1:]]
    assert [line[-1] for line in lines] == [
        *["", "", "star", "", "", "symbolic", "not_acgt", "no_alt"],
        *["out_of_window", "contig_missing", "no_gene", "ref_mismatch"],
    ]
    assert "7 records, 10 alleles: 4 rows with a value, 8 without (" in done.err
    back = variants("--vcf", folder / "odd.vcf", "--max-mismatch", 1, "--format", "vcf", "-q").out
    assert [line.split("\t")[:5] for line in back.splitlines()[-7:]] == [row.split("\t")[:5] for row in rows]


def test_levels_of_samples(variants: Command, folder: Path) -> None:
    header = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb"
    (folder / "p.vcf").write_text(
        f"##fileformat=VCFv4.2\n{header}\nchr1\t1000\t.\t{REF}\t{ALT}\t.\t.\t.\tGT\t0|1\t1|1\n"
    )
    done = variants("--vcf", folder / "p.vcf", "--phased", "--genes", "one")
    first, a, b = (line.split("\t") for line in done.out.splitlines())
    levels = ["ref_level", "haplotype1_level", "haplotype2_level", "mean_level", "delta"]
    assert first == ["sample", "gene_id", "gene", "strand", "variants", *levels, "flag"]
    assert (a[:5], b[:5]) == (["a", "one", "one", "+", "1"], ["b", "one", "one", "+", "1"])
    assert a[5] == a[6] != a[7] and b[6] == b[7] == a[7] and float(b[9]) == pytest.approx(2 * float(a[9]), rel=1e-3)
    assert done.err.splitlines()[1] == "1 record, 2 samples: 2 rows"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "no variants: give --vcf, --table or --variant"),
        (("--variant", "chr1:5"), 2, "variant 'chr1:5': write CHROM:POS:REF:ALT"),
        (("--variant", "chr1:5:A:G", "--vcf", "x"), 2, "--vcf and --variant are sources of variants; give one"),
        (("--variant", "chr1:5:A:G", "--samples", "a"), 2, "--samples picks samples for --phased"),
        (("--variant", "chr1:5:A:G", "--phased"), 2, "--phased needs --vcf"),
        (("--vcf", "calls.vcf", "--phased", "--distance", "5"), 2, "leave --distance out"),
        (("--vcf", "calls.vcf", "--phased"), 2, "--phased needs a VCF file with samples"),
        (("--vcf", "calls.vcf", "--max-mismatch", "7"), 2, "'7' is not a number between 0 and 1"),
        (("--vcf", "absent.vcf"), 3, "found no such file"),
        (("--vcf", "genome.fa"), 3, "before any line that starts with #CHROM"),
        (("--variant", f"chr1:1000:{ALT}:GG"), 3, "1 of 1 REF alleles differ, first chr1:1000 has"),
        (("--vcf", "other.vcf"), 3, "contig chr1: found 3,000 bases; expected 2,999"),
        (("--vcf", "calls.vcf", "--vcf", "x"), 2, "--vcf is given more than once, and takes one value"),
        (("--variant", "chr1:9999:A:G"), 3, "first chr1:9999, which is not among the contig's 3,000 bases"),
        (("--variant", "chr7:5:A:G"), 3, "none of the contigs of 1 variant, the first being 'chr7'"),
        (("--vcf", "calls.vcf", "--format", "vcf"), 2, "says tsv and --format vcf"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    variants: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(folder)
    text = (folder / "calls.vcf").read_text().replace("#CHROM", "##contig=<ID=chr1,length=2999>\n#CHROM", 1)
    (folder / "other.vcf").write_text(text)
    done = variants(*options, "--out", "effects.tsv")
    assert (done.code, done.out) == (code, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("seqexpr: error: ") and said in last
    assert not (folder / "effects.tsv").exists()


def test_models_of_proteins_have_no_effects_of_variants(folder: Path, seqexpr: Command) -> None:
    options = ("--genome", folder / "genome.fa", "--tss", folder / "tss.bed", "--vcf", folder / "calls.vcf")
    done = seqexpr("variants", *options, "--model", "human-prot")
    said = "model human-prot reads proteins: effects of variants need models that read DNA alone"
    assert (done.code, done.err) == (2, f"seqexpr: error: {said}\n")


def test_names_that_differ_are_told(variants: Command, folder: Path) -> None:
    done = variants("--variant", f"1:1000:{REF}:{ALT}")
    assert done.code == 0 and "2 genes: 1 contig found under another name (1 as chr1)\n" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "x.vcf", "--format", "tsv"), "--out x.vcf says vcf and --format tsv: leave one of them out"),
        (("--out", "x.vcf.bgz"), "--out x.vcf.bgz: name it .vcf.gz; it is written as BGZF"),
    ],
)
def test_formats_and_suffixes_must_agree(variants: Command, folder: Path, options: tuple[str, ...], said: str) -> None:
    done = variants("--vcf", folder / "calls.vcf", *options)
    assert (done.code, done.err) == (2, f"seqexpr: error: {said}\n")


def test_a_truncated_file_leaves_no_output(variants: Command, folder: Path) -> None:
    whole = gzip.compress((folder / "calls.vcf").read_bytes())
    (folder / "cut.vcf.gz").write_bytes(whole[:-9])
    done = variants("--vcf", folder / "cut.vcf.gz", "--out", folder / "effects.tsv")
    assert done.code == 3 and "cut short" in done.err and not (folder / "effects.tsv").exists()


def test_a_background_gives_percentiles(
    variants: Command, seqexpr: Command, folder: Path, weights: Weights, tmp_path: Path
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights().read_bytes())
    sources = ("--genome", folder / "genome.fa", "--tss", folder / "tss.bed")
    done = seqexpr("models", "background", own, *sources, "--per-gene", 50)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"100 substitutions near 2 TSSs: {tmp_path / 'own.background.json'}\n"
    stored = json.loads((tmp_path / "own.background.json").read_text())
    assert len(stored["differences"]["mrna"]) == 1001 and stored["substitutions"] == 100
    shown = seqexpr("variants", "--variant", f"chr1:1000:{REF}:{ALT}", *sources, "--model", own, "-q").out
    delta, percentile = (abs(float(shown.splitlines()[1].split("\t")[place])) for place in (11, 14))
    below = sum(step <= delta for step in stored["differences"]["mrna"]) / 1001 * 100
    assert percentile == pytest.approx(below, abs=0.3)
    own.write_bytes(weights(seed=1).read_bytes())
    other = seqexpr("variants", "--variant", f"chr1:1000:{REF}:{ALT}", *sources, "--model", own, "-q")
    assert "of other weights than own.safetensors: no percentiles" in other.err
    assert other.out.splitlines()[1].split("\t")[14] == ""


def percentile(seqexpr: Command, folder: Path, *models: object) -> tuple[float, str]:
    """|delta| of a variant, and its percentile as text."""
    named = [part for model in models for part in ("--model", model)]
    sources = ("--genome", folder / "genome.fa", "--tss", folder / "tss.bed", *named, "-q")
    done = seqexpr("variants", "--variant", f"chr1:1000:{REF}:{ALT}", *sources)
    assert (done.code, done.err) == (0, "")
    cells = done.out.splitlines()[1].split("\t")
    return abs(float(cells[11])), cells[14]


def test_an_ensemble_has_a_background_of_its_own(
    seqexpr: Command, folder: Path, weights: Weights, private_cache: Path
) -> None:
    first, second = weights(seed=3), weights(seed=4, upstream=300)
    sources = ("--genome", folder / "genome.fa", "--tss", folder / "tss.bed", "--per-gene", 50)
    assert percentile(seqexpr, folder, first, second)[1] == ""
    done = seqexpr("models", "background", first, second, *sources)
    (file,) = (private_cache / "weights").iterdir()
    assert done.err == f"100 substitutions near 2 TSSs: {file}\n"
    steps = json.loads(file.read_text())["differences"]["mrna"]
    delta, found = percentile(seqexpr, folder, first, second)
    assert float(found) == pytest.approx(sum(step <= delta for step in steps) / 1001 * 100, abs=0.3)
    assert percentile(seqexpr, folder, second, first) == (pytest.approx(delta), found)
    assert percentile(seqexpr, folder, first)[1] == percentile(seqexpr, folder, first, weights(seed=5))[1] == ""


def test_a_run_of_cv_has_its_background_in_its_folder(
    seqexpr: Command, folder: Path, weights: Weights, private_cache: Path
) -> None:
    run = folder / "liver"
    for fold in (0, 1):
        (run / "folds" / str(fold)).mkdir(parents=True)
        shutil.copy(weights(seed=fold), run / "folds" / str(fold) / "weights.safetensors")
        (run / "folds" / str(fold) / ".done").touch()
    (run / "manifest.json").write_text(json.dumps({"kind": "cv", "options": {"folds": 2}}))
    sources = ("--genome", folder / "genome.fa", "--tss", folder / "tss.bed", "--per-gene", 50)
    done = seqexpr("models", "background", run, *sources)
    assert (done.code, done.err) == (0, f"100 substitutions near 2 TSSs: {run / 'background.json'}\n")
    assert float(percentile(seqexpr, folder, run)[1]) > 0
    one_by_one = [run / "folds" / str(fold) for fold in (1, 0)]
    assert percentile(seqexpr, folder, *one_by_one) == percentile(seqexpr, folder, run)
    shutil.copy(weights(seed=2), run / "folds" / "1" / "weights.safetensors")
    other = seqexpr("variants", "--variant", f"chr1:1000:{REF}:{ALT}", *sources[:4], "--model", run, "-q")
    assert f"{run / 'background.json'} is of other weights than liver: no percentiles" in other.err
    (run / "folds" / "1" / ".done").unlink()
    partial = seqexpr("models", "background", run, *sources)
    assert partial.code == 4 and "has 1 of its 2 folds" in partial.err


def test_a_background_of_models_that_predict_other_things_is_refused(
    seqexpr: Command, folder: Path, weights: Weights
) -> None:
    sources = ("--genome", folder / "genome.fa", "--tss", folder / "tss.bed")
    done = seqexpr("models", "background", weights(), weights(output="protein"), *sources)
    assert done.code == 2 and "must predict the same" in done.err
    proteins = seqexpr("models", "background", weights("protein-perceiver"), *sources)
    assert proteins.code == 2 and "reads proteins; a background is of models that read DNA alone" in proteins.err


def test_the_bundled_model_has_its_background() -> None:
    from seqexpr.effects.background import read_background
    from seqexpr.models.registry import resolve_models

    found = read_background(resolve_models(["human-mrna"]))
    assert found is not None and found.substitutions == 10_164
    assert found.percentile("mrna", -1.0) == 100.0 and 0 <= found.percentile("mrna", 0.0) < 1


def odd_record(letters: random.Random) -> str:
    """A line of a VCF file: often right, often odd, never out of the format."""
    chrom = letters.choice(["chr1"] * 8 + ["1", "chr2", "chr9"])
    at = letters.choice([letters.randrange(700, 1_400)] * 6 + [letters.randrange(1, 3_001)] * 3 + [0, 3_001, 9_999_999])
    inside = LETTERS if chrom in ("chr1", "1") else LETTERS[::-1]
    size = letters.choice([1, 1, 1, 1, 2, 5])
    ref = inside[max(at - 1, 0) : at - 1 + size] or "A"
    kinds = [
        "A",
        "C",
        "G",
        "T",
        "ACGT",
        ref.lower(),
        ref,
        "*",
        ".",
        "<DEL>",
        "<DUP>",
        "<INS>",
        "<INV>",
        "<*>",
        "N",
        "R",
    ]
    kinds += [f"{ref[0]}[chr2:5[", f"]chr2:5]{ref[0]}", ref + "ACGTTTGACA", "a", "G" * 100_001]
    alts = ",".join(
        letters.choices(kinds[:-1], k=letters.choice([1, 1, 1, 2, 4])) + [kinds[-1]] * (letters.random() < 0.01)
    )
    ref = letters.choice([ref] * 9 + [ref.lower(), "N", "AC"])
    info = letters.choice([".", "DP=5", f"END={at + 40}", f"END={at + 40};SVLEN=-40", "SVLEN=-7", "END=1;seqexpr=old"])
    name = letters.choice([".", "rs1", "a;b"])
    return f"{chrom}\t{at}\t{name}\t{ref}\t{alts}\t{letters.choice(['.', '50'])}\tPASS\t{info}"


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_odd_records_come_back_each_with_a_value_or_a_flag(
    variants: Command, folder: Path, seed: int
) -> None:
    letters = random.Random(seed)
    rows = [odd_record(letters) for _ in range(1_000)]
    letters.shuffle(rows)
    (folder / "odd.vcf").write_text(vcf(*rows))
    done = variants("--vcf", folder / "odd.vcf", "--max-mismatch", 1, "--format", "vcf")
    assert done.code == 0
    back = [line.split("\t") for line in done.out.splitlines() if not line.startswith("#")]
    assert [cells[:7] for cells in back] == [row.split("\t")[:7] for row in rows]
    found: dict[str, int] = {}
    scored = entries = 0
    for cells in back:
        own = [entry.split("|") for entry in cells[7].rpartition("seqexpr=")[2].split(",")]
        assert {unquote(entry[0]) for entry in own} == set(cells[4].split(","))  # each allele has an entry at least
        for entry in own:
            assert len(entry) == 11 and (entry[7] != "" or entry[10] != "")
            scored += entry[7] != ""
            for flag in filter(None, entry[10].split("&")):
                found[flag] = found.get(flag, 0) + 1
        entries += len(own)
    alleles = sum(len(row.split("\t")[4].split(",")) for row in rows)
    flags = ", ".join(f"{count:,} {flag}" for flag, count in sorted(found.items()))
    total = f"1,000 records, {alleles:,} alleles: {scored:,} rows with a value, {entries - scored:,} without ({flags})"
    assert total in done.err.splitlines()
    assert len(found) >= 10
