"""The settings that define a network, and the presets of the paper's systems (SPEC rows as TOML files).

A preset is named latent input first, then query input: in `protein-dna-perceiver` the latents attend to the
protein and the DNA makes the query.
"""

from __future__ import annotations

from dataclasses import Field, asdict, dataclass, fields, replace
from itertools import pairwise
from math import prod
from typing import Any, Literal

from seqexpr.errors import UsageError
from seqexpr.sequences.alphabet import ALPHABETS
from seqexpr.toml_files import packaged_toml

PRESETS = ("dna-perceiver", "protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver")

HALF_LIFE_FEATURES = 8

LONGEST = 2**24
"""Letters that a network may read, upstream, downstream or of a protein, and codons."""

MOST_CHANNELS = 2**16
"""Width, latents, channels, outputs or positions pooled that a network may have."""

MOST_STAGES = 64
"""Blocks of the query tower, and repetitions of the attention, that a network may have."""

MOST_NUMBERS = 2**32
"""Weights that a network may have: 16 GiB."""

_FEWEST_COUNTS = 600
"""Less than what the kernel flow counts in a sequence (680 numbers of DNA, 1,207 of a protein)."""

_LARGEST_FLOAT = 1e30

PROMOTER = (150, 50)
"""Bases up- and downstream of the TSS in which words are counted that promoters are rich in."""

PROMOTER_WORD = 8
"""Letters of such a word."""

_RETIRED = (
    *("composition_dim", "composition_dropout", "composition_gain", "composition_members"),
    *("promoter_towers", "word_buckets", "word_outputs"),
)
"""Settings of a flow that networks of earlier versions could have; without a composition_dim they had none."""

Sequence = Literal["dna", "protein"]


def bounds(setting: Field[Any]) -> tuple[int, int]:
    """The least and the largest value of a whole-numbered setting of `PerceiverConfig`."""
    if setting.name in ("upstream", "downstream", "protein_length", "coding_length"):
        return 0, LONGEST
    if setting.name == "depth":
        return 1, MOST_STAGES
    return min(1, setting.default) if isinstance(setting.default, int) else 1, MOST_CHANNELS


