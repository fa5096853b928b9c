"""Shards of a command and `seqexpr merge`: the merged file has the bytes of one run."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
Weights = Callable[..., Path]

FORMATS = ("a.tsv", "a.csv.gz", "a.jsonl", "a.parquet")
CASES = [(name, count) for name in FORMATS for count in (1, 3, 7)]


def bases(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def in_shards(seqexpr: Command, folder: Path, name: str, count: int, options: Sequence[object], **given: Any) -> Path:
    """Run all shards of a command into a folder of their own."""
    parts = folder / f"{name}.{count}"
    parts.mkdir()
    for index in range(1, count + 1):
        done = seqexpr(*options, "--shard", f"{index}/{count}", "--out", parts / f"{index:03}.{name}", "-q", **given)
        assert (done.code, done.out, done.err) == (0, "", "")
    return parts


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    path = tmp_path / "windows.fa"
    path.write_text("".join(f">g{n}\n{bases(n, 432)}{'N' if n == 4 else 'A'}\n" for n in range(31)))
    return path


@pytest.fixture
def predict(windows: Path, weights: Weights) -> list[object]:
    """A command that predicts for 31 genes, whose windows lie within the records."""
    return ["predict", windows, "--tss-at", 288, "--model", weights(), "--threads", 2, "--device", "cpu"]


@pytest.mark.parametrize(("name", "count"), [*CASES, ("a.tsv", 40), ("a.parquet", 40)])
def test_merged_predictions_have_the_bytes_of_one_run(
    name: str, count: int, tmp_path: Path, predict: list[object], seqexpr: Command
) -> None:
    one = tmp_path / name
    assert seqexpr(*predict, "--out", one, "-q").code == 0
    parts = in_shards(seqexpr, tmp_path, name, count, predict)
    done = seqexpr("merge", parts, "--out", tmp_path / f"merged.{name}", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / f"merged.{name}").read_bytes() == one.read_bytes()


def test_shards_and_merge_say_what_one_run_says(tmp_path: Path, predict: list[object], seqexpr: Command) -> None:
    whole = seqexpr(*predict, "--out", tmp_path / "one.tsv").err.splitlines()
    for index, own in ((1, 11), (2, 10), (3, 10)):
        done = seqexpr(*predict, "--shard", f"{index}/3", "--out", tmp_path / f"{index}.tsv")
        assert done.err.splitlines()[1:] == [
            f"{own} records: {own} records cropped to the window",
            f"half-life features missing: all 8 for all {own} genes; the model predicts from the rest",
            f"shard {index}/3: {own} of 31 records",
        ]
    merged = seqexpr("merge", *(tmp_path / f"{index}.tsv" for index in (3, 1, 2)), "--out", tmp_path / "all.tsv")
    assert (merged.code, merged.out) == (0, "")
    first, *totals = merged.err.splitlines()
    assert first == "3 shards of predict, 31 records"
    assert totals == [*whole[1:], f"written: {tmp_path / 'all.tsv'}"]


def test_streams_are_sharded_too(tmp_path: Path, windows: Path, predict: list[object], seqexpr: Command) -> None:
    one, merged = tmp_path / "one.tsv", tmp_path / "merged.tsv"
    assert seqexpr(*predict, "--out", one, "-q").code == 0
    predict[1] = "-"
    parts = in_shards(seqexpr, tmp_path, "a.tsv", 3, predict, stdin=windows.read_bytes())
    assert seqexpr("merge", parts, "--out", merged, "-q").code == 0
    assert merged.read_bytes() == one.read_bytes()


def test_windows_with_proteins_and_half_life(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    genes = [f"g{n}" for n in range(20)]
    dna, proteins, table = (tmp_path / name for name in ("w.fa", "p.fa", "h.tsv"))
    dna.write_text("".join(f">{gene}\n{bases(n, 432)}\n" for n, gene in enumerate(genes)))
    proteins.write_text("".join(f">{gene}\nMKV{'LAG' * n}*\n" for n, gene in enumerate([*genes[::-1], "x", "y"])))
    names = ["utr5_len", "cds_len", "intron_len", "utr3_len", "utr5_gc", "cds_gc", "utr3_gc", "orf_exon_density"]
    table.write_text("\t".join(["id", *names]) + "\ng0" + "\t100" * 4 + "\t0.5" * 3 + "\t9\n")
    options: list[object] = ["predict", "--fasta", "-", "--proteins", proteins, "--half-life", table, "--device", "cpu"]
    options += ["--model", weights("protein-dna-perceiver")]
    whole = seqexpr(*options, "--out", tmp_path / "one.tsv", stdin=dna.read_bytes())
    assert whole.code == 0
    parts = in_shards(seqexpr, tmp_path, "a.tsv", 4, options, stdin=dna.read_bytes())
    merged = seqexpr("merge", parts, "--out", tmp_path / "merged.tsv")
    assert (tmp_path / "merged.tsv").read_bytes() == (tmp_path / "one.tsv").read_bytes()
    assert merged.err.splitlines()[1:-1] == whole.err.splitlines()[1:]
    assert "2 proteins without a window left out" in merged.err


@pytest.fixture
def parts(tmp_path: Path, predict: list[object], seqexpr: Command) -> Path:
    return in_shards(seqexpr, tmp_path, "a.tsv", 3, predict)


def refused(seqexpr: Command, tmp_path: Path, *shards: object) -> str:
    """The one line of a merge that is bad input and leaves nothing."""
    before = sorted(tmp_path.iterdir())
    done = seqexpr("merge", *shards, "--out", tmp_path / "merged.tsv")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert sorted(tmp_path.iterdir()) == before
    return str(done.err)


def test_a_missing_shard_is_named(tmp_path: Path, parts: Path, seqexpr: Command) -> None:
    (parts / "002.a.tsv").unlink()
    assert "002.a.tsv: found No such file or directory" in refused(seqexpr, tmp_path, parts)
    (parts / "002.a.tsv.shard.json").unlink()
    assert f"{parts}: found no shard 2 of 3, which is missing; expected all 3" in refused(seqexpr, tmp_path, parts)


def test_a_shard_without_its_json_is_named(tmp_path: Path, parts: Path, seqexpr: Command) -> None:
    (parts / "002.a.tsv.shard.json").unlink()
    line = refused(seqexpr, tmp_path, *sorted(parts.glob("*.tsv")))
    assert f"{parts / '002.a.tsv'}: found no 002.a.tsv.shard.json beside it" in line


def test_a_double_shard_is_named(tmp_path: Path, parts: Path, seqexpr: Command, predict: list[object]) -> None:
    assert seqexpr(*predict, "--shard", "2/3", "--out", tmp_path / "again.tsv", "-q").code == 0
    line = refused(seqexpr, tmp_path, parts, tmp_path / "again.tsv")
    assert f"{tmp_path / 'again.tsv.shard.json'}: found shard 2/3 a second time; expected it once" in line


def test_the_same_file_twice_is_no_matter(tmp_path: Path, parts: Path, seqexpr: Command) -> None:
    assert seqexpr("merge", parts, *sorted(parts.iterdir()), "--out", tmp_path / "merged.tsv", "-q").code == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--skip-missing-contigs"], "--skip-missing-contigs on; expected off, as in "),
        (["--tss-at", "289"], "--tss-at 289; expected 288, as in "),
        (["--format", "csv"], "the format csv; expected tsv, as in "),
        (["--model", "other"], "models name "),
        (["--shard", "2/4"], "the number of shards 4; expected 3, as in "),
        (["another record"], "--fasta bytes "),
    ],
)
def test_a_foreign_shard_is_named(
    change: list[str], said: str, tmp_path: Path, parts: Path, windows: Path, weights: Weights, seqexpr: Command
) -> None:
    options: dict[str, object] = {"--tss-at": 288, "--model": weights(), "--shard": "2/3"}
    if change == ["another record"]:
        windows.write_text(windows.read_text() + f">more\n{bases(1, 433)}\n")
        change = []
    elif change[0] == "--model":
        change = ["--model", str(weights(seed=5))]
    given = [part for name, value in options.items() if name not in change for part in (name, value)]
    for path in parts.glob("002*"):
        path.unlink()
    out = parts / "002.a"
    assert seqexpr("predict", windows, *given, *change, "--device", "cpu", "--out", out, "-q").code == 0
    line = refused(seqexpr, tmp_path, parts)
    assert f"{out}.shard.json: found a shard of something else: {said}" in line
    assert str(parts / "001.a.tsv.shard.json") in line


def test_streams_of_other_records_are_foreign(
    tmp_path: Path, windows: Path, predict: list[object], seqexpr: Command
) -> None:
    predict[1] = "-"
    text = windows.read_bytes()
    for index, given in ((1, text), (2, text.replace(b">g7\n", b">other\n"))):
        assert seqexpr(*predict, "--shard", f"{index}/2", "--out", tmp_path / f"{index}.tsv", stdin=given).code == 0
    line = refused(seqexpr, tmp_path, tmp_path / "1.tsv", tmp_path / "2.tsv")
    assert "2.tsv.shard.json: found a shard of something else: the records, by names and letters," in line


def test_streams_of_other_letters_under_the_same_names_are_foreign(
    tmp_path: Path, windows: Path, predict: list[object], seqexpr: Command
) -> None:
    predict[1] = "-"
    other = windows.read_bytes().replace(b"AAA", b"ACA")
    for index, given in ((1, windows.read_bytes()), (2, other)):
        assert seqexpr(*predict, "--shard", f"{index}/2", "--out", tmp_path / f"{index}.tsv", stdin=given).code == 0
    done = seqexpr("merge", tmp_path, "--out", tmp_path / "a.tsv")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert "2.tsv.shard.json: found a shard of something else: the records, by names and letters," in done.err


def test_a_table_that_is_a_stream_is_refused(tmp_path: Path, predict: list[object], seqexpr: Command) -> None:
    options = ["--half-life", "-", "--shard", "1/2", "--out", tmp_path / "1.tsv"]
    done = seqexpr(*predict, *options, stdin=b"id\n")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "seqexpr: error: --shard: --half-life - is a stream, which other shards cannot compare; give a file\n"
    )
    assert not (tmp_path / "1.tsv").exists()


def test_a_damaged_shard_is_named(tmp_path: Path, parts: Path, seqexpr: Command) -> None:
    file = parts / "003.a.tsv"
    text = file.read_text()
    file.write_text(text.replace("1", "2", 1))
    assert f"{file}: found SHA-256 " in refused(seqexpr, tmp_path, parts)
    file.write_text(text)
    description = parts / "001.a.tsv.shard.json"
    description.write_text(description.read_text().replace('"total": 31', '"total": 32'))
    assert f"{description}, key 'sha256 of this': found " in refused(seqexpr, tmp_path, parts)
    description.write_text("{}")
    assert f"{description}, key 'seqexpr': found no such key" in refused(seqexpr, tmp_path, parts)


def test_nothing_to_merge(tmp_path: Path, seqexpr: Command) -> None:
    assert "a folder without a file *.shard.json" in refused(seqexpr, tmp_path, tmp_path)
    assert "absent.tsv: found no absent.tsv.shard.json beside it" in refused(seqexpr, tmp_path, tmp_path / "absent.tsv")


@pytest.mark.parametrize("out", [(), ("--out", "-"), ("--out", "/dev/null")])
def test_a_shard_is_a_file(out: tuple[str, ...], predict: list[object], seqexpr: Command) -> None:
    done = seqexpr(*predict, "--shard", "1/2", *out)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "--shard needs " in done.err


def test_a_shard_that_is_none_is_a_usage_error(tmp_path: Path, predict: list[object], seqexpr: Command) -> None:
    done = seqexpr(*predict, "--shard", "8/7", "--out", tmp_path / "a.tsv")
    assert (done.code, done.err) == (
        2,
        "seqexpr: error: --shard 8/7: give I/N, such as 2/7, with I from 1 to N, and N at most 100,000\n",
    )


def test_another_format_is_a_usage_error(tmp_path: Path, parts: Path, seqexpr: Command) -> None:
    out = tmp_path / "merged.csv"
    done = seqexpr("merge", parts, "--out", out)
    assert (done.code, done.err) == (
        2,
        f"seqexpr: error: --out {out}: its name says another format than that of the shards, tsv\n",
    )
    assert seqexpr("merge", parts, "--out", tmp_path / "merged.tsv.gz", "-q").code == 0
    text = gzip.decompress((tmp_path / "merged.tsv.gz").read_bytes())
    assert text.startswith(b"id\tmrna\n") and text.count(b"\n") == 32


def test_a_shard_is_not_replaced_by_the_result(parts: Path, seqexpr: Command) -> None:
    first = parts / "001.a.tsv"
    before = first.read_bytes()
    done = seqexpr("merge", parts, "--out", first)
    assert (done.code, done.err) == (2, f"seqexpr: error: --out {first} is an input, {first}: give another file\n")
    assert first.read_bytes() == before


def test_a_killed_shard_leaves_nothing(
    tmp_path: Path, predict: list[object], windows: Path, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    predict[1] = "-"
    shard = program(*predict, "--shard", "1/2", "--out", tmp_path / "1.tsv", "-q")
    assert shard.stdin is not None
    shard.stdin.write(windows.read_bytes())
    shard.stdin.flush()
    for _ in range(600):  # it has begun, and waits for more records
        if any(path.name.startswith(".1.tsv") for path in tmp_path.iterdir()):
            break
        try:
            shard.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    shard.terminate()
    _, said = shard.communicate()
    assert (shard.returncode, b"terminated" in said) == (143, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["windows.fa"]


def test_the_json_says_what_the_shard_is(parts: Path) -> None:
    said = json.loads((parts / "002.a.tsv.shard.json").read_text())
    assert (said["command"], said["format"], said["shard"], said["of"]) == ("predict", "tsv", 2, 3)
    assert {key: said["records"][key] for key in ("total", "own", "largest_block")} == {
        "total": 31,
        "own": 10,
        "largest_block": 1024,
    }
    text = (parts / "002.a.tsv").read_bytes()
    header, *blocks = said["segments"]
    assert text[:header] == b"id\tmrna\n" and header + sum(blocks) == len(text)
    lines = text[header:].split(b"\n")
    assert [line.split(b"\t")[0].decode() for line in lines[:-1]] == [
        f"g{n}" for n in (1, 5, 6, 12, 13, 14, 22, 23, 24, 25)
    ]


CHROMOSOME = bases(9, 3_000)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A VCF file of 45 records, some of which have no value, with Windows line ends and none after the last record."""
    (tmp_path / "genome.fa").write_text(f">chr1\n{CHROMOSOME}\n>chr2\n{CHROMOSOME[::-1]}\n")
    (tmp_path / "tss.bed").write_text(
        "chr1\t1049\t1050\tone\t0\t+\nchr1\t1100\t1101\ttwo\t0\t-\nchr1\t9\t10\tz\t0\t+\n"
    )
    lines = [
        "##fileformat=VCFv4.2",
        "##contig=<ID=chr1,length=3000>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="">',
    ]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2")
    for number, place in enumerate(range(900, 1_120, 5)):
        ref = CHROMOSOME[place - 1 : place + number % 3]
        alts = {0: "<DEL>", 1: "*,A", 2: f"{ref}TT"}.get(number % 7, "ACGT".replace(ref[0], "")[0])
        lines.append(
            f"chr1\t{place}\trs{number}\t{ref}\t{alts}\t.\tPASS\tDP=7\tGT\t0|1\t{'1|1' if number % 2 else '0/1'}"
        )
    lines.append("chrX\t5\t.\tA\tC\t.\t.\t.\tGT\t0|0\t.|.")
    path = tmp_path / "calls.vcf"
    path.write_bytes("\r\n".join(lines).encode())
    return path


