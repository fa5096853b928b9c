"""The first stage of a training whose recipe has a table [teacher]: the network learns to say what other models say.

Labels are few, sequences without labels are not. So the sequence flows learn from teachers, models that are trained
already (knowledge distillation, Hinton et al. 2015), on windows for which no label is needed; an ensemble of teachers
thus goes into one network. The stage reads sequences and teachers alone, never a label, and so is the same for all
folds of a cross-validation.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqexpr.errors import InputError, UsageError
from seqexpr.files import atomic_path
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.models.transfers import to_device
from seqexpr.own_files import list_of, number, record, text, whole
from seqexpr.tensor_files import check_tensors
from seqexpr.threads import Prefetch
from seqexpr.training.distributed import Ranks
from seqexpr.training.group_workers import GroupWorkers, add_gradients, add_gradients_at_once, in_order, single_threads
from seqexpr.training.schedules import warmup_cosine
from seqexpr.training.start import Start
from seqexpr.training.state import FILE, fitting, load_state, save_state
from seqexpr.training.steps import STEPS_AHEAD
from seqexpr.training.teacher import TeacherSettings
from seqexpr.training.unlabelled import Drawn, WindowDraw

STEPS_KEPT = 100
"""Steps after which the state is written and the student is compared with its teachers."""

_HELD_OUT = 256
"""Windows that no step reads, on which they are compared."""

_SCALING = 1024
"""Windows whose answers give each output's mean and spread."""

_PART = 16
"""Windows that pass through a network together outside of steps."""

_FURTHER = 2**31
"""From here on, the numbers of draws are not those of steps."""


_Group = tuple[np.ndarray, int]
"""Windows that pass through the network together, and how many pairs of a window and its twin come first."""


class Teacher(Protocol):
    """A model that answers for windows of DNA."""

    @property
    def outputs(self) -> Sequence[Output]:
        """What it predicts: names and units."""

    @property
    def sha256(self) -> str:
        """Of its weights: another teacher makes another student."""

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """uint8 (n, the student's window) -> float (n, outputs), in its own units. Several threads may call at once."""


@dataclass(frozen=True)
class ModelTeacher:
    """Trained weights of seqexpr as a teacher: it reads the part of the student's windows that it was made for.

    Args:
        model: reads DNA alone, and no more of it than the student.
        student: the network that learns.
        sha256: of its file.
    """

    model: TrainedModel
    student: PerceiverConfig
    sha256: str

    @property
    def outputs(self) -> Sequence[Output]:
        """Those of the model."""
        return self.model.metadata.outputs

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """As `Teacher`; half-life features are unknown."""
        own, start = self.model.metadata.config, self.student.upstream
        cut = windows[:, start - own.upstream : start + own.downstream]
        return self.model.predict(np.ascontiguousarray(cut), None, None)


