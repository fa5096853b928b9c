"""Train once: a cross-validation with one split, whose weights are there to be used.

Of many processes that torchrun started, each learns on its share of the groups of a batch, and the first does all else.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqexpr.errors import UsageError
from seqexpr.evaluation.scoring import mean_rows
from seqexpr.evaluation.tables import prediction_rows
from seqexpr.manifest import describe_run
from seqexpr.runs.finish import finish_run
from seqexpr.runs.fold_run import HeldOutPredictions, train_and_predict
from seqexpr.runs.folder import check_free, data_digests, start_run
from seqexpr.runs.observers import RunObserver, SilentObserver
from seqexpr.runs.setup import RunOptions, divide_once, permute_labels
from seqexpr.runs.teaching import taught
from seqexpr.training.distributed import Ranks, join
from seqexpr.training.experiment import Experiment, Split
from seqexpr.training.trainer import check_share, train

logger = logging.getLogger(__name__)


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
        epoch. None where this is one of many processes and not the first: it returns as soon as the network is trained.
    """
    ranks = join(device)
    if ranks is not None:
        check_share(experiment, ranks.count)
    if ranks is not None and not ranks.is_first:
        _train_along(ranks, experiment, folder, device)
        return []
    check_free(folder, "train", resume=resume)
    experiment, split = divide_once(experiment, options, observer)
    manifest = describe_run("train", experiment.to_dict())
    computing = {"device": device.type, "threads": torch.get_num_threads()}
    if ranks is not None:
        computing["processes"] = ranks.count
    start_run(folder, {**manifest, **computing}, resume=resume)
    observer.on_begin(folder, experiment.recipe.max_epochs)
    if ranks is not None:
        logger.info("%d processes train this network, each on its share of the groups of a batch", ranks.count)
        ranks.agree([experiment.options, *(part.tolist() for part in (split.train, split.valid, split.test))])
    experiment = taught(experiment, folder, device, observer, ranks)
    held_out = train_and_predict(
        experiment, split, folder, device, observer, name=folder.name, scope="test", ranks=ranks
    )
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


def _train_along(ranks: Ranks, experiment: Experiment, folder: Path, device: torch.device) -> None:
    """The part of a process that is not the first.

    Raises:
        UsageError: it sees another dataset than the first.
    """
    settings, *parts = ranks.agree(None)
    if data_digests(experiment.dataset, experiment.labels) != settings["digests"]:
        raise UsageError(f"{experiment.dataset.folder} is not the same dataset on all machines of this training")
    dataset = experiment.dataset
    if settings["permute_labels"]:
        dataset = permute_labels(dataset, experiment.seed)
    split = Split(0, *(np.array(part, dtype=np.int64) for part in parts))
    silent = SilentObserver()
    experiment = taught(replace(experiment, dataset=dataset, options=settings), folder, device, silent, ranks)
    train(experiment, split, folder, device, name=folder.name, observer=silent, ranks=ranks)
    ranks.leave()


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
