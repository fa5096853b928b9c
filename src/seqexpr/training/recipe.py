"""How a network is trained: every choice that is not the network, as a TOML file.

`paper` follows Stefanini et al. 2023 (sections 2.3 to 2.5), `default` is the best known here; both exist once for
DNA and once for protein as the latent input, and for a task that needs its own. A user's own file has the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError, UsageError
from seqexpr.toml_files import packaged_toml, read_toml

OPTIMIZERS = ("adam", "adamw", "lamb")
SCHEDULES = ("noam", "cosine", "constant")
STOP_METRICS = ("valid_loss", "valid_r2")
LABEL_SCALINGS = ("zscore", "none")


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    name: str
    """Name shown in manifests."""
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
    """Passes over the training genes at most."""
    patience: int = 20
    """Epochs without a better validation before training stops; 0 = never stop early."""
    stop_metric: str = "valid_loss"
    """What "better" means, and which epoch's weights are kept: "valid_loss" or "valid_r2"."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 = not clipped."""
    dropout: float | None = None
    """Dropout of the network; the preset's when absent."""
    tanh: bool = False
    """Squash the outputs with tanh."""
    label_scaling: str = "zscore"
    """"zscore" over the training genes, or "none"."""
    loss_weight: float = 1.0
    """Factor on the mean squared error."""
    output_weights: dict[str, float] = field(default_factory=dict)
    """Factor on the error of a label, by the label's name; 1 for labels not named."""
    half_life_dropout: float = 0.0
    """Probability that a gene's half-life features are hidden in a step, so that prediction works without them."""
    tss_jitter: int = 0
    """Largest shift of the window in a step, bp, where the dataset's windows are wide enough."""
    average_decay: float = 0.0
    """Decay a step of the running mean of the weights that is validated and kept; 0 = the weights themselves."""
    bf16: bool = True
    """Compute in bfloat16 on CUDA (weights stay float32)."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("stop_metric", self.stop_metric, STOP_METRICS),
            ("label_scaling", self.label_scaling, LABEL_SCALINGS),
        ):
            if value not in allowed:
                raise UsageError(f"recipe {self.name}: {name} must be one of {', '.join(allowed)}, not {value!r}")
        for name in ("learning_rate", "batch_size", "max_epochs", "loss_weight", "noam_width"):
            if getattr(self, name) <= 0:
                raise UsageError(f"recipe {self.name}: {name} must be above 0, not {getattr(self, name)}")
        for name in ("weight_decay", "warmup_steps", "patience", "clip_norm", "tss_jitter", "group_size"):
            if getattr(self, name) < 0:
                raise UsageError(f"recipe {self.name}: {name} must not be negative, but is {getattr(self, name)}")
        for name in ("half_life_dropout", "average_decay", *(("dropout",) if self.dropout is not None else ())):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"recipe {self.name}: {name} must be in [0, 1), not {getattr(self, name)}")
        if self.schedule == "noam" and self.warmup_steps == 0:
            raise UsageError(f"recipe {self.name}: the noam schedule needs warmup_steps above 0")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        return {**asdict(self), "betas": list(self.betas)}

    def changed(self, **changes: Any) -> Recipe:
        """The recipe with some settings replaced; checks run again."""
        return replace(self, **changes)


def load_recipe(name: str, latent_input: str, task: str = "") -> Recipe:
    """A packaged recipe, or a user's TOML file.

    Args:
        name: "default", "paper", or the path of a file that ends in .toml.
        latent_input: "dna" or "protein": what the network's latents read.
        task: a task whose own recipe of that name, if there is one, comes first.

    Raises:
        UsageError: neither a packaged recipe nor a file.
        InputError: a file that is not TOML, or has unknown keys or values of a wrong type.
    """
    packaged = _packaged()
    for purpose in (task, latent_input):
        if f"{name}-{purpose}" in packaged:
            chosen = f"{name}-{purpose}"
            return _from_settings({"name": chosen, **packaged_toml(__package__, f"recipes/{chosen}.toml")})
    if not name.endswith(".toml"):
        names = sorted({recipe.split("-", 1)[0] for recipe in packaged})
        raise UsageError(f"no recipe {name!r}; there are {', '.join(names)}, or name a .toml file")
    settings = read_toml(name)
    _check(settings, name)
    return _from_settings({"name": Path(name).stem, **settings})


def _packaged() -> set[str]:
    return {Path(entry.name).stem for entry in resources.files(__package__).joinpath("recipes").iterdir()}


def _check(settings: Mapping[str, Any], file: str) -> None:
    defaults = {setting.name: getattr(Recipe(name=""), setting.name) for setting in fields(Recipe)}
    for key, value in settings.items():
        if key not in defaults:
            raise InputError(file, record=f"key {key!r}", found="an unknown setting", expected=", ".join(defaults))
        wanted = defaults[key] if defaults[key] is not None else 0.0
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = isinstance(value, list) if isinstance(wanted, tuple) else isinstance(value, type(wanted))
        if isinstance(wanted, float):
            fits = number
        if isinstance(wanted, int) and not isinstance(wanted, bool):
            fits = number and isinstance(value, int)
        if not fits:
            raise InputError(file, record=f"key {key!r}", found=repr(value), expected=f"a value like {wanted!r}")


def _from_settings(settings: Mapping[str, Any]) -> Recipe:
    settings = {**settings}
    if "betas" in settings:
        settings["betas"] = tuple(settings["betas"])
    return Recipe(**settings)
