"""Make one run of folds that were run by one process or by many.

They may lie in one folder or in several: the result is the same to the last byte, for everything after the folds is
computed from their stored predictions and the dataset.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.evaluation.scoring import tested_rows
from seqexpr.evaluation.tables import LARGEST, places_of, read_table, values_of
from seqexpr.files import temporary_prefix, write_json
from seqexpr.finished import check_result, done_folds, fold_folder, is_done
from seqexpr.manifest import CV_OPTIONS, read_manifest
from seqexpr.models.config import PerceiverConfig
from seqexpr.next_command import command_to_end
from seqexpr.own_files import check_shape, record
from seqexpr.runs.finish import finish_run
from seqexpr.runs.folder import (
    MANIFEST,
    data_digests,
    first_difference,
    folds_digest,
    read_lines,
    write_lines,
)
from seqexpr.runs.observers import StageObserver
from seqexpr.runs.setup import permute_labels
from seqexpr.tasks.catalogue import open_task_dataset
from seqexpr.training.experiment import Experiment, Split, labelled
from seqexpr.training.recipe import stored_recipe

_MANIFEST = record({"options": CV_OPTIONS})
_DIGESTED = {"ids_and_labels": "genes or labels", "inputs": "sequences or half-life features"}


def finish_cv(
    folder: Path,
    experiment: Experiment,
    splits: Sequence[Split],
    device: torch.device,
    observer: StageObserver,
    threads: int,
) -> list[dict[str, Any]]:
    """Make the cross-validation in `folder` whole, all folds of which are done.

    Args, Returns: as for `finish_run`.
    """
    folders = {split.number: fold_folder(folder, split.number) for split in splits}
    predictions, own, fold_of = _collect(folders, experiment.dataset, experiment.labels)
    epochs = [{"fold": fold, **row} for fold, part in folders.items() for row in read_lines(part / "metrics.jsonl")]
    write_lines(folder / "metrics.jsonl", epochs)
    return finish_run(
        folder,
        experiment,
        splits,
        predictions,
        own,
        device,
        observer,
        scope="all",
        columns={"fold": fold_of[tested_rows(splits)]},
        threads=threads,
    )


def merge_runs(
    sources: Sequence[Path],
    out: Path | None,
    device: torch.device,
    *,
    observer: StageObserver,
    threads: int | None = None,
) -> tuple[Path, list[dict[str, Any]]]:
    """Make a whole run of folds that were run separately.

    Args:
        sources: folders of `cv`, each with some of the folds.
        out: where the whole run goes; the folds are copied there. None: the one source itself.
        device: for the untrained network, one of the baselines.
        observer: hears what is done.
        threads: of torch for that network; None: as the folds had, for the digits depend on it.

    Returns:
        the folder of the whole run, and the rows of its `metrics.json`.

    Raises:
        UsageError: a fold twice, options that differ, or an `out` that is in use.
        MissingDataError: folds are missing, or the dataset.
        InputError: a source is no run of `cv`, or the dataset is not the one that it was made with.
    """
    in_place = len(sources) == 1 and (out is None or out.resolve() == sources[0].resolve())
    if out is None and not in_place:
        raise UsageError("folds of several folders make a new run; say with --out where it goes")
    manifests = _like_manifests(sources)
    manifest = manifests[0]
    folders = _find_folds(sources, manifest)
    experiment, splits = _stored_experiment(manifests, folders, sources[0])
    folder = sources[0] if out is None or in_place else out
    if not in_place:
        observer.on_stage(f"copying {len(folders)} folds")
        place = {**manifest["options"]["dataset"], "folder": str(experiment.dataset.folder.resolve())}
        options = {**manifest["options"], "dataset": place}
        _gather(folders, {**manifest, "options": options, "merged": [str(source) for source in sources]}, folder)
    threads = threads or manifest.get("threads") or torch.get_num_threads()
    return folder, finish_cv(folder, experiment, splits, device, observer, threads)


def _like_manifests(sources: Sequence[Path]) -> list[dict[str, Any]]:
    """The manifests of runs that are about the same."""
    first, *others = manifests = [read_manifest(source, "cv") for source in sources]
    if "options" in first and "digests" not in first["options"]:
        found, expected = "a run without digests of its data", "a run of this version of seqexpr; run the folds again"
        raise InputError(sources[0] / MANIFEST, found=found, expected=expected)
    for source, manifest in zip(sources, manifests, strict=True):
        check_shape(manifest, _MANIFEST, source / MANIFEST, "the manifest of a run of cv")
    for source, manifest in zip(sources[1:], others, strict=True):
        if difference := first_difference(first, manifest):
            raise UsageError(
                f"{sources[0]} and {source} were run with different options ({difference}); they cannot be merged"
            )
    return manifests


def _find_folds(sources: Sequence[Path], manifest: Mapping[str, Any]) -> dict[int, Path]:
    """The folder of each fold, in order."""
    count = manifest["options"]["folds"]
    found: dict[int, Path] = {}
    for source in sources:
        for fold in done_folds(source, count):
            if fold in found:
                raise UsageError(f"fold {fold} is in both {found[fold].parent.parent} and {source}; name one of them")
            found[fold] = fold_folder(source, fold)
    if missing := [fold for fold in range(count) if fold not in found]:
        named = f"fold{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
        where = ", ".join(map(str, sources))
        raise MissingDataError(
            f"{where}: {named} of {count} missing; run: {command_to_end(sources[0], manifest, missing)}"
        )
    return dict(sorted(found.items()))


def _stored_experiment(
    manifests: Sequence[Mapping[str, Any]], folders: Mapping[int, Path], source: Path
) -> tuple[Experiment, tuple[Split, ...]]:
    """What the manifests and the folds say of a run, checked against the dataset as it is now.

    Which of the genes outside a fold chose its epoch is of no consequence for scores: all are training genes here.
    """
    options = manifests[0]["options"]
    names = tuple(options["labels"])
    dataset = _open_dataset([manifest["options"] for manifest in manifests], source)
    for name, digest in data_digests(dataset, names).items():
        if options["digests"].get(name, digest) != digest:  # runs made before a digest was introduced do not have it
            raise InputError(
                dataset.folder,
                found=f"other {_DIGESTED[name]} than when the folds were run",
                expected=f"the dataset that {source} was made with",
            )
    if options["permute_labels"]:
        dataset = permute_labels(dataset, options["seed"])
    _, _, fold_of = _collect(folders, dataset, names)
    if folds_digest(fold_of) != options["digests"]["folds"]:
        raise InputError(
            source, found="folds that test other genes than planned", expected="the folds of the run's manifest"
        )
    try:
        config = PerceiverConfig.from_dict(options["model"])
    except UsageError as problem:
        raise InputError(source / MANIFEST, found=str(problem), expected="the network that was trained") from None
    recipe = stored_recipe(options["recipe"], str(source / MANIFEST))
    described = {"resamples": options["resamples"]}
    experiment = Experiment(dataset, names, config, recipe, options["seed"], options["task"], described)
    values, nobody = experiment.values(), np.empty(0, np.int64)
    return experiment, tuple(
        Split(fold, labelled(np.flatnonzero(fold_of != fold), values), nobody, np.flatnonzero(fold_of == fold))
        for fold in folders
    )


def _open_dataset(runs: Sequence[Mapping[str, Any]], source: Path) -> PreparedDataset:
    """The dataset where one of the runs had it, else by the task's name: a cache may have moved."""
    stored = [Path(options["dataset"]["folder"]) for options in runs]
    if present := [folder for folder in stored if folder.exists()]:
        return PreparedDataset.open(present[0])
    for options in runs:
        with suppress(UsageError, InputError):
            return open_task_dataset(options["task"], options["model"]["preset"])
    raise MissingDataError(f"the dataset of {source} is not at {stored[0]} any more; prepare it again there")


