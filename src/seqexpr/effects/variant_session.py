"""Open a computation of variant effects from options; what is wrong with them is known before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from seqexpr.effects.background import Background, read_background
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.variant_records import VariantRecord, VariantTable, VcfReader, parse_variant
from seqexpr.errors import InputError, UsageError
from seqexpr.inputs.reference import Reference
from seqexpr.inputs.windows import CutWindows
from seqexpr.models.registry import DEFAULT_DNA_MODEL
from seqexpr.models.trained import Output, TrainedModel
from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds
from seqexpr.prediction.records import half_life_rows
from seqexpr.prediction.session import choose_models, load_predictor
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    from seqexpr.effects.phased import PhasedLevels
    from seqexpr.effects.variants import VariantEffects
    from seqexpr.prediction.predictor import Predictor


@dataclass
class VariantSession:
    """Models, a genome and genes that are ready for variants."""

    sources: InputSources
    needs: ModelNeeds
    counts: InputCounts
    """Of the genes that were looked at; complete when the stream has ended."""
    predictor: Predictor
    windows: GeneWindows
    sites: Sequence[Tss]
    half_life: Callable[[str], np.ndarray | None]
    outputs: tuple[Output, ...]
    background: Background | None
    models: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each weights file."""

    def effects(self, *, distance: int | None = None, max_mismatch: float = 0.01) -> VariantEffects:
        """What computes effects of variants; arguments as for `VariantEffects`."""
        from seqexpr.effects.variants import VariantEffects

        models = [model for model in self.predictor.models if isinstance(model, TrainedModel)]
        return VariantEffects(
            models,
            self.windows,
            self.half_life,
            distance=distance,
            workers=self.predictor.workers,
            max_mismatch=max_mismatch,
        )

    def phased(self, reader: VcfReader, samples: Sequence[str], max_mismatch: float = 0.01) -> PhasedLevels:
        """What computes levels of samples; arguments as for `PhasedLevels`."""
        from seqexpr.effects.phased import PhasedLevels

        return PhasedLevels(self.predictor, self.windows, self.half_life, self.sites, samples, reader, max_mismatch)


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
    source: VcfReader | VariantTable | list[VariantRecord],
    models: Sequence[str] = (),
    *,
    device: str = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    announce: Callable[[str], None] | None = None,
) -> VariantSession:
    """Check the options, load the models and open the genome.

    Args:
        sources: genome, TSSs and what else is known about genes.
        source: of variants, for what its header says of the genome.
        models: names, weights files or run folders that read DNA alone; none: `human-mrna`.
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
    chosen = choose_models(tuple(models) or (DEFAULT_DNA_MODEL,), allow_partial=allow_partial)
    needs, paths = chosen.needs, chosen.paths
    if needs.protein_length or not needs.window_length:
        raise UsageError(f"model {chosen.title} reads proteins: effects of variants need models that read DNA alone")
    sources.check_fit(needs)
    reference = Reference(sources, window=needs.window_length)
    assert reference.genome is not None
    if isinstance(source, VcfReader):
        _check_assembly(source, reference.genome)
    upstream, downstream = needs.upstream, needs.downstream
    sites = CutWindows(
        reference.genome, reference.sites, upstream, downstream, skip_missing=sources.skip_missing_contigs
    ).sites
    counts = InputCounts()
    rows = half_life_rows(sources, needs, counts, reference, sites)
    rows.check_joined(site.id for site in sites)

    @cache
    def half_life(gene: str) -> np.ndarray | None:
        counts.records += 1
        return rows.row(gene)

    def say(device: str) -> None:
        if announce is not None:
            announce(chosen.announcement(device))

    return VariantSession(
        sources,
        needs,
        counts,
        load_predictor(paths, device, "auto", threads, say),
        GeneWindows(reference.genome, sites, upstream, downstream),
        sites,
        half_life,
        chosen.metadata[0].outputs,
        read_background(paths[0]) if len(paths) == 1 else None,
        tuple((one["name"], one["sha256"]) for one in chosen.checksums()),
    )


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
