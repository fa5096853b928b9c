"""Which epoch is kept: the best, and after a kernel flow only one that is better beyond chance."""

from __future__ import annotations

import pytest
import torch

from seqexpr.training.epoch_choice import EpochChoice, why_kept

GENES = 100
BEFORE = torch.linspace(0.5, 1.5, GENES, dtype=torch.float64)
NOISE = torch.tensor([1.0, -1.0] * (GENES // 2), dtype=torch.float64)


def row(epoch: int, loss: float, r2: float = 0.0) -> dict[str, float]:
    return {"epoch": epoch, "valid_loss": loss, "valid_r2": r2}


@pytest.mark.parametrize(
    ("gain", "noise", "kept"),
    [
        (0.05, 0.1, True),  # five standard errors
        (0.03, 0.1, True),
        (0.015, 0.1, False),  # one and a half
        (0.05, 1.0, False),
        (-0.1, 0.1, False),
        (0.001, 0.0, True),  # the same gain for every gene is no chance
    ],
)
@pytest.mark.parametrize("metric", ["valid_loss", "valid_r2"])
def test_an_epoch_after_the_kernel_flow_must_gain_beyond_chance(gain, noise, kept, metric):
    choice = EpochChoice(metric, 0)
    assert choice.add(row(0, 1.0, 0.5), BEFORE)
    errors = BEFORE - gain + noise * NOISE
    assert choice.add(row(1, 1.0 - gain, 0.5 + gain), errors) == kept
    assert choice.best_epoch == kept


def test_without_a_kernel_flow_and_without_a_metric_chance_is_not_asked():
    trained, last = EpochChoice("valid_loss", 0), EpochChoice("none", 0)
    assert trained.add(row(1, 1.0), BEFORE) and trained.add(row(2, 0.999), BEFORE - 0.001 + NOISE)
    assert last.add(row(0, 1.0), BEFORE) and last.add(row(1, 2.0), BEFORE + 1)
    assert (trained.best_epoch, last.best_epoch) == (2, 1)


def test_a_later_epoch_must_be_better_than_the_kept_one_too():
    choice = EpochChoice("valid_loss", 0)
    gains = (0.0, 0.05, 0.04, 0.06)
    kept = [choice.add(row(epoch, 1 - gain), BEFORE - gain) for epoch, gain in enumerate(gains)]
    assert kept == [True, True, False, True]


def test_patience_waits_for_the_metric_whether_the_gain_is_chance_or_not():
    choice = EpochChoice("valid_loss", 2)
    losses, out = (1.0, 0.99, 0.98, 0.985, 0.99), []
    for epoch, loss in enumerate(losses):
        choice.add(row(epoch, loss), BEFORE + 5 * NOISE * (epoch > 0))
        out.append(choice.is_out_of_patience())
    assert out == [False, False, False, False, True]
    assert choice.best_epoch == 0


@pytest.mark.parametrize(
    ("metric", "best", "said"),
    [
        ("valid_loss", 2, "kept epoch 2 of 3: it has the lowest validation loss, 0.5; the last epoch has 0.75"),
        ("valid_r2", 3, "kept epoch 3 of 3: it has the highest validation r2, 0.3, and more might raise it"),
        ("none", 3, "kept epoch 3: the recipe keeps the last one"),
    ],
)
def test_why_an_epoch_was_kept(metric, best, said):
    rows = [row(1, 0.9, 0.1), row(2, 0.5, 0.2), row(3, 0.75, 0.3)]
    assert why_kept(rows, best, metric) == said


def test_why_what_comes_before_the_first_epoch_was_kept():
    rows = [row(0, 0.6, 0.4), row(1, 0.59, 0.41), row(2, 0.7, 0.3)]
    assert why_kept(rows[:1], 0, "valid_loss") == "kept epoch 0 (before the first epoch): none followed"
    assert why_kept(rows, 0, "valid_loss") == (
        "kept epoch 0 (before the first epoch) of 2: epoch 1 has the lowest validation loss, 0.59 against 0.6, "
        "but by no more than chance"
    )