@pytest.fixture
def variants(tmp_path: Path, weights: Weights) -> list[object]:
    genome = ["--genome", tmp_path / "genome.fa", "--tss", tmp_path / "tss.bed"]
    return ["variants", *genome, "--model", weights(), "--model", weights(seed=3), "--threads", 2, "--device", "cpu"]


@pytest.mark.parametrize(
    ("name", "count"), [*CASES, *((name, count) for name in ("a.vcf", "a.vcf.gz") for count in (1, 3, 7, 60))]
)
def test_merged_effects_have_the_bytes_of_one_run(
    name: str, count: int, tmp_path: Path, calls: Path, variants: list[object], seqexpr: Command
) -> None:
    variants += ["--vcf", calls]
    whole = seqexpr(*variants, "--out", tmp_path / name)
    assert whole.code == 0
    parts = in_shards(seqexpr, tmp_path, name, count, variants)
    merged = seqexpr("merge", parts, "--out", tmp_path / f"merged.{name}")
    assert (tmp_path / f"merged.{name}").read_bytes() == (tmp_path / name).read_bytes()
    first, *totals = merged.err.splitlines()
    assert first == f"{count} shard{'s' * (count > 1)} of variants, 45 records"
    assert totals[:-1] == whole.err.splitlines()[1:2] and totals[0].startswith("45 records, ")


