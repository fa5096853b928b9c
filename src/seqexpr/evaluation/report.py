"""`report.html`: a run in one self-contained page, with no script and nothing that is fetched.

Each section is a function from the run to HTML, "" where the run has nothing for it; a new section is one
more line in `_SECTIONS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from seqexpr.errors import InputError
from seqexpr.evaluation import figures
from seqexpr.evaluation.metrics import METRICS
from seqexpr.files import atomic_path
from seqexpr.manifest import read_manifest

MODEL = "seqexpr"
"""The name of the trained model in `metrics.json`; every other name there is a baseline."""

_HEADINGS = {
    "r2": "r²",
    "pearson_r2": "Pearson r²",
    "spearman": "Spearman",
    "rmse": "RMSE",
    "high_expressed_found": "high expressed found",
}
_HEADLINES = {
    "all": "each tested in the fold that did not train on it",
    "test": "held out as the test part",
    "valid": "the validation part, which chose the epoch: optimistic",
}
"""What the scopes of the summary mean; every other scope is a fold."""

_FOLD_METRICS = ("r2", "pearson_r2")
_KINDS = {"cv": "Cross-validation", "train": "Training"}


@dataclass(frozen=True)
class _Run:
    """What a run folder holds; empty where a part is missing."""

    folder: Path
    manifest: dict[str, Any]
    rows: list[dict[str, Any]]  # of metrics.json
    history: pd.DataFrame  # of metrics.jsonl
    predictions: pd.DataFrame  # of predictions.tsv

    @property
    def outputs(self) -> list[str]:
        """The labels that were evaluated, in the order of metrics.json."""
        return list(dict.fromkeys(str(row["output"]) for row in self.rows))

    def select(self, output: str, scope: str) -> list[dict[str, Any]]:
        """The rows of all models for one label and one set of genes."""
        return [row for row in self.rows if str(row["output"]) == output and str(row["scope"]) == scope]


def write_report(run_folder: str | Path) -> Path:
    """Write `report.html` into a run folder of `train` or `cv`.

    Reads manifest.json and, as far as they are there, metrics.json, metrics.jsonl and predictions.tsv;
    sections whose data are missing are left out.

    Returns:
        the path of the report, which appears whole or not at all.

    Raises:
        InputError: not a run folder, or a file in it that cannot be read.
        UsageError: matplotlib is not installed.
    """
    run = _read_run(Path(run_folder))
    body = "\n".join(section for make in _SECTIONS if (section := make(run)))
    style = resources.files("seqexpr.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # else a browser asks the server for one
        f"<title>{escape(_title(run))}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    target = run.folder / "report.html"
    with atomic_path(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def _read_run(folder: Path) -> _Run:
    manifest = read_manifest(folder)
    if manifest.get("kind") not in _KINDS:
        found = f"a folder of kind {manifest.get('kind')!r}"
        raise InputError(folder, found=found, expected="the run folder of train or cv")
    rows: list[dict[str, Any]] = []
    if (path := folder / "metrics.json").exists():
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(path, found="text that is not JSON", expected="the metrics of a run") from None
    return _Run(folder, manifest, rows, _read_history(folder), _read_predictions(folder))


def _read_history(folder: Path) -> pd.DataFrame:
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    epochs = []
    for number, line in enumerate(lines, start=1):
        try:
            epochs.append(json.loads(line))
        except ValueError:
            if number < len(lines):  # a run that was cut off may leave half of its last line
                raise InputError(
                    path,
                    record=f"line {number}",
                    found="text that is not JSON",
                    expected="one JSON object a line",
                ) from None
    history = pd.DataFrame(epochs)
    numbers = [name for name in ("epoch", "train_loss", "valid_loss", "valid_r2") if name in history]
    history[numbers] = history[numbers].astype(float)
    return history.dropna(axis="columns", how="all")


def _read_predictions(folder: Path) -> pd.DataFrame:
    path = folder / "predictions.tsv"
    if not path.exists():
        return pd.DataFrame()
    texts = {"id": str, "chrom": str, "fold": str, "output": str}
    table = pd.read_csv(path, sep="\t", dtype=texts, keep_default_na=False, na_values={"label": [""]})
    absent = [name for name in ("output", "label", "prediction") if name not in table]
    if absent:
        raise InputError(path, found=f"no column {', '.join(absent)}", expected="the predictions of a run")
    return table.dropna(subset=["label", "prediction"])


def _title(run: _Run) -> str:
    return f"{_KINDS[run.manifest['kind']]}: {run.folder.resolve().name}"


def _header(run: _Run) -> str:
    options = run.manifest.get("options", {})
    facts = {"created": run.manifest.get("created"), **(options if isinstance(options, dict) else {})}
    shown = {name: text for name, fact in facts.items() if (text := _fact(fact))}
    items = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(text)}</dd></div>" for name, text in shown.items()
    )
    version = run.manifest.get("versions", {}).get("seqexpr", "")
    lead = f"seqexpr {version}: {', '.join(run.outputs) or 'no metrics yet'}"
    return f'<header><h1>{escape(_title(run))}</h1><p class="lead">{escape(lead)}</p><dl>{items}</dl></header>'


def _fact(fact: Any) -> str:
    """An option as text; "" for what is unset or too deep for the header (the manifest below has it)."""
    if isinstance(fact, bool):
        return "yes" if fact else ""
    if isinstance(fact, list | tuple) and all(isinstance(item, str | int | float) for item in fact):
        return ", ".join(map(str, fact))
    return f"{fact:g}" if isinstance(fact, float) else str(fact) if isinstance(fact, str | int) else ""


def _summary(run: _Run) -> str:
    parts = []
    for output, scope in product(run.outputs, _HEADLINES):
        if rows := run.select(output, scope):
            n = max(int(row["n"]) for row in rows)
            title = f"<h3>{escape(output)}: {n:,} genes, {_HEADLINES[scope]}</h3>"
            parts.append(f"{title}{_summary_table(rows)}{_summary_figure(rows)}")
    if not parts:
        return ""
    note = (
        "95 % bootstrap intervals over genes; the best value of a column is bold. r² is 1 − SSR/SST and "
        "also asks for the right scale; Pearson r² is what most publications call r². “High expressed found” is "
        "the share of the top-decile genes whose prediction is above the median prediction. A dash: not defined, "
        "as for constant predictions."
    )
    if run.manifest["kind"] == "cv":
        note += " Folds are pooled; each has a training mean of its own, so the pooled mean is not constant."
    return _section("Summary", "".join(parts) + f'<p class="note">{note}</p>')


def _summary_table(rows: Sequence[dict[str, Any]]) -> str:
    present = [name for name in METRICS if any(name in row["metrics"] for row in rows)]
    best = {name: _best(rows, name) for name in present}
    head = "<th>model</th>" + "".join(f"<th>{_HEADINGS[name]}</th>" for name in present)
    lines = []
    for row in rows:
        cells = "".join(_cell(row, name, row is best[name]) for name in present)
        kind = ' class="model"' if row["model"] == MODEL else ""
        lines.append(f"<tr{kind}><td>{escape(_spoken(row['model']))}</td>{cells}</tr>")
    return _table(head, lines)


def _best(rows: Sequence[dict[str, Any]], metric: str) -> dict[str, Any] | None:
    known = [(value, row) for row in rows if (value := _value(row, metric)) is not None]
    if not known:
        return None
    return (min if metric == "rmse" else max)(known, key=lambda pair: pair[0])[1]


def _value(row: dict[str, Any], metric: str, part: str = "value") -> float | None:
    return row["metrics"].get(metric, {}).get(part)


def _cell(row: dict[str, Any], metric: str, best: bool = False) -> str:
    value, low, high = (_value(row, metric, part) for part in ("value", "low", "high"))
    if value is None:
        return "<td>–</td>"
    interval = "" if low is None or high is None else f"<small>{_number(low)} to {_number(high)}</small>"
    emphasis = ' class="best"' if best else ""
    return f"<td{emphasis}>{_number(value)}{interval}</td>"


def _summary_figure(rows: Sequence[dict[str, Any]]) -> str:
    estimates = [
        (_spoken(row["model"]), value, value if low is None else low, value if high is None else high)
        for row in rows
        if (value := _value(row, "r2")) is not None
        for low, high in [(_value(row, "r2", "low"), _value(row, "r2", "high"))]
    ]
    return _drawn(figures.forest(estimates, MODEL, "r²")) if len(estimates) > 1 else ""


def _folds(run: _Run) -> str:
    parts = []
    for output in run.outputs:
        scopes = list(dict.fromkeys(str(row["scope"]) for row in run.rows if str(row["output"]) == output))
        scopes = [scope for scope in scopes if scope not in _HEADLINES]
        for metric in _FOLD_METRICS if scopes else ():
            models = list(dict.fromkeys(row["model"] for row in run.rows if str(row["output"]) == output))
            head = "<th>genes tested</th><th>n</th>" + "".join(f"<th>{escape(_spoken(name))}</th>" for name in models)
            lines = [_fold_line(scope, run.select(output, scope), models, metric) for scope in scopes]
            parts.append(f"<h3>{escape(output)}, {_HEADINGS[metric]}</h3>{_table(head, lines)}")
    return _section("Folds", "".join(parts)) if parts else ""


def _fold_line(scope: str, rows: Sequence[dict[str, Any]], models: Sequence[str], metric: str) -> str:
    by_model = {row["model"]: row for row in rows}
    best = _best(rows, metric)
    cells = "".join(
        _cell(by_model[name], metric, by_model[name] is best) if name in by_model else "<td></td>" for name in models
    )
    return f"<tr><td>{escape(scope)}</td><td>{max(int(row['n']) for row in rows):,}</td>{cells}</tr>"


def _predictions(run: _Run) -> str:
    parts = []
    chosen, heading = run.predictions, "Predictions"
    if "split" in chosen:  # of `train`: the test part says more than the validation part, where there is one
        scope = "test" if (chosen["split"] == "test").any() else "valid"
        chosen, heading = chosen[chosen["split"] == scope], f"Predictions of the {scope} part"
    for output, table in chosen.groupby("output", sort=False) if len(chosen) else ():
        actual, predicted = table["label"].to_numpy(float), table["prediction"].to_numpy(float)
        drawings = [
            _drawn(figures.predicted_against_actual(actual, predicted, str(output)), "Dashed line: predicted = actual")
        ]
        located = table[table["chrom"] != ""] if "chrom" in table else table[:0]
        if len(located) and located["chrom"].nunique() > 1:
            residuals = (located["label"] - located["prediction"]).to_numpy(float)
            drawings.append(
                _drawn(
                    figures.residuals_by_chromosome(located["chrom"].tolist(), residuals),
                    "Median, quartiles and the middle 90 % of the residuals",
                )
            )
        parts.append(f'<h3>{escape(str(output))}</h3><div class="figures">{"".join(drawings)}</div>')
    return _section(heading, "".join(parts)) if parts else ""


def _learning_curves(run: _Run) -> str:
    if "epoch" not in run.history or not {"valid_loss", "valid_r2"} & set(run.history):
        return ""
    caption = (
        "Each line is a fold; the dot marks its best epoch" if "fold" in run.history else "The dot marks the best epoch"
    )
    return _section("Learning curves", _drawn(figures.learning_curves(run.history), caption))


def _manifest(run: _Run) -> str:
    text = escape(json.dumps(run.manifest, indent=2, ensure_ascii=False))
    summary = "<summary>Manifest: what ran, on what, with what</summary>"
    return f"<section><details>{summary}<pre>{text}</pre></details></section>"


_SECTIONS: tuple[Callable[[_Run], str], ...] = (
    _header,
    _summary,
    _folds,
    _predictions,
    _learning_curves,
    _manifest,
)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(head: str, lines: Sequence[str]) -> str:
    rows = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll"><table>{rows}</table></div>'


def _drawn(svg: str, caption: str = "") -> str:
    return f"<figure>{svg}{f'<figcaption>{escape(caption)}</figcaption>' if caption else ''}</figure>"


def _spoken(model: str) -> str:
    return str(model).replace("half_life", "half-life").replace("_", " ")


def _number(value: float) -> str:
    """Three decimals, with a real minus sign."""
    text = f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
    return ("0.000" if text == "-0.000" else text).replace("-", "−")
