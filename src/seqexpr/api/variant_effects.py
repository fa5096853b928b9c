"""What variants do to predicted levels, from Python."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from seqexpr.api.arguments import Path_, Table, gene_names, names, path_text, table
from seqexpr.api.prediction import models_named
from seqexpr.effects.variant_output import COLUMNS, rows_of, with_output
from seqexpr.effects.variant_records import VariantRecord, VcfReader
from seqexpr.effects.variant_session import open_source, open_variants
from seqexpr.errors import UsageError
from seqexpr.prediction.inputs import InputSources

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_COLUMNS = ("chrom", "pos", "ref", "alt")


def variants(
    variants: str | Sequence[str] | pd.DataFrame | None = None,
    *,
    vcf: Path_ | None = None,
    variant_table: Path_ | None = None,
    phased: bool = False,
    samples: str | Sequence[str] | None = None,
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
        phased: give the levels of each sample of `vcf` instead: both haplotypes of each gene's window, and their mean.
        samples: names of samples for that. Default: all.
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
        too. An allele without a value has a row with a flag. With `phased` the columns are `sample`, `gene_id`, `gene`,
        `strand`, `variants`, `ref_level`, `haplotype1_level`, `haplotype2_level`, `mean_level`, `delta` and `flag`.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does; the text says what to change.
    """
    import pandas as pd

    if phased and vcf is None:
        raise UsageError("phased needs vcf: genotypes of samples are read from it")
    if samples is not None and not phased:
        raise UsageError("samples are picked for phased=True, which is not given")
    if phased and distance is not None:
        raise UsageError("phased=True gives levels of samples; leave distance out")
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
        device=device,
        threads=threads,
        allow_partial=allow_partial,
    )
    rows: list[list[Any]] = []
    if phased:
        from seqexpr.effects import phased as haplotypes

        assert isinstance(source, VcfReader), "checked before"
        columns = with_output(haplotypes.COLUMNS, session.outputs)
        for levels in session.phased(source, names(samples), max_mismatch).stream():
            rows += haplotypes.rows_of(levels, session.outputs)
    else:
        columns = with_output(COLUMNS, session.outputs)
        computing = session.effects(distance=distance, max_mismatch=max_mismatch)
        for _, effects in computing.stream(source):
            for effect in effects:
                rows += rows_of(effect, session.outputs, session.background)
        logger.info("%s", computing.counts.describe())
    for line in session.lines():
        logger.info("%s", line)
    if (warning := session.warning()) is not None:
        logger.warning("%s", warning)
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
    if not isinstance(variants, Iterable) or isinstance(variants, bytes):
        raise UsageError(
            f"variants are a {type(variants).__name__}; expected texts such as chr1:123:A:G, or a DataFrame"
        )
    texts = list(variants)
    for one in texts:
        if not isinstance(one, str):
            raise UsageError(f"variants hold a {type(one).__name__}; expected texts such as chr1:123:A:G")
    return list(texts)


def _of_frame(frame: pd.DataFrame) -> list[str | VariantRecord]:
    import pandas as pd

    own = {str(name).lower(): name for name in frame.columns}
    if absent := [name for name in _COLUMNS if name not in own]:
        raise UsageError(f"variants have no column {', '.join(absent)}; expected {', '.join(_COLUMNS)}")
    found: list[str | VariantRecord] = []
    ids = frame[own["id"]] if "id" in own else ["."] * len(frame)
    cells = zip(*(frame[own[name]] for name in _COLUMNS), ids, strict=True)
    for number, row in enumerate(cells, start=1):
        *needed, identifier = (None if pd.isna(cell) else cell for cell in row)
        if None in needed:
            raise UsageError(f"variant {number} lacks a value in {', '.join(_COLUMNS)}")
        chrom, position, ref, alt = needed
        at = str(position).removesuffix(".0")  # numbers beside a missing one are floats in pandas
        alts = tuple(str(alt).split(","))
        if not at.isdigit():
            raise UsageError(f"variant {number} has pos {position!r}; expected a whole number, 0 or more")
        if not (str(chrom) and str(ref) and all(alts)):
            raise UsageError(f"variant {number} lacks a contig or an allele")
        found.append(VariantRecord(number, str(chrom), int(at), str(identifier or "."), str(ref), alts))
    return found
