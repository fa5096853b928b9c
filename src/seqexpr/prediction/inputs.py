"""What `predict` is given and what its models read, whether the two fit, and what is counted on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from seqexpr.errors import UsageError
from seqexpr.inputs.proteins import ProteinCounts
from seqexpr.inputs.windows import DnaCounts, TssAt
from seqexpr.sequences.fasta import FastaRecord

if TYPE_CHECKING:
    from seqexpr.inputs.half_life import HalfLifeSchema
    from seqexpr.models.trained import ModelMetadata

Tokens = np.ndarray
"""uint8 (letters,): tokens of one sequence, 0 = PAD or unknown."""

HalfLifeScale = Literal["raw", "z-scores", "mixed"]
"""What a table of half-life features holds: lengths in bp and GC fractions; z-scores as in Xpresso's tables, for
models trained on those; mixed: the models of an ensemble differ, so no table serves all."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """What the models read about one gene."""

    id: str
    dna: Tokens | None
    """uint8 (upstream + downstream,) of the widest window that a model reads; None when none reads DNA."""
    protein: Tokens | None
    """uint8 (residues,), at most the longest that a model reads; None when none reads a protein."""
    half_life: np.ndarray | None
    """float64 (8,) features on the models' `half_life_scale`, NaN = unknown; None when no model reads them."""


@dataclass(frozen=True)
class ModelNeeds:
    """What a set of models reads together, and what they all give."""

    outputs: tuple[str, ...]
    """Names of the predicted quantities, the same for each model."""
    upstream: int
    """Widest stretch of DNA before the TSS boundary, bp."""
    downstream: int
    """Widest stretch of DNA from the TSS boundary on, bp."""
    protein_length: int
    """Longest protein, residues; 0 when no model reads one."""
    half_life_names: tuple[str, ...]
    """Half-life features in the models' order; () when no model reads them."""
    members: int = 1
    """How many predictions there are of each record: their mean is given, and their spread where there are several."""
    half_life_scale: HalfLifeScale = "raw"
    """What the models take a table of these features to hold."""

    @classmethod
    def of(cls, models: Sequence[ModelMetadata]) -> ModelNeeds:
        """The needs of these models together.

        Raises:
            UsageError: they predict different things, or name the half-life features differently.
        """
        outputs = {tuple((output.name, output.unit) for output in model.outputs) for model in models}
        if len(outputs) != 1:
            named = sorted(" and ".join(f"{name} [{unit}]" for name, unit in one) for one in outputs)
            raise UsageError(f"the models of an ensemble must predict the same; these predict {' / '.join(named)}")
        schemas = [model.half_life for model in models if model.half_life is not None]
        names = {schema.names for schema in schemas}
        if len(names) > 1:
            raise UsageError("the models of an ensemble read different half-life features; run them one by one")
        return cls(
            outputs=tuple(name for name, _ in next(iter(outputs))),
            upstream=max(model.config.upstream for model in models),
            downstream=max(model.config.downstream for model in models),
            protein_length=max(model.config.protein_length for model in models),
            half_life_names=tuple(next(iter(names), ())),
            members=sum(model.config.composition_members for model in models),
            half_life_scale=_scale(schemas),
        )

    @property
    def window_length(self) -> int:
        """Length of the widest window, bp; 0 when no model reads DNA."""
        return self.upstream + self.downstream


def _scale(schemas: Sequence[HalfLifeSchema]) -> HalfLifeScale:
    of_z_scores = sum(schema.expects_z_scores for schema in schemas)
    if 0 < of_z_scores < len(schemas):
        return "mixed"
    return "z-scores" if of_z_scores else "raw"


