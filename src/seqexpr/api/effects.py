"""What changes of sequence do, from Python."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Literal

from seqexpr.api.arguments import Path_, Table, gene_names, path_text, table
from seqexpr.api.prediction import models_named
from seqexpr.effects.attribution import (
    Method,
    Region,
    check_explainable,
    check_sources,
    chosen_output,
    explain_session,
    parse_region,
)
from seqexpr.effects.effect_files import COLUMNS, open_effects, rows
from seqexpr.inputs.in_memory import Sequences, given_sequences
from seqexpr.prediction.inputs import InputSources, ModelNeeds, missing_lines
from seqexpr.prediction.session import open_session

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


def explain(
    sequences: Sequences | None = None,
    *,
    tss_at: int | Literal["center"] | None = None,
    genome: Path_ | None = None,
    tss: Path_ | None = None,
    genes: str | Sequence[str] | None = None,
    genbank: Path_ | None = None,
    half_life: Table | None = None,
    annotation: Path_ | None = None,
    contig_aliases: Path_ | None = None,
    skip_missing_contigs: bool = False,
    allow_unknown_genes: bool = False,
    model: str | Path_ | Sequence[str | Path_] | None = None,
    allow_partial: bool = False,
    region: str | tuple[int, int] | None = None,
    method: Method = "ism",
    output: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    out: Path_ | None = None,
) -> pd.DataFrame:
    """Show what each letter of a gene's window does to its predicted level: one row for each substitution.

    >>> table = explain({"a": "ACGT" * 2625}, region=(-2, 2))
    >>> table[["tss_distance", "ref", "alt"]].head(3).values.tolist()
    [[-2, 'G', 'A'], [-2, 'G', 'C'], [-2, 'G', 'T']]
    >>> len(table)
    12

    Args:
        sequences: DNA windows, as for `predict`.
        tss_at, genome, tss, genes, genbank, half_life, annotation, contig_aliases: as for `predict`.
        skip_missing_contigs, allow_unknown_genes: as for `predict`.
        model: a name, a weights file or a run folder that reads DNA alone; several are an ensemble, whose mean effects
            are given. Default: `human-mrna`.
        allow_partial: take the finished folds of a cross-validation that is not finished.
        region: part of the window as "START:END" or (start, end), in letters along the gene: 0 is the first transcribed
            base, upstream is negative, the end is not part of it. None: the whole window.
        method: "ism" predicts every substitution; "gradient" estimates them by integrated gradients.
        output: which output to explain, of a model that has several.
        device: "auto", "cpu", "cuda" or "mps".
        threads: that compute on a CPU. Default: the cores that this process may use.
        out: a file or folder to write too, as the command's `--out`.

    Returns:
        The columns `id`, `symbol`, `chrom`, `pos` (1-based), `strand`, `tss_distance`, `ref`, `alt` and `delta`, the
        level with the substitution minus the level without, in the output's unit. Letters are those of the genome's +
        strand; for windows without a place in a genome those of the window, and `pos` is missing.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does; the text says what to change.
    """
    import pandas as pd

    path, records = given_sequences(sequences)
    part = parse_region(region) if isinstance(region, str) or region is None else Region(*region)
    given = InputSources(
        fasta=path,
        windows=records,
        tss_at=tss_at,
        genome=path_text(genome, "genome"),
        tss=path_text(tss, "tss"),
        genes=gene_names(genes),
        genbank=path_text(genbank, "genbank"),
        half_life=table(half_life, "half_life"),
        annotation=path_text(annotation, "annotation"),
        contig_aliases=path_text(contig_aliases, "contig_aliases"),
        skip_missing_contigs=skip_missing_contigs,
        allow_unknown_genes=allow_unknown_genes,
    )
    check_sources(given)

    def fitted(needs: ModelNeeds) -> InputSources:
        check_explainable(needs, part, output)
        return given

    session = open_session(fitted, models_named(model), device=device, threads=threads, allow_partial=allow_partial)
    needs = session.needs
    cells: list[tuple[Any, ...]] = []
    with ExitStack() as stack:
        sink = None
        if out is not None:
            sink = stack.enter_context(
                open_effects(
                    path_text(out, "out"),
                    region=part or Region(-needs.upstream, needs.downstream),
                    counts=session.counts,
                    output=needs.outputs[chosen_output(needs.outputs, output)],
                    about=session.described(),
                )
            )
        explained = explain_session(session, region=part, method=method, output=output, say=logger.info)
        for effects in stack.enter_context(closing(explained)):
            cells.extend(rows(effects))
            if sink is not None:
                sink.write(effects)
    for line in missing_lines(session.counts, session.sources, needs):
        logger.info("%s", line)
    if (warning := session.warning()) is not None:
        logger.warning("%s", warning)
    found = pd.DataFrame(cells, columns=list(COLUMNS))
    return found.astype({"pos": "Int64"})
