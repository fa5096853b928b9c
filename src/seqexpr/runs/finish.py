"""From predictions of held-out genes to the whole run: baselines, audit, scores with intervals, report.

`train` and `cv` share these steps. None of them may take the training's results away: what fails is named in
`failed.json` and on the log, everything else is written, and `.done` stays away. Finishing again, with --resume,
computes only what is not there yet.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.errors import InputError
from seqexpr.evaluation.audit import audit_overlap, audit_stage
from seqexpr.evaluation.report import write_report
from seqexpr.evaluation.report.run import read_audit
from seqexpr.evaluation.scoring import MODEL, baseline_rows, predict_baselines, score, tested_rows
from seqexpr.evaluation.tables import (
    metrics_table,
    read_metrics,
    read_table,
    table_text,
    values_of,
    write_table,
)
from seqexpr.files import write_json
from seqexpr.finished import DONE, check_result, mark_done
from seqexpr.runs.fold_run import torch_threads
from seqexpr.runs.folder import keep_failures
from seqexpr.runs.observers import StageObserver
from seqexpr.training.experiment import Experiment, Split

logger = logging.getLogger(__name__)

PREDICTIONS, BASELINES, AUDIT, METRICS = "predictions.tsv", "baselines.tsv", "audit.json", "metrics.json"
METRICS_TABLE, REPORT = "metrics.tsv", "report.html"

_DERIVED = (DONE, AUDIT, METRICS, METRICS_TABLE, REPORT)
"""What is computed from the predictions, and is stale once they are others."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""The disk takes no more: that ends a run, for nothing else could be written either."""


def finish_run(
    folder: Path,
    experiment: Experiment,
    splits: Sequence[Split],
    predictions: pd.DataFrame,
    own: np.ndarray,
    device: torch.device,
    observer: StageObserver,
    *,
    scope: str,
    columns: Mapping[str, np.ndarray | str],
    threads: int,
    rows: Sequence[dict[str, Any]] = (),
    known: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Make the run in `folder` whole, all of whose splits are trained.

    Args:
        folder: of the run.
        experiment: what was learnt, with the run's options.
        splits: who was trained on which genes and tested on which.
        predictions: the table `predictions.tsv`.
        own: the network's predictions (genes, outputs), NaN for genes that are not tested.
        device: for the untrained network.
        observer: hears what is done.
        scope: name of all tested genes together, in the scores.
        columns: what says in `baselines.tsv` where a gene was tested, as `baseline_rows` takes it.
        threads: of torch for the untrained network: those of a fold, so that whoever finishes the run gets the same
            digits. The audit, which is the same with any number, has all threads.
        rows: of `metrics.json`, which come before those of the test genes.
        known: rows of the test genes that are computed already.

    Returns:
        the rows of `metrics.json`.
    """
    _renew(folder, predictions)
    rows, failures = list(rows), dict[str, Exception]()
    if len(tested_rows(splits)):
        stored = _stored_baselines(folder, experiment, splits)
        observer.on_stage(f"baselines on the same {'folds' if len(splits) > 1 else 'genes'}")
        at_once = torch.get_num_threads()
        with torch_threads(threads):
            baselines, failed = predict_baselines(
                experiment, splits, device, known=stored, at_once=at_once, progress=observer.on_part
            )
        failures |= {f"the baseline {name}": error for name, error in failed.items()}
        if baselines:
            write_table(folder / BASELINES, baseline_rows(experiment, splits, baselines, columns))
        observer.on_stage(audit_stage(experiment.dataset))
        failures |= _audit(folder, experiment, splits, own, observer)
        observer.on_stage("bootstrap intervals")
        kept = [row for row in _stored_list(folder / METRICS, read_metrics) if row["model"] in (MODEL, *stored)]
        scored, failed = score(
            experiment,
            splits,
            {MODEL: own, **baselines},
            scope=scope,
            resamples=experiment.options["resamples"],
            known=[*kept, *known],
            progress=observer.on_part,
        )
        failures |= {f"the scores of {name}": error for name, error in failed.items()}
        rows += scored
    write_json(folder / METRICS, rows)
    write_table(folder / METRICS_TABLE, metrics_table(rows))
    keep_failures(folder, failures)  # the report shows them
    observer.on_stage("report")
    try:
        write_report(folder)
    except Exception as error:
        _reraise_if_full(error)
        failures["the report"] = error
        keep_failures(folder, failures)
    if not failures:
        mark_done(folder, (PREDICTIONS, BASELINES, AUDIT, METRICS))
    return rows


def _renew(folder: Path, predictions: pd.DataFrame) -> None:
    """Write the predictions; where others were there, all that was made of them goes first, and the baselines stay."""
    path, text = folder / PREDICTIONS, table_text(predictions)
    same = path.is_file() and path.read_bytes() == text.encode()
    if path.is_file() and not same:
        logger.warning("%s is written again: its scores, audit and report are computed again", path)
    for name in (BASELINES, AUDIT, METRICS) if same else (BASELINES,):
        try:
            check_result(folder / name)
        except (InputError, OSError) as problem:
            _leave_out(folder / name, problem)
    for name in (DONE,) if same else _DERIVED:
        (folder / name).unlink(missing_ok=True)
    if not same:
        write_table(path, predictions)


def _leave_out(path: Path, problem: Exception) -> None:
    """Remove what an earlier attempt wrote, so that it is computed again."""
    if path.is_file():
        logger.warning("%s; it is computed again", problem)
        path.unlink()


def _stored_baselines(folder: Path, experiment: Experiment, splits: Sequence[Split]) -> dict[str, np.ndarray]:
    """Baselines that an earlier attempt has computed; a table that is not whole is computed again."""
    path = folder / BASELINES
    if not path.exists():
        return {}
    try:
        table = read_table(path)
        return {
            str(model): values_of(part, experiment.dataset.ids, experiment.labels, tested_rows(splits))
            for model, part in table.groupby("model", sort=False)
        }
    except InputError as problem:
        _leave_out(path, problem)
    except (ValueError, KeyError):
        _leave_out(path, InputError(path, found="baselines of other genes or labels", expected="those of this run"))
    return {}


def _stored_list(path: Path, read: Callable[[Path], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of a JSON file that an earlier attempt has written; none where it cannot be read."""
    try:
        return read(path)
    except InputError as problem:
        _leave_out(path, problem)
        return []


def _audit(
    folder: Path, experiment: Experiment, splits: Sequence[Split], own: np.ndarray, observer: StageObserver
) -> dict[str, Exception]:
    """Write `audit.json` unless it is there; a search that MMseqs2 was missing for is made once it is installed."""
    stored = _stored_list(folder / AUDIT, read_audit)
    skipped = any("MMseqs2" in str(entry.get("skipped", "")) for entry in stored)
    if stored and not (skipped and shutil.which("mmseqs")):
        return {}
    try:
        entries = audit_overlap(
            experiment,
            splits,
            own,
            threads=torch.get_num_threads(),
            resamples=experiment.options["resamples"],
            progress=observer.on_part,
        )
    except Exception as error:
        _reraise_if_full(error)
        return {"the overlap audit": error}
    write_json(folder / AUDIT, entries)
    return {}


def _reraise_if_full(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        raise error