@dataclass(frozen=True)
class InputSources:
    """The input options of `predict`, as the user gave them; "-" is standard input."""

    fasta: str | None = None
    """FASTA of windows, or of longer or shorter stretches with `tss_at`."""
    windows: tuple[FastaRecord, ...] | None = None
    """Such records in memory, instead of `fasta`."""
    tss_at: TssAt | None = None
    """Offset of the TSS boundary in every FASTA record, bp; None: each record is exactly a window."""
    genome: str | None = None
    """Genome FASTA that windows are cut from."""
    tss: str | None = None
    """BED, GTF or GFF3 that says where."""
    genes: tuple[str, ...] | None = None
    """Symbols or ids to pick from `tss`; None = all."""
    genbank: str | None = None
    """GenBank or EMBL file: sequences, TSSs and proteins at once."""
    proteins: str | None = None
    """FASTA of proteins."""
    protein_records: tuple[FastaRecord, ...] | None = None
    """Such records in memory, instead of `proteins`."""
    half_life: str | None = None
    """Table of half-life features."""
    annotation: str | None = None
    """GTF or GFF3 to compute half-life features from."""
    contig_aliases: str | None = None
    """Table of further names of contigs."""
    skip_missing_contigs: bool = False
    """Whether genes on contigs that the genome lacks are left out, however many they are."""
    allow_unknown_genes: bool = False
    """Whether names in `genes` that are not in `tss` are left out."""

    def check(self) -> None:
        """Whether the options fit together.

        Raises:
            UsageError: they do not; the text names the options.
        """
        if bool(self.genome) != bool(self.tss) and not (self.annotation and self.genome):
            given, lacking = ("--genome", "--tss") if self.genome else ("--tss", "--genome")
            raise UsageError(f"{given} needs {lacking}: windows are cut from the genome around each TSS")
        if not (self.has_dna or self.has_proteins):
            raise UsageError(
                "no input: give a FASTA of windows, or --genome with --tss, or --genbank, or --proteins, or --example"
            )
        if sum(map(bool, (self.fasta or self.windows, self.genome or self.tss, self.genbank))) > 1 and not (
            self.fasta and self.genome and self.annotation and not self.tss and not self.genbank
        ):
            raise UsageError("--fasta, --genome with --tss, and --genbank are sources of the same windows; give one")
        if self.genes is not None and not (self.tss or self.genbank):
            raise UsageError("--genes picks genes of --tss or --genbank, which are not given")
        if self.half_life and self.annotation:
            raise UsageError("--half-life and --annotation both give half-life features; give one")
        if self.tss_at is not None and not (self.fasta or self.windows):
            raise UsageError("--tss-at says where the TSS lies in records of --fasta, which is not given")
        if self.genome == "-":
            raise UsageError("--genome must be a file: it is read at random places, which standard input is not")
        if [self.fasta, self.tss, self.genbank, self.proteins, self.half_life, self.annotation].count("-") > 1:
            raise UsageError("only one input can come from standard input (-)")

    def check_fit(self, needs: ModelNeeds) -> None:
        """Whether the models read what is given, and are given what they read.

        Raises:
            UsageError: they do not; the text names the option.
        """
        if needs.window_length and not self.has_dna:
            raise UsageError("the model reads DNA: give --fasta, or --genome with --tss")
        if self.has_dna and not needs.window_length and not self.genbank and not self.annotation:
            raise UsageError(f"the model reads no DNA: leave {'--fasta' if self.fasta else '--genome/--tss'} out")
        if needs.protein_length and not (self.has_proteins or self.genbank):
            raise UsageError("the model reads proteins: give --proteins")
        if self.has_proteins and not needs.protein_length:
            raise UsageError("the model reads no proteins: leave --proteins out")
        if (self.half_life or self.annotation) and not needs.half_life_names:
            option = "--half-life" if self.half_life else "--annotation"
            raise UsageError(f"the model reads no half-life features: leave {option} out")
        if self.annotation and needs.half_life_scale != "raw":
            raise UsageError("the model reads half-life features as z-scores, which --annotation cannot give")
        if self.half_life and needs.half_life_scale == "mixed":
            raise UsageError(
                "some models of the ensemble read raw half-life features, others z-scores as in Xpresso's tables; no "
                "table serves both: run them one by one, or leave --half-life out"
            )

    @property
    def has_dna(self) -> bool:
        """Whether there is any source of windows."""
        return bool(self.fasta or self.windows or self.tss or self.genbank)

    @property
    def has_proteins(self) -> bool:
        """Whether proteins are given by themselves."""
        return bool(self.proteins or self.protein_records)


@dataclass
class InputCounts:
    """What was changed on the way in, counted while the stream runs; complete when it has ended."""

    records: int = 0
    expected: int | None = None
    """Records that will come, where that is known before they are read."""
    dna: DnaCounts = field(default_factory=DnaCounts)
    """What happened to the windows."""
    proteins: ProteinCounts = field(default_factory=ProteinCounts)
    """What happened to the proteins' letters."""
    symbols: dict[str, str] = field(default_factory=dict)
    """Symbol by id, where the annotation gives one."""
    truncated_proteins: int = 0
    unused_proteins: int = 0
    """Proteins without a window of their id."""
    half_life_absent: int = 0
    """Records without a row in the half-life table."""
    half_life_incomplete: int = 0
    """Records whose row lacks some features."""