def test_a_shard_of_a_compressed_vcf_is_one_itself(
    tmp_path: Path, calls: Path, variants: list[object], seqexpr: Command
) -> None:
    parts = in_shards(seqexpr, tmp_path, "a.vcf.gz", 3, [*variants, "--vcf", "-"], stdin=calls.read_bytes())
    whole = gzip.decompress(calls.read_bytes()) if calls.suffix == ".gz" else calls.read_bytes()
    records = []
    for path in sorted(parts.glob("*.gz")):
        data = path.read_bytes()
        assert data.endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))
        at = blocks = 0
        while at < len(data):  # BGZF: each block says its size
            assert data[at + 12 : at + 16] == b"BC\x02\x00"
            at += int.from_bytes(data[at + 16 : at + 18], "little") + 1
            blocks += 1
        assert at == len(data) and blocks > 3
        records += [line.split(b"\t")[1] for line in gzip.decompress(data).splitlines() if line.startswith(b"chr")]
    assert sorted(records) == sorted(line.split(b"\t")[1] for line in whole.splitlines() if line.startswith(b"chr"))


def test_variants_of_a_table_are_merged_to_vcf(
    tmp_path: Path, calls: Path, variants: list[object], seqexpr: Command
) -> None:
    rows = [line.split("\t")[:5] for line in calls.read_text().splitlines() if line.startswith("chr")]
    table = tmp_path / "table.tsv"
    table.write_text("chrom\tpos\tid\tref\talt\n" + "".join("\t".join(row) + "\n" for row in rows))
    variants += ["--table", table]
    assert seqexpr(*variants, "--out", tmp_path / "one.vcf", "-q").code == 0
    parts = in_shards(seqexpr, tmp_path, "a.vcf", 3, variants)
    assert seqexpr("merge", parts, "--out", tmp_path / "merged.vcf", "-q").code == 0
    assert (tmp_path / "merged.vcf").read_bytes() == (tmp_path / "one.vcf").read_bytes()


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("name", ["a.tsv.gz", "a.parquet"])
def test_levels_of_samples_are_sharded_by_gene(
    name: str, count: int, tmp_path: Path, calls: Path, variants: list[object], seqexpr: Command
) -> None:
    variants += ["--vcf", calls, "--phased"]
    whole = seqexpr(*variants, "--out", tmp_path / name)
    parts = in_shards(seqexpr, tmp_path, name, count, variants)
    merged = seqexpr("merge", parts, "--out", tmp_path / f"merged.{name}")
    assert (tmp_path / f"merged.{name}").read_bytes() == (tmp_path / name).read_bytes()
    assert merged.err.splitlines() == [
        f"{count} shards of variants --phased, 3 records",
        whole.err.splitlines()[1],
        f"written: {tmp_path / f'merged.{name}'}",
    ]


