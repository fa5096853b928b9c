"""The verbs for Python give what the commands give."""

from __future__ import annotations

import doctest
import io
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import seqexpr
from seqexpr import api
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import read_fasta
from seqexpr.sequences.transcripts import FEATURES

from .small_dataset import make_small_dataset

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def windows() -> dict[str, str]:
    return {record.id: record.sequence.decode() for record in read_fasta(EXAMPLES / "genes.fa")}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return seqexpr.predict(EXAMPLES / "genes.fa", threads=1)


def test_the_examples_in_the_docstrings() -> None:
    modules = [
        api,
        *(
            sys.modules[f"seqexpr.api.{name}"]
            for name in ("prediction", "variant_effects", "effects", "scanning", "merging")
        ),
        *(sys.modules[f"seqexpr.api.{name}"] for name in ("scanning", "datasets", "runs", "comparison")),
    ]
    results = [doctest.testmod(module) for module in modules]
    assert (sum(found.failed for found in results), sum(found.attempted for found in results) > 10) == (0, True)


def test_help_and_repr_are_short() -> None:
    """What a notebook shows of a verb or a model: no address of a function, no page of numbers."""
    assert repr(seqexpr.load("human-mrna")) == "Model('human-mrna', outputs=('mrna',), window=(7000, 3500))"
    for name in api.__all__:
        assert " at 0x" not in pydoc.plain(pydoc.render_doc(getattr(api, name)))


def test_every_verb_has_an_example_that_runs() -> None:
    effects = ("variants", "explain", "scan")
    for name in ("predict", *effects, "merge", "load", "prepare", "train", "cross_validate", "compare"):
        (found,) = [one for one in doctest.DocTestFinder(recurse=False).find(getattr(api, name)) if one.examples]
        assert not any(doctest.SKIP in example.options for example in found.examples), name


