"""Works: windows of both strands from a genome, on one core. Nothing here imports torch.

Settings of all: genome and sites (files), upstream, downstream, windows (in a turn, at most those of `sites`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NoReturn

import numpy as np

from benchmarks.serving import Turns
from seqexpr.prediction.inputs import InputCounts, InputSources, ModelNeeds
from seqexpr.prediction.records import read_records
from seqexpr.sequences.annotation import read_tss
from seqexpr.sequences.windows import Tss

_TOKENS = {"A": 1, "C": 2, "G": 3, "T": 4}
_COMPLEMENTS = {"A": "T", "C": "G", "G": "C", "T": "A"}

Windows = Iterable[np.ndarray | None]


def tokens_of_records(settings: dict[str, Any]) -> Windows:
    """Tokens through `read_records`, which `predict --genome --tss` reads; the sites are read too."""
    needs = ModelNeeds(("level",), settings["upstream"], settings["downstream"], 0, ())
    sources = InputSources(genome=settings["genome"], tss=settings["sites"])
    return (record.dna for record in read_records(sources, needs, InputCounts()))


def text_of_pyfaidx(settings: dict[str, Any]) -> Callable[[Tss], np.ndarray]:
    """Letters as pyfaidx's manual gets them: a slice, reverse complemented on the - strand; no tokens."""
    from pyfaidx import Fasta

    genome = Fasta(settings["genome"])

    def letters(site: Tss) -> np.ndarray:
        window = site.window(settings["upstream"], settings["downstream"])
        piece = genome[window.chrom][window.start : window.end]
        return np.frombuffer((piece if site.strand == "+" else -piece).seq.encode(), dtype=np.uint8)

    return letters


def tokens_letter_by_letter(settings: dict[str, Any]) -> Callable[[Tss], np.ndarray]:
    """Tokens by a Python loop over the letters of chromosomes that are in memory."""
    with open(settings["genome"], encoding="ascii") as file:
        parts = [part.partition("\n") for part in file.read().split(">")[1:]]
    chromosomes = {name: letters.replace("\n", "") for name, _, letters in parts}

    def tokens(site: Tss) -> np.ndarray:
        window = site.window(settings["upstream"], settings["downstream"])
        found = []
        for letter in chromosomes[window.chrom][window.start : window.end]:
            found.append(_TOKENS[letter if site.strand == "+" else _COMPLEMENTS[letter]])
        return np.array(found if site.strand == "+" else found[::-1], dtype=np.uint8)

    return tokens


def shipped(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """The work of `tokens_of_records`."""
    _serve(lambda: tokens_of_records(settings), settings, turns)


def pyfaidx_alone(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """The work of `text_of_pyfaidx`; the sites are in memory already."""
    sites, letters = read_tss(settings["sites"]), text_of_pyfaidx(settings)
    _serve(lambda: map(letters, sites), settings, turns)


def letter_by_letter(settings: dict[str, Any], turns: Turns) -> NoReturn:
    """The work of `tokens_letter_by_letter`; the sites are in memory already."""
    sites, tokens = read_tss(settings["sites"]), tokens_letter_by_letter(settings)
    _serve(lambda: map(tokens, sites), settings, turns)


def _serve(read: Callable[[], Windows], settings: dict[str, Any], turns: Turns) -> NoReturn:
    """One pass over the windows in each turn.

    Raises:
        Finished: at the end.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    turns.give()
    while True:
        begun = time.perf_counter()
        items = sum(1 for _ in islice(read(), settings["windows"]))
        turns.give(items=items, seconds=time.perf_counter() - begun)