def _collect(
    folders: Mapping[int, Path], dataset: PreparedDataset, names: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """All folds' predictions: the table by gene and output, the values (genes, outputs), the folds (genes,).

    Genes that no fold tests have NaN and the fold -1.
    """
    table = pd.concat([_read_fold(folder, fold, dataset, names) for fold, folder in folders.items()])
    try:
        rows, columns = places_of(table, dataset.ids, names)
        values = values_of(table, dataset.ids, names, np.unique(rows))
    except (KeyError, ValueError):
        raise InputError(
            next(iter(folders.values())).parent,
            found="predictions of a gene in several folds, or of some labels alone",
            expected="each gene in one fold at most",
        ) from None
    fold_of = np.full(len(dataset), -1)
    fold_of[rows] = table["fold"]
    return table.iloc[np.lexsort((columns, rows))].reset_index(drop=True), values, fold_of


def _read_fold(folder: Path, fold: int, dataset: PreparedDataset, names: Sequence[str]) -> pd.DataFrame:
    """The predictions of one fold, checked against the dataset row by row, and its files against their checksums.

    Raises:
        InputError: the file, the line, what was found and what was expected.
    """
    path = folder / "predictions.tsv"
    table = read_table(path)
    expected = f"the predictions of fold {fold}, as it wrote them"
    if absent := [column for column in ("fold", "chrom") if column not in table]:
        raise InputError(path, record="header", found=f"no column {absent[0]}", expected=expected)
    chromosomes = dict(zip(dataset.ids, dataset.genes["chrom"], strict=True))
    labels = {name: dict(zip(dataset.ids, dataset.labels([name])[:, 0].tolist(), strict=True)) for name in names}
    # Not every fold has enough validation genes of a label to calibrate on: without them none of its rows has an sd.
    with_sd = set(table.loc[table["sd"].notna(), "output"]) if "sd" in table else set()
    seen: set[tuple[str, str]] = set()
    for line, row in enumerate(table.to_dict("records"), start=2):
        where = f"line {line}, id {row['id']!r}"
        found = ""
        if row["id"] not in chromosomes:
            found, wanted = "a gene that the dataset does not have", expected
        elif row["output"] not in names:
            found, wanted = f"output {row['output']!r}", f"one of {', '.join(names)}"
        elif (row["id"], row["output"]) in seen:
            found, wanted = "this gene again", "one row for each gene and output"
        elif row["fold"] != fold:
            found, wanted = f"fold {row['fold']}", f"fold {fold}"
        elif not abs(row["prediction"]) <= LARGEST:
            found, wanted = f"prediction {row['prediction']}", f"a number of at most {LARGEST:g}"
        elif row["output"] in with_sd and not 0 < row["sd"] <= LARGEST:
            found, wanted = f"sd {row['sd']}", f"a number above 0, of at most {LARGEST:g}"
        elif row["chrom"] != chromosomes[row["id"]]:
            found, wanted = f"chrom {row['chrom']!r}", f"{chromosomes[row['id']]!r} as in the dataset"
        elif not _is_same(row["label"], labels[row["output"]][row["id"]]):
            found, wanted = f"label {row['label']}", f"{labels[row['output']][row['id']]} as in the dataset"
        if found:
            raise InputError(path, record=where, found=found, expected=wanted)
        seen.add((row["id"], row["output"]))
    for name in ("predictions.tsv", "metrics.jsonl"):
        check_result(folder / name)
    return table


def _is_same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _gather(folders: Mapping[int, Path], manifest: Mapping[str, Any], out: Path) -> None:
    """A new run folder with copies of the folds; it appears with all of them or not at all."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if _is_begun(out, manifest["merged"]):
            command = command_to_end(out, read_manifest(out))
            raise UsageError(f"{out} holds these folds already, from a merge that did not end; run: {command}")
        raise UsageError(f"{out} exists already; choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=temporary_prefix(out), suffix=".tmp", dir=out.parent) as temporary:
        whole = Path(temporary) / "run"
        for fold, source in folders.items():
            try:
                shutil.copytree(source, fold_folder(whole, fold), ignore=shutil.ignore_patterns("*.tmp"))
            except shutil.Error as problem:  # a list of what went wrong with each file
                raise OSError(errno.EIO, str(problem.args[0][0][-1]), str(out)) from None
        write_json(whole / MANIFEST, manifest)
        os.replace(whole, out)


def _is_begun(folder: Path, sources: Sequence[str]) -> bool:
    """Whether the folder has the folds of `sources`, and nothing was made of them yet."""
    with suppress(InputError):
        return read_manifest(folder, "cv").get("merged") == list(sources) and not is_done(folder)
    return False
