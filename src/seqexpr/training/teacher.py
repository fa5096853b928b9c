"""What the teacher stage of a training is: the table [teacher] of a recipe, and the files that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqexpr.errors import UsageError
from seqexpr.files import sha256_file
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.registry import resolve_models
from seqexpr.models.trained import ModelMetadata, read_metadata, tensors_file
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import read_fasta
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
class TeacherFile:
    """Weights of a teacher."""

    file: Path
    sha256: str
    """Of the file that holds its tensors."""
    outputs: tuple[str, ...]
    """What it predicts; a view of the same tensors may predict less."""

    @classmethod
    def of(cls, file: Path, metadata: ModelMetadata) -> TeacherFile:
        """The weights in a file."""
        return cls(file, sha256_file(tensors_file(file)), tuple(output.name for output in metadata.outputs))

    def to_dict(self) -> dict[str, Any]:
        """For a run's manifest."""
        return {"file": str(self.file.resolve()), "sha256": self.sha256, "outputs": list(self.outputs)}


@dataclass(frozen=True)
class Teaching:
    """Who teaches a run's network, and on which unlabelled DNA."""

    settings: TeacherSettings
    teachers: tuple[TeacherFile, ...]
    unlabelled: Path | None
    """FASTA of DNA, whose windows need no label."""
    unlabelled_sha256: str
    """Of that file; "" without one."""

    @classmethod
    def of(cls, table: dict[str, Any], unlabelled: Path | None, network: PerceiverConfig) -> Teaching | None:
        """What a recipe's table asks for; None: no teacher stage.

        Args:
            table: the recipe's table [teacher].
            unlabelled: FASTA of DNA without labels.
            network: that is trained.

        Raises:
            UsageError: unlabelled DNA without a use, or the other way round; a network that reads proteins; teachers
                that read more than the network, or that do not agree on the unit of an output.
            MissingDataError: there is no such teacher.
            InputError: a teacher's file that holds no weights of seqexpr, or unlabelled DNA that is no FASTA of DNA.
        """
        if not table:
            if unlabelled is not None:
                raise UsageError("--unlabelled goes with a recipe that has a table [teacher]")
            return None
        if network.reads_protein:
            raise UsageError(
                f"the table [teacher] of a recipe is for networks that read DNA alone, and {network.preset} does not"
            )
        settings = TeacherSettings.from_dict(table)
        draws_from_it = settings.random_share + settings.island_share > 0
        if unlabelled is None and draws_from_it:
            raise UsageError(
                "the recipe's teacher stage draws windows from unlabelled DNA: give it with --unlabelled, "
                "or set teacher.random_share and teacher.island_share to 0"
            )
        if unlabelled is not None and not draws_from_it:
            raise UsageError(
                "--unlabelled has no effect: the recipe sets teacher.random_share and teacher.island_share to 0"
            )
        found = [(path, read_metadata(path)) for path in resolve_models(settings.models, allow_partial=False)]
        _check_teachers(found, network)
        digest = ""
        if unlabelled is not None:
            if str(unlabelled) == "-":
                raise UsageError("--unlabelled is read more than once: give a file, not standard input")
            _check_dna(unlabelled)
            digest = sha256_file(unlabelled)
        return cls(settings, tuple(TeacherFile.of(path, metadata) for path, metadata in found), unlabelled, digest)

    def to_dict(self) -> dict[str, Any]:
        """For a run's manifest: digests, and where the files lie."""
        described: dict[str, Any] = {"teachers": [teacher.to_dict() for teacher in self.teachers]}
        if self.unlabelled is not None:
            described["unlabelled"] = {"file": str(self.unlabelled.resolve()), "sha256": self.unlabelled_sha256}
        return described


def _check_teachers(found: Sequence[tuple[Path, ModelMetadata]], network: PerceiverConfig) -> None:
    """Whether the teachers can be asked about the network's windows, and their answers be averaged."""
    units: dict[str, tuple[str, Path]] = {}
    for path, metadata in found:
        own = metadata.config
        if own.reads_protein or own.upstream > network.upstream or own.downstream > network.downstream:
            raise UsageError(
                f"the teacher {path} reads {'; '.join(metadata.describe_inputs())}, which is not within the DNA "
                f"{network.window_length} bp ({network.upstream} upstream, {network.downstream} downstream) that the "
                "network reads"
            )
        for output in metadata.outputs:
            unit, other = units.setdefault(output.name, (output.unit, path))
            if unit != output.unit:
                raise UsageError(
                    f"the teachers {other} and {path} cannot be averaged: {output.name} is in {unit or 'no unit'} and "
                    f"in {output.unit or 'no unit'}"
                )


def _check_dna(path: Path) -> None:
    """Whether the file's first record is DNA: to be found before anything that takes long."""
    record = next(read_fasta(path))
    DNA.encode(record.sequence, file=path, record=f"record 1 {record.id!r}")
