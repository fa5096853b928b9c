"""seqexpr: expression levels of genes, mRNA and protein, from DNA around the TSS and protein sequences.

`predict`, `variants`, `explain`, `scan`, `merge`, `load`, `prepare`, `train`, `cross_validate` and `compare` are the
verbs of the command line. Names are loaded at first use, so that importing seqexpr imports neither torch nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "compare": "seqexpr.api",
    "cross_validate": "seqexpr.api",
    "explain": "seqexpr.api",
    "load": "seqexpr.api",
    "merge": "seqexpr.api",
    "predict": "seqexpr.api",
    "prepare": "seqexpr.api",
    "scan": "seqexpr.api",
    "train": "seqexpr.api",
    "variants": "seqexpr.api",
    "Merged": "seqexpr.api",
    "Model": "seqexpr.api",
    "Run": "seqexpr.api",
    "DNA": "seqexpr.sequences.alphabet",
    "PROTEIN": "seqexpr.sequences.alphabet",
    "FastaRecord": "seqexpr.sequences.fasta",
    "Genome": "seqexpr.sequences.genome",
    "Interval": "seqexpr.sequences.windows",
    "Perceiver": "seqexpr.models.perceiver",
    "PerceiverConfig": "seqexpr.models.config",
    "PreparedDataset": "seqexpr.datasets.dataset",
    "SeqexprError": "seqexpr.errors",
    "Task": "seqexpr.tasks.catalogue",
    "TrainedModel": "seqexpr.models.trained",
    "Tss": "seqexpr.sequences.windows",
    "list_models": "seqexpr.models.registry",
    "list_tasks": "seqexpr.tasks.catalogue",
    "load_model": "seqexpr.models.trained",
    "read_annotation": "seqexpr.sequences.annotation",
    "read_bed": "seqexpr.sequences.bed",
    "read_fasta": "seqexpr.sequences.fasta",
    "resolve_models": "seqexpr.models.registry",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from seqexpr.api import (
        Merged,
        Model,
        Run,
        compare,
        cross_validate,
        explain,
        load,
        merge,
        predict,
        prepare,
        scan,
        train,
        variants,
    )
    from seqexpr.datasets.dataset import PreparedDataset
    from seqexpr.errors import SeqexprError
    from seqexpr.models.config import PerceiverConfig
    from seqexpr.models.perceiver import Perceiver
    from seqexpr.models.registry import list_models, resolve_models
    from seqexpr.models.trained import TrainedModel, load_model
    from seqexpr.sequences.alphabet import DNA, PROTEIN
    from seqexpr.sequences.annotation import read_annotation
    from seqexpr.sequences.bed import read_bed
    from seqexpr.sequences.fasta import FastaRecord, read_fasta
    from seqexpr.sequences.genome import Genome
    from seqexpr.sequences.windows import Interval, Tss
    from seqexpr.tasks.catalogue import Task, list_tasks


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seqexpr' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
