"""The top of the report, which says what came out, and its bottom, which says what ran."""

from __future__ import annotations

import json
import re
from typing import Any

from seqexpr.evaluation.report.run import KINDS, Run
from seqexpr.evaluation.report.view import Item, Verdict
from seqexpr.evaluation.verdict import verdicts as sentences

_NAMING = ("name", "preset", "source", "program")
"""Keys that may name a group of settings, such as a recipe, among the settings; the manifest has it whole."""

_CONTROL = (
    "the labels were permuted among the genes, so that nothing can be learnt. An r² whose interval lies above 0 "
    "would show a fault of the protocol (Pearson r², a square, is never below 0)."
)


def title(run: Run) -> str:
    """Of the page."""
    return f"{KINDS[run.manifest['kind']]}: {run.folder.resolve().name}"


def lead(run: Run) -> str:
    """What was predicted, in which unit, of how many genes, and how many it was learnt from."""
    outputs = ", ".join(map(run.titled, run.outputs)) or "no metrics yet"
    dataset = run.options.get("dataset")
    genes = dataset.get("genes") if isinstance(dataset, dict) else None
    counts = [f"{genes:,} genes in the dataset"] if isinstance(genes, int) else []
    learnt = run.training.get("train_genes")
    if run.manifest["kind"] == "train" and isinstance(learnt, int):
        counts.append(f"{learnt:,} trained on")
    table = run.predictions
    if "split" in table:
        parts = {"valid": "{:,} to choose the epoch", "test": "{:,} tested"}
        by_part = {part: table.loc[table["split"] == part, "id"].nunique() for part in parts}
        counts += [words.format(by_part[part]) for part, words in parts.items() if by_part[part]]
    elif len(table):
        counts.append(f"{table['id'].nunique():,} tested, each in the fold that did not train on it")
    return f"{outputs}: {', '.join(counts)}" if counts else outputs


def verdicts(run: Run) -> tuple[Verdict, ...]:
    """For each label the sentence that says what its scores mean."""
    found = []
    for output in run.outputs:
        rows = [row for row in run.rows if row["output"] == output]
        lines = [_sentence(line) for line in sentences(rows, control=bool(run.options.get("permute_labels")))]
        if lines:
            found.append(Verdict(output if len(run.outputs) > 1 else "", lines[0], tuple(lines[1:])))
    return tuple(found)


def _sentence(line: str) -> str:
    """A line of the terminal as the page writes it."""
    line = f"{line}.".replace("pearson_r2 ", "Pearson r² ").replace("r2 ", "r² ")
    line = re.sub(r"(?<![\w])-(?=\d)", "−", line)
    return re.sub(r"(\d) ?%", "\\1\N{NO-BREAK SPACE}%", line)


def failures(run: Run) -> tuple[Item, ...]:
    """What could not be computed after the training."""
    return tuple(Item(str(row["what"]), str(row["error"])) for row in run.failures)


def warning(run: Run) -> str:
    """What a negative control is; "" for other runs."""
    return _CONTROL if run.options.get("permute_labels") else ""


def settings(run: Run) -> tuple[Item, ...]:
    """The main options."""
    version = run.manifest.get("versions", {}).get("seqexpr", "")
    facts = {"created": run.manifest.get("created"), "seqexpr": version, **run.options}
    return tuple(Item(name.replace("_", " "), text) for name, fact in facts.items() if (text := _fact(fact)))


def manifest(run: Run) -> str:
    """All that the run's manifest says."""
    return json.dumps(run.manifest, indent=2, ensure_ascii=False)


def _fact(fact: Any) -> str:
    """An option as text; "" for what is unset or too deep to be shown here (the manifest below has it)."""
    if isinstance(fact, dict):
        return next((fact[key] for key in _NAMING if isinstance(fact.get(key), str)), "")
    if isinstance(fact, bool):
        return "yes" if fact else ""
    if isinstance(fact, list | tuple) and all(isinstance(item, str | int | float) for item in fact):
        return ", ".join(map(str, fact))
    return f"{fact:g}" if isinstance(fact, float) else str(fact) if isinstance(fact, str | int) else ""