def test_the_numbers_are_those_of_the_command(table: pd.DataFrame) -> None:
    command = [sys.executable, "-m", "seqexpr", "predict", str(EXAMPLES / "genes.fa"), "--threads", "1", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = pd.read_csv(io.StringIO(done.stdout), sep="\t")
    assert table.columns.tolist() == printed.columns.tolist()
    assert table["id"].tolist() == printed["id"].tolist()
    np.testing.assert_allclose(table["mrna"], printed["mrna"], rtol=1e-5)


def test_a_scan_is_the_prediction_at_each_position(tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_bytes((EXAMPLES / "genome.fa").read_bytes())
    sites = [(4_000, "+"), (4_007, "+"), (4_000, "-"), (4_007, "-")]
    contig = next(read_fasta(EXAMPLES / "genome.fa")).id
    rows = (f"{contig}\t{at}\t{at + 1}\t{at}{strand}\t0\t{strand}\n" for at, strand in sites)
    (tmp_path / "sites.bed").write_text("".join(rows))
    predicted = seqexpr.predict(genome=tmp_path / "genome.fa", tss=tmp_path / "sites.bed", threads=1)
    found = seqexpr.scan(tmp_path / "genome.fa", region=f"{contig}:4,001-4,010", step=7, threads=1)
    assert found.columns.tolist() == ["chrom", "start", "end", "strand", "level"]
    assert found[["start", "strand"]].values.tolist() == [list(site) for site in sites]
    assert found["end"].tolist() == [4_007, 4_010] * 2
    np.testing.assert_allclose(found["level"], predicted["mrna"], atol=1e-5)
    with pytest.raises(UsageError, match="step 0 is not a whole number of at least 1"):
        seqexpr.scan(tmp_path / "genome.fa", region=f"{contig}:1-5", step=0)
    with pytest.raises(UsageError, match="region is a list; expected text such as"):
        seqexpr.scan(tmp_path / "genome.fa", region=["chr1:1-5"])


def test_every_kind_of_sequences_gives_the_same_numbers(windows: dict[str, str], table: pd.DataFrame) -> None:
    some = dict(list(windows.items())[:2])
    tokens = np.stack([DNA.encode(text.encode()) for text in some.values()])
    for given in (some, pd.Series(some), list(some.values()), (text for text in some.values()), tokens):
        found = seqexpr.predict(given, threads=1)
        np.testing.assert_array_equal(found["mrna"], table["mrna"][:2])
    one = seqexpr.predict(next(iter(some.values())), threads=1)
    assert (one["id"].tolist(), one["mrna"].tolist()) == (["1"], table["mrna"][:1].tolist())
    assert seqexpr.predict(str(EXAMPLES / "genes.fa"), threads=1).equals(table)


def test_effects_are_those_of_the_command(tmp_path: Path) -> None:
    genome = tmp_path / "genome.fa"
    genome.write_bytes((EXAMPLES / "genome.fa").read_bytes())
    options = {"genome": genome, "tss": EXAMPLES / "tss.bed", "genes": ["LTA"], "threads": 1}
    table = seqexpr.explain(**options, region=(-2, 1), out=tmp_path / "effects.tsv")
    command = [sys.executable, "-m", "seqexpr", "explain", "--genome", str(genome), "--tss", str(options["tss"])]
    command += ["--genes", "LTA", "--threads", "1", "-q", "--region", "-2:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (tmp_path / "effects.tsv").read_text() == done.stdout
    printed = pd.read_csv(io.StringIO(done.stdout), sep="\t", keep_default_na=False)
    assert table.columns.tolist() == printed.columns.tolist()
    for column in ("id", "symbol", "chrom", "pos", "strand", "tss_distance", "ref", "alt"):
        assert table[column].tolist() == printed[column].tolist()
    np.testing.assert_allclose(table["delta"], printed["delta"], rtol=1e-5)
    windows = seqexpr.explain({"w": "ACGT" * 2625}, region="0:1", threads=1)
    assert windows["pos"].isna().all() and (windows["chrom"] == "").all()


def test_effects_of_residues_are_those_of_predictions() -> None:
    protein = "MKVLAAGIVGLCAKAYLEKN"
    table = seqexpr.explain({"p": protein}, region=(20, 21), threads=1)
    changed = {alt: protein[:-1] + alt for alt in table["alt"]}
    levels = seqexpr.predict(proteins={"p": protein, **changed}, threads=1).set_index("id")["protein"]
    assert table["residue"].tolist() == [20] * 19 and "N" not in changed
    np.testing.assert_allclose(table["delta"], levels[list(changed)].to_numpy() - levels["p"], atol=1e-5)


def test_a_genome_with_genes_symbols_and_proteins(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_bytes((EXAMPLES / "genome.fa").read_bytes())
    found = seqexpr.predict(genome=tmp_path / "genome.fa", tss=EXAMPLES / "tss.bed", genes=["HBB", "TNF"], symbol=True)
    assert found["id"].tolist() == ["HBB", "TNF"]
    assert found.columns.tolist()[:2] == ["id", "symbol"]
    np.testing.assert_array_equal(found["mrna"], table.set_index("id").loc[["HBB", "TNF"], "mrna"])
    proteins = seqexpr.predict(proteins={"p": "MKLV" * 30}, threads=1)
    assert proteins.columns.tolist()[:2] == ["id", "protein"]


def test_a_loaded_model_warns_of_other_genes_as_predict_does(caplog: pytest.LogCaptureFixture) -> None:
    letters = np.random.default_rng(0).choice(list("ACGT"), (60, 10_500))
    windows = {f"g{number}": "".join(row) for number, row in enumerate(letters)}
    said = []
    for predict in (seqexpr.predict, seqexpr.load("human-mrna").predict):
        caplog.clear()
        predict(windows)
        said.append([record.getMessage() for record in caplog.records])
    assert said[0] == said[1]
    assert "human-mrna" in "".join(said[0])


def test_a_model_is_loaded_once_and_predicts_often(windows: dict[str, str], table: pd.DataFrame) -> None:
    model = seqexpr.load("human-mrna", threads=1)
    assert (model.outputs, model.window) == (("mrna",), (7000, 3500))
    for _ in range(2):
        np.testing.assert_array_equal(model.predict(windows)["mrna"], table["mrna"])
    longer = {name: "N" * 100 + text for name, text in windows.items()}
    np.testing.assert_array_equal(model.predict(longer, tss_at=7100)["mrna"], table["mrna"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no input: give a FASTA of windows, or --genome with --tss, or --genbank"),
        ({"region": "1:1"}, "--region"),
        ({"region": (3, 1)}, "its end is not behind its start"),
        ({"region": (3, 1, 2)}, r"region is \(3, 1, 2\); expected"),
        ({"region": (0.5, 1)}, r"region is \(0.5, 1\); expected"),
        ({"region": 5}, "region is 5; expected"),
        ({"method": "guess"}, "--method guess: choose among ism, gradient"),
        ({"model": "human-prot"}, "the model reads no DNA"),
        ({"input": "protein"}, "--input protein: the model reads DNA; choose dna"),
        ({"out": "effects.txt"}, "its suffix is none of"),
    ],
)
def test_what_cannot_be_explained_is_a_usage_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        seqexpr.explain(**({"sequences": {"a": "A" * 10_500}} if options else {}), **options)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({}, UsageError, "no input"),
        ({"sequences": 3}, UsageError, "sequences are a int; expected a path"),
        ({"sequences": {"a": 3}}, UsageError, "sequence 'a' is a int; expected text"),
        ({"sequences": {"a": ""}}, UsageError, "sequence 'a' is empty"),
        ({"sequences": []}, UsageError, "there are no sequences"),
        ({"sequences": {"a": "ACGT" * 2624 + "ACG"}}, InputError, "the sequences given, record 1 'a': found 10,499 bp"),
        ({"sequences": np.full((1, 10500), 9)}, UsageError, "expected 0 to 4, as dna has"),
        ({"sequences": "absent.fa"}, InputError, r"absent\.fa: found no such file"),
        ({"sequences": {"a": "A" * 10500}, "model": "nothing"}, MissingDataError, "nothing"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        seqexpr.predict(**options)


def test_a_named_task_takes_no_files_and_files_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prepare prot-lung uses fetched sources; omit --label, --out, or the task"):
        seqexpr.prepare("prot-lung", out=tmp_path / "set", label="a")
    with pytest.raises(UsageError, match="prepare needs a task, or --out DIR"):
        seqexpr.prepare(fasta=tmp_path / "w.fa")


@pytest.mark.parametrize("test", ["chr8, chr9", ["chr8", "chr9"], ("chr8", "chr9")])
def test_chromosomes_of_a_part_are_a_text_or_names(test: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from seqexpr.runs import train_run

    asked = []
    monkeypatch.setattr(train_run, "train_once", lambda experiment, options, *_, **__: asked.append(options))
    dataset = make_small_dataset(tmp_path / "small")
    seqexpr.train(dataset, out=tmp_path / "run", label="a", test_chromosomes=test)
    assert (asked[0].test_chromosomes, asked[0].split) == ((("chr8", "chr9"),), "chromosome")
    with pytest.raises(UsageError, match="an empty list of chromosomes"):
        seqexpr.train(dataset, out=tmp_path / "run", label="a", test_chromosomes=" , ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 0}, "folds is 0; expected a whole number of at least 2"),
        ({"jobs": 0}, "jobs is 0; expected a whole number of at least 1"),
        ({"seed": -1}, "seed is -1; expected a whole number of at least 0"),
        ({"threads": 0}, "threads is 0; expected a whole number of at least 1"),
        ({"resamples": -1}, "resamples is -1; expected a whole number of at least 0"),
        ({"valid_fraction": 1.5}, "--valid-fraction is 1.5; expected a number between 0 and 1"),
    ],
)
def test_numbers_that_make_no_run_are_refused_before_it(options: Any, message: str, tmp_path: Path) -> None:
    dataset = make_small_dataset(tmp_path / "small")
    with pytest.raises(UsageError, match=message):
        seqexpr.cross_validate(dataset, out=tmp_path / "run", label="a", **options)
    assert not (tmp_path / "run").exists()


def test_a_run_stands_for_its_folder() -> None:
    assert Path(seqexpr.Run(Path("runs/mine"))) == Path("runs/mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequences": {"": "A" * 10_500}}, "sequence 1 has no id"),
        ({"sequences": pd.Series(["A" * 10_500] * 2, index=["a", "a"])}, "two sequences have the id 'a'"),
        ({"sequences": "ACGT\nACGT"}, "neither a path nor the letters of one sequence"),
        ({"genome": "g.fa", "tss": "t.bed", "genes": []}, "genes are an empty list"),
        ({"genome": "g.fa", "tss": "t.bed", "genes": [1]}, "genes hold a int; expected symbols or ids"),
    ],
)
def test_arguments_in_memory_are_checked_as_files_are(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        seqexpr.predict(**options)


def test_a_protein_may_be_text() -> None:
    letters = "MKTAYIAKQR" * 10
    by_name = seqexpr.predict(proteins={"1": letters}, threads=1)
    for given in ({"sequences": letters}, {"proteins": letters}):
        assert seqexpr.predict(**given, threads=1).equals(by_name)


def test_a_run_that_has_not_ended_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"has no metrics\.json: the run has not ended"):
        _ = seqexpr.Run(tmp_path).metrics


@pytest.mark.slow
def test_train_cross_validate_and_compare(tmp_path: Path) -> None:
    dataset = make_small_dataset(tmp_path / "small")
    options = {"label": "a", "recipe": _quick(tmp_path), "threads": 1, "preset": "dna-perceiver"}
    run = seqexpr.cross_validate(dataset, folds=2, out=tmp_path / "cv", **options)
    assert run.report.is_file()
    assert {"seqexpr", "training_mean"} <= set(run.metrics["model"])
    assert sorted(run.predictions["id"]) == sorted(dataset.ids)
    trained = seqexpr.train(dataset.folder, out=tmp_path / "run", **options)
    assert set(trained.predictions["split"]) == {"valid", "test"}
    differences = seqexpr.compare(run.folder, metric="pearson_r2", resamples=50)
    assert set(differences["metric"]) == {"pearson_r2"}
    with pytest.raises(UsageError, match="exists already"):
        seqexpr.train(dataset, out=tmp_path / "run", **options)


def _quick(folder: Path) -> str:
    (folder / "quick.toml").write_text('base = "paper"\nmax_epochs = 1\nbatch_size = 16\n')
    return str(folder / "quick.toml")


def test_sequences_that_are_proteins_by_their_letters() -> None:
    named = seqexpr.predict(proteins={"a": "MKVLAAGIVGLCAKAYLEQ"})
    assert seqexpr.predict({"a": "MKVLAAGIVGLCAKAYLEQ"}).equals(named)
    assert seqexpr.load("human-prot").predict({"a": "MKVLAAGIVGLCAKAYLEQ"}).equals(named)


def test_tables_may_be_dataframes(windows: dict[str, str], tmp_path: Path) -> None:
    row = [100.0, 900, 5000, 400, 0.5, 0.5, 0.45, 5.5]
    indexed = pd.DataFrame([row, [np.nan] * 8], columns=list(FEATURES), index=list(windows)[:2])
    file = tmp_path / "h.tsv"
    indexed.to_csv(file, sep="\t", index_label="id")
    expected = seqexpr.predict(windows, half_life=file)
    assert not expected.equals(seqexpr.predict(windows))
    for frame in (indexed, indexed.rename_axis("gene").reset_index(), indexed.rename_axis("id")):
        pd.testing.assert_frame_equal(seqexpr.predict(windows, half_life=frame), expected)

    labels = pd.Series(range(len(windows)), index=list(windows), name="level")
    made = seqexpr.prepare(
        out=tmp_path / "d", fasta=_fasta(tmp_path, windows), tss_at=7000, labels=labels, half_life=file
    )
    assert made.labels(["level"])[:, 0].tolist() == list(range(len(windows)))
    again = seqexpr.prepare(
        out=tmp_path / "d", fasta=_fasta(tmp_path, windows), tss_at=7000, labels=labels.to_frame(), half_life=file
    )
    assert again.ids == made.ids
    with pytest.raises(UsageError, match="another file for --labels"):
        seqexpr.prepare(
            out=tmp_path / "d", fasta=_fasta(tmp_path, windows), tss_at=7000, labels=labels + 1, half_life=file
        )


def _fasta(folder: Path, windows: dict[str, str]) -> Path:
    (folder / "w.fa").write_text("".join(f">{name}\n{text}\n" for name, text in windows.items()))
    return folder / "w.fa"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"half_life": ["a"]}, "half_life is a list; expected a path or a DataFrame"),
        ({"half_life": pd.DataFrame()}, r"half_life \(a DataFrame\): found no column"),
        ({"half_life": pd.DataFrame({"x": [0.5], "y": [1]})}, "found numbers in the first column, 'x'"),
        ({"half_life": pd.DataFrame({"id": ["a", "a"], "utr5_len": 1})}, "half-life|found"),
        ({"genome": 5}, "genome is a int; expected a path"),
        ({"model": 5}, "model is a int; expected a name, a path"),
    ],
)
def test_what_is_no_table_or_path_is_said(options: dict[str, Any], message: str, windows: dict[str, str]) -> None:
    with pytest.raises((InputError, UsageError), match=message):
        seqexpr.predict(windows, **options)


def test_a_table_of_other_genes_is_an_error_before_sequences_in_memory_are_computed(windows: dict[str, str]) -> None:
    frame = pd.DataFrame([[100.0, 900, 5000, 400, 0.5, 0.5, 0.45, 5.5]], columns=list(FEATURES), index=["other"])
    with pytest.raises(InputError, match=r"found none of the 12 records .* among its 1 ids .*'other'"):
        seqexpr.predict(windows, half_life=frame)


def test_missing_half_life_features_are_logged_in_the_words_of_the_command(
    windows: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "seqexpr"):
        seqexpr.predict(windows, threads=1)
    assert "half-life features missing: all 8 for all 12 genes; the model predicts from the rest" in caplog.text
