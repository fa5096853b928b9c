"""The page of a report: its sections, put into the template.

Each section is a function from the run to a record of `view`, None where the run has nothing for it; a new section is
one more line in `_SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from seqexpr.errors import UsageError
from seqexpr.evaluation.report import head
from seqexpr.evaluation.report.differences import against_baselines
from seqexpr.evaluation.report.genes import by_output, calibration, learning_curves, predictions, scatter
from seqexpr.evaluation.report.overlap import overlap
from seqexpr.evaluation.report.run import Run, read_run
from seqexpr.evaluation.report.scores import chromosomes, folds, summary
from seqexpr.evaluation.report.view import Page, Section, printable
from seqexpr.files import atomic_path

_SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    summary,
    against_baselines,
    predictions,
    calibration,
    folds,
    chromosomes,
    overlap,
    learning_curves,
)


def write_report(run_folder: str | Path) -> Path:
    """Write `report.html` into a run folder of `train` or `cv`.

    Reads manifest.json and, as far as they are there, metrics.json, audit.json, failed.json, metrics.jsonl and
    predictions.tsv; units come from the run's weights, symbols of genes from the dataset where it still is. Sections
    whose data are missing are left out.

    Returns:
        the path of the report, which appears whole or not at all.

    Raises:
        InputError: not a run folder, or a file in it that cannot be read.
        UsageError: matplotlib or Jinja2 is not installed.
    """
    run = read_run(Path(run_folder))
    text = render(make_page(run))
    target = run.folder / "report.html"
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return target


def make_page(run: Run) -> Page:
    """All that the report of a run says and shows."""
    first = next(by_output(run), None)
    return Page(
        title=head.title(run),
        lead=head.lead(run),
        verdicts=head.verdicts(run),
        figure=scatter(run, *first) if first else None,
        failures=head.failures(run),
        warning=head.warning(run),
        sections=tuple(section for make in _SECTIONS if (section := make(run))),
        settings=head.settings(run),
        manifest=head.manifest(run),
    )


def render(page: Page) -> str:
    """The page as HTML. All text is escaped, and control characters in it are shown as "�".

    Raises:
        UsageError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise UsageError("the report needs Jinja2, which is not installed; run: pip install jinja2") from None
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = resources.files("seqexpr.evaluation.report").joinpath("template.html").read_text(encoding="utf-8")
    return printable(environment.from_string(template).render(page=page))
