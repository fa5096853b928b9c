"""What all sections are asked for, and how large their inputs are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from benchmarks.measured import Measurement
from benchmarks.variants import Child, Variant
from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.threads import usable_cores

_TINY = {"upstream": 600, "downstream": 300, "protein_length": 600}
"""The smallest inputs with more than one position at the tower's end, for a look at whether all works."""


@dataclass(frozen=True)
class Options:
    """The command line's options."""

    presets: tuple[str, ...] = PRESETS
    rounds: int = 7
    """Turns of each variant, of which the median counts."""
    quick: bool = False
    """Tiny networks, few and short turns: shows that it works, measures nothing."""
    threads: int = field(default_factory=usable_cores)
    windows: tuple[int, ...] = (1, 100, 10_000)
    """How many windows the whole command is given, in turn."""
    sections: tuple[str, ...] = ()
    measured: Measurement | None = None
    """Measured effects to compare predicted ones with, in the section effects, instead of measuring speed."""
    start: Callable[[Variant], Child] = Child
    """Makes the process in which a variant runs."""

    def pick(self, full: Any, quick: Any) -> Any:
        """One or the other."""
        return quick if self.quick else full

    @property
    def turn_seconds(self) -> float:
        """How long a turn is to last, at least."""
        return self.pick(1.2, 0.02)

    @property
    def turns(self) -> int:
        """Rounds of turns."""
        return self.pick(self.rounds, 2)

    @property
    def devices(self) -> tuple[tuple[str, str], ...]:
        """Device and precision, each a table of its own: the CPU, and CUDA where there is one."""
        found: tuple[tuple[str, str], ...] = (("cpu", "fp32"),)
        return (*found, ("cuda", "fp32"), ("cuda", "bf16")) if self._has_cuda else found

    @cached_property
    def _has_cuda(self) -> bool:
        import torch

        return torch.cuda.is_available()

    def changes(self, preset: str) -> dict[str, int]:
        """Changes to the preset's network: none, unless all is to be quick."""
        if not self.quick:
            return {}
        config = PerceiverConfig.from_preset(preset)
        return {name: length for name, length in _TINY.items() if getattr(config, name)}

    def config(self, preset: str) -> PerceiverConfig:
        """The preset's network as it is measured."""
        return PerceiverConfig.from_preset(preset, **self.changes(preset))

    def genes(self, preset: str) -> int:
        """Genes that are predicted again and again: more where their proteins differ in length."""
        config = PerceiverConfig.from_preset(preset)
        return self.pick((256 if config.reads_dna else 512) if config.reads_protein else 128, 8)
