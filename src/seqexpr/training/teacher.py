"""What the teacher stage of a training is: the table [teacher] of a recipe, and the files that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqexpr.errors import UsageError
from seqexpr.files import sha256_file
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import tensors_file
from seqexpr.training.unlabelled import DrawSettings


@dataclass(frozen=True, kw_only=True)
class TeacherSettings(DrawSettings):
    """How a network learns to say what other models say, before it sees a label."""

    models: tuple[str, ...] = ("",)
    """Names, files or runs of the teachers. Teachers with an output of the same name are averaged there."""
    steps: int = 3000
    """Steps of the stage."""
    batch_size: int = 64
    """Windows a step."""
    group_size: int = 4
    """Windows that pass through the network together (`Recipe.group_size`); 0 = the whole batch."""
    learning_rate: float = 1.2e-3
    """Peak learning rate of AdamW; half a cosine leads down to zero at the last step."""
    warmup_steps: int = 200
    """Steps until the peak."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 = not clipped."""
    difference_weight: float = 4.0
    """Weight of a twin's squared error in the difference to the window that it is a changed copy of, relative to the
    squared errors of the answers."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate", "island_pairs", "island_span"):
            if getattr(self, name) <= 0:
                raise UsageError(f"teacher.{name} must be above 0, not {getattr(self, name)}")
        counts = ("group_size", "warmup_steps", "weight_decay", "clip_norm", "difference_weight", "tss_sd")
        for name in counts:
            if getattr(self, name) < 0:
                raise UsageError(f"teacher.{name} must not be negative, but is {getattr(self, name)}")
        for name in ("random_share", "island_share", "reverse_share", "most_substituted"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"teacher.{name} must be from 0 to 1, not {getattr(self, name)}")
        if not 0 <= self.twin_share <= 0.5:
            raise UsageError(f"teacher.twin_share must be from 0 to 0.5, not {self.twin_share}")
        if self.random_share + self.island_share > 1:
            raise UsageError("teacher.random_share and teacher.island_share must not add up to more than 1")
        if not self.models or not all(self.models):
            raise UsageError("teacher.models must name the teachers, one at least")

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TeacherSettings:
        """The settings of a recipe's table [teacher]."""
        return cls(**{**settings, "models": tuple(settings.get("models", ()))})

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        return {**asdict(self), "models": list(self.models)}


@dataclass(frozen=True)
class Teaching:
    """Who teaches a run's network, and on which unlabelled DNA.

    Raises:
        UsageError: the recipe has no table [teacher], or asks for unlabelled DNA and there is none.
    """

    settings: TeacherSettings
    teachers: tuple[Path, ...]
    """Weights files."""
    unlabelled: Path | None
    """FASTA of DNA, whose windows need no label."""

    @classmethod
    def of(cls, table: dict[str, Any], unlabelled: Path | None) -> Teaching | None:
        """What a recipe's table asks for; None: no teacher stage.

        Raises:
            UsageError: unlabelled DNA without a use, or the other way round.
            MissingDataError, InputError: as `resolve_models`.
        """
        if not table:
            if unlabelled is not None:
                raise UsageError("--unlabelled goes with a recipe that has a table [teacher]")
            return None
        settings = TeacherSettings.from_dict(table)
        if unlabelled is None and settings.random_share + settings.island_share > 0:
            raise UsageError(
                "the recipe's teacher stage draws windows from unlabelled DNA: give it with --unlabelled, "
                "or set teacher.random_share and teacher.island_share to 0"
            )
        return cls(settings, tuple(resolve_models(settings.models)), unlabelled)

    def to_dict(self) -> dict[str, Any]:
        """For a run's manifest: digests, and where the files lie."""
        files = [{"file": str(path.resolve()), "sha256": sha256_file(tensors_file(path))} for path in self.teachers]
        described: dict[str, Any] = {"teachers": files}
        if self.unlabelled is not None:
            digest = sha256_file(self.unlabelled)
            described["unlabelled"] = {"file": str(self.unlabelled.resolve()), "sha256": digest}
        return described
