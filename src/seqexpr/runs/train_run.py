"""Train once: a cross-validation with one split, whose weights are there to be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.evaluation.scoring import mean_rows
from seqexpr.evaluation.tables import prediction_rows
from seqexpr.manifest import describe_run
from seqexpr.runs.finish import finish_run
from seqexpr.runs.fold_run import HeldOutPredictions, train_and_predict
from seqexpr.runs.folder import check_free, start_run
from seqexpr.runs.observers import RunObserver
from seqexpr.runs.setup import RunOptions, divide_once
from seqexpr.runs.teaching import taught
from seqexpr.training.experiment import Experiment, Split


def train_once(
    experiment: Experiment,
    options: RunOptions,
    folder: Path,
    device: torch.device,
    *,
    resume: bool,
    observer: RunObserver,
) -> list[dict[str, Any]]:
    """Train into `folder`, or continue there, and score the weights on the genes that were held out.

    What fails after the training (a baseline, the audit, the report) is in `failed.json`; all else is written.

    Args:
        experiment: what is learnt.
        options: how the genes are divided and scored.
        folder: of the run.
        device: to train on.
        resume: continue in a folder that is in use.
        observer: hears how it goes.

    Returns:
        the rows of `metrics.json`; the scope "test" only where the split has test genes, and then with all
        baselines that the inputs allow, as in `cv`. The scope "valid" is optimistic, for these genes chose the
        epoch.
    """
    check_free(folder, "train", resume=resume)
    experiment, split = divide_once(experiment, options, observer)
    manifest = describe_run("train", experiment.to_dict())
    start_run(folder, {**manifest, "device": device.type, "threads": torch.get_num_threads()}, resume=resume)
    observer.on_begin(folder, experiment.recipe.max_epochs)
    experiment = taught(experiment, folder, device, observer)
    held_out = train_and_predict(experiment, split, folder, device, observer, name=folder.name, scope="test")
    own, known = held_out.values, held_out.scores
    valid = [row for row in known if row["scope"] == "valid"]
    tested = np.full_like(own, np.nan)
    tested[split.test] = own[split.test]
    return finish_run(
        folder,
        experiment,
        [split],
        _predictions(experiment, split, held_out),
        tested,
        device,
        observer,
        scope="test",
        columns={"split": "test"},
        threads=torch.get_num_threads(),
        rows=[*valid, *mean_rows(experiment, split, resamples=options.resamples)],
        known=[row for row in known if row["scope"] == "test"],
    )


def _predictions(experiment: Experiment, split: Split, held_out: HeldOutPredictions) -> pd.DataFrame:
    """The table `predictions.tsv`: validation genes, then test genes."""
    genes, values, names = experiment.dataset.genes, experiment.values(), experiment.labels
    parts: Sequence[tuple[str, np.ndarray]] = (("valid", split.valid), ("test", split.test))
    return pd.concat(
        [
            prediction_rows(genes, rows, held_out.values[rows], values, names, sd=held_out.sd[rows], split=part)
            for part, rows in parts
            if len(rows)
        ]
    )
