"""Weights on disk: one safetensors file whose metadata key `seqexpr` says in JSON what the numbers mean.

A file without tensors may be a view (key `seqexpr-view`): some of the outputs of the weights in a file beside it.
Reading the metadata needs no torch. The tensors are read by the safetensors library; nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqexpr.errors import InputError, SeqexprError
from seqexpr.files import atomic_path
from seqexpr.inputs.half_life import IDENTITY, TRANSFORMS, HalfLifeSchema
from seqexpr.manifest import SCORE
from seqexpr.models.calibration import Calibration
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig
from seqexpr.models.input_range import InputRange
from seqexpr.own_files import (
    Misfit,
    anything,
    check_shape,
    distinct,
    is_printable,
    list_of,
    mapping,
    maybe,
    name,
    number,
    parse_json,
    record,
    shown,
    text,
    whole,
)
from seqexpr.sequences.alphabet import ALPHABETS, CODING
from seqexpr.sequences.transcripts import FEATURES
from seqexpr.tensor_files import CHECKSUMS, check_metadata, check_tensors, load_tensors, save_tensors
from seqexpr.tensor_files import read_metadata as read_header

if TYPE_CHECKING:
    import torch

    from seqexpr.models.perceiver import Perceiver

FORMAT = 2
"""Version of the metadata's layout and of the network's tensors; a file with another one is refused."""

_KEY, _VIEW = "seqexpr", "seqexpr-view"
_KERNEL_WEIGHTS = "kernel.weights"
_EXPECTED = "a safetensors file of seqexpr weights"


@dataclass(frozen=True)
class Output:
    """One predicted quantity: label = network output x sd + mean."""

    name: str
    """Name of the label column, and of the column that `predict` prints."""
    unit: str = ""
    """Unit of the label, for instance "log10(RPKM + 0.1)"."""
    mean: float = 0.0
    """Mean of the label over the training genes."""
    sd: float = 1.0
    """Standard deviation of the label over the training genes."""
    calibration: Calibration | None = None
    """How far predictions may be off; None where it was not measured."""

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Output:
        """The output that `dataclasses.asdict` took apart; keys that this version does not know are ignored.

        Raises:
            ValueError: `value` is not such a dictionary; the text names the key.
        """
        _OUTPUT(value, "")
        known = {setting.name: value[setting.name] for setting in fields(cls) if setting.name in value}
        stored = known.pop("calibration", None)
        if stored is not None:
            parts: dict[str, Any] = {
                part.name: stored[part.name] for part in fields(Calibration) if part.name in stored
            }
            stored = Calibration(**{**parts, **{key: tuple(parts[key]) for key in ("levels", "errors")}})
        return cls(**known, calibration=stored)


def _above_zero(value: Any, where: str) -> None:
    """A finite number above 0."""
    number(value, where)
    if not 0 < value < _LARGEST_NUMBER:
        raise Misfit(where, shown(value), "a number above 0")


def _plain(value: Any, where: str) -> None:
    """A text that can be shown in one line, perhaps empty."""
    text(value, where)
    if not is_printable(value):
        raise Misfit(where, shown(value), "a text without control characters")


def _moderate(value: Any, where: str) -> None:
    """A finite number that float32 holds."""
    number(value, where)
    if abs(value) > _LARGEST_NUMBER:
        raise Misfit(where, shown(value), f"a number of at most {_LARGEST_NUMBER:g}")


_LARGEST_NUMBER = 1e30
_OUTPUT = record(
    {"name": name},
    {
        "unit": _plain,
        "mean": _moderate,
        "sd": _above_zero,
        "calibration": maybe(
            record(
                {
                    "levels": list_of(_moderate),
                    "errors": list_of(_above_zero),
                    "usual_spread": _above_zero,
                    "power": _moderate,
                }
            )
        ),
    },
)
_METADATA = record(
    {
        "format": whole(),
        "alphabets": mapping(text),
        "config": mapping(anything),
        "outputs": list_of(mapping(anything)),
        "half_life": maybe(
            record(
                {
                    "names": distinct(name),
                    "transforms": list_of(text),
                    "mean": list_of(_moderate),
                    "sd": list_of(_moderate),
                }
            )
        ),
        "training": record({}, {"metrics": list_of(SCORE)}),
        "card": mapping(anything),
    }
)
"""The metadata that every version wrote. Further keys are for those that know them: this version ignores the others."""


@dataclass(frozen=True)
class ModelMetadata:
    """Everything about trained weights but the numbers."""

    config: PerceiverConfig
    outputs: tuple[Output, ...]
    half_life: HalfLifeSchema | None = None
    """Names, transforms and scaling of the half-life features; None when the network reads none."""
    training: dict[str, Any] = field(default_factory=dict)
    """What the weights were trained on and how: recipe, seed, genes, epochs."""
    card: dict[str, Any] = field(default_factory=dict)
    """The model card: intended use, held-out numbers, limits, licences."""

    @property
    def input_range(self) -> InputRange | None:
        """What the training genes' inputs were like; None in weights that do not say."""
        return InputRange.from_dict(self.training.get("input_range"))

    @property
    def species(self) -> str:
        """The organism of the training genes; "" where the weights do not say."""
        found = self.card.get("species", "")
        return found if isinstance(found, str) and is_printable(found) else ""

    def describe_inputs(self) -> list[str]:
        """What the model reads, in words."""
        config, inputs = self.config, []
        if config.reads_dna:
            inputs.append(f"DNA {config.window_length} bp ({config.upstream} upstream, {config.downstream} downstream)")
        if config.reads_protein:
            inputs.append(f"protein up to {config.protein_length} residues")
        if self.half_life is not None:
            inputs.append("half-life features (optional)")
        if config.reads_coding:
            inputs.append(f"coding sequence up to {config.coding_length} codons (optional)")
        return inputs

    def to_json(self) -> str:
        """The text stored in the weights file."""
        return json.dumps(
            {
                "format": FORMAT,
                "config": self.config.to_dict(),
                "alphabets": _alphabets(self.config.reads_coding),
                "outputs": [asdict(output) for output in self.outputs],
                "half_life": self.half_life.to_dict() if self.half_life else None,
                "training": self.training,
                "card": self.card,
            }
        )

    @classmethod
    def from_json(cls, text: str, file: str | Path) -> ModelMetadata:
        """The metadata that `to_json` wrote.

        Raises:
            InputError: the text is of another program or of a newer format.
        """
        expected = f"seqexpr weights of format {FORMAT}"
        stored = parse_json(text, file, expected, "metadata")
        if not isinstance(stored, dict) or "format" not in stored:
            raise InputError(file, found="metadata that seqexpr did not write", expected=expected)
        if stored["format"] != FORMAT:
            raise InputError(
                file, found=f"format {shown(stored['format'])}", expected=f"{expected}; another version reads it"
            )
        check_shape(stored, _METADATA, file, expected, "metadata")
        letters = _alphabets(bool(stored["config"].get("coding_length")))
        if stored["alphabets"] != letters:
            raise InputError(file, found=f"alphabets {stored['alphabets']}", expected=f"alphabets {letters}")
        half_life = stored["half_life"]
        try:
            metadata = cls(
                config=PerceiverConfig.from_dict(stored["config"]),
                outputs=tuple(Output.from_dict(output) for output in stored["outputs"]),
                half_life=HalfLifeSchema.from_dict(half_life) if half_life else None,
                training=dict(stored["training"]),
                card=dict(stored["card"]),
            )
            metadata._check()
        except (ValueError, SeqexprError) as problem:
            raise InputError(file, found=f"metadata that does not fit ({problem})", expected=expected) from None
        return metadata

    def _check(self) -> None:
        if len(self.outputs) != self.config.outputs:
            raise ValueError(f"{len(self.outputs)} outputs are named, {self.config.outputs} computed")
        names = [output.name for output in self.outputs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two outputs are named {twice[0]!r}")
        if self.half_life and len(self.half_life.names) != HALF_LIFE_FEATURES:
            raise ValueError(f"{len(self.half_life.names)} half-life features, not {HALF_LIFE_FEATURES}")
        if self.half_life and self.half_life.names != FEATURES:
            raise ValueError(f"half-life features {', '.join(self.half_life.names)}, not {', '.join(FEATURES)}")
        if self.half_life and self.half_life.transforms not in (TRANSFORMS, (IDENTITY,) * HALF_LIFE_FEATURES):
            raise ValueError(f"half-life transforms {', '.join(self.half_life.transforms)}")
        if self.half_life and not self.config.reads_half_life:
            raise ValueError("half-life features of a network that reads none")


def _alphabets(with_coding: bool) -> dict[str, str]:
    """Letters by the alphabet's name; codons where they are read, which earlier versions did not."""
    letters = {name: alphabet.letters for name, alphabet in ALPHABETS.items()}
    return {**letters, CODING.name: CODING.letters} if with_coding else letters


@dataclass
class TrainedModel:
    """A network with weights, and what its inputs and outputs mean."""

    name: str
    network: Perceiver
    metadata: ModelMetadata

    def predict(
        self,
        dna: np.ndarray | None,
        protein: np.ndarray | None,
        half_life: np.ndarray | None,
        coding: np.ndarray | None = None,
    ) -> np.ndarray:
        """Labels in their own units, float64 (batch, outputs): the mean of `predict_members`, from the same."""
        return self.predict_members(dna, protein, half_life, coding).mean(axis=0)

    def predict_members(
        self,
        dna: np.ndarray | None,
        protein: np.ndarray | None,
        half_life: np.ndarray | None,
        coding: np.ndarray | None = None,
    ) -> np.ndarray:
        """What each member of the network says, in the labels' own units, on whatever device it is, without gradients.

        Several threads may call it at the same time.

        Args:
            dna: uint8 (batch, upstream + downstream) tokens of this model's window, or None.
            protein: uint8 (batch, up to protein_length) tokens, PAD at the right, or None.
            half_life: float (batch, 8) features in the schema's order, NaN = unknown, or None; raw, or z-scores
                for a schema that `expects_z_scores`.
            coding: uint8 (batch, up to coding_length) tokens of codons, 0 at the right, rows of 0 for genes without a
                coding sequence; None where no gene has one, or the network reads none.

        Returns:
            float64 (members, batch, outputs)
        """
        import torch

        from seqexpr.models.transfers import to_device

        device = self.network.device
        tokens = {
            name: to_device(array, device) for name, array in (("dna", dna), ("protein", protein)) if array is not None
        }
        config, schema = self.metadata.config, self.metadata.half_life
        codons = to_device(coding, device) if coding is not None and config.reads_coding else None
        standardised = None
        if schema is not None and half_life is not None:
            standardised = to_device(schema.standardise(half_life), device)
        if self.network.training:  # else what it remembers of an empty sequence would be computed anew in every call
            self.network.eval()
        with torch.inference_mode():
            latent_tokens, query_tokens = tokens[config.latent_input], tokens[config.query_input]
            scaled = self.network.members(latent_tokens, query_tokens, standardised, coding=codons)
        return self.unscale(scaled)

    def unscale(self, scaled: torch.Tensor) -> np.ndarray:
        """What members of the network say, (batch, members, outputs), in the labels' own units.

        Returns:
            float64 (members, batch, outputs)
        """
        from seqexpr.models.transfers import to_host

        sd = np.array([output.sd for output in self.metadata.outputs])
        mean = np.array([output.mean for output in self.metadata.outputs])
        return to_host(scaled.transpose(0, 1)).astype(np.float64) * sd + mean


def save_model(path: str | Path, model: TrainedModel, *, half: bool = False) -> None:
    """Write weights, metadata and checksums of both as one safetensors file, atomically.

    Args:
        half: store matrices in half precision; they are computed with in float32 all the same. Whole numbers, and the
            kernel flow's weights, whose large terms cancel, stay as they are.
    """
    tensors = model.network.state_dict()
    if half:
        tensors = {name: tensor.half() if _may_be_half(name, tensor) else tensor for name, tensor in tensors.items()}
    save_tensors(path, tensors, {_KEY: model.metadata.to_json()})


def _may_be_half(name: str, tensor: torch.Tensor) -> bool:
    return tensor.ndim > 1 and tensor.is_floating_point() and name != _KERNEL_WEIGHTS


def add_checksums(path: str | Path) -> bool:
    """Write a weights file again with checksums, everything else as it is; False where it has them or has no tensors.

    Raises:
        InputError: it is no weights file of seqexpr.
    """
    header = read_header(path, _EXPECTED)
    if CHECKSUMS in header or _VIEW in header:
        return False
    ModelMetadata.from_json(header.get(_KEY, ""), path)
    save_tensors(path, load_tensors(path, _EXPECTED), header)
    return True


def rewrite_metadata(path: str | Path, change: Callable[[ModelMetadata], ModelMetadata]) -> None:
    """Write a weights file again with other metadata; its tensors stay as they are, to the last bit.

    Raises:
        InputError: it is no weights file of seqexpr, or a view.
    """
    metadata = ModelMetadata.from_json(read_header(path, _EXPECTED).get(_KEY, ""), path)
    save_tensors(path, load_tensors(path, _EXPECTED), {_KEY: change(metadata).to_json()})


def save_view(path: str | Path, file: str, outputs: Sequence[str]) -> None:
    """Write a file that stands for some outputs of the weights in `file`, which lies in the same folder."""
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        save_file({}, temporary, metadata={_VIEW: json.dumps({"file": file, "outputs": list(outputs)})})


def read_metadata(path: str | Path) -> ModelMetadata:
    """What the weights in `path` are, without loading them or torch.

    Raises:
        InputError: not a whole safetensors file, or not one that this version of seqexpr wrote.
    """
    return _find(path)[1]


def tensors_file(path: str | Path) -> Path:
    """The file that holds the tensors: `path` itself, or for a view the file beside it.

    Raises:
        InputError: as `read_metadata`.
    """
    return _find(path)[0]


def load_model(path: str | Path, device: str | torch.device = "cpu", name: str | None = None) -> TrainedModel:
    """Weights from a file or by their name in `list_models`, ready to predict on `device`.

    A text means what it means to `predict --model`: a listed name goes before a file or a run folder of that name. A
    `Path` is always a file. `seqexpr.load` takes ensembles too.

    Raises:
        MissingDataError: nothing of that name, with the names that are near.
        InputError: a run of several models, not a whole safetensors file, or not one that this version of seqexpr
            wrote, or tensors that do not fit the config in it.
    """
    from seqexpr.models.perceiver import Perceiver
    from seqexpr.models.registry import resolve_models

    if isinstance(path, str):
        weights = resolve_models([path])
        if len(weights) > 1:
            raise InputError(path, found=f"{len(weights)} models", expected="one; seqexpr.load takes ensembles")
        path = weights[0]
    file, metadata, columns = _find(path)
    tensors = load_tensors(file, _EXPECTED)
    described = "the tensors that its own config describes"
    # Before anything is allocated: a small file may describe a huge network.
    if (found := sum(tensor.numel() for tensor in tensors.values())) < metadata.config.fewest_numbers:
        expected = f"{described}, {metadata.config.fewest_numbers:,} at least"
        raise InputError(file, found=f"{found:,} numbers", expected=expected)
    network = Perceiver(metadata.config)
    try:
        chosen = _of_outputs(tensors, columns)
    except (IndexError, KeyError) as problem:
        raise InputError(path, found=f"no such outputs ({problem})", expected=described) from None
    check_tensors(file, chosen, network.state_dict(), described)
    network.load_state_dict(chosen)
    network.to(device).eval()
    return TrainedModel(name or Path(path).stem, network, metadata)


def _find(path: str | Path) -> tuple[Path, ModelMetadata, list[int] | None]:
    """Where the tensors lie, what they are, and which outputs are meant (None = all)."""
    header = read_header(path, _EXPECTED)
    if _VIEW not in header:
        return Path(path), _own_metadata(path, header), None
    view = parse_json(header[_VIEW], path, _EXPECTED, f"metadata {_VIEW!r}")
    check_shape(view, record({"file": name, "outputs": distinct(name)}), path, _EXPECTED, f"metadata {_VIEW!r}")
    try:
        file = Path(path).with_name(view["file"])  # refuses whatever is no plain name
        metadata = _own_metadata(file, read_header(file, _EXPECTED))
        columns = [[output.name for output in metadata.outputs].index(output) for output in view["outputs"]]
        whole = metadata.config
        changes = {
            "outputs": len(columns),
            "coding_outputs": whole.coding_indices,
        }
        config = PerceiverConfig.from_dict({**whole.to_dict(), **changes})
    except (ValueError, SeqexprError) as problem:
        raise InputError(path, found=f"a view that does not fit ({problem})", expected=_EXPECTED) from None
    return (
        file,
        replace(metadata, config=config, outputs=tuple(metadata.outputs[column] for column in columns)),
        columns,
    )


def _own_metadata(path: str | Path, header: dict[str, str]) -> ModelMetadata:
    if _KEY not in header:
        raise InputError(path, found="a safetensors file without seqexpr's metadata", expected=_EXPECTED)
    metadata = ModelMetadata.from_json(header[_KEY], path)
    check_metadata(path, header, _EXPECTED)  # after it was read, which can name the key that does not fit
    return metadata


def _of_outputs(tensors: dict[str, torch.Tensor], columns: list[int] | None) -> dict[str, torch.Tensor]:
    """The tensors of a network that has these outputs alone."""
    if columns is None:
        return tensors
    chosen: dict[str, torch.Tensor] = {}
    for key in ("output.weight", "output.bias"):
        if key in tensors:
            chosen[key] = tensors[key][columns]
    for key in (_KERNEL_WEIGHTS, "kernel.offset", "words.weight"):
        if key in tensors:
            chosen[key] = tensors[key][..., columns]
    return {**tensors, **chosen}
