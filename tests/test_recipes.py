"""recipes/: the workflow as Snakemake runs it, whose result has the bytes of one run; what modules of Nextflow say."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqexpr.cli.app import run as run_command
from seqexpr.sequences.fasta import read_fasta

ROOT = Path(__file__).resolve().parents[1]
SWAPPED = {"A": "G", "C": "T", "G": "A", "T": "C"}
POSITIONS = {"U01317.1": (19_100, 34_500, 39_300, 54_700, 62_100), "AF129756.1": (13_500, 20_800)}

Run = Callable[..., list[str]]


class WorkflowFailed(Exception):
    """What Snakemake said."""


def snakemake_command() -> list[str]:
    """How Snakemake is started, wherever it is installed."""
    program = shutil.which("snakemake")
    if program:
        return [program]
    if importlib.util.find_spec("snakemake"):
        return [sys.executable, "-m", "snakemake"]
    pytest.skip("snakemake is not installed: neither on PATH nor importable")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The recipe's folder as its reader has it, with the example genome and seven variants near its genes."""
    folder = tmp_path / "work"
    shutil.copytree(ROOT / "recipes" / "snakemake", folder)
    for name in ("genome.fa", "tss.bed"):
        shutil.copy(ROOT / "examples" / name, folder)
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for record in read_fasta(folder / "genome.fa"):
        for position in POSITIONS[record.id]:
            ref = record.sequence.decode()[position - 1]
            lines.append(f"{record.id}\t{position}\t.\t{ref}\t{SWAPPED[ref]}\t.\t.\t.")
    (folder / "calls.vcf").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    """Runs the workflow and says which commands it started: those of `seqexpr` on its PATH, sorted."""
    command = snakemake_command()
    log, programs = tmp_path / "commands.log", tmp_path / "programs"
    programs.mkdir()
    seqexpr = programs / "seqexpr"
    seqexpr.write_text(f'#!/bin/sh\necho "$@" >>"{log}"\nexec "{sys.executable}" -m seqexpr "$@"\n')
    seqexpr.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "snakemake-cache"),
    }

    def run(*targets: str, **config: object) -> list[str]:
        log.write_text("")
        given = {"vcf": "calls.vcf", "genome": "genome.fa", "tss": "tss.bed", "shards": 3, "threads": 1, **config}
        settings = [f"{name}={value}" for name, value in given.items()]
        done = subprocess.run(
            [*command, "--cores", "1", "--config", *settings, "--", *targets],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise WorkflowFailed(done.stdout + done.stderr)
        return sorted(log.read_text().splitlines())

    return run


def of_one_run(folder: Path, name: str) -> bytes:
    options = ["--vcf", "calls.vcf", "--genome", "genome.fa", "--tss", "tss.bed", "--threads", "1", "-q", "--out", name]
    subprocess.run([sys.executable, "-m", "seqexpr", "variants", *options], cwd=folder, check=True)
    return (folder / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("end", [".vcf.gz", ".tsv"])
def test_the_gathered_file_has_the_bytes_of_one_run_and_a_rerun_computes_nothing(
    end: str, folder: Path, run: Run
) -> None:
    out = f"effects{end}"
    shards = f"{out}.shards/3"
    common = "variants --vcf calls.vcf --genome genome.fa --tss tss.bed --threads 1 --quiet --shard"
    variants = [f"{common} {index}/3 --out {shards}/{index}{end}" for index in (1, 2, 3)]

    assert run(f"{shards}/2{end}", out=out) == [variants[1]]  # a run that ended after one shard
    assert run(out=out) == [f"merge {shards} --out {out}", variants[0], variants[2]]
    assert (folder / out).read_bytes() == of_one_run(folder, f"one{end}")
    assert not list(folder.glob("effects*.shards/3/*"))

    assert run(out=out) == []


@pytest.mark.slow
def test_all_is_computed_again_when_options_change_or_a_file_that_they_name(folder: Path, run: Run) -> None:
    genes = folder / "genes.txt"
    settings = {"out": "effects.csv.gz", "shards": 1, "options": "--genes genes.txt", "files": "[genes.txt]"}

    def genes_found() -> set[str]:
        with gzip.open(folder / "effects.csv.gz", "rt", newline="") as table:
            return {row["gene"] for row in csv.DictReader(table)} - {""}

    genes.write_text("HBB\n")
    assert len(run(**settings)) == 2
    assert genes_found() == {"HBB"}
    genes.write_text("HBB\nHBD\n")
    assert len(run(**settings)) == 2
    assert genes_found() == {"HBB", "HBD"}
    settings["options"] += " --distance 100"
    assert len(run(**settings)) == 2
    assert genes_found() == {"HBB", "HBD"}
    assert run(**settings) == []


@pytest.mark.slow
def test_a_format_that_variants_does_not_write_is_refused(run: Run) -> None:
    with pytest.raises(WorkflowFailed, match=r"config: out must end in one of .* found out: effects\.bam, shards: 3"):
        run(out="effects.bam")


@pytest.mark.parametrize("name", ["predict", "variants", "merge"])
def test_modules_of_nextflow_use_options_that_the_command_has_and_describe_their_channels(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = pytest.importorskip("yaml")
    folder = ROOT / "recipes" / "nf-core" / "seqexpr" / name
    process = (folder / "main.nf").read_text()
    script = process.partition("script:")[2].partition("stub:")[0]
    assert run_command([name, "--help"]) == 0
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    used = set(re.findall(r"--[a-z-]+", script))
    assert "--out" in used and used <= known

    described = yaml.safe_load((folder / "meta.yml").read_text())
    assert described["name"] == f"seqexpr_{name}"
    inputs, outputs = process.partition("input:")[2].partition("when:")[0].split("output:")
    tuples = [re.findall(r"(?:val|path)\((\w+)", line) for line in inputs.splitlines() if "tuple" in line]
    assert [[next(iter(entry)) for entry in channel] for channel in described["input"]] == tuples
    emitted = re.findall(r"emit: (\w+)", outputs)
    assert list(described["output"]) == emitted
    for pattern, channel in re.findall(r'path\("([^"]+)"\), emit: (\w+)', outputs):
        assert pattern in described["output"][channel][0][1]
