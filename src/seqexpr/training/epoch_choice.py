"""Which epoch's weights a training keeps, and when it stops.

The best epoch by the recipe's metric is kept. Where the network says something before the first epoch, by a kernel flow
or by weights that it started from, an epoch must be better than that beyond chance: among ten epochs that learn
nothing, the best on a hundred validation genes is better by luck, and worse on all other genes.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

CHANCE = 2.0
"""Standard errors, over the validation genes, by which an epoch must lessen their squared error."""

_METRICS = {"valid_loss": ("lowest", "validation loss"), "valid_r2": ("highest", "validation r2")}


class EpochChoice:
    """The epochs of a training so far, and the one whose weights are kept."""

    def __init__(self, metric: str, patience: int) -> None:
        self.metric, self.patience = metric, patience
        self.rows: list[dict[str, Any]] = []
        """One per epoch, as in metrics.jsonl; epoch 0 is what comes before the first."""
        self.best_epoch, self.best_score = 0, -math.inf
        self.errors_before: Tensor | None = None
        """float64 (validation genes,): their errors in epoch 0, where there is one."""

    @property
    def epochs_done(self) -> int:
        """The last epoch that is done; 0 is what comes before the first."""
        return self.rows[-1]["epoch"] if self.rows else 0

    def add(self, row: dict[str, Any], errors: Tensor) -> bool:
        """An epoch is done; whether its weights are the ones to keep now.

        Args:
            row: of metrics.jsonl.
            errors: float64 (validation genes,), always in the same order.
        """
        first = not self.rows
        self.rows.append(row)
        if row["epoch"] == 0:
            self.errors_before = errors
        score = _score(row, self.metric)
        if not (first or (score > self.best_score and self._is_no_chance(errors))):
            return False
        self.best_epoch, self.best_score = row["epoch"], score
        return True

    def _is_no_chance(self, errors: Tensor) -> bool:
        """Whether these errors are less than those before the first epoch beyond chance, where that matters."""
        if self.errors_before is None or self.metric == "none":
            return True
        gains = self.errors_before - errors
        return float(gains.mean()) > CHANCE * float(gains.std()) / math.sqrt(len(gains))

    def is_out_of_patience(self) -> bool:
        """Whether the metric got no better for too many epochs."""
        if not (self.patience and self.rows):
            return False
        return self.epochs_done - int(_leading(self.rows, self.metric)["epoch"]) >= self.patience


def why_kept(rows: list[dict[str, Any]], best_epoch: int, metric: str) -> str:
    """Why an epoch was kept, in a sentence without its full stop."""
    kept, last = rows[[row["epoch"] for row in rows].index(best_epoch)], rows[-1]
    epoch = f"epoch {best_epoch}" + (" (before the first epoch)" if best_epoch == 0 else "")
    if metric == "none":
        return f"kept {epoch}: the recipe keeps the last one"
    if last["epoch"] == 0:
        return f"kept {epoch}: none followed"
    (best, name), leading = _METRICS[metric], _leading(rows, metric)
    if leading is not kept:
        return (
            f"kept {epoch} of {last['epoch']}: epoch {leading['epoch']} has the {best} {name}, {leading[metric]:.4g} "
            f"against {kept[metric]:.4g}, but by no more than chance"
        )
    text = f"kept {epoch} of {last['epoch']}: it has the {best} {name}, {kept[metric]:.4g}"
    if last is kept:
        return f"{text}, and more epochs might lower it" if best == "lowest" else f"{text}, and more might raise it"
    return f"{text}; the last epoch has {last[metric]:.4g}"


def _score(row: dict[str, Any], metric: str) -> float:
    """How good an epoch is; the larger the better."""
    return {"valid_loss": -row["valid_loss"], "valid_r2": row["valid_r2"], "none": row["epoch"]}[metric]


def _leading(rows: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """The epoch with the best validation, the first of equals."""
    return max(rows, key=lambda row: _score(row, metric))
