"""Open a computation of variant effects from options; what is wrong with them is known before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.effects.background import Background, read_background
from seqexpr.effects.variant_records import VariantRecord, VariantTable, VcfReader, parse_variant
from seqexpr.errors import InputError, UsageError
from seqexpr.files import sha256_file
from seqexpr.inputs.reference import Reference
from seqexpr.inputs.windows import CutWindows
from seqexpr.models.registry import DEFAULT_DNA_MODEL, resolve_models
from seqexpr.models.trained import Output, TrainedModel, read_metadata
from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds
from seqexpr.prediction.records import half_life_rows
from seqexpr.prediction.session import load_predictor
from seqexpr.sequences.genome import Genome

if TYPE_CHECKING:
    from seqexpr.effects.variants import Effect, VariantEffects


@dataclass
class VariantSession:
    """Variant effects that are ready to be computed."""

    sources: InputSources
    needs: ModelNeeds
    counts: InputCounts
    """Of the genes that were looked at; complete when the stream has ended."""
    effects: VariantEffects
    stream: Iterator[tuple[VariantRecord, list[Effect]]]
    """Each record with its rows, in the order of the source."""
    reader: VcfReader | None
    """The VCF file that the records are from."""
    outputs: tuple[Output, ...]
    background: Background | None
    genome: Genome
    models: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each weights file."""


def open_source(
    vcf: str | None, table: str | None, variants: Sequence[str | VariantRecord] | None
) -> VcfReader | VariantTable | list[VariantRecord]:
    """The one source of variants that is given.

    Args:
        vcf, table: files.
        variants: texts such as chr1:123:A:G, or records.

    Raises:
        UsageError: none is given, or several are, or a text has no known form.
        InputError: the file is not as it should be.
    """
    given = [name for name, value in (("--vcf", vcf), ("--table", table), ("--variant", variants)) if value]
    if not given:
        raise UsageError("no variants: give --vcf, --table or --variant")
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are sources of variants; give one")
    if vcf:
        return VcfReader(vcf)
    if table:
        return VariantTable(table)
    pairs = enumerate(variants or [], start=1)
    return [parse_variant(one, number) if isinstance(one, str) else one for number, one in pairs]


def open_variants(
    sources: InputSources,
    variants: VcfReader | VariantTable | Iterable[VariantRecord],
    models: Sequence[str] = (),
    *,
    distance: int | None = None,
    max_mismatch: float = 0.01,
    device: str = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    announce: Callable[[str], None] | None = None,
) -> VariantSession:
    """Check the options, load the models and open the genome.

    Args:
        sources: genome, TSSs and what else is known about genes.
        variants: a file that is opened, or records.
        models: names, weights files or run folders that read DNA alone; none: `human-mrna`.
        distance, max_mismatch: as for `VariantEffects`.
        device, threads, allow_partial, announce: as for `prediction.session.open_session`.

    Raises:
        UsageError: options that do not fit together or to the models.
        MissingDataError: no such model.
        InputError: a file is not as it should be, or the variants are of another assembly.
        DeviceError: the device is absent.
    """
    sources.check()
    if not (sources.genome and sources.tss):
        raise UsageError("effects of variants need --genome and --tss: each gene's window is cut from the genome")
    if distance is not None and distance < 0:
        raise UsageError(f"--distance {distance}: must be at least 0")
    names = tuple(models) or (DEFAULT_DNA_MODEL,)
    paths = [path for name in names for path in resolve_models([name], allow_partial=allow_partial)]
    metadata = [read_metadata(path) for path in paths]
    needs = ModelNeeds.of(metadata)
    if needs.protein_length or not needs.window_length:
        raise UsageError(f"model {names[0]} reads proteins: effects of variants need models that read DNA alone")
    sources.check_fit(needs)
    reference = Reference(sources, window=needs.window_length)
    assert reference.genome is not None and reference.sequences is not None
    reader = variants if isinstance(variants, VcfReader) else None
    if reader is not None:
        _check_assembly(reader, reference.genome)
    cut = CutWindows(
        reference.sequences,
        reference.sites,
        needs.upstream,
        needs.downstream,
        skip_missing=sources.skip_missing_contigs,
    )
    counts = InputCounts()
    counts.symbols = {site.id: site.symbol for site in cut.sites}
    rows = half_life_rows(sources, needs, counts, reference, cut.sites)
    rows.check_joined(site.id for site in cut.sites)

    @cache
    def half_life(gene: str) -> np.ndarray | None:
        counts.records += 1
        return rows.row(gene)

    predictor = load_predictor(paths, device, "auto", threads, _said(announce, names))
    from seqexpr.effects.gene_windows import GeneWindows
    from seqexpr.effects.variants import VariantEffects

    windows = GeneWindows(reference.genome, cut.sites, needs.upstream, needs.downstream)
    effects = VariantEffects(
        [model for model in predictor.models if isinstance(model, TrainedModel)],
        windows,
        half_life,
        distance=distance,
        workers=predictor.workers,
        max_mismatch=max_mismatch,
    )
    background = read_background(paths[0]) if len(paths) == 1 else None
    return VariantSession(
        sources,
        needs,
        counts,
        effects,
        effects.stream(variants),
        reader,
        metadata[0].outputs,
        background,
        reference.genome,
        tuple((_name(path), sha256_file(path)) for path in paths),
    )


def _name(weights: Path) -> str:
    return weights.stem if weights.name != "weights.safetensors" else str(weights.parent)


def _said(announce: Callable[[str], None] | None, names: Sequence[str]) -> Callable[[str], None] | None:
    if announce is None:
        return None
    return lambda device: announce("; ".join([f"device: {device}", *names]))


def _check_assembly(reader: VcfReader, genome: Genome) -> None:
    """Refuse a VCF file whose header gives contigs other lengths than the genome has.

    Raises:
        InputError: it is such a file.
    """
    lengths = genome.contigs
    for name, length in reader.contig_lengths.items():
        own = genome.find(name)
        if own is not None and lengths[own] != length:
            raise InputError(
                genome.path,
                record=f"contig {own}",
                found=f"{lengths[own]:,} bases",
                expected=f"{length:,}, as the header of the VCF file says (is this the right assembly?)",
            )
