from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..device_line import cpu_line

Command = Callable[..., Any]
Weights = Callable[..., Path]


def write_genome(path: Path, **contigs: str) -> Path:
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in contigs.items()))
    return path


def bases(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    return write_genome(tmp_path / "genome.fa", chr1=bases(1, 2_000), chr2=bases(2, 500), chrN="N" * 300)


def predicted(
    seqexpr: Command, genome: Path, sites: list[tuple[str, int]], strand: str, *options: object
) -> list[float]:
    """What `predict` says of TSSs at these positions."""
    path = genome.with_name("sites.bed")
    path.write_text("".join(f"{chrom}\t{at}\t{at + 1}\t{chrom}{at}\t0\t{strand}\n" for chrom, at in sites))
    done = seqexpr("predict", "--genome", genome, "--tss", path, "-q", *options)
    return [float(line.split("\t")[1]) for line in done.out.splitlines()[1:]]


def test_a_region_gives_a_track_a_strand_and_all_is_told(
    tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command
) -> None:
    options = ("--model", weights(), "--threads", 3, "--device", "cpu")
    done = seqexpr(
        "scan", "--genome", genome, "--region", "1:101-1,130", "--step", 10, "--out", tmp_path / "a", *options
    )
    files = [tmp_path / name for name in ("a.plus.bedgraph", "a.minus.bedgraph", "a.json")]
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"{cpu_line(3)}; {weights()}: 1 network\n"
        "contig 1 found under another name (chr1)\n"
        "206 positions of both strands: all with a value\n" + "".join(f"written: {path}\n" for path in files)
    )
    starts = list(range(100, 1_130, 10))
    for path, strand in zip(files[:2], "+-", strict=True):
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        assert [row[:3] for row in rows] == [["chr1", str(at), str(at + 10)] for at in starts]
        expected = predicted(seqexpr, genome, [("chr1", at) for at in starts], strand, "--model", weights())
        np.testing.assert_allclose([float(row[3]) for row in rows], expected, atol=2e-5)
    assert json.loads(files[2].read_text()) == {
        "seqexpr": "0.1.0",
        "models": [{"name": weights().stem, "sha256": sha256(weights().read_bytes()).hexdigest()}],
        "window": {"upstream": 288, "downstream": 144},
        "genome": {"file": "genome.fa", "bytes": genome.stat().st_size},
        "regions": ["chr1:101-1130"],
        "step": 10,
        "value": "predicted level if the first transcribed base were the first base of the interval; "
        "half-life features unknown",
        "tracks": [
            {"file": "a.plus.bedgraph", "strand": "+", "output": "mrna", "unit": "log10(x)"},
            {"file": "a.minus.bedgraph", "strand": "-", "output": "mrna", "unit": "log10(x)"},
        ],
    }
    assert sorted(path.name for path in tmp_path.iterdir() if "a." in path.name and "genome" not in path.name) == [
        "a.json",
        "a.minus.bedgraph",
        "a.plus.bedgraph",
    ]


def test_contigs_gaps_folder_and_formats(tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command) -> None:
    common = ("scan", "--genome", genome, "--chromosomes", "chrN,chr2", "--model", weights())
    plain = seqexpr(*common, "--out", tmp_path / "plain/")
    assert (
        plain.err.splitlines()[1]
        == "32 positions of both strands: 12 positions without a known base in the window left out"
    )
    again = seqexpr(*common, "--out", f"{tmp_path}/new/", "--format", "bedgraph.gz", "-q")
    assert (again.code, again.err) == (0, "")
    text = (tmp_path / "new" / "scan.plus.bedgraph.gz").read_bytes()
    assert gzip.decompress(text).decode().count("chr2\t") == 10
    pybigtools = pytest.importorskip("pybigtools")
    assert seqexpr(*common, "--out", f"{tmp_path}/new/", "--format", "bigwig", "-q").code == 0
    stored = list(pybigtools.open(str(tmp_path / "new" / "scan.plus.bw")).records("chr2"))
    rows = [line.split("\t") for line in gzip.decompress(text).decode().splitlines()]
    assert stored == [(int(row[1]), int(row[2]), pytest.approx(float(row[3]))) for row in rows]


def test_an_ensemble_is_its_mean(tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command) -> None:
    models = [part for seed in (0, 1) for part in ("--model", weights(seed=seed))]
    done = seqexpr("scan", "--genome", genome, "--region", "chr1:1-100", "--out", tmp_path / "a", "-q", *models)
    assert done.code == 0
    expected = predicted(seqexpr, genome, [("chr1", 0), ("chr1", 50)], "-", *models)
    levels = [float(line.split("\t")[3]) for line in (tmp_path / "a.minus.bedgraph").read_text().splitlines()]
    np.testing.assert_allclose(levels, expected, atol=2e-5)


