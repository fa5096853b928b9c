"""One page of all genes' effects in which a reader zooms: one file, which fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
from importlib import resources
from typing import Any

import numpy as np

from seqexpr.effects.effect_figure import LETTER_COLOURS, strongest_stretches
from seqexpr.effects.gene_effects import GeneEffects
from seqexpr.effects.letters import BASES
from seqexpr.errors import MissingDataError
from seqexpr.files import atomic_path

MOST_GENES = 200
"""Genes on a page, each of which takes about 0.1 MB; more are counted there."""

_STEPS = 32_767
"""Effects are stored in so many steps from 0 to the gene's largest."""

_UNKNOWN = -32_768

_COMMANDS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and letters that turn the direction of others."""


class Page:
    """A page that genes are added to.

    Args:
        about: which model said so, in a few words.

    Raises:
        MissingDataError: Jinja2 is not installed.
    """

    def __init__(self, about: str) -> None:
        try:
            import jinja2
        except ImportError:
            raise MissingDataError("the page needs Jinja2, which is not installed; run: pip install jinja2") from None
        self._jinja2 = jinja2
        self._about = about
        self._genes: list[dict[str, Any]] = []
        self._left_out = 0
        self._output = ""
        self._letters = BASES

    def add(self, effects: GeneEffects) -> None:
        """Put a gene on the page, or count it where there are `MOST_GENES` already."""
        if len(self._genes) >= MOST_GENES:
            self._left_out += 1
            return
        self._output = f"{effects.output} [{effects.unit}]" if effects.unit else effects.output
        self._letters = effects.letters
        self._genes.append(_gene(effects))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page; the file appears whole.

        Raises:
            OSError: it cannot be written.
        """
        with atomic_path(path) as temporary:
            temporary.write_text(self.render(), encoding="utf-8")

    def render(self) -> str:
        """The page as HTML. All text of the genes is escaped, and control characters in it are shown as "�"."""
        environment = self._jinja2.Environment(
            autoescape=True, undefined=self._jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        script = _packaged("effect_page.js")
        return environment.from_string(_packaged("effect_page.html")).render(
            title=_plain(f"Effects on {self._output}" if self._output else "Effects"),
            output=_plain(self._output),
            about=_plain(self._about),
            genes=self._genes,
            letters={
                "input": self._letters.input,
                "rows": self._letters.letters,
                "colours": LETTER_COLOURS[self._letters.input],
            },
            one=self._letters.one,
            left_out=self._left_out,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )


def _packaged(name: str) -> str:
    return resources.files("seqexpr.effects").joinpath(name).read_text(encoding="utf-8")


def _plain(text: str) -> str:
    return _COMMANDS.sub("�", text).encode("utf-8", "replace").decode()


def _gene(effects: GeneEffects) -> dict[str, Any]:
    """What the script reads of a gene; effects are whole numbers of two bytes, place by place, letter by letter."""
    known = np.isfinite(effects.deltas)
    largest = float(np.abs(effects.deltas[known]).max()) if known.any() else 0.0
    scale = largest / _STEPS or 1.0
    steps = np.where(known, np.nan_to_num(effects.deltas).astype(float) / scale, _UNKNOWN).round().astype("<i2")
    interval, alphabet = effects.interval, effects.letters.alphabet
    spelled = alphabet.pad_letter + alphabet.letters
    return {
        "name": _plain(effects.named),
        "level": effects.level if math.isfinite(effects.level) else None,
        "first": effects.first,
        "letters": "".join(spelled[token] for token in effects.tokens.tolist()),
        "scale": scale,
        "deltas": base64.b64encode(np.ascontiguousarray(steps.T).tobytes()).decode(),
        "strongest": strongest_stretches(effects),
        "place": None
        if interval is None
        else {
            "chrom": _plain(interval.chrom),
            "start": interval.start,
            "end": interval.end,
            "strand": interval.strand,
            "contig": effects.contig_length,
            "circular": effects.circular,
        },
    }
