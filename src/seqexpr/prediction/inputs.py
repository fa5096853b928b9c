"""What `predict` is given and what its models read, whether the two fit, and what is counted on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from seqexpr.errors import UsageError
from seqexpr.inputs.coding import CodingCounts
from seqexpr.inputs.half_life import MissingFeatures
from seqexpr.inputs.options import GeneOptions
from seqexpr.inputs.proteins import ProteinCounts
from seqexpr.inputs.windows import DnaCounts
from seqexpr.sequences.alphabet import looks_like_protein
from seqexpr.sequences.fasta import FastaRecord, read_fasta
from seqexpr.sequences.windows import Tss

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
    coding: Tokens | None = None
    """uint8 (codons,) of `alphabet.CODING`, at most as many as a model reads; None where the gene has no coding
    sequence or no model reads one."""


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
    coding_length: int = 0
    """Longest coding sequence, codons; 0 when no model reads one."""

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
            members=sum(model.config.members for model in models),
            half_life_scale=_scale(schemas),
            coding_length=max(model.config.coding_length for model in models),
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


@dataclass(frozen=True, kw_only=True)
class InputSources(GeneOptions):
    """The input options of `predict`, as the user gave them."""

    windows: Iterable[FastaRecord] | None = None
    """The records of `fasta` where they are in memory, or begun already."""
    protein_records: Iterable[FastaRecord] | None = None
    """The same of `proteins`."""
    cds_records: Iterable[FastaRecord] | None = None
    """The same of `cds`."""

    other_inputs: ClassVar[str] = ", or --example"

    def check(self) -> None:
        """Whether the options fit together.

        Raises:
            UsageError: they do not; the text names the options.
        """
        super().check()
        if self.tss and not self.genome and not self.annotation:
            raise UsageError("--tss needs --genome: windows are cut from the genome around each TSS")

    def by_letters(self) -> InputSources:
        """The same options, with the sequences of `fasta` as proteins where the first record's letters say so.

        It is for sequences that the user gave without saying what they are. The first record is read, and is not lost:
        standard input and pipes go on behind it.

        Raises:
            InputError: the file is absent, or its first record is bad.
        """
        if not self.has_fasta or self.has_proteins or self.tss_at is not None:
            return self
        records = iter(read_fasta(self.fasta) if self.windows is None and self.fasta else self.windows or ())
        first = next(records)
        again = self.windows if isinstance(self.windows, tuple) else chain([first], records)
        if not looks_like_protein(first.sequence.rstrip(b"*.")):
            return replace(self, windows=again)
        return replace(self, fasta=None, windows=None, proteins=self.fasta, protein_records=again)

    def check_fit(self, needs: ModelNeeds) -> None:
        """Whether the models read what is given, and are given what they read.

        Raises:
            UsageError: they do not; the text names the option.
        """
        if needs.window_length and not self.has_dna:
            raise UsageError("the model reads DNA: give --fasta, or --genome with --tss")
        if self.has_dna and not needs.window_length and not self.genbank and not self.annotation:
            raise UsageError(f"the model reads no DNA: leave {self._named('fasta') or '--genome and --tss'} out")
        if needs.protein_length and not (self.has_proteins or self.genbank):
            raise UsageError("the model reads proteins: give --proteins")
        if self.has_proteins and not needs.protein_length:
            raise UsageError(f"the model reads no proteins: leave {self._named('proteins')} out")
        if self.genes is not None and not needs.window_length and not self.genbank:
            raise UsageError("--genes picks windows, and the model reads proteins alone: leave --genes out")
        if self.has_cds and not needs.coding_length:
            raise UsageError("the model reads no coding sequences: leave --cds out")
        splices = bool(self.annotation and self.genome and needs.coding_length)
        if (self.half_life or (self.annotation and not splices)) and not needs.half_life_names:
            option = "--half-life" if self.half_life else "--annotation"
            raise UsageError(f"the model reads no half-life features: leave {option} out")
        if self.annotation and needs.half_life_scale != "raw" and not splices:
            raise UsageError("the model reads half-life features as z-scores, which --annotation cannot give")
        if self.half_life and needs.half_life_scale == "mixed":
            raise UsageError(
                "some models of the ensemble read raw half-life features, others z-scores as in Xpresso's tables; no "
                "table serves both: run them one by one, or leave --half-life out"
            )

    def _named(self, role: Literal["fasta", "proteins"]) -> str:
        """The sequences of a role as the user knows them, who may have given them without an option; "" for none."""
        if not (self.has_fasta if role == "fasta" else self.has_proteins):
            return ""
        what = "windows" if role == "fasta" else "proteins"
        file = getattr(self, role)
        return f"the {what} of {'standard input' if file == '-' else file}" if file else f"the {what} given"

    @property
    def has_fasta(self) -> bool:
        """Whether windows are given as they are."""
        return bool(self.fasta) or self.windows is not None

    @property
    def has_proteins(self) -> bool:
        """Whether proteins are given by themselves."""
        return bool(self.proteins) or self.protein_records is not None

    @property
    def has_cds(self) -> bool:
        """Whether coding sequences are given by themselves."""
        return bool(self.cds) or self.cds_records is not None


@dataclass
class InputCounts:
    """What was changed on the way in, counted while the stream runs; complete when it has ended."""

    records: int = 0
    expected: int | None = None
    """Records that will come, where that is known before they are read."""
    expected_is_exact: bool = True
    """Whether they are counted, not estimated from the beginning of a file."""
    dna: DnaCounts = field(default_factory=DnaCounts)
    """What happened to the windows."""
    proteins: ProteinCounts = field(default_factory=ProteinCounts)
    """What happened to the proteins' letters."""
    symbols: dict[str, str] = field(default_factory=dict)
    """Symbol by id, where the annotation gives one."""
    sites: dict[str, Tss] = field(default_factory=dict)
    """Where windows were cut, by id, on contigs as the genome spells them; none for windows that come as they are."""
    contigs: dict[str, int] = field(default_factory=dict)
    """Length of each contig that windows are cut from."""
    circular: frozenset[str] = frozenset()
    """Contigs over whose ends windows go on."""
    truncated_proteins: int = 0
    unused_proteins: int = 0
    """Proteins without a window of their id."""
    truncated_coding: int = 0
    coding_absent: int = 0
    """Records without a coding sequence, where a model reads one."""
    coding: CodingCounts = field(default_factory=CodingCounts)
    """Coding sequences that cannot be used."""
    half_life_absent: int = 0
    """Records without a row in the half-life table or annotation."""
    half_life: MissingFeatures = field(default_factory=lambda: MissingFeatures(()))
    """Features that are missing; of no features where no model reads them."""

    def as_numbers(self, needs: ModelNeeds) -> dict[str, Any]:
        """What can be added up over shards; and, under "same", what is so in each of them."""
        own = {name: getattr(self, name) for name in _ADDED}
        proteins = {"truncated_proteins": self.truncated_proteins, "proteins": dict(vars(self.proteins))}
        paired = bool(needs.window_length and needs.protein_length)  # every shard reads all proteins for its windows
        dna = {one.name: getattr(self.dna, one.name) for one in fields(DnaCounts) if one.name not in _SAME_DNA}
        return {
            **own,
            "dna": dna,
            **({} if paired else proteins),
            "coding": dict(self.coding.left_out),
            "half_life": {
                "genes": self.half_life.genes,
                "whole": self.half_life.whole,
                "others": dict(self.half_life.others),
            },
            "same": {
                "unused_proteins": self.unused_proteins,
                **(proteins if paired else {}),
                "coding_example": self.coding.example,
                **{name: getattr(self.dna, name) for name in _SAME_DNA},
                "needs": {name: getattr(needs, name) for name in _NEEDS},
            },
        }

    @classmethod
    def of_numbers(cls, numbers: Mapping[str, Any]) -> tuple[InputCounts, ModelNeeds]:
        """The counts whose numbers `as_numbers` gives, and of the needs what is said of them."""
        same, half_life = numbers["same"], numbers["half_life"]
        proteins = same if "proteins" in same else numbers
        names = tuple(same["needs"]["half_life_names"])
        counts = cls(
            **{name: numbers[name] for name in _ADDED},
            dna=DnaCounts(**numbers["dna"], **{name: same[name] for name in _SAME_DNA}),
            proteins=ProteinCounts(**proteins["proteins"]),
            truncated_proteins=proteins["truncated_proteins"],
            unused_proteins=same["unused_proteins"],
            coding=CodingCounts(Counter(numbers["coding"]), same["coding_example"]),
            half_life=MissingFeatures(names, half_life["genes"], half_life["whole"], Counter(half_life["others"])),
        )
        return counts, ModelNeeds((), 0, 0, **{**same["needs"], "half_life_names": names})


