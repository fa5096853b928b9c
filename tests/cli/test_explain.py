from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqexpr.models.trained import load_model
from seqexpr.sequences.alphabet import DNA, PROTEIN

from ..device_line import cpu_line

Command = Callable[..., Any]
Weights = Callable[..., Path]

DEVICE = f"{cpu_line(1)}; "
MISSING = "half-life features missing: all 8 for {}; the model predicts from the rest\n"
HEADER = "id\tsymbol\tchrom\tpos\tstrand\ttss_distance\tref\talt\tdelta\n"

HBB = """\
HBB		U01317.1	62135	+	-2	T	A	-0.00208519
HBB		U01317.1	62135	+	-2	T	C	5.68428e-05
HBB		U01317.1	62135	+	-2	T	G	0.00295605
HBB		U01317.1	62136	+	-1	T	A	-0.00143152
HBB		U01317.1	62136	+	-1	T	C	-0.00240087
HBB		U01317.1	62136	+	-1	T	G	-0.000414328
HBB		U01317.1	62137	+	0	A	C	-0.00048179
HBB		U01317.1	62137	+	0	A	G	-7.98822e-05
HBB		U01317.1	62137	+	0	A	T	0.00387223
LTA		AF129756.1	177648	-	-2	G	A	-0.00175147
LTA		AF129756.1	177648	-	-2	G	C	0.00268555
LTA		AF129756.1	177648	-	-2	G	T	-0.00837008
LTA		AF129756.1	177647	-	-1	G	A	0.0032474
LTA		AF129756.1	177647	-	-1	G	C	0.0199459
LTA		AF129756.1	177647	-	-1	G	T	-0.000216969
LTA		AF129756.1	177646	-	0	A	C	0.017294
LTA		AF129756.1	177646	-	0	A	G	-0.0154787
LTA		AF129756.1	177646	-	0	A	T	-0.00451552
"""
"""Of the bundled model and genome, within 1e-6 of full passes."""


def bases(seed: int, length: int = 432) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def fasta(path: Path, records: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in records.items()))
    return path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def level(weights: Path, window: str) -> float:
    return float(load_model(weights).predict(DNA.encode(window.encode())[None], None, None)[0, 0])


def by_hand(weights: Path, window: str, row: dict[str, str]) -> float:
    """A row's delta, of a window with the TSS after 288 letters."""
    place = 288 + int(row["tss_distance"])
    assert window[place] == row["ref"]
    return level(weights, window[:place] + row["alt"] + window[place + 1 :]) - level(weights, window)


def test_the_bundled_example_gives_the_numbers_that_it_gave(seqexpr: Command) -> None:
    done = seqexpr("explain", "--example", "--genes", "HBB,LTA", "--region", "-2:+1", "--threads", 1)
    assert done.code == 0
    assert done.err == (
        "example: with the half-life features of examples/half_life.tsv\n"
        f"{DEVICE}human-mrna: human (Homo sapiens)\n2 records: all used as given\n"
    )
    head, *lines = done.out.splitlines(True)
    assert head == HEADER
    for line, wanted in zip(lines, HBB.splitlines(True), strict=True):
        assert line.split("\t")[:8] == wanted.split("\t")[:8]
        assert float(line.split("\t")[8]) == pytest.approx(float(wanted.split("\t")[8]), abs=1e-5)


def test_windows_from_standard_input_and_a_file_give_the_same(
    tmp_path: Path, weights: Weights, seqexpr: Command
) -> None:
    windows = fasta(tmp_path / "w.fa", {"a": bases(1), "b": bases(2)[:290] + "N" + bases(2)[291:]})
    options = ("--model", weights(), "--threads", 1, "--region", "0:4")
    done = seqexpr("explain", windows, *options)
    piped = seqexpr("explain", "--fasta", "-", *options, stdin=gzip.compress(windows.read_bytes()))
    assert (done.code, piped.code, piped.out) == (0, 0, done.out)
    assert done.err == (
        f"{DEVICE}{weights()}: 1 network\n2 records: 1 unknown base in 1 window\n{MISSING.format('all 2 genes')}"
    )
    table = rows(done.out)
    assert [row["id"] for row in table] == ["a"] * 12 + ["b"] * 9
    for row in table[::2]:
        window = bases(1) if row["id"] == "a" else bases(2)[:290] + "N" + bases(2)[291:]
        assert float(row["delta"]) == pytest.approx(by_hand(weights(), window, row), abs=1e-5)


