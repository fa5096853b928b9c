"""The settings that define a network, and the presets of the paper's systems (SPEC rows as TOML files).

A preset is named latent input first, then query input: in `protein-dna-perceiver` the latents attend to the
protein and the DNA makes the query.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import Any, Literal

from seqexpr.errors import UsageError
from seqexpr.sequences.alphabet import ALPHABETS
from seqexpr.toml_files import packaged_toml

PRESETS = ("dna-perceiver", "protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver")

HALF_LIFE_FEATURES = 8

PROMOTER_WINDOW = (7_000, 3_500)
"""What a promoter tower reads, bp upstream and downstream of the TSS."""

MOST_BUCKETS = 2**24
"""Rows that a table of residue words may have."""

Sequence = Literal["dna", "protein"]


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
    composition_dim: int = 0
    """Hidden width of the flow that reads the sequences' word composition; 0 = no such flow, as in the paper."""
    composition_dropout: float = 0.5
    """Probability of dropping a value in that flow, in training."""
    composition_gain: float = 1.0
    """Factor on the standardised composition; below 1 the flow learns from it more slowly than from the covariates."""
    composition_members: int = 1
    """Members of that flow, which differ in their random start: their mean is predicted, their spread told."""
    promoter_towers: int = 0
    """Fixed networks of Xpresso's form whose answers that flow reads (`models.promoter_towers`)."""
    word_buckets: int = 0
    """Rows of the table of residue words whose answers that flow reads (`models.residue_words`); 0 = no table."""
    word_outputs: int = 0
    """Outputs that the table of words answers for, where they are others than the network's; 0 = the same."""

    def __post_init__(self) -> None:
        inputs = {self.latent_input, self.query_input}
        if not inputs <= set(ALPHABETS):
            raise UsageError(f"inputs must be among {sorted(ALPHABETS)}, not {sorted(inputs)}")
        if self.reads_dna != (self.upstream + self.downstream > 0):
            raise UsageError(f"{self.preset}: a DNA window is given exactly when DNA is read")
        if self.reads_protein != (self.protein_length > 0):
            raise UsageError(f"{self.preset}: a protein length is given exactly when a protein is read")
        if self.stem_kernel % 2 == 0 or self.tower_kernel % 2 == 0:
            raise UsageError(f"{self.preset}: convolution kernels must be odd")
        for name in ("dropout", "composition_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{self.preset}: {name} must be at least 0 and below 1, not {getattr(self, name)}")
        if self.composition_dim < 0:
            raise UsageError(f"{self.preset}: composition_dim must not be negative, but is {self.composition_dim}")
        if min(self.outputs, self.latents, self.depth, self.composition_members) < 1:
            raise UsageError(f"{self.preset}: outputs, latents, depth and composition_members must be at least 1")
        if self.composition_members > 1 and not self.composition_dim:
            raise UsageError(f"{self.preset}: composition_members need a composition_dim")
        if self.composition_gain <= 0:
            raise UsageError(f"{self.preset}: composition_gain must be above 0, not {self.composition_gain}")
        if min(self.promoter_towers, self.word_outputs) < 0:
            raise UsageError(f"{self.preset}: promoter_towers and word_outputs must not be negative")
        if self.promoter_towers and not (self.composition_dim and (self.upstream, self.downstream) == PROMOTER_WINDOW):
            raise UsageError(
                f"{self.preset}: promoter_towers need a composition_dim, and a window of {PROMOTER_WINDOW[0]:,} bp "
                f"upstream and {PROMOTER_WINDOW[1]:,} downstream"
            )
        if self.word_buckets and not (self.composition_dim and self.reads_protein):
            raise UsageError(f"{self.preset}: word_buckets need a composition_dim, and an input of proteins")
        if self.word_outputs and not self.word_buckets:
            raise UsageError(f"{self.preset}: word_outputs need word_buckets")
        if not 0 <= self.word_buckets <= MOST_BUCKETS:
            raise UsageError(f"{self.preset}: word_buckets must be 0 to {MOST_BUCKETS:,}, not {self.word_buckets}")
        if self.query_positions < 1:
            raise UsageError(
                f"{self.preset}: {self.query_length} letters are too few for the query tower, "
                f"which pools {self.query_stride} to one"
            )

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
            UsageError: unknown or missing settings.
        """
        unknown = set(settings) - {field.name for field in fields(cls)}
        if unknown:
            raise UsageError(f"unknown model settings: {', '.join(sorted(unknown))}")
        missing = {"preset", "latent_input", "query_input"} - set(settings)
        if missing:
            raise UsageError(f"model settings lack {', '.join(sorted(missing))}")
        settings = {**settings}
        if "tower_channels" in settings:
            settings["tower_channels"] = tuple(settings["tower_channels"])
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        return {**asdict(self), "tower_channels": list(self.tower_channels)}

    def without_composition(self) -> PerceiverConfig:
        """The paper's network alone."""
        return replace(
            self, composition_dim=0, composition_members=1, promoter_towers=0, word_buckets=0, word_outputs=0
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
    def words_answer(self) -> int:
        """Answers that the table of words gives."""
        return (self.word_outputs or self.outputs) if self.word_buckets else 0

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
    def query_features(self) -> int:
        """Numbers that the query's linear layer reads."""
        return self.query_positions * self.tower_channels[-1] + HALF_LIFE_FEATURES * self.half_life_query