def test_threads_do_not_change_a_byte(tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command) -> None:
    for threads in (1, 4):
        out = f"{tmp_path}/{threads}/"
        model = weights(upstream=1_000, downstream=440)  # so long that windows share work
        options = ("--model", model, "--threads", threads, "--step", 1, "--out", out, "-q")
        assert seqexpr("scan", "--genome", genome, "--chromosomes", "chr1", *options).code == 0
    for name in ("scan.plus.bedgraph", "scan.minus.bedgraph", "scan.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "4" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "no region: give --region chr1:1-2,000,000, --regions FILE or --chromosomes chr1,chr2"),
        (["--region", "chr1"], 2, "--region 'chr1': expected CONTIG:FIRST-LAST, such as chr1:1-2,000,000"),
        (["--region", "chr1:1-9", "--regions", "x"], 2, "--region and --regions are two choices of regions; give one"),
        (
            ["--region", "chr1:1-9", "--step", "0"],
            2,
            "'0' is not a whole number of at least 1 (see: seqexpr scan --help)",
        ),
        (
            ["--chromosomes", "chr5"],
            3,
            "{genome}, --chromosomes: found no contig 'chr5'; expected one of chr1, chr2, chrN",
        ),
        (
            ["--region", "chr2:1-501"],
            3,
            "{genome}, --region chr2:1-501: found base 501 of contig chr2; expected 1 to 500, the contig's length (is "
            "it the same assembly?)",
        ),
        (["--regions", "{absent}"], 3, "{absent}: found no such file; expected a readable file"),
        (["--region", "chr1:1-9", "--model", "nothing"], 4, "no model, weights file or run folder 'nothing'"),
        (
            ["--region", "chr1:1-9", "--model", "human-prot"],
            2,
            "the model reads proteins, which positions of a genome do not have: scan takes models of DNA",
        ),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], code: int, message: str, tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command
) -> None:
    places = {"genome": genome, "absent": tmp_path / "absent.bed"}
    model = [] if "--model" in options else ["--model", weights()]
    given = [option.format(**places) for option in options]
    done = seqexpr("scan", "--genome", genome, "--out", tmp_path / "a", *model, *given)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("seqexpr: error: ") and done.err.count("\n") == 1
    assert message.format(**places) in done.err
    assert not list(tmp_path.glob("*a.*s*"))


def test_a_track_that_is_an_input_is_exit_2(tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command) -> None:
    regions = tmp_path / "a.plus.bedgraph"
    regions.write_text("chr1\t500\t600\n")
    done = seqexpr(
        *("scan", "--genome", genome, "--regions", regions, "--out", tmp_path / "a", "--model", weights(), "-q")
    )
    expected = f"seqexpr: error: --out {regions} is an input, {regions}: give another file\n"
    assert (done.code, done.err, regions.read_text()) == (2, expected, "chr1\t500\t600\n")


def test_bigwig_without_its_library_is_known_first(
    tmp_path: Path, genome: Path, weights: Weights, seqexpr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    options = ("--region", "chr1:1-9", "--model", weights(), "--format", "bigwig", "--out", tmp_path / "a")
    done = seqexpr("scan", "--genome", genome, *options)
    assert (done.code, done.out) == (4, "")
    assert done.err == "seqexpr: error: bigWig needs pybigtools, which is not installed; run: pip install pybigtools\n"


@pytest.mark.slow
def test_a_killed_scan_resumed_gives_the_same_bytes(
    tmp_path: Path, weights: Weights, program: Callable[..., subprocess.Popen[bytes]]
) -> None:
    genome = write_genome(tmp_path / "genome.fa", a=bases(1, 300), b=bases(2, 60_000))
    common = ("scan", "--genome", genome, "--chromosomes", "a,b", "--step", 3, "--model", weights(), "--threads", 1)
    killed = program(*common, "--out", tmp_path / "one" / "a")
    parts = tmp_path / "one" / ".a.parts"
    while not (parts / "0.done").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    again = program(*common, "--out", tmp_path / "one" / "a")
    _, said = again.communicate()
    assert again.returncode == 2
    found = f"a scan that was not finished is in {parts}: --resume goes on with it; to begin again, remove it"
    assert said.decode().splitlines()[1:] == [f"seqexpr: error: {found}"]
    for name, options in (("one", ["--resume"]), ("two", [])):
        done = program(*common, "--out", tmp_path / name / "a", *options)
        _, said = done.communicate()
        assert done.returncode == 0
        assert ("1 of 2 contigs done before\n" in said.decode()) == (name == "one")
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert names == [["a.json", "a.minus.bedgraph", "a.plus.bedgraph"]] * 2
    for name in names[0]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
