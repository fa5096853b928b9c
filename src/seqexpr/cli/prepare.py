"""`seqexpr prepare`: build a dataset from a named task's sources or from the user's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from seqexpr.cli.console import progress, set_up_logging, status
from seqexpr.cli.help import Quiet
from seqexpr.errors import UsageError

if TYPE_CHECKING:
    from seqexpr.datasets.prepare_report import PrepareReport
    from seqexpr.tasks.build import TaskReport

_FILES = "Files of your own"
_WINDOW = "DNA window"


def prepare(
    task: Annotated[
        Optional[str],  # noqa: UP045 - typer reads annotations at run time, on Python 3.10 too
        typer.Argument(
            metavar="[TASK]",
            help="A named task, prepared into the cache from fetched sources: mrna-human, mrna-mouse, and "
            "mrna-, prot- and joint- with lung or glio.",
        ),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", metavar="DIR", help="Folder to make from your own files.", rich_help_panel=_FILES),
    ] = None,
    windows: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="FASTA of strand-oriented DNA windows, one per gene; - is stdin.", rich_help_panel=_FILES),
    ] = None,
    genome: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Genome FASTA to cut windows from, with --tss.", rich_help_panel=_FILES),
    ] = None,
    tss: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="TSSs: BED6, GTF or GFF3. With --windows: only positions.", rich_help_panel=_FILES),
    ] = None,
    proteins: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="FASTA of proteins; ids are gene ids, or use --protein-map.", rich_help_panel=_FILES),
    ] = None,
    protein_map: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Table with gene_id and protein_id, uniprot or accession.", rich_help_panel=_FILES),
    ] = None,
    labels: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Table of labels: gene id, then numbers; empty or NA is missing.", rich_help_panel=_FILES),
    ] = None,
    label: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="COLUMN",
            help="Label column to keep (repeatable; all if omitted).",
            rich_help_panel=_FILES,
        ),
    ] = None,
    half_life: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Table of the eight half-life features, raw values.", rich_help_panel=_FILES),
    ] = None,
    annotation: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="GTF or GFF3 to compute them from (GC contents need --genome).", rich_help_panel=_FILES),
    ] = None,
    strip_versions: Annotated[
        bool,
        typer.Option("--strip-versions", help="Drop .N from gene ids before joining.", rich_help_panel=_FILES),
    ] = False,
    tss_at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="N|center",
            help="Offset of the TSS boundary in every record of --windows.",
            rich_help_panel=_WINDOW,
        ),
    ] = None,
    upstream: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Bases stored before the TSS boundary (10,000 if omitted).", rich_help_panel=_WINDOW),
    ] = None,
    downstream: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Bases stored from the boundary on (10,000 if omitted).", rich_help_panel=_WINDOW),
    ] = None,
    min_cases: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, metavar="N", help="With a CPTAC task: leave out genes measured in fewer cases (1 if omitted)."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a dataset that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Build a dataset for train and cv: sequences, labels and half-life features joined by gene id.

    A dataset that is there already, from the same files and options, is reused. For a task, the number of genes at each
    join stands beside the paper's.

    Examples:

      seqexpr fetch prot-lung && seqexpr prepare prot-lung

      seqexpr prepare --out lung --proteins human.fa.gz --protein-map map.tsv --labels labels.tsv --label lung

      seqexpr prepare --out mine --genome hg38.fa --tss genes.gtf --labels labels.tsv --annotation genes.gtf
    """
    set_up_logging(quiet=quiet)
    files = {
        "--windows": windows, "--genome": genome, "--tss": tss, "--proteins": proteins,
        "--protein-map": protein_map, "--labels": labels, "--label": label, "--half-life": half_life,
        "--annotation": annotation, "--tss-at": tss_at, "--upstream": upstream, "--downstream": downstream,
        "--out": out, "--strip-versions": strip_versions or None,
    }  # fmt: skip
    if task is not None:
        given = [name for name, value in files.items() if value is not None]
        if given:
            raise UsageError(f"prepare {task} uses fetched sources; leave away {', '.join(given)}, or the task")
        from seqexpr.tasks.build import prepare_task

        with progress(f"prepare {task}", "genes") as advance:
            report = prepare_task(task, force=force, min_cases=min_cases or 1, advance=advance)
        _show_task(report)
        return
    if min_cases is not None:
        raise UsageError("--min-cases goes with a task whose labels are means over CPTAC's cases")
    if out is None:
        raise UsageError("prepare needs a task, or --out DIR and files of your own; see seqexpr prepare --help")
    from seqexpr.datasets.prepare import PrepareOptions
    from seqexpr.datasets.prepare import prepare as build

    _show(
        build(
            PrepareOptions(
                out=out,
                windows=windows,
                tss_at=_offset(tss_at),
                genome=genome,
                tss=tss,
                upstream=upstream,
                downstream=downstream,
                proteins=proteins,
                protein_map=protein_map,
                labels=labels,
                label_columns=tuple(label or ()),
                half_life=half_life,
                annotation=annotation,
                strip_versions=strip_versions,
                force=force,
            )
        )
    )


def _offset(text: str | None) -> int | Literal["center"] | None:
    if text is None:
        return None
    if text == "center":
        return "center"
    if text.isascii() and text.isdigit():
        return int(text)
    raise UsageError(f"--tss-at {text}: must be a number of bases or 'center'")


def _show(report: PrepareReport) -> None:
    lines = [
        f"{source.role}: {source.joined:,} of {source.records:,} used ({source.file})" for source in report.sources
    ]
    letters = report.letters
    if report.upstream + report.downstream:
        lines.append(
            f"windows: {report.upstream:,} bp upstream and {report.downstream:,} bp downstream of the TSS; "
            f"{letters.padded_bases:,} bases padded in {letters.padded_windows:,} windows, "
            f"{letters.unknown_bases:,} unknown, {letters.cropped_bases:,} cropped"
        )
    lines += [f"label {name}: {count:,} genes" for name, count in report.labels.items()]
    if report.half_life:
        known = ", ".join(f"{name} {count:,}" for name, count in report.half_life.items())
        lines.append(f"half-life features known: {known}")
    lines += [f"note: {note}" for note in report.notes]
    done = "are there already, from the same files and options," if report.reused else "prepared"
    lines.append(f"{report.genes:,} genes {done} in {report.folder}")
    for line in lines:
        status(line)


def _show_task(report: TaskReport) -> None:
    made = report.dataset.manifest.get("created", "")[:10]
    if report.reused:
        lines = [f"{report.task}: reused, prepared from the same files on {made}"]
    elif report.base:
        lines = [f"{report.base.task}: {'reused' if report.base.reused else 'prepared first'}, for its DNA windows"]
    else:
        lines = []
    if counts := report.counts:
        width = max(len(count.what) for count in counts)
        lines.append(f"{'genes with':<{width}}  {'here':>8}  {'the paper':>9}")
        for count in counts:
            paper = "" if count.paper is None else f"{count.paper:,}"
            lines.append(f"{count.what:<{width}}  {count.genes:>8,}  {paper:>9}".rstrip())
    lines += [f"note: {note}" for note in report.notes]
    done = "are" if report.reused else "prepared"
    lines.append(f"{len(report.dataset):,} genes {done} in {report.dataset.folder}")
    for line in lines:
        status(line)
