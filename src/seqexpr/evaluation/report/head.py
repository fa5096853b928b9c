"""The top of the report, which says what ran, and its bottom, the whole manifest."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from seqexpr.evaluation.report.run import KINDS, Run

_NAMING = ("name", "preset", "source", "program")
"""Keys that may name a group of settings, such as a recipe, in the header; the manifest has it whole."""


def title(run: Run) -> str:
    """Of the page."""
    return f"{KINDS[run.manifest['kind']]}: {run.folder.resolve().name}"


def header(run: Run) -> str:
    """Title, the main options, and a banner where nothing could be learnt."""
    facts = {"created": run.manifest.get("created"), **run.options}
    shown = {name: text for name, fact in facts.items() if (text := _fact(fact))}
    items = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(text)}</dd></div>" for name, text in shown.items()
    )
    version = run.manifest.get("versions", {}).get("seqexpr", "")
    lead = f"seqexpr {version}: {', '.join(run.outputs) or 'no metrics yet'}"
    top = f'<h1>{escape(title(run))}</h1><p class="lead">{escape(lead)}</p>'
    return f"<header>{top}{_banner(run)}<dl>{items}</dl></header>"


def manifest(run: Run) -> str:
    """All that the run's manifest says, folded away."""
    text = escape(json.dumps(run.manifest, indent=2, ensure_ascii=False))
    summary = "<summary>Manifest: what ran, on what, with what</summary>"
    return f"<section><details>{summary}<pre>{text}</pre></details></section>"


def _banner(run: Run) -> str:
    if not run.options.get("permute_labels"):
        return ""
    text = (
        "the labels were permuted among the genes, so that nothing can be learnt. An r² whose interval lies above 0 "
        "would show a fault of the protocol (Pearson r², a square, is never below 0)."
    )
    return f'<p class="banner"><strong>Negative control:</strong> {text}</p>'


def _fact(fact: Any) -> str:
    """An option as text; "" for what is unset or too deep for the header (the manifest below has it)."""
    if isinstance(fact, dict):
        return next((fact[key] for key in _NAMING if isinstance(fact.get(key), str)), "")
    if isinstance(fact, bool):
        return "yes" if fact else ""
    if isinstance(fact, list | tuple) and all(isinstance(item, str | int | float) for item in fact):
        return ", ".join(map(str, fact))
    return f"{fact:g}" if isinstance(fact, float) else str(fact) if isinstance(fact, str | int) else ""