_ADDED = ("records", "truncated_coding", "coding_absent", "half_life_absent")
_SAME_DNA = ("missing_contigs", "contig_aliases")
_NEEDS = ("protein_length", "half_life_names", "coding_length")


def half_life_line(counts: InputCounts, sources: InputSources, needs: ModelNeeds) -> str | None:
    """A line about half-life features that are missing, complete when the stream has ended; None for none."""
    missing = counts.half_life.describe()
    if missing is None:
        return None
    can_be_computed = any(f".{suffix}" in str(sources.tss).lower() for suffix in ("gtf", "gff"))
    if can_be_computed and not (sources.half_life or sources.annotation) and needs.half_life_scale == "raw":
        missing += f" (--annotation {sources.tss} computes them)"
    return f"{missing}; the model predicts from the rest"


def coding_line(counts: InputCounts, sources: InputSources) -> str | None:
    """A line about coding sequences that are missing, complete when the stream has ended; None for none."""
    absent, genes = counts.coding_absent, counts.records
    if not absent:
        return None
    of = f"{absent:,} of {genes:,} genes" if absent < genes else f"all {genes:,} genes"
    said = f"coding sequence missing for {'the one gene' if genes == 1 else of}"
    if not (sources.has_cds or sources.genbank or (sources.annotation and sources.genome)):
        said += " (--cds gives it, and so do --genome with --annotation)"
    return f"{said}; the model predicts from the rest"


def missing_lines(counts: InputCounts, sources: InputSources, needs: ModelNeeds) -> list[str]:
    """A line for each optional input that some gene lacks; complete when the stream has ended."""
    lines = [half_life_line(counts, sources, needs), *counts.coding.describe(), coding_line(counts, sources)]
    return [line for line in lines if line is not None]