def test_every_shard_refuses_another_assembly(
    tmp_path: Path, calls: Path, variants: list[object], seqexpr: Command
) -> None:
    (tmp_path / "genome.fa").write_text(f">chr1\n{bases(1, 3_000)}\n")
    variants += ["--vcf", calls]
    whole = seqexpr(*variants, "--out", tmp_path / "a.tsv")
    assert whole.code == 3 and "REF alleles differ" in whole.err
    for shard in ("1/2", "2/2", "90/90"):
        done = seqexpr(*variants, "--shard", shard, "--out", tmp_path / "a.tsv")
        assert (done.code, done.err) == (3, whole.err)
    assert not list(tmp_path.glob("a.tsv*"))


def test_a_shard_of_another_distance_is_foreign(
    tmp_path: Path, calls: Path, variants: list[object], seqexpr: Command
) -> None:
    variants += ["--vcf", calls]
    assert seqexpr(*variants, "--shard", "1/2", "--out", tmp_path / "1.tsv", "-q").code == 0
    assert seqexpr(*variants, "--shard", "2/2", "--distance", 50, "--out", tmp_path / "2.tsv", "-q").code == 0
    line = refused(seqexpr, tmp_path, tmp_path / "1.tsv", tmp_path / "2.tsv")
    assert "2.tsv.shard.json: found a shard of something else: --distance 50; expected none, as in " in line