def without_retired(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a network without those that only earlier versions had.

    Raises:
        UsageError: they ask for the composition flow of an earlier version.
    """
    if settings.get("composition_dim"):
        raise UsageError("a network with the composition flow of an earlier version, which this version does not have")
    return {key: value for key, value in settings.items() if key not in _RETIRED}


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


@dataclass(frozen=True)
class PerceiverConfig:
    """One network's shape. Lengths are in letters, widths in channels; defaults follow the paper, section 2.3."""

    preset: str
    """Name of the preset that it started from."""
    latent_input: Sequence
    """Sequence that the latents attend to."""
    query_input: Sequence
    """Sequence that the convolutional query tower reads."""
    upstream: int = 0
    """DNA read before the TSS boundary, bp; 0 when no DNA is read."""
    downstream: int = 0
    """DNA read from the TSS boundary on, bp."""
    protein_length: int = 0
    """Longest protein read, residues; the rest is cut off. 0 when no protein is read."""
    half_life_latent: bool = False
    """Append the 8 half-life features to every latent."""
    half_life_query: bool = False
    """Append the 8 half-life features to the flattened query features."""
    outputs: int = 1
    """Numbers predicted for a gene."""
    tanh: bool = False
    """Squash the outputs with tanh (the paper does for Xpresso's mRNA labels)."""
    embedding_dim: int = 32
    """Width of the letter and position embeddings."""
    latents: int = 128
    """Number of latents."""
    latent_dim: int = 128
    """Width of a latent before half-life features are appended."""
    cross_head_dim: int = 64
    """Width of the single cross-attention head, in the encoder and in the decoder."""
    self_heads: int = 8
    """Self-attention heads."""
    self_head_dim: int = 16
    """Width of a self-attention head."""
    depth: int = 1
    """Repetitions of cross-attention and self-attention."""
    feed_forward_factor: int = 2
    """Feed-forward width as a multiple of the latent width."""
    stem_channels: int = 64
    """Channels of the query tower's first convolution."""
    stem_kernel: int = 15
    """Width of the first convolution, letters (odd)."""
    stem_pool: int = 12
    """Positions pooled to one after the stem."""
    tower_channels: tuple[int, ...] = (46, 32)
    """Channels of the tower's convolutions, one block each."""
    tower_kernel: int = 5
    """Width of the tower's convolutions, positions (odd)."""
    tower_pool: int = 6
    """Positions pooled to one after each tower block."""
    query_dim: int = 64
    """Width of the query vector and of the pooled latents before the output layer."""
    dropout: float = 0.2
    """Probability of dropping a value, in training, before linear projections and in attention."""
    sequence_flows: bool = True
    """Whether the network has the paper's two flows, latents and query tower; without them the kernel flow is all of
    it."""

    kernel_genes: int = 0
    """Training genes that the kernel flow compares a gene with (`composition.kernel`); 0 = no such flow, as in the
    paper."""
    kernel_members: int = 8
    """Members of the kernel flow, an even number: draws around its regression, which is their mean. Their spread hardly
    tells for which gene the error is large."""
    kernel_words: bool = True
    """Whether the kernel flow reads the words of the sequences; codons it reads wherever `coding_length` says so."""
    kernel_dims: int = 0
    """Principal components to which the flow reduces what each of its kernels compares, so that more genes have room;
    0 = nothing is reduced."""
    kernel_features: bool = False
    """Whether it reads what the sequence flows make of the sequences: for flows that learnt before (`--from`, or a
    teacher stage)."""

    promoter_words: float = 0.0
    """Weight of the words that promoters are rich in (`composition.promoter_words`): what one standard deviation of
    their score adds to scaled labels; 0 = none, as in the paper. What levels teach sets it to nearly 0; effects of
    mutations do not."""

    coding_length: int = 0
    """Codons that the kernel flow reads at most of a coding sequence, which is optional; 0 = none."""
    coding_outputs: int = 0
    """Outputs that its codon adaptation indices are of, where they are others than the network's; 0 = the same."""

    def __post_init__(self) -> None:
        self._check_types()
        inputs = {self.latent_input, self.query_input}
        if not inputs <= set(ALPHABETS):
            raise UsageError(f"inputs must be among {sorted(ALPHABETS)}, not {sorted(inputs)}")
        if self.reads_dna != (self.upstream + self.downstream > 0):
            raise UsageError(f"{self.preset}: a DNA window is given exactly when DNA is read")
        if self.reads_protein != (self.protein_length > 0):
            raise UsageError(f"{self.preset}: a protein length is given exactly when a protein is read")
        if self.stem_kernel % 2 == 0 or self.tower_kernel % 2 == 0:
            raise UsageError(f"{self.preset}: convolution kernels must be odd")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"{self.preset}: dropout must be at least 0 and below 1, not {self.dropout}")
        if self.embedding_dim % 2:
            raise UsageError(f"{self.preset}: embedding_dim must be even, not {self.embedding_dim}: sines and cosines")
        if self.kernel_dims and not self.kernel_genes:
            raise UsageError(f"{self.preset}: kernel_dims need kernel_genes")
        if not 0 <= self.promoter_words <= 1:
            raise UsageError(f"{self.preset}: promoter_words must be from 0 to 1, not {self.promoter_words}")
        if self.promoter_words and sum(map(min, (self.upstream, self.downstream), PROMOTER)) < PROMOTER_WORD:
            raise UsageError(
                f"{self.preset}: promoter_words need an input of DNA, {PROMOTER_WORD} bases near the TSS at least"
            )
        if self.coding_length and not self.kernel_genes:
            raise UsageError(f"{self.preset}: coding_length needs kernel_genes")
        if not (self.sequence_flows or self.kernel_genes):
            raise UsageError(f"{self.preset}: sequence_flows false needs kernel_genes, or there is no network")
        if self.kernel_members % 2 or not self.kernel_members:
            raise UsageError(f"{self.preset}: kernel_members must be an even number, not {self.kernel_members}")
        if self.kernel_genes and not (self.kernel_words or self.kernel_features or self.coding_length):
            raise UsageError(f"{self.preset}: the kernel flow reads neither words nor features nor codons")
        if self.kernel_features and not (self.kernel_genes and self.sequence_flows):
            raise UsageError(f"{self.preset}: kernel_features need kernel_genes and sequence_flows")
        if self.kernel_genes and self.tanh:
            raise UsageError(f"{self.preset}: kernel_genes and tanh: the kernel flow would be fitted without it")
        if self.coding_outputs and not self.coding_length:
            raise UsageError(f"{self.preset}: coding_outputs need a coding_length")
        if self.query_positions < 1:
            raise UsageError(
                f"{self.preset}: {self.query_length} letters are too few for the query tower, "
                f"which pools {self.query_stride} to one"
            )
        if self.fewest_numbers > MOST_NUMBERS:
            raise UsageError(
                f"{self.preset}: these settings ask for more than {self.fewest_numbers:,} numbers; "
                f"{MOST_NUMBERS:,} at most"
            )

    def _check_types(self) -> None:
        """Each setting of its type, and each that counts something within what a network can have.

        What settings multiply to is for whoever makes the network to look at.
        """
        for setting in fields(self):
            value, kind = getattr(self, setting.name), setting.type
            if kind == "bool":
                fits, wanted = isinstance(value, bool), "true or false"
            elif kind == "float":
                fits = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST_FLOAT
                wanted = "a finite number"
            elif kind == "int":
                least, most = bounds(setting)
                fits, wanted = _is_whole(value, least, most), f"a whole number from {least:,} to {most:,}"
            elif isinstance(setting.default, tuple):
                fits = isinstance(value, tuple) and 1 <= len(value) <= MOST_STAGES
                fits = fits and all(_is_whole(item, 1, MOST_CHANNELS) for item in value)
                wanted = f"1 to {MOST_STAGES} whole numbers from 1 to {MOST_CHANNELS:,}"
            else:
                fits, wanted = isinstance(value, str), "a text"
            if not fits:
                raise UsageError(f"model setting {setting.name} must be {wanted}, not {str(value)[:60]!r}")

    @classmethod
    def from_preset(cls, preset: str, **changes: Any) -> PerceiverConfig:
        """The preset's settings with `changes` applied.

        Raises:
            UsageError: no such preset, or settings that do not fit together.
        """
        if preset not in PRESETS:
            raise UsageError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
        return cls.from_dict({"preset": preset, **packaged_toml(__package__, f"presets/{preset}.toml"), **changes})

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> PerceiverConfig:
        """The config that `to_dict` wrote.

        Raises:
            UsageError: unknown or missing settings, or those of a network with the composition flow of an earlier
                version.
        """
        settings = without_retired(settings)
        unknown = set(settings) - {field.name for field in fields(cls)}
        if unknown:
            raise UsageError(f"unknown model settings: {', '.join(sorted(unknown))}")
        missing = {"preset", "latent_input", "query_input"} - set(settings)
        if missing:
            raise UsageError(f"model settings lack {', '.join(sorted(missing))}")
        if isinstance(settings.get("tower_channels"), list):
            settings["tower_channels"] = tuple(settings["tower_channels"])
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        return {**asdict(self), "tower_channels": list(self.tower_channels)}

    def without_kernel(self) -> PerceiverConfig:
        """The paper's network alone."""
        return replace(
            self,
            sequence_flows=True,
            kernel_genes=0,
            kernel_dims=0,
            kernel_features=False,
            promoter_words=0.0,
            coding_length=0,
            coding_outputs=0,
        )

    @property
    def reads_dna(self) -> bool:
        """Whether either flow reads DNA."""
        return "dna" in (self.latent_input, self.query_input)

    @property
    def reads_protein(self) -> bool:
        """Whether either flow reads a protein."""
        return "protein" in (self.latent_input, self.query_input)

    @property
    def reads_half_life(self) -> bool:
        """Whether either flow reads half-life features."""
        return self.half_life_latent or self.half_life_query

    @property
    def members(self) -> int:
        """Members whose mean the network predicts."""
        return self.kernel_members if self.kernel_genes else 1

    @property
    def reads_coding(self) -> bool:
        """Whether the kernel flow reads coding sequences."""
        return self.coding_length > 0

    @property
    def coding_indices(self) -> int:
        """Codon adaptation indices that the kernel flow reads."""
        return (self.coding_outputs or self.outputs) if self.reads_coding else 0

    @property
    def window_length(self) -> int:
        """Length of the DNA window, bp; 0 when no DNA is read."""
        return self.upstream + self.downstream

    @property
    def latent_length(self) -> int:
        """Letters that the latents can attend to."""
        return self.window_length if self.latent_input == "dna" else self.protein_length

    @property
    def query_length(self) -> int:
        """Letters that the query tower reads."""
        return self.window_length if self.query_input == "dna" else self.protein_length

    @property
    def latent_width(self) -> int:
        """Width of a latent with the half-life features appended."""
        return self.latent_dim + HALF_LIFE_FEATURES * self.half_life_latent

    @property
    def query_stride(self) -> int:
        """Letters behind one position of the tower's end."""
        return self.stem_pool * prod(self.tower_pool for _ in self.tower_channels)

    @property
    def query_positions(self) -> int:
        """Positions at the tower's end; what a pooling step leaves over at the right edge is dropped."""
        positions = self.query_length // self.stem_pool
        for _ in self.tower_channels:
            positions //= self.tower_pool
        return positions

    @property
    def fewest_numbers(self) -> int:
        """Numbers that the network's weights hold at least: known before any is allocated."""
        landmark = _FEWEST_COUNTS * self.kernel_words + 2 * self.query_dim * self.kernel_features
        counted = landmark + 4 * (self.window_length // 500) * self.kernel_words  # with the profile along the window
        compared = self.kernel_dims or counted
        flow = self.kernel_genes * (compared + self.kernel_members * self.outputs) + counted * self.kernel_dims
        flow += 4**PROMOTER_WORD * (self.promoter_words > 0)
        if not self.sequence_flows:
            return flow
        width = self.latent_width
        block = 2 * self.cross_head_dim * width + 6 * self.feed_forward_factor * width**2
        block += 4 * self.self_heads * self.self_head_dim * width
        channels = (self.stem_channels, *self.tower_channels)
        tower = self.stem_kernel * self.stem_channels + 2 * sum(count**2 for count in channels)
        tower += self.tower_kernel * sum(before * after for before, after in pairwise(channels))
        sequences = self.latent_length * self.embedding_dim + self.latents * self.latent_dim
        return sequences + self.depth * block + tower + self.query_dim * (self.query_features + self.outputs) + flow

    @property
    def query_features(self) -> int:
        """Numbers that the query's linear layer reads."""
        return self.query_positions * self.tower_channels[-1] + HALF_LIFE_FEATURES * self.half_life_query