def test_a_gene_of_either_strand_has_the_same_effects(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    """On a genome and on its reverse complement: places are turned round, values are the same."""
    chromosome = bases(5, 900)
    turned = chromosome.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    fasta(tmp_path / "plus.fa", {"chr1": chromosome})
    fasta(tmp_path / "minus.fa", {"chr1": turned})
    (tmp_path / "plus.bed").write_text("chr1\t400\t401\tg\t0\t+\n")
    (tmp_path / "minus.bed").write_text("chr1\t499\t500\tg\t0\t-\n")
    tracks = {}
    for strand in ("plus", "minus"):
        out = tmp_path / f"{strand}.bedgraph"
        options = ("--genome", tmp_path / f"{strand}.fa", "--tss", tmp_path / f"{strand}.bed", "--model", weights())
        done = seqexpr("explain", *options, "-q", "--threads", 1, "--region", "-20:10", "--out", out)
        assert (done.code, done.out, done.err) == (0, "", "")
        cells = [line.split("\t") for line in out.read_text().splitlines()[1:]]
        tracks[strand] = {int(cell[1]): cell[3] for cell in cells}
    assert sorted(tracks["plus"]) == list(range(380, 410))
    assert tracks["plus"] == {899 - place: value for place, value in tracks["minus"].items()}


def test_a_folder_gets_everything(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    pytest.importorskip("matplotlib")
    fasta(tmp_path / "g.fa", {"chr1": bases(5, 900)})
    (tmp_path / "t.bed").write_text("chr1\t400\t401\t../g\t0\t+\nchr1\t450\t451\tCON\t0\t-\n")
    options = ("--genome", tmp_path / "g.fa", "--tss", tmp_path / "t.bed", "--model", weights(), "--threads", 1)
    done = seqexpr("explain", *options, "--region", "-3:2", "--out", f"{tmp_path}/out/")
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"{DEVICE}{weights()}: 1 network\n2 records: all used as given\n{MISSING.format('all 2 genes')}"
    )
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert files == [
        *("effects.bedgraph", "effects.html", "effects.json", "effects.tsv"),
        *("genes/_CON.png", "genes/_CON.svg", "genes/g.png", "genes/g.svg", "ism.npz"),
    ]
    table = (tmp_path / "out/effects.tsv").read_text()
    assert table == seqexpr("explain", *options, "--region", "-3:2", "-q").out
    with np.load(tmp_path / "out/ism.npz") as arrays:
        assert arrays["ids"].tolist() == ["../g", "CON"]
        assert arrays["effects"].shape == (2, 4, 5)
    again = seqexpr("explain", *options, "--region", "-3:2", "-q", "--out", tmp_path / "out")  # it is a folder now
    assert (again.code, (tmp_path / "out/effects.tsv").read_text()) == (0, table)


def test_a_bigwig_takes_genes_that_lie_apart_at_a_contigs_start(
    tmp_path: Path, weights: Weights, seqexpr: Command
) -> None:
    pybigtools = pytest.importorskip("pybigtools")
    fasta(tmp_path / "g.fa", {"chr1": bases(5, 900)})
    (tmp_path / "t.bed").write_text("chr1\t9\t10\tone\t0\t+\nchr1\t599\t600\ttwo\t0\t+\n")
    options = ("--genome", tmp_path / "g.fa", "--tss", tmp_path / "t.bed", "--model", weights(), "--threads", 1)
    done = seqexpr("explain", *options, "--region", "-15:+5", "-q", "--out", tmp_path / "a.bw")
    assert (done.code, done.err) == (0, "")
    places = [start for start, _, _ in pybigtools.open(str(tmp_path / "a.bw")).records("chr1")]
    assert places == [*range(14), *range(584, 604)]


@pytest.mark.parametrize("suffix", ["svg", "png", "html", "npz", "tsv.gz"])
def test_one_file_by_its_suffix(suffix: str, tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    pytest.importorskip("matplotlib")
    window = fasta(tmp_path / "w.fa", {"g": bases(3)})
    out = tmp_path / f"e.{suffix}"
    done = seqexpr("explain", window, "--model", weights(), "--region", "-5:5", "-q", "--threads", 1, "--out", out)
    assert (done.code, done.out, done.err) == (0, "", "")
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "html": b"<!DOCTYPE html>", "npz": b"PK", "tsv.gz": b"\x1f\x8b"}
    assert out.read_bytes().startswith(starts[suffix])
    assert sorted(os.listdir(tmp_path)) == sorted([out.name, "w.fa"])


def test_gradients_estimate_and_say_how_far_they_add_up(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    window = fasta(tmp_path / "w.fa", {"g": bases(3)})
    options = ("explain", window, "--model", weights(), "--region", "-40:40", "--threads", 1)
    exact, estimated = seqexpr(*options), seqexpr(*options, "--method", "gradient")
    device, summed, *rest = estimated.err.splitlines(True)
    assert (estimated.code, device, rest) == (0, exact.err.splitlines(True)[0], exact.err.splitlines(True)[1:])
    assert summed.startswith("g: integrated gradients add up to ") and summed.endswith("[log10(x)]\n")
    found, wanted = ([float(row["delta"]) for row in rows(done.out)] for done in (estimated, exact))
    assert [row["alt"] for row in rows(estimated.out)] == [row["alt"] for row in rows(exact.out)]
    assert np.corrcoef(found, wanted)[0, 1] > 0.8


BAD_OPTIONS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "nothing": ((), 2, "no input: give a FASTA of windows, or --genome with --tss, or --genbank, or --proteins, or"),
    "two windows": (("w.fa", "--fasta", "w.fa"), 2, "w.fa and --fasta w.fa are two sources of windows; give one"),
    "no region": (("w.fa", "--region", "ten"), 2, "--region ten: not START:END, such as -300:+100 in bases from"),
    "backward": (("w.fa", "--region", "5:5"), 2, "--region 5:5: its end is not behind its start"),
    "too wide": (("w.fa", "--region", "-289:1"), 2, "--region -289:1 reaches beyond the window that the model reads"),
    "output": (("w.fa", "--output", "x"), 2, "--output x: the model predicts mrna"),
    "suffix": (("w.fa", "--out", "e.txt"), 2, "--out e.txt: its suffix is none of .tsv, .npz"),
    "no genome": (("w.fa", "--out", "e.bedgraph"), 2, "windows that are not cut from a genome have no place in it"),
    "several": (("w.fa", "--out", "e.svg"), 2, "is the figure of one gene; there are 2: pick one with --genes"),
    "example too": (("w.fa", "--example"), 2, "--example brings its own input; leave the other input options out"),
    "absent": (("absent.fa",), 3, "absent.fa"),
    "no folder": (("w.fa", "--out", "absent/e.tsv"), 3, "absent/e.tsv: No such file or directory"),
    "short": (("short.fa",), 3, "short.fa, record 1 'a': found 4 bp; expected a window of exactly 432 bp"),
    "protein": (("protein.fa",), 2, "the model reads DNA: give --fasta, or --genome with --tss"),
    "windows that are proteins": (("--fasta", "protein.fa"), 3, "looks like a protein"),
    "input": (("w.fa", "--input", "protein"), 2, "--input protein: the model reads DNA; choose dna"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_what_is_wrong_is_one_line_with_its_exit_code(
    case: str, tmp_path: Path, weights: Weights, seqexpr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fasta(Path("w.fa"), {"a": bases(1), "b": bases(2)})
    fasta(Path("short.fa"), {"a": "ACGT"})
    fasta(Path("protein.fa"), {"a": "MKLVWWRE" * 60})
    before = sorted(os.listdir())
    options, code, words = BAD_OPTIONS[case]
    done = seqexpr("explain", *options, "--model", weights(), "-q", "--threads", 1)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert done.err.startswith("seqexpr: error: ") and words in done.err
    assert sorted(os.listdir()) == before


def test_an_output_that_is_an_input_is_exit_2(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    table = fasta(tmp_path / "windows.tsv", {"g": bases(1)})
    before = table.read_bytes()
    done = seqexpr("explain", table, "--model", weights(), "-q", "--out", table)
    expected = f"seqexpr: error: --out {table} is an input, {table}: give another file\n"
    assert (done.code, done.err, table.read_bytes()) == (2, expected, before)


def protein_level(weights: Path, protein: str) -> float:
    return float(load_model(weights).predict(None, PROTEIN.encode(protein.encode())[None], None)[0, 0])


def test_proteins_are_explained_residue_by_residue(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    protein, model = "MKLVWWREXC" * 4, weights("protein-perceiver", "protein")
    file = fasta(tmp_path / "p.fa", {"a": protein, "b": "MKW"})
    done = seqexpr("explain", file, "--model", model, "--region", "8:11", "--threads", 1)
    assert done.code == 0
    assert done.err == (
        f"{file}: proteins, by their letters; they are read as with --proteins\n"
        f"{DEVICE}{model}: 1 network\n"
        "b: its protein ends before residue 8; nothing to explain\n"
        "2 records: 4 residues in 1 protein unknown\n"
    )
    assert done.out.startswith("id\tsymbol\tresidue\tref\talt\tdelta\n")
    table = rows(done.out)
    assert [(row["residue"], row["ref"]) for row in table] == [("8", "E")] * 19 + [("10", "C")] * 19
    for row in table[::7]:
        place = int(row["residue"]) - 1
        changed = protein[:place] + row["alt"] + protein[place + 1 :]
        wanted = protein_level(model, changed) - protein_level(model, protein)
        assert float(row["delta"]) == pytest.approx(wanted, abs=1e-5)
    same = seqexpr("explain", "--proteins", file, "--model", model, "--region", "8:11", "--threads", 1, "-q")
    assert same.out == done.out


def test_the_bundled_proteins(tmp_path: Path, seqexpr: Command) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "out"
    options = ("--example", "--model", "human-prot", "--region", "1:3", "--threads", 1, "--out", f"{folder}/")
    done = seqexpr("explain", *options)
    assert (done.code, done.out) == (0, "")
    assert "each substitution is a full pass: the model has no sequence flows with one block of latents\n" in done.err
    assert "8 records: all used as given" in done.err
    table = rows((folder / "effects.tsv").read_text())
    assert len(table) == 8 * 2 * 19 and {row["ref"] for row in table if row["residue"] == "1"} == {"M"}
    described = json.loads((folder / "effects.json").read_text())
    assert described["models"][0]["name"] == "human-prot" and len(described["models"][0]["sha256"]) == 64
    assert (described["input"], described["region"], described["unit"]) == (
        "protein",
        {"start": 1, "end": 3},
        "log10 iBAQ",
    )


def test_of_a_model_of_both_one_input_is_chosen(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    model = weights("protein-dna-perceiver", "protein")
    window, protein = fasta(tmp_path / "w.fa", {"a": bases(1)}), fasta(tmp_path / "p.fa", {"a": "MKLVWWREXC" * 4})
    options = ("explain", window, "--proteins", protein, "--model", model, "--region", "3:5", "--threads", 1)
    done = seqexpr(*options)
    assert (done.code, done.out) == (2, "")
    assert done.err == "seqexpr: error: the model reads DNA and proteins: choose what to explain with --input\n"
    dna, residues = (seqexpr(*options, "--input", one, "-q") for one in ("dna", "protein"))
    assert (dna.code, residues.code, dna.err, residues.err) == (0, 0, "", "")
    assert [row["tss_distance"] for row in rows(dna.out)] == ["3"] * 3 + ["4"] * 3
    assert [row["residue"] for row in rows(residues.out)] == ["3"] * 19 + ["4"] * 19


def test_a_bad_record_leaves_the_rows_before_it_and_no_file(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    windows = fasta(tmp_path / "w.fa", {"a": bases(1), "b": "ACGT"})
    options = ("explain", windows, "--model", weights(), "--region", "0:1", "-q", "--threads", 1)
    done = seqexpr(*options)
    assert (done.code, [row["id"] for row in rows(done.out)]) == (3, ["a"] * 3)
    assert seqexpr(*options, "--out", tmp_path / "e.npz").code == 3
    assert os.listdir(tmp_path) == ["w.fa"]


def test_the_page_of_the_command_names_model_and_genes(tmp_path: Path, weights: Weights, seqexpr: Command) -> None:
    pytest.importorskip("jinja2")
    windows = fasta(tmp_path / "w.fa", {"<b>": bases(1), "b": bases(2)})
    models = ("--model", weights(), "--model", weights(seed=1))
    seqexpr("explain", windows, *models, "--region", "0:3", "-q", "--threads", 1, "--out", tmp_path / "e.html")
    text = (tmp_path / "e.html").read_text()
    assert f"Predicted by {weights().stem} and 1 other network" in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [(gene["name"], gene["letters"]) for gene in data["genes"]] == [
        ("<b>", bases(1)[288:291]),
        ("b", bases(2)[288:291]),
    ]


def test_progress_is_told_in_bases_with_rate_and_time_left(
    tmp_path: Path, weights: Weights, seqexpr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqexpr.cli.console._PLAIN_LINE_SECONDS", 0.0)
    windows = fasta(tmp_path / "w.fa", {"a": bases(1), "b": bases(2)})
    done = seqexpr("explain", windows, "--model", weights(), "--region", "-50:50", "--threads", 1)
    lines = [line for line in done.err.splitlines() if line.startswith("explain: ")]
    assert lines[0].startswith("explain: 100 of 200 bases, ") and lines[0].endswith(" left")
    assert "per second" in lines[0] and lines[-1].startswith("explain: 200 of 200 bases, ")
