"""Scan a genome from Python."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from seqexpr.api.arguments import Path_, names, path, path_text
from seqexpr.api.prediction import models_named
from seqexpr.effects.scan import check_models, load_scanner
from seqexpr.errors import UsageError
from seqexpr.inputs.regions import chosen_regions
from seqexpr.models.registry import DEFAULT_DNA_MODEL
from seqexpr.prediction.session import choose_models
from seqexpr.sequences.contigs import read_contig_aliases
from seqexpr.sequences.genome import Genome

if TYPE_CHECKING:
    import pandas as pd


def scan(
    genome: Path_,
    *,
    region: str | None = None,
    regions: Path_ | None = None,
    chromosomes: str | Sequence[str] | None = None,
    step: int = 50,
    contig_aliases: Path_ | None = None,
    model: str | Path_ | Sequence[str | Path_] | None = None,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Predict the level as if a TSS lay at each position of a genome's regions, on both strands.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "genome.fa"
    >>> _ = file.write_text(">chr1\\n" + "ACGGT" * 400 + "\\n")
    >>> table = scan(file, region="chr1:1,001-1,100", step=50)
    >>> table[["chrom", "start", "end", "strand"]].values.tolist()
    [['chr1', 1000, 1050, '+'], ['chr1', 1050, 1100, '+'], ['chr1', 1000, 1050, '-'], ['chr1', 1050, 1100, '-']]

    Args:
        genome: FASTA file.
        region: a region such as "chr1:1-2,000,000"; bases are counted from 1, and the last one is included.
        regions: a BED file instead, of regions that do not overlap.
        chromosomes: names of contigs instead, each scanned whole.
        step: bases from one position to the next, from the start of each region.
        contig_aliases: table of further names of contigs.
        model: of models that read DNA alone: a name, a weights file or a run folder; several are an ensemble, of which
            the mean is given. Default: `human-mrna`.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: windows in a forward pass.
        threads: that compute on a CPU. Default: the cores that this process may use.
        allow_partial: take the finished folds of a cross-validation that is not finished.

    Returns:
        The columns `chrom`, `start`, `end` (0-based half-open: from this position to the next), `strand` and `level`,
        by region and strand. The first base of the interval is the first transcribed one. Positions without a known
        base in their window have no row. Of models with several outputs each has its column instead of `level`.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does; the text says what to change.
    """
    if region is not None and not isinstance(region, str):
        raise UsageError(f'region is a {type(region).__name__}; expected text such as "chr1:1-2,000,000"')
    import pandas as pd

    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise UsageError(f"step {step!r} is not a whole number of at least 1")
    chosen = choose_models(models_named(model) or [DEFAULT_DNA_MODEL], allow_partial=allow_partial)
    check_models(chosen.needs)
    aliases = read_contig_aliases(path_text(contig_aliases, "contig_aliases") or "") if contig_aliases else ()
    outputs = ["level"] if len(chosen.needs.outputs) == 1 else list(chosen.needs.outputs)
    parts = []
    with Genome(path_text(genome, "genome") or "", aliases) as sequences:
        places = chosen_regions(
            sequences,
            region=region,
            regions=path(regions, "regions"),
            chromosomes=None if chromosomes is None else names(chromosomes),
        )
        scanner = load_scanner(chosen, device=device, batch_size=batch_size, threads=threads)
        with closing(scanner.scan(sequences, places, step)) as stream:
            for levels in stream:
                columns: dict[str, Any] = {
                    "chrom": levels.region.chrom,
                    "start": levels.starts,
                    "end": levels.ends,
                    "strand": levels.strand,
                    **dict(zip(outputs, levels.values.T, strict=True)),
                }
                parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True).dropna(ignore_index=True)