class Panel:
    """All teachers of a stage; those that predict an output of the same name are averaged."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self._teachers = teachers
        self.outputs = tuple({output.name: output for teacher in teachers for output in teacher.outputs}.values())
        self.names = tuple(output.name for output in self.outputs)
        self.sha256 = tuple(teacher.sha256 for teacher in teachers)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """uint8 (n, letters) -> float64 (n, outputs)."""
        sums, counts = np.zeros((len(windows), len(self.names))), np.zeros(len(self.names))
        for teacher in self._teachers:
            columns = [self.names.index(output.name) for output in teacher.outputs]
            sums[:, columns] += teacher(windows)
            counts[columns] += 1
        return sums / counts


class StageObserver(Protocol):
    """Hears how the stage goes."""

    def on_part(self, part: str, done: int, total: int) -> None:
        """What is done now; `done` of `total` steps are."""


@dataclass(frozen=True)
class Stage:
    """What decides a stage's student."""

    config: PerceiverConfig
    """Of the network that is trained afterwards; it reads DNA alone."""
    settings: TeacherSettings
    teachers: Sequence[Teacher]
    draw: WindowDraw
    inputs: str
    """Digest of all sequences that windows are drawn from."""
    seed: int
    start: Start | None = None
    """Weights that the student starts from; None: random ones."""

    def student(self, outputs: int) -> PerceiverConfig:
        """The network's sequence flows, without dropout and with the teachers' outputs."""
        return replace(self.config.without_kernel(), dropout=0.0, outputs=outputs, tanh=False)

    def fingerprint(self) -> str:
        """SHA-256 of everything that decides the weights."""
        described = [
            self.student(1).to_dict(),
            {**self.settings.to_dict(), "models": [teacher.sha256 for teacher in self.teachers]},
            [[output.name for output in teacher.outputs] for teacher in self.teachers],
            self.inputs,
            self.seed,
            *([] if self.start is None else [self.start.digests]),
        ]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def teach(
    stage: Stage,
    folder: Path,
    device: torch.device,
    *,
    name: str,
    observer: StageObserver,
    ranks: Ranks | None = None,
) -> TrainedModel:
    """Train the student, or continue where a stage in `folder` stopped.

    `folder` gets `metrics.jsonl` (a line every hundred steps) and `checkpoint/` on the way; a stage that was stopped
    and resumed gives the same weights as one that was not.

    Args:
        stage: what is learnt from whom.
        folder: of the stage.
        device: to train on.
        name: of the student.
        observer: hears of the steps.
        ranks: the processes that share the groups of each step, each of which calls this function; the first alone
            writes into `folder`, which all can read.

    Returns:
        a model that predicts the teachers' outputs.

    Raises:
        InputError: the folder's checkpoint is damaged or belongs to another stage.
        UsageError: a teacher gives one answer for all windows, or the loss is no longer a number.
    """
    if ranks is None or ranks.is_first:
        folder.mkdir(parents=True, exist_ok=True)
    workers = torch.get_num_threads()
    with single_threads(workers) as pool:
        student = _Student(stage, folder, device, pool, workers, ranks)
        student.run(observer)
    return TrainedModel(name, student.network.eval(), student.metadata())


