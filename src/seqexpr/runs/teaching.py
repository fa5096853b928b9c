"""The teacher stage of a run: in its folder `teacher`, once for all folds, before any of them.

Several processes may run folds of one cross-validation; the first one teaches, the others wait for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from seqexpr.errors import UsageError
from seqexpr.files import one_at_a_time
from seqexpr.finished import check_result, is_done, mark_done
from seqexpr.models.trained import load_model, save_model
from seqexpr.runs.observers import StageObserver
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import read_fasta
from seqexpr.training.distributed import Ranks
from seqexpr.training.experiment import Experiment
from seqexpr.training.start import Start
from seqexpr.training.teacher import Teaching
from seqexpr.training.teacher_stage import ModelTeacher, Stage, teach
from seqexpr.training.unlabelled import UnlabelledDna, WindowDraw

logger = logging.getLogger(__name__)

FOLDER = "teacher"
WEIGHTS = "weights.safetensors"


def taught(
    experiment: Experiment, folder: Path, device: torch.device, observer: StageObserver, ranks: Ranks | None = None
) -> Experiment:
    """The experiment, to start from the weights that its teachers made; as it is where it has none.

    A stage in `folder` that was stopped is continued, one that is done is not computed again. Of many processes each
    calls this, and shares in the steps; the first alone writes.

    Raises:
        UsageError, InputError: as `teach`; unlabelled DNA that cannot be read or has no place for what is to be drawn;
            or weights of the stage that were changed since.
    """
    teaching = experiment.teaching
    if teaching is None:
        return experiment
    target = folder / FOLDER
    if ranks is not None and not ranks.is_first:
        _teach_along(experiment, teaching, target, device, observer, ranks)
        return replace(experiment, start=Start.of(target / WEIGHTS))
    target.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(target / ".lock", "another process teaches the network; waiting for it"):
        missing = not is_done(target)
        if ranks is not None:
            ranks.agree(missing)
        if missing:
            observer.on_stage("learning from teachers")
            stage = _stage(experiment, teaching, device)
            model = teach(stage, target, device, name=FOLDER, observer=observer, ranks=ranks)
            save_model(target / WEIGHTS, model)
            mark_done(target, (WEIGHTS, "metrics.jsonl"))
            logger.info(
                "the network says what its teachers say: squared Pearson %.3f on windows that it did not learn from",
                model.metadata.training["teacher_r2"],
            )
    check_result(target / WEIGHTS)
    if ranks is not None:
        ranks.agree("written")
    return replace(experiment, start=Start.of(target / WEIGHTS))


def _teach_along(
    experiment: Experiment,
    teaching: Teaching,
    target: Path,
    device: torch.device,
    observer: StageObserver,
    ranks: Ranks,
) -> None:
    """The part of a process that is not the first, until the weights are written."""
    if ranks.agree(None):  # whether the stage is still to be computed
        teach(_stage(experiment, teaching, device), target, device, name=FOLDER, observer=observer, ranks=ranks)
    ranks.agree(None)


def _stage(experiment: Experiment, teaching: Teaching, device: torch.device) -> Stage:
    config, settings, dataset = experiment.config, teaching.settings, experiment.dataset
    teachers = [ModelTeacher(load_model(teacher.file, device), config, teacher.sha256) for teacher in teaching.teachers]
    unlabelled = None
    if teaching.unlabelled is not None:
        contigs = _contigs(teaching.unlabelled)
        unlabelled = UnlabelledDna(contigs, config.upstream, config.downstream, settings)
        if settings.island_share and not unlabelled.islands:
            raise UsageError(
                f"{teaching.unlabelled} has no place with {settings.island_pairs} CpG pairs in "
                f"{settings.island_span} bp: lower teacher.island_pairs, or set teacher.island_share to 0"
            )
    inputs = [experiment.options["digests"]["inputs"], teaching.unlabelled_sha256]
    return Stage(
        config,
        settings,
        teachers,
        WindowDraw(settings, dataset, unlabelled, config.upstream, config.downstream, experiment.seed),
        hashlib.sha256(json.dumps(inputs).encode()).hexdigest(),
        experiment.seed,
        experiment.start,
    )


def _contigs(path: Path) -> Iterator[np.ndarray]:
    for record in read_fasta(path):
        yield DNA.encode(record.sequence, file=path, record=f"record {record.number:,} {record.id!r}")
