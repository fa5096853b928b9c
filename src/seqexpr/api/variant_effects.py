"""What variants do to predicted levels, from Python."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from seqexpr.api.arguments import Path_, Table, gene_names, path_text, table
from seqexpr.api.prediction import models_named
from seqexpr.effects.variant_output import columns_for, rows_of
from seqexpr.effects.variant_records import VariantRecord
from seqexpr.effects.variant_session import open_source, open_variants
from seqexpr.errors import UsageError
from seqexpr.prediction.inputs import InputSources, missing_lines

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_COLUMNS = ("chrom", "pos", "ref", "alt")


def variants(
    variants: str | Sequence[str] | pd.DataFrame | None = None,
    *,
    vcf: Path_ | None = None,
    variant_table: Path_ | None = None,
    genome: Path_,
    tss: Path_,
    genes: str | Sequence[str] | None = None,
    distance: int | None = None,
    half_life: Table | None = None,
    annotation: Path_ | None = None,
    contig_aliases: Path_ | None = None,
    skip_missing_contigs: bool = False,
    allow_unknown_genes: bool = False,
    model: str | Path_ | Sequence[str | Path_] | None = None,
    max_mismatch: float = 0.01,
    device: str = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Predict what variants do to expression levels: a row for each allele and each gene whose window holds it.

    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "genome.fa").write_text(">chr1\\n" + "ACGGT" * 4000 + "\\n")
    >>> _ = (folder / "tss.bed").write_text("chr1\\t9000\\t9001\\tgene\\t0\\t+\\n")
    >>> table = variants("chr1:8951:A:G", genome=folder / "genome.fa", tss=folder / "tss.bed")
    >>> table[["gene_id", "tss_distance", "flag"]].values.tolist()
    [['gene', -50, '']]
    >>> bool(abs(table["alt_level"] - table["ref_level"] - table["delta"]).max() < 1e-9)
    True

    Args:
        variants: texts such as "chr1:123:A:G" (1-based), or a DataFrame with the columns chrom, pos, ref and alt, and
            perhaps id.
        vcf: a VCF file instead, plain or compressed.
        variant_table: a table with the same columns as the DataFrame instead.
        genome: FASTA.
        tss: BED, GTF or GFF3 of TSSs.
        genes: symbols or ids to pick.
        distance: only genes whose TSS is at most so many bp away.
        half_life, annotation, contig_aliases, skip_missing_contigs, allow_unknown_genes: as for `predict`.
        model: a name, a weights file or a run folder, of models that read DNA alone; several are an ensemble. Default:
            `human-mrna`.
        max_mismatch: share of the records whose REF may differ from the genome before it counts as another assembly.
        device, threads, allow_partial: as for `predict`.

    Returns:
        The columns `chrom`, `pos`, `id`, `ref`, `alt`, `gene_id`, `gene`, `strand`, `tss_distance`, `ref_level`,
        `alt_level`, `delta`, `fold_change`, `delta_sd`, `percentile` and `flag`; for models of several outputs `output`
        too. An allele without a value has a row with a flag.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does; the text says what to change.
    """
    import pandas as pd

    source = open_source(path_text(vcf, "vcf"), path_text(variant_table, "variant_table"), _given(variants))
    sources = InputSources(
        genome=path_text(genome, "genome"),
        tss=path_text(tss, "tss"),
        genes=gene_names(genes),
        half_life=table(half_life, "half_life"),
        annotation=path_text(annotation, "annotation"),
        contig_aliases=path_text(contig_aliases, "contig_aliases"),
        skip_missing_contigs=skip_missing_contigs,
        allow_unknown_genes=allow_unknown_genes,
    )
    session = open_variants(
        sources,
        source,
        models_named(model),
        distance=distance,
        max_mismatch=max_mismatch,
        device=device,
        threads=threads,
        allow_partial=allow_partial,
    )
    rows: list[list[Any]] = []
    for _, effects in session.stream:
        for effect in effects:
            rows += rows_of(effect, session.outputs, session.background)
    logger.info("%s", session.effects.counts.describe())
    for line in missing_lines(session.counts, session.sources, session.needs):
        logger.info("%s", line)
    columns = columns_for(session.outputs)
    frame = pd.DataFrame(rows, columns=[column.name for column in columns])
    kinds = {"text": "object", "whole": "Int64", "number": "float64"}
    frame = frame.astype({column.name: kinds[column.kind] for column in columns})
    texts = [column.name for column in columns if column.kind == "text"]
    frame[texts] = frame[texts].fillna("")
    return frame


def _given(variants: str | Sequence[str] | pd.DataFrame | None) -> list[str | VariantRecord] | None:
    """Texts or records of what the caller gave.

    Raises:
        UsageError: it is neither texts nor a frame of variants.
    """
    if variants is None:
        return None
    if isinstance(variants, str):
        return [variants]
    if hasattr(variants, "iloc"):
        return _of_frame(cast("pd.DataFrame", variants))
    texts = list(variants)
    if odd := next((one for one in texts if not isinstance(one, str)), None):
        raise UsageError(f"variants hold a {type(odd).__name__}; expected texts such as chr1:123:A:G")
    return list(texts)


def _of_frame(frame: pd.DataFrame) -> list[str | VariantRecord]:
    names = {str(name).lower(): name for name in frame.columns}
    if absent := [name for name in _COLUMNS if name not in names]:
        raise UsageError(f"variants have no column {', '.join(absent)}; expected {', '.join(_COLUMNS)}")
    found: list[str | VariantRecord] = []
    ids = frame[names["id"]] if "id" in names else ["."] * len(frame)
    cells = zip(*(frame[names[name]] for name in _COLUMNS), ids, strict=True)
    for number, (chrom, position, ref, alt, identifier) in enumerate(cells, start=1):
        if not str(position).isdigit():
            raise UsageError(f"variant {number} has pos {position!r}; expected a whole number, 0 or more")
        alts = tuple(str(alt).split(","))
        if not (str(chrom) and str(ref) and all(alts)):
            raise UsageError(f"variant {number} lacks a contig or an allele")
        found.append(VariantRecord(number, str(chrom), int(position), str(identifier), str(ref), alts))
    return found
