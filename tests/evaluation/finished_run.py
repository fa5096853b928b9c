"""A cross-validated run as `cv` leaves it, with made-up predictions: nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqexpr.evaluation.metrics import evaluate, metrics_row, paired_metrics
from seqexpr.files import write_json
from seqexpr.manifest import describe_run

NEAR = "near-identical protein"


def make_run(
    folder: Path, *, outputs: tuple[str, ...] = ("mrna",), n: int = 90, chrom: bool = True, **options: Any
) -> Path:
    """Three folds of `n` genes on four chromosomes; every fourth gene has a near-identical protein in training.

    Args:
        folder: of the run.
        outputs: names of the labels.
        n: genes.
        chrom: whether predictions.tsv says on which chromosome a gene lies.
        options: further ones for the manifest.
    """
    folder.mkdir()
    generator = np.random.default_rng(0)
    fold = np.arange(n) % 3
    settings = {"task": "prot & lung", "split": "random", "folds": 3, "network": {"deep": 1}, **options}
    write_json(folder / "manifest.json", describe_run("cv", settings))
    rows: list[dict[str, Any]] = []
    own, baselines, audited = [], [], {}
    for output in outputs:
        actual = generator.normal(5, 1, n)
        models = {
            "seqexpr": actual + generator.normal(0, 0.5, n),
            "training_mean": np.full(n, 5.0),
            "composition_ridge": actual + generator.normal(0, 0.7, n),
        }
        for model, predicted in models.items():
            rows += _rows(model, output, actual, models["seqexpr"], predicted, fold)
            columns = {"id": [f"g{i}" for i in range(n)], "chrom": [f"{i % 4 + 1}" for i in range(n)], "fold": fold}
            kept = own if model == "seqexpr" else baselines
            columns |= {} if model == "seqexpr" else {"model": model}
            kept.append(pd.DataFrame({**columns, "output": output, "label": actual, "prediction": predicted}))
        audited[output] = _sides(actual, models["seqexpr"])
    write_json(folder / "metrics.json", rows)
    write_json(folder / "audit.json", _audit(n, audited))
    for name, tables in (("predictions", own), ("baselines", baselines)):
        table = pd.concat(tables, ignore_index=True)
        unlabelled = (table["id"] == "g0") & (table["output"] == outputs[0])
        table.loc[unlabelled, "label"] = np.nan  # a gene that was predicted but has no label
        (table if chrom else table.drop(columns="chrom")).to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    lines = [
        {"fold": k, "epoch": e, "train_loss": 1 / e, "valid_loss": 1.2 / e, "valid_r2": 1 - 1 / e, "learning_rate": 0.1}
        for k in range(3)
        for e in range(1, 5)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def _rows(
    model: str, output: str, actual: np.ndarray, own: np.ndarray, predicted: np.ndarray, fold: np.ndarray
) -> list[dict[str, Any]]:
    row = metrics_row(model, output, "all", actual, predicted, resamples=20)
    if model != "seqexpr":
        paired = paired_metrics(actual, own, predicted, resamples=20)
        row["difference"] = {name: of_both.difference.to_dict() for name, of_both in paired.items()}
    parts = [(f"fold {k}", fold == k) for k in range(3)]
    return [row, *(metrics_row(model, output, k, actual[at], predicted[at], resamples=20) for k, at in parts)]


def _sides(actual: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    sides = {}
    for side, chosen in (("overlapping", np.arange(len(actual)) % 4 == 0), ("others", np.arange(len(actual)) % 4 != 0)):
        estimates = evaluate(actual[chosen], own[chosen], resamples=20)
        sides[side] = {"n": int(chosen.sum()), **{name: estimates[name].to_dict() for name in ("pearson_r2", "r2")}}
    return sides


def _audit(n: int, sides: dict[str, Any]) -> list[dict[str, Any]]:
    overlapping = np.arange(n)[::4]
    counted = [
        {"fold": k, "tested": len(range(k, n, 3)), "overlapping": int((overlapping % 3 == k).sum())} for k in range(3)
    ]
    return [
        {
            "overlap": NEAR,
            "definition": "half of its words are there",
            "tested": n,
            "overlapping": len(overlapping),
            "by_fold": counted,
            "metrics": sides,
        },
        {"overlap": "homologous protein", "skipped": "MMseqs2 is not installed"},
        {
            "overlap": "overlapping window",
            "definition": "a base is shared",
            "tested": n,
            "overlapping": 0,
            "by_fold": [{**part, "overlapping": 0} for part in counted],
            "metrics": {output: {"overlapping": None, "others": side["others"]} for output, side in sides.items()},
        },
    ]
