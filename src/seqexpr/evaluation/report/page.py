"""The page of a report, put together from its sections.

Each section is a function from the run to HTML, "" where the run has nothing for it; a new section is one
more line in `_SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib import resources
from pathlib import Path

from seqexpr.evaluation.report.differences import against_baselines
from seqexpr.evaluation.report.genes import learning_curves, predictions
from seqexpr.evaluation.report.head import header, manifest, title
from seqexpr.evaluation.report.overlap import overlap
from seqexpr.evaluation.report.run import Run, read_run
from seqexpr.evaluation.report.scores import folds, summary
from seqexpr.files import atomic_path

_SECTIONS: tuple[Callable[[Run], str], ...] = (
    header,
    summary,
    against_baselines,
    folds,
    overlap,
    predictions,
    learning_curves,
    manifest,
)


def write_report(run_folder: str | Path) -> Path:
    """Write `report.html` into a run folder of `train` or `cv`.

    Reads manifest.json and, as far as they are there, metrics.json, audit.json, metrics.jsonl and predictions.tsv;
    sections whose data are missing are left out.

    Returns:
        the path of the report, which appears whole or not at all.

    Raises:
        InputError: not a run folder, or a file in it that cannot be read.
        UsageError: matplotlib is not installed.
    """
    run = read_run(Path(run_folder))
    body = "\n".join(section for make in _SECTIONS if (section := make(run)))
    style = resources.files("seqexpr.evaluation.report").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # else a browser asks the server for one
        f"<title>{escape(title(run))}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    target = run.folder / "report.html"
    with atomic_path(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target
