"""Open a computation of variant effects from options; what is wrong with them is known before torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqexpr.effects.background import Background, read_background
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.variant_records import VariantRecord, VariantTable, VcfReader, parse_variant
from seqexpr.errors import UsageError
from seqexpr.inputs.reference import Reference
from seqexpr.inputs.windows import CutWindows
from seqexpr.models.input_range import RangeCounts
from seqexpr.models.registry import DEFAULT_DNA_MODEL
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds, missing_lines
from seqexpr.prediction.records import HalfLifeRows, half_life_rows
from seqexpr.prediction.session import choose_models, load_predictor, range_features
from seqexpr.prediction.shard_files import describe_options
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    from seqexpr.effects.phased import PhasedLevels
    from seqexpr.effects.variants import VariantEffects
    from seqexpr.prediction.predictor import Predictor
    from seqexpr.prediction.shards import Share


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
    rows: HalfLifeRows
    outside: RangeCounts | None
    """Genes that lie outside what the (first) model was trained on; None where its weights do not say."""
    outputs: tuple[Output, ...]
    background: Background | None
    models: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each weights file."""
    title: str
    """What the user calls the (first) model."""
    first: ModelMetadata
    """What it was trained on."""
    lengths: dict[str, int]
    """Of contigs, as a VCF file gives them."""

    def __post_init__(self) -> None:
        self._read: dict[str, np.ndarray | None] = {}

    def read(self, gene: Tss) -> tuple[np.ndarray, np.ndarray | None]:
        """A gene's window and half-life features; counted when it is the first time."""
        window, padded = self.windows.window(gene)
        if gene.id not in self._read:
            half_life = self._read[gene.id] = self.rows.row(gene.id)
            self.counts.records += 1
            self.counts.dna.add(window, padded, 0)
            if self.outside is not None:
                self.outside.add(range_features(InputRecord(gene.id, window, None, half_life), self.first, self.needs))
        return window, self._read[gene.id]

    def lines(self) -> list[str]:
        """What was changed on the way in, complete when the stream has ended."""
        counts = self.counts
        counts.dna.contig_aliases = self.windows.genome.aliases
        changed = "; ".join(counts.dna.describe())
        genes = f"{counts.records:,} gene{'' if counts.records == 1 else 's'}"
        said = [f"{genes}: {changed or 'all windows as the genome has them'}"] if counts.records or changed else []
        return [*said, *missing_lines(counts, self.sources, self.needs)]

    def warning(self) -> str | None:
        """A line about genes outside what the model was trained on; complete when the stream has ended."""
        return None if self.outside is None else self.outside.describe(self.title, self.first.species)

    def effects(self, *, distance: int | None = None, max_mismatch: float = 0.01) -> VariantEffects:
        """What computes effects of variants; arguments as for `VariantEffects`."""
        from seqexpr.effects.variants import VariantEffects

        models = [model for model in self.predictor.models if isinstance(model, TrainedModel)]
        return VariantEffects(
            models,
            self.windows,
            self.read,
            lengths=self.lengths,
            distance=distance,
            workers=self.predictor.workers,
            max_mismatch=max_mismatch,
        )

    def phased(
        self, reader: VcfReader, samples: Sequence[str], max_mismatch: float = 0.01, share: Share | None = None
    ) -> PhasedLevels:
        """What computes levels of samples; arguments as for `PhasedLevels`, and `share` of a shard: its genes alone."""
        from seqexpr.effects.phased import PhasedLevels

        sites = self.sites if share is None else [site for site in self.sites if share.takes(site.id)]
        return PhasedLevels(self.predictor, self.windows, self.read, sites, samples, reader, max_mismatch)

    def made_of(self) -> dict[str, Any]:
        """What decides the numbers of a variant, as shards compare it."""
        models = [{"name": name, "sha256": digest} for name, digest in self.models]
        return {"models": models, "device": self.predictor.device.type, **describe_options(self.sources)}


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
    sources = (("--vcf", vcf), ("--table", table), ("--variant", variants))
    given = [name for name, value in sources if value is not None]
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
    needs, paths, first = chosen.needs, chosen.paths, chosen.metadata[0]
    if needs.protein_length or not needs.window_length:
        raise UsageError(f"model {chosen.title} reads proteins: effects of variants need models that read DNA alone")
    sources.check_fit(needs)
    reference = Reference(sources, window=needs.window_length)
    assert reference.genome is not None
    upstream, downstream = needs.upstream, needs.downstream
    sites = CutWindows(
        reference.genome, reference.sites, upstream, downstream, skip_missing=sources.skip_missing_contigs
    ).sites
    counts = InputCounts()
    rows = half_life_rows(sources, needs, counts, reference, sites)
    rows.check_joined(site.id for site in sites)

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
        rows,
        None if first.input_range is None else RangeCounts(first.input_range),
        first.outputs,
        read_background(paths, None if len(paths) == 1 else chosen.title),
        tuple((one["name"], one["sha256"]) for one in chosen.checksums()),
        chosen.title,
        first,
        source.contig_lengths if isinstance(source, VcfReader) else {},
    )
