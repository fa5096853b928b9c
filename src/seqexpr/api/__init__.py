"""The verbs of the command line for Python: their options are keyword arguments, their results are DataFrames.

The commands call these verbs. `predict`, `variants`, `explain` and `scan` have an engine below both, since the commands
write rows as they come and the verbs give a table.

>>> import seqexpr
>>> seqexpr.predict({"a": "ACGT" * 2625}).columns.tolist()
['id', 'mrna', 'mrna_sd']
"""

from __future__ import annotations

from seqexpr.api.comparison import compare
from seqexpr.api.datasets import prepare
from seqexpr.api.effects import explain
from seqexpr.api.merging import Merged, merge
from seqexpr.api.prediction import Model, load, predict
from seqexpr.api.runs import Run, cross_validate, train
from seqexpr.api.scanning import scan
from seqexpr.api.variant_effects import variants

__all__ = [
    "Merged",
    "Model",
    "Run",
    "compare",
    "cross_validate",
    "explain",
    "load",
    "merge",
    "predict",
    "prepare",
    "scan",
    "train",
    "variants",
]