@pytest.fixture
def scan(tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A command that scans 280 positions of both strands, in 10 stretches of each."""
    monkeypatch.setattr("seqexpr.effects.scan._POSITIONS", 32)
    contigs = {"chr1": bases(1, 2_000), "chrN": "N" * 300, "chr2": bases(2, 500)}
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{letters}\n" for name, letters in contigs.items()))
    options = ["--chromosomes", ",".join(contigs), "--step", 10, "--model", weights(), "--device", "cpu"]
    return ["scan", "--genome", tmp_path / "genome.fa", *options]


def test_a_merged_scan_never_replaces_a_shard(tmp_path: Path, scan: list[object], seqexpr: Command) -> None:
    (tmp_path / "parts").mkdir()
    for index in (1, 2):
        assert seqexpr(*scan, "--shard", f"{index}/2", "--out", tmp_path / f"parts/{index}", "-q").code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    done = seqexpr("merge", tmp_path / "parts", "--out", tmp_path / "parts/1")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "is an input" in done.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()} == before


@pytest.mark.parametrize("count", [1, 3, 7, 40])
@pytest.mark.parametrize("format", ["bedgraph", "bedgraph.gz", "bigwig"])
def test_a_merged_scan_has_the_bytes_of_one_run(
    format: str, count: int, tmp_path: Path, scan: list[object], seqexpr: Command
) -> None:
    if format == "bigwig":
        pytest.importorskip("pybigtools")
    scan += ["--format", format]
    whole = seqexpr(*scan, "--out", tmp_path / "one" / "a")
    parts = tmp_path / "parts"
    for index in range(1, count + 1):
        done = seqexpr(*scan, "--shard", f"{index}/{count}", "--out", parts / str(index), "-q")
        assert (done.code, done.out, done.err) == (0, "", "")
    assert len(list(parts.iterdir())) == 3 * count
    merged = seqexpr("merge", parts, "--out", tmp_path / "merged" / "a")
    assert (merged.code, merged.out) == (0, "")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == names and len(names) == 3
    for name in names:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    first, *rest = merged.err.splitlines()
    assert first == f"{count} shard{'s' * (count > 1)} of scan"
    assert rest == [line.replace("/one/", "/merged/") for line in whole.err.splitlines()[1:]]


def test_scans_that_cannot_be_merged(tmp_path: Path, scan: list[object], seqexpr: Command) -> None:
    for index, step in ((1, 10), (2, 20)):
        options = [step if one == 10 else one for one in scan]
        assert seqexpr(*options, "--shard", f"{index}/2", "--out", tmp_path / "parts" / str(index), "-q").code == 0
    line = refused(seqexpr, tmp_path, tmp_path / "parts")
    assert "2.shard.json: found a shard of something else: step 20; expected 10, as in " in line
    assert seqexpr(*scan, "--shard", "2/2", "--out", tmp_path / "parts" / "2", "-q").code == 0
    track = tmp_path / "parts" / "1.minus.bedgraph"
    track.write_text(track.read_text().replace("chr1", "chr2", 1))
    assert f"{track}: found SHA-256 " in refused(seqexpr, tmp_path, tmp_path / "parts")


def test_a_shard_of_a_scan_is_resumed_as_such(tmp_path: Path, scan: list[object], seqexpr: Command) -> None:
    parts = tmp_path / ".a.parts"
    done = seqexpr(*scan, "--shard", "1/2", "--out", tmp_path / "a", "-q")
    assert done.code == 0
    parts.mkdir()
    state = json.loads((tmp_path / "a.shard.json").read_text())["made_of"]
    state["tracks"] = [
        {"file": f"a.{name}.bedgraph", "strand": strand, "output": "mrna", "unit": "log10(x)"}
        for name, strand in (("plus", "+"), ("minus", "-"))
    ]
    kept = ("seqexpr", "models", "window", "genome", "regions", "step", "value", "tracks")
    (parts / "scan.json").write_text(json.dumps({**{key: state[key] for key in kept}, "shard": "1/2"}))
    for strand in ("plus", "minus"):
        (parts / f"0.{strand}.0").write_text("")
    (parts / "0.done").write_text("7")
    other = seqexpr(*scan, "--shard", "2/2", "--out", tmp_path / "a", "--resume")
    assert (other.code, "begun with other options (shard)" in other.err) == (2, True)
    done = seqexpr(*scan, "--shard", "1/2", "--out", tmp_path / "a", "--resume")
    assert done.code == 0 and "1 of 1 contig done before\n" in done.err
    assert json.loads((tmp_path / "a.shard.json").read_text())["counts"]["gaps"] == 7


@pytest.fixture
def explain(tmp_path: Path, weights: Weights) -> list[object]:
    """A command that explains 60 bases of 11 genes."""
    (tmp_path / "genome.fa").write_text(f">chr1\n{bases(5, 3_000)}\n")
    rows = (f"chr1\t{400 + 90 * n}\t{401 + 90 * n}\tg{n}\t0\t{'+-'[n % 2]}\n" for n in range(11))
    (tmp_path / "tss.bed").write_text("".join(rows))
    genome = ["--genome", tmp_path / "genome.fa", "--tss", tmp_path / "tss.bed"]
    return ["explain", *genome, "--region", "-40:+20", "--model", weights(), "--device", "cpu", "--threads", 2]


@pytest.mark.parametrize("count", [1, 3, 7, 20])
@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.npz", "a.bedgraph"])
def test_merged_explanations_have_the_bytes_of_one_run(
    name: str, count: int, tmp_path: Path, explain: list[object], seqexpr: Command
) -> None:
    whole = seqexpr(*explain, "--out", tmp_path / name)
    assert whole.code == 0
    parts = in_shards(seqexpr, tmp_path, name, count, explain)
    merged = seqexpr("merge", parts, "--out", tmp_path / f"merged.{name}")
    assert (merged.code, merged.out) == (0, "")
    assert (tmp_path / f"merged.{name}").read_bytes() == (tmp_path / name).read_bytes()
    first, *totals = merged.err.splitlines()
    assert first == f"{count} shard{'s' * (count > 1)} of explain, 11 records"
    assert totals == [*whole.err.splitlines()[1:], f"written: {tmp_path / f'merged.{name}'}"]


@pytest.mark.parametrize("name", ["a.tsv", "a.npz"])
def test_proteins_of_which_nothing_is_explained(name: str, tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    proteins = tmp_path / "proteins.fa"
    proteins.write_text("".join(f">p{n}\nM{'KLVAGE' * long}\n" for n, long in enumerate((3, 0, 1, 0, 0, 4, 2, 0))))
    options = ["explain", proteins, "--region", "2:9", "--model", weights("protein-perceiver"), "--device", "cpu"]
    assert seqexpr(*options, "--out", tmp_path / name, "-q").code == 0
    parts = in_shards(seqexpr, tmp_path, name, 3, options)
    assert seqexpr("merge", parts, "--out", tmp_path / f"merged.{name}", "-q").code == 0
    assert (tmp_path / f"merged.{name}").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("out", ["a.html", "a.png", "a.bw", "folder/", "a.npz.gz"])
def test_some_explanations_have_no_shards(out: str, tmp_path: Path, explain: list[object], seqexpr: Command) -> None:
    done = seqexpr(*explain, "--shard", "1/2", "--out", f"{tmp_path}/{out}")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"--out {tmp_path}/{out}: shards of explain are .tsv, .npz or .bedgraph; " in done.err
