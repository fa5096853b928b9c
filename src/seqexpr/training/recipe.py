"""How a network is trained: every choice that is not in its preset, as a TOML file.

`paper` follows Stefanini et al. 2023 (sections 2.3 to 2.5), `default` is the best known here. Both exist for each kind
of network and for each task of the paper. A user's own file has the same keys (`recipe_files`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from seqexpr.errors import InputError, UsageError
from seqexpr.models.config import PerceiverConfig, without_retired
from seqexpr.own_files import check_shape, list_of, record, text
from seqexpr.training.teacher import TeacherSettings

OPTIMIZERS = ("adam", "adamw", "lamb")
SCHEDULES = ("noam", "cosine", "constant")
STOP_METRICS = ("valid_loss", "valid_r2", "none")
LABEL_SCALINGS = ("zscore", "none")

NOT_A_RECIPES = ("preset", "latent_input", "query_input", "outputs", "coding_outputs")
"""Settings of a network that a recipe does not change: the task and the preset decide them."""

_RETIRED = (
    *("composition_epochs", "composition_learning_rate", "composition_bootstrap"),
    *("word_penalty", "towers_from"),
)
"""Settings that recipes of earlier versions had."""

_LARGEST = 2.0**53
"""No setting is larger, and all are numbers: NaN and infinity would be found in the middle of a training."""

_WIDTHS = {
    setting.name
    for setting in fields(PerceiverConfig)
    if isinstance(setting.default, tuple) or (type(setting.default) is int and setting.default > 0)
}
"""Settings of a network that count something there must be at least one of: latents, channels, positions pooled ..."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    name: str
    """Name shown in manifests."""
    bases: tuple[str, ...] = ()
    """The recipes that it started from, the nearest first."""
    optimizer: str = "adamw"
    """"adam" (weight decay as L2 in the gradient), "adamw" (decoupled) or "lamb"."""
    learning_rate: float = 1e-3
    """Peak learning rate; for "noam" a factor on the schedule."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of the optimiser's two moments."""
    weight_decay: float = 0.0
    """Weight decay, in the optimiser's own sense."""
    schedule: str = "cosine"
    """"noam", "cosine" (linear warm-up, then half a cosine down to zero at the last epoch) or "constant"."""
    warmup_steps: int = 0
    """Steps until the peak."""
    noam_width: int = 32
    """Model width d in the Noam schedule."""
    batch_size: int = 128
    """Genes a step."""
    group_size: int = 0
    """Genes that pass through the network together; their gradients add up to a step's. BatchNorm takes its statistics
    within a group (Hoffer et al. 2017). Small groups stay in a CPU's cache. 0 = the whole batch."""
    max_epochs: int = 100
    """Passes over the training genes at most; 0 = none after the stage of the kernel flow."""
    patience: int = 20
    """Epochs without a better validation before training stops; 0 = never stop early."""
    stop_metric: str = "valid_loss"
    """What "better" means, and which epoch's weights are kept: "valid_loss" or "valid_r2"; "none" keeps the last."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 = not clipped."""
    model: dict[str, Any] = field(default_factory=dict)
    """Changes to the preset's network: any setting of PerceiverConfig but its inputs and outputs."""
    label_scaling: str = "zscore"
    """"zscore" over the training genes, or "none"."""
    loss_weight: float = 1.0
    """Factor on the mean squared error."""
    output_weights: dict[str, float] = field(default_factory=dict)
    """Factor on the error of a label, by the label's name; 1 for labels not named."""
    half_life_dropout: float = 0.0
    """Probability that a gene's half-life features are hidden in a step, so that prediction works without them."""
    coding_dropout: float = 0.0
    """The same of a gene's coding sequence, drawn by itself: a gene may lack either, or both."""
    tss_jitter: int = 0
    """Largest shift of the window in a step, bp, where the dataset's windows are wide enough."""
    average_decay: float = 0.0
    """Decay a step of the running mean of the weights that is validated and kept; 0 = the weights themselves."""
    bf16: bool = True
    """Compute in bfloat16 on CUDA (weights stay float32)."""
    teacher: dict[str, Any] = field(default_factory=dict)
    """A first stage in which the sequence flows learn from other models: the settings of `TeacherSettings`. Without
    any there is no such stage."""

    def __post_init__(self) -> None:
        for name, number in self._numbers():
            if not abs(number) <= _LARGEST:  # NaN is in no order
                raise UsageError(f"recipe {self.name}: {name} must be a finite number, not {str(number)[:40]}")
        for name, value, allowed in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("stop_metric", self.stop_metric, STOP_METRICS),
            ("label_scaling", self.label_scaling, LABEL_SCALINGS),
        ):
            if value not in allowed:
                raise UsageError(f"recipe {self.name}: {name} must be one of {', '.join(allowed)}, not {value!r}")
        for name in ("learning_rate", "batch_size", "loss_weight", "noam_width"):
            if getattr(self, name) <= 0:
                raise UsageError(f"recipe {self.name}: {name} must be above 0, not {getattr(self, name)}")
        counts = ("weight_decay", "warmup_steps", "patience", "clip_norm", "tss_jitter", "group_size")
        for name in (*counts, "max_epochs"):
            if getattr(self, name) < 0:
                raise UsageError(f"recipe {self.name}: {name} must not be negative, but is {getattr(self, name)}")
        for name in ("half_life_dropout", "coding_dropout", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"recipe {self.name}: {name} must be in [0, 1), not {getattr(self, name)}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"recipe {self.name}: betas must be two numbers in [0, 1), not {list(self.betas)}")
        if any(weight < 0 for weight in self.output_weights.values()):
            raise UsageError(f"recipe {self.name}: output_weights must not be negative, but are {self.output_weights}")
        if self.schedule == "noam" and self.warmup_steps == 0:
            raise UsageError(f"recipe {self.name}: the noam schedule needs warmup_steps above 0")
        if self.teacher:
            try:
                TeacherSettings.from_dict(self.teacher)
            except (TypeError, UsageError) as problem:
                raise UsageError(f"recipe {self.name}: {problem}") from None
        for name in sorted(_WIDTHS & self.model.keys()):
            if min(np.ravel(self.model[name]), default=0) < 1:
                raise UsageError(f"recipe {self.name}: model.{name} must be at least 1, not {self.model[name]}")

    def _numbers(self) -> Iterator[tuple[str, float]]:
        """Every number among the settings, by the name of its key."""
        for name, value in asdict(self).items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            for key, part in parts:
                for number in part if isinstance(part, (list, tuple)) else (part,):
                    if isinstance(number, (int, float)):
                        yield f"{name}.{key}" if key else name, number

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Recipe:
        """The recipe of settings that were checked, or that `to_dict` made."""
        lists = {key: tuple(settings[key]) for key in ("bases", "betas") if key in settings}
        return cls(**{**settings, **lists})

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        settings = {**asdict(self), "bases": list(self.bases), "betas": list(self.betas)}
        if not self.teacher:  # absent in the manifests of runs without teachers, as in those of earlier versions
            del settings["teacher"]
        return settings

    def changed(self, **changes: Any) -> Recipe:
        """The recipe with some settings replaced; checks run again."""
        return replace(self, **changes)

    def fit(self, config: PerceiverConfig) -> PerceiverConfig:
        """The network `config` with the changes in `model`.

        Raises:
            UsageError: they do not fit together.
        """
        try:
            fitted = PerceiverConfig.from_dict({**config.to_dict(), **self.model})
        except UsageError as problem:
            raise UsageError(f"recipe {self.name}, table model: {problem}") from None
        if not (self.max_epochs or fitted.kernel_genes):
            raise UsageError(f"recipe {self.name}: max_epochs 0 without a flow that learns before: nothing is learnt")
        if not fitted.sequence_flows and (self.max_epochs or self.teacher):
            raise UsageError(
                f"recipe {self.name}: without sequence_flows there is nothing that learns after the kernel flow, or "
                "from a teacher: max_epochs must be 0, and the table teacher absent"
            )
        if fitted.kernel_features and self.max_epochs:
            raise UsageError(
                f"recipe {self.name}: kernel_features need max_epochs 0: the kernel flow is fitted to what the "
                "sequence flows make of the genes, and these must stay as they are"
            )
        return fitted


def stored_recipe(settings: Mapping[str, Any], file: str) -> Recipe:
    """The recipe that `to_dict` wrote into a manifest.

    Raises:
        InputError: the file, the key, what was found and what was expected.
    """
    described = "the recipe of a run"
    settings = {key: value for key, value in settings.items() if key not in _RETIRED}
    if isinstance(model := settings.get("model"), dict):
        try:
            settings["model"] = without_retired(model)
        except UsageError as problem:
            record_of = "key 'model.composition_dim'"
            raise InputError(file, record=record_of, found=str(problem), expected=described) from None
    check_shape(settings, record({"name": text}, {"bases": list_of(text)}), file, described)
    check_settings({key: value for key, value in settings.items() if key not in ("name", "bases")}, file)
    try:
        return Recipe.from_dict(settings)
    except UsageError as problem:
        raise InputError(file, found=str(problem), expected=described) from None


def check_settings(settings: Mapping[str, Any], file: str) -> None:
    """Check the keys of a recipe's file, and the types of their values.

    Raises:
        InputError: the file, the key, what was found and what was expected.
    """
    allowed = {setting.name: setting for setting in fields(Recipe) if setting.name not in ("name", "bases")}
    network = {setting.name: setting for setting in fields(PerceiverConfig) if setting.name not in NOT_A_RECIPES}
    _check_keys(settings, allowed, file, "")
    _check_keys(settings.get("model", {}), network, file, "model.")
    teacher = {setting.name: setting for setting in fields(TeacherSettings)}
    _check_keys(settings.get("teacher", {}), teacher, file, "teacher.")
    for label, weight in settings.get("output_weights", {}).items():
        _check_type(weight, 1.0, file, f"output_weights.{label}")


def _check_keys(settings: Mapping[str, Any], allowed: Mapping[str, Field[Any]], file: str, table: str) -> None:
    for key, value in settings.items():
        if key not in allowed:
            raise InputError(
                file, record=f"key {table + key!r}", found="an unknown setting", expected=", ".join(allowed)
            )
        setting = allowed[key]
        example = setting.default if setting.default_factory is MISSING else setting.default_factory()
        _check_type(value, example, file, table + key)


def _check_type(value: Any, example: Any, file: str, key: str) -> None:
    kinds: tuple[type, ...] = {tuple: (list,), float: (int, float)}.get(type(example), (type(example),))
    fits = isinstance(value, kinds) and (type(example) is bool or not isinstance(value, bool))
    if fits and isinstance(example, tuple):
        item_kinds = (int, float) if type(example[0]) is float else (type(example[0]),)
        fits = all(isinstance(item, item_kinds) and not isinstance(item, bool) for item in value)
    numbers = value if isinstance(value, list) else [value]
    if fits and not all(abs(item) <= _LARGEST for item in numbers if isinstance(item, (int, float))):
        raise InputError(file, record=f"key {key!r}", found=str(value)[:40], expected="a finite number")
    if fits and isinstance(example, tuple) and not value:
        fits = False
    if not fits:
        expected = f"a value like {list(example) if isinstance(example, tuple) else example!r}"
        if example == ("",):
            expected = "a list of names, one at least"
        raise InputError(file, record=f"key {key!r}", found=repr(value)[:100], expected=expected)
