"""What changes of sequence do, from Python."""

from __future__ import annotations

import logging
import operator
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Literal

from seqexpr.api.arguments import Path_, Table, gene_names, path_text
from seqexpr.api.prediction import models_named, sources_of
from seqexpr.effects.attribution import Method, choose_explained, explain_session
from seqexpr.effects.effect_files import describe, open_effects
from seqexpr.effects.effect_table import COLUMNS, rows
from seqexpr.effects.gene_effects import Region, parse_region
from seqexpr.errors import UsageError
from seqexpr.inputs.in_memory import Sequences
from seqexpr.prediction.inputs import InputSources, ModelNeeds, missing_lines
from seqexpr.prediction.session import default_models, open_session

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
    proteins: Sequences | None = None,
    cds: Sequences | None = None,
    half_life: Table | None = None,
    annotation: Path_ | None = None,
    contig_aliases: Path_ | None = None,
    skip_missing_contigs: bool = False,
    allow_unknown_genes: bool = False,
    model: str | Path_ | Sequence[str | Path_] | None = None,
    allow_partial: bool = False,
    input: Literal["dna", "protein"] | None = None,
    region: str | tuple[int, int] | None = None,
    method: Method = "ism",
    output: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    out: Path_ | None = None,
) -> pd.DataFrame:
    """Show what each letter of a gene's window or protein does to its predicted level: a row for each substitution.

    >>> table = explain({"a": "ACGT" * 2625}, region=(-2, 2))
    >>> table[["tss_distance", "ref", "alt"]].head(3).values.tolist()
    [[-2, 'G', 'A'], [-2, 'G', 'C'], [-2, 'G', 'T']]
    >>> len(table)
    12
    >>> explain(proteins={"a": "MKVLAAGIVGLCAKAYLEKN"}, region=(20, 21)).columns.tolist()
    ['id', 'symbol', 'residue', 'ref', 'alt', 'delta']

    Args:
        sequences: DNA windows or proteins, as for `predict`.
        tss_at, genome, tss, genes, genbank, proteins, cds, half_life, annotation, contig_aliases: as for `predict`.
        skip_missing_contigs, allow_unknown_genes: as for `predict`.
        model: a name, a weights file or a run folder; several are an ensemble, whose mean effects are given. Default:
            `human-mrna`, for proteins alone `human-prot`.
        allow_partial: take the finished folds of a cross-validation that is not finished.
        input: which input to explain, of a model that reads DNA and proteins; the other one stays as it is.
        region: part of the window as "START:END" or (start, end), in letters along the gene: 0 is the first transcribed
            base, upstream is negative, the end is not part of it; in proteins residues count from 1. None: all of it.
        method: "ism" predicts every substitution; "gradient" estimates them by integrated gradients.
        output: which output to explain, of a model that has several.
        device: "auto", "cpu", "cuda" or "mps".
        threads: that compute on a CPU. Default: the cores that this process may use.
        out: a file or folder to write too, as the command's `--out`. The table is in memory all the same, a row of some
            500 bytes for each substitution: for thousands of genes use the command.

    Returns:
        The columns `id`, `symbol`, `chrom`, `pos` (1-based), `strand`, `tss_distance`, `ref`, `alt` and `delta`, the
        level with the substitution minus the level without, in the output's unit. Letters are those of the genome's +
        strand; for windows without a place in a genome those of the window, and `pos` is missing. For proteins
        `residue`, counted from 1, stands for `chrom` to `tss_distance`.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does; the text says what to change.
    """
    import pandas as pd

    part = _region(region)
    given = sources_of(
        sequences,
        proteins,
        cds,
        half_life,
        tss_at=tss_at,
        genome=path_text(genome, "genome"),
        tss=path_text(tss, "tss"),
        genes=gene_names(genes),
        genbank=path_text(genbank, "genbank"),
        annotation=path_text(annotation, "annotation"),
        contig_aliases=path_text(contig_aliases, "contig_aliases"),
        skip_missing_contigs=skip_missing_contigs,
        allow_unknown_genes=allow_unknown_genes,
    )

    def fitted(needs: ModelNeeds) -> InputSources:
        choose_explained(needs, input=input, region=part, output=output)
        return given

    models = models_named(model) or default_models(given)
    session = open_session(fitted, models, device=device, threads=threads, allow_partial=allow_partial)
    needs = session.needs
    explained = choose_explained(needs, input=input, region=part, output=output)
    cells: list[tuple[Any, ...]] = []
    with ExitStack() as stack:
        sink = None
        if out is not None:
            about, description = session.described(), describe(explained, session, method)
            opened = open_effects(
                path_text(out, "out"), explained, session.counts, about=about, description=description
            )
            sink = stack.enter_context(opened)
        for effects in stack.enter_context(
            closing(explain_session(session, explained, method=method, say=logger.info))
        ):
            cells.extend(rows(effects))
            if sink is not None:
                sink.write(effects)
    for line in missing_lines(session.counts, session.sources, needs):
        logger.info("%s", line)
    if (warning := session.warning()) is not None:
        logger.warning("%s", warning)
    found = pd.DataFrame(cells, columns=list(COLUMNS[explained.letters.input]))
    return found.astype({"pos": "Int64"}) if "pos" in found else found


def _region(given: str | tuple[int, int] | None) -> Region | None:
    """The region that a caller gave.

    Raises:
        UsageError: it is neither text nor two whole numbers.
    """
    if given is None or isinstance(given, str):
        return parse_region(given)
    try:
        start, end = map(operator.index, given)
    except (TypeError, ValueError):
        raise UsageError(f'region is {given!r}; expected "START:END" or (start, end)') from None
    return Region(start, end)