class _Student:
    def __init__(
        self,
        stage: Stage,
        folder: Path,
        device: torch.device,
        pool: ThreadPoolExecutor,
        workers: int,
        ranks: Ranks | None = None,
    ) -> None:
        self.stage, self.settings, self.folder, self.device = stage, stage.settings, folder, device
        self.pool, self.workers, self.ranks = pool, workers, ranks
        self.is_first = ranks is None or ranks.is_first
        self.panel = Panel(stage.teachers)
        torch.manual_seed(stage.seed)
        self.network = Perceiver(stage.student(len(self.panel.outputs))).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=self.settings.weight_decay,
        )
        self.done = 0
        self.rows: list[dict[str, Any]] = []
        self.mean, self.sd = np.empty(0), np.empty(0)
        self._restore()
        if ranks is not None:  # also: nobody writes a state before all have read the one that was there
            ranks.check_same("teachers, sequences, settings or seed", stage.fingerprint())
            ranks.check_same("a checkpoint", self.done)
            self._copy_first(ranks)

    def _copy_first(self, ranks: Ranks) -> None:
        """Begin as the first process does: the teachers' answers, and what starts from them, may differ in last digits
        where processors do."""
        mean, sd = (torch.from_numpy(values) for values in (self.mean, self.sd))
        ranks.copy_first([mean, sd, *self.network.state_dict().values()])  # in place

    def run(self, observer: StageObserver) -> None:
        steps = self.settings.steps
        if self.done == steps:
            return
        held_out = self._windows(_FURTHER, _HELD_OUT)
        answers = (self._ask(held_out) - self.mean) / self.sd
        workers = None
        if self._on_cpu or self.ranks is not None:
            workers = GroupWorkers(self.pool, self.network, self.workers if self._on_cpu else 1, self.ranks)
        self.network.train()
        losses, started = [], time.monotonic()
        with Prefetch(self._drawn(), room=STEPS_AHEAD) as ahead:
            for step in range(self.done + 1, steps + 1):
                drawn = ahead.take(1)
                if not drawn:
                    assert ahead.failure is not None, "as many steps are drawn as there are"
                    raise ahead.failure
                losses.append(float(self._step(drawn[0], step, workers)))
                ahead.release()
                observer.on_part(f"loss {losses[-1]:.3f}", step - 1, steps)
                if step % STEPS_KEPT == 0 or step == steps:
                    self._keep(step, losses, held_out, answers, started)
                    losses, started = [], time.monotonic()

    @property
    def _on_cpu(self) -> bool:
        return self.device.type == "cpu"

    def metadata(self) -> ModelMetadata:
        outputs = tuple(
            Output(output.name, output.unit, float(mean), float(sd))
            for output, mean, sd in zip(self.panel.outputs, self.mean, self.sd, strict=True)
        )
        training = {
            "teacher": self.settings.to_dict(),
            "teachers_sha256": list(self.panel.sha256),
            "seed": self.stage.seed,
            "windows": self.settings.steps * self.settings.batch_size,
            "teacher_r2": self.rows[-1]["teacher_r2"],
        }
        return ModelMetadata(self.network.config, outputs, None, training)

    def _drawn(self) -> Iterator[tuple[list[_Group], int]]:
        """This process's groups of each step that is left, and the number of all."""
        for step in range(self.done + 1, self.settings.steps + 1):
            drawn = self.stage.draw.draw(step, self.settings.batch_size)
            every = groups_of(drawn, self.settings.group_size)
            own = every if self.ranks is None else self.ranks.share(every)
            yield [(drawn.windows[places], pairs) for places, pairs in own], len(every)

    def _step(self, drawn: tuple[list[_Group], int], step: int, workers: GroupWorkers | None) -> Tensor:
        """One step of the optimiser."""
        groups, total_groups = drawn
        settings, size = self.settings, self.settings.batch_size * len(self.panel.outputs)
        self.optimizer.zero_grad(set_to_none=True)
        rate = warmup_cosine(settings.learning_rate, step, settings.warmup_steps, settings.steps)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate

        def loss_of(network: Perceiver, some: Sequence[_Group]) -> Tensor:
            windows = np.concatenate([windows for windows, _ in some])
            wanted = to_device(((self.panel(windows) - self.mean) / self.sd).astype(np.float32), self.device)
            tokens = to_device(windows, self.device)
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                answered = network(tokens, tokens).float()
            loss = (answered - wanted).square().sum()
            start = 0
            for windows, pairs in some:
                first, twins = (slice(start + offset, start + 2 * pairs, 2) for offset in (0, 1))
                error = answered[twins] - answered[first] - (wanted[twins] - wanted[first])
                loss = loss + settings.difference_weight * error.square().sum()
                start += len(windows)
            return loss / size

        if workers is None and not self._on_cpu:  # a GPU passes many groups through the network at once
            total = add_gradients_at_once(self.network, groups, lambda group: len(group[0]), list, loss_of)
        else:
            total = add_gradients(self.network, workers, [[group] for group in groups], loss_of, total_groups)
        if settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.optimizer.step()
        return total

    def _windows(self, first: int, count: int) -> np.ndarray:
        """`count` windows of draws that are no steps, from number `first` on."""
        size = self.settings.batch_size
        draws = [self.stage.draw.draw(first + number, size).windows for number in range(math.ceil(count / size))]
        return np.concatenate(draws)[:count]

    def _ask(self, windows: np.ndarray) -> np.ndarray:
        """The teachers' answers, float64 (n, outputs)."""
        parts = np.split(windows, range(_PART, len(windows), _PART))
        return np.concatenate(in_order(self.pool, self.panel, parts))

    def _answer(self, windows: np.ndarray) -> np.ndarray:
        """The student's answers in z-scores, float64 (n, outputs)."""

        @torch.no_grad()  # on whatever thread
        def answer(part: np.ndarray) -> np.ndarray:
            tokens = to_device(part, self.device)
            return self.network(tokens, tokens).cpu().double().numpy()

        parts = np.split(windows, range(_PART, len(windows), _PART))
        self.network.eval()
        found = in_order(self.pool, answer, parts) if self._on_cpu else [answer(part) for part in parts]
        self.network.train()
        return np.concatenate(found)

    def _keep(self, step: int, losses: list[float], held_out: np.ndarray, answers: np.ndarray, started: float) -> None:
        """Compare student and teachers, and write the state."""
        if not math.isfinite(np.sum(losses)):
            raise UsageError(
                f"the loss of the teacher stage is no number at step {step}: "
                "lower teacher.learning_rate or clip gradients"
            )
        self.done = step
        self.rows.append(
            {
                "step": step,
                "loss": float(np.mean(losses)),
                "teacher_r2": _agreement(self._answer(held_out), answers),
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        if not self.is_first:
            return
        progress = {
            "fingerprint": self.stage.fingerprint(),
            "step": step,
            "mean": self.mean.tolist(),
            "sd": self.sd.tolist(),
            "rows": self.rows,
        }
        save_state(self.folder / "checkpoint", {"network": self.network.state_dict()}, self.optimizer, progress)
        self._write_metrics()

    def _write_metrics(self) -> None:
        with atomic_path(self.folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    def _restore(self) -> None:
        folder = self.folder / "checkpoint"
        stored = load_state(folder, self.optimizer, _PROGRESS)
        if stored is None:
            answers = self._ask(self._windows(2 * _FURTHER, _SCALING))
            self.mean, self.sd = answers.mean(axis=0), answers.std(axis=0)
            for name, sd in zip(self.panel.names, self.sd, strict=True):
                if not sd > 0:
                    raise UsageError(f"the teachers give one answer for all windows as {name}: nothing to learn")
            if self.stage.start is not None:
                self.stage.start.load(self.network, self.panel.names, self.mean, self.sd)
            return
        groups, progress = stored
        if progress["fingerprint"] != self.stage.fingerprint():
            raise InputError(
                folder,
                found="a teacher stage with other teachers, sequences, settings or seed",
                expected="the stage that is resumed",
            )
        with fitting(folder):
            check_tensors(folder / FILE, groups["network"], self.network.state_dict(), "this network")
            self.network.load_state_dict(groups["network"])
        self.done, self.rows = progress["step"], progress["rows"]
        self.mean, self.sd = np.array(progress["mean"]), np.array(progress["sd"])
        if self.is_first:
            self._write_metrics()  # a process that was killed may have left the file without the last rows


_PROGRESS = record(
    {
        "fingerprint": text,
        "step": whole(1),
        "mean": list_of(number),
        "sd": list_of(number),
        "rows": list_of(record({"step": whole(1), "loss": number, "teacher_r2": number, "seconds": number})),
    }
)


def groups_of(drawn: Drawn, size: int) -> list[tuple[np.ndarray, int]]:
    """Divide a step's windows into groups of `size` (0 = one group) in which every twin is with its window.

    Returns:
        for each group the places of its windows, and how many pairs come first: window, twin, window, twin ...
    """
    count, twins = len(drawn.windows), drawn.twins
    first = np.stack([np.arange(twins), np.arange(count - twins, count)], axis=1)  # (pairs, 2)
    others = np.arange(twins, count - twins)
    groups = math.ceil(count / (size or count))
    pairs, left = np.array_split(first, groups), count
    found, taken = [], 0
    for place, some in enumerate(pairs):
        wanted = math.ceil(left / (groups - place)) - 2 * len(some)
        rest = others[taken : taken + max(wanted, 0)]
        taken += len(rest)
        left -= 2 * len(some) + len(rest)
        found.append((np.concatenate([some.reshape(-1), rest]), len(some)))
    return [group for group in found if len(group[0])]  # pairs in groups of one leave none for the last


def _agreement(own: np.ndarray, answers: np.ndarray) -> float:
    """Squared Pearson correlation of two (n, outputs), the mean over the outputs; a constant agrees with nothing."""
    own, answers = own - own.mean(axis=0), answers - answers.mean(axis=0)
    norms = (own**2).sum(axis=0) * (answers**2).sum(axis=0)
    return float(np.mean((own * answers).sum(axis=0) ** 2 / np.where(norms > 0, norms, np.inf)))
