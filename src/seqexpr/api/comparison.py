"""Compare runs from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from seqexpr.api.arguments import Path_, names

if TYPE_CHECKING:
    import pandas as pd


def compare(
    first: Path_,
    *others: Path_,
    label: str | None = None,
    metric: str | Sequence[str] = (),
    resamples: int = 1000,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Compare runs or tables of predictions on the genes that both tested, by paired bootstrap.

    >>> import tempfile
    >>> from pathlib import Path
    >>> mine, other = (Path(tempfile.mkdtemp()) / "predictions.tsv" for _ in range(2))
    >>> _ = mine.write_text("id\\tlabel\\tprediction\\n" + "".join(f"g{i}\\t{i}\\t{i + i % 2}\\n" for i in range(9)))
    >>> _ = other.write_text("id\\tlabel\\tprediction\\n" + "".join(f"g{i}\\t{i}\\t{i + i % 5}\\n" for i in range(9)))
    >>> compare(mine, other, metric="rmse").round(2)[["metric", "first", "other", "difference"]].values.tolist()
    [['rmse', 0.67, 2.21, -1.54]]

    Args:
        first: a run folder, or a table with the columns id, [output,] label and prediction.
        others: what it is compared with; none: the run's own baselines.
        label: the label that is compared. Default: all that both have.
        metric: names of metrics. Default: all five.
        resamples, seed: of the bootstrap.
        advance: gets the number of the others that were compared since the last call.

    Returns:
        One row for each other `run`, `label` and `metric`: `n` genes, the values of `first` and `other`, their
        `difference` (the first's minus the other's) with its 95 % interval `low` to `high`, and `first_better`, the
        share of resamples in which the first is better. NaN where a metric is not defined.

    Raises:
        UsageError, InputError, MissingDataError: as the command does.
    """
    import pandas as pd

    from seqexpr.evaluation.compare import COLUMNS, compare_runs, comparison_rows
    from seqexpr.evaluation.metrics import METRICS

    comparisons = compare_runs(
        first,
        others,
        names=tuple(dict.fromkeys(names(metric))) or METRICS,
        output=label,
        resamples=resamples,
        seed=seed,
        advance=advance or (lambda models: None),
    )
    return pd.DataFrame([row for one in comparisons for row in comparison_rows(one)], columns=list(COLUMNS))
