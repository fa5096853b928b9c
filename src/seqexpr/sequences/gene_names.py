"""Pick genes by the names that users give them: ids with or without version, symbols, other names."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.sequences.windows import Tss

logger = logging.getLogger(__name__)

_VERSION = re.compile(r"^((?:ENS[A-Z]*|LRG_|[NX][MR]_)[0-9]+)(\.[0-9]+)(_[0-9]+)?(_PAR_Y)?$")
"""Ids of the databases that give versions, GENCODE's for GRCh37 (`.5_2`) and for Y (`.5_PAR_Y`) too. Elsewhere a dot is
part of the name."""
_NAMES_SHOWN = 10


def without_version(name: str) -> str:
    """Drop the version of an id, where the database that it is from gives versions."""
    match = _VERSION.match(name)
    return f"{match[1]}{match[4] or ''}" if match else name


def pick_genes(path: str | Path, sites: list[Tss], genes: Collection[str], *, allow_unknown: bool = False) -> list[Tss]:
    """Pick TSSs by name, in the order of `sites`.

    A name is an id of the file, else a symbol, else an id that differs by a version which only one side gives, else
    another name of one gene. A symbol that several genes share stands for all of them, which a warning says.

    Args:
        path: the file, for messages.
        sites: all its TSSs.
        genes: the names wanted.
        allow_unknown: leave out names that are not there, with a warning, instead of an error.

    Raises:
        InputError: names that are not there, or one that may stand for several genes.
    """
    names = _Names(sites)
    chosen: set[int] = set()
    missing = []
    shared: dict[str, list[int]] = {}
    for name in dict.fromkeys(genes):
        places = names.certain(name)
        if not places and len(places := names.likely(name)) > 1:
            raise InputError(
                path,
                found=f"{len(places):,} genes that {name} may stand for: {_some([sites[at].id for at in places])}",
                expected="the id of one gene",
            )
        if len(places) > 1:
            shared[name] = places
        if not places:
            missing.append(name)
        chosen.update(places)
    if missing:
        found = f"no gene {_some(missing)} ({len(missing):,} of {len(set(genes)):,})"
        if not allow_unknown or not chosen:
            close = next(filter(None, map(names.in_other_case, missing)), "")
            expected = f"symbols or ids in the file{f', such as {close}' if close else ''}"
            raise InputError(path, found=found, expected=expected + (", or --allow-unknown-genes" if chosen else ""))
        logger.warning("%s: %s; the others are used", path, found)
    if shared:
        name, places = next(iter(shared.items()))
        more = f" (and so with {len(shared) - 1:,} more of the names)" if len(shared) > 1 else ""
        ids = _some([sites[at].id for at in places])
        logger.warning("%s: %s names %s genes, all of which are used: %s%s", path, name, f"{len(places):,}", ids, more)
    return [site for place, site in enumerate(sites) if place in chosen]


class _Names:
    """Places of genes by each kind of name."""

    def __init__(self, sites: Sequence[Tss]) -> None:
        self._ids: dict[str, list[int]] = defaultdict(list)
        self._symbols: dict[str, list[int]] = defaultdict(list)
        self._bare: dict[str, list[int]] = defaultdict(list)
        self._aliases: dict[str, list[int]] = defaultdict(list)
        self._sites = sites
        for place, site in enumerate(sites):
            self._ids[site.id].append(place)
            self._bare[without_version(site.id)].append(place)
            if site.symbol:
                self._symbols[site.symbol].append(place)
            for alias in site.aliases:
                self._aliases[alias].append(place)

    def certain(self, name: str) -> list[int]:
        """Genes of this very id, else of this symbol."""
        return self._ids.get(name) or self._symbols.get(name) or []

    def likely(self, name: str) -> list[int]:
        """Genes of this id but for a version that only one side gives, else with this other name."""
        bare = without_version(name)
        found = [at for at in self._bare.get(bare, []) if bare == name or self._agrees(self._sites[at].id, name, bare)]
        return found or self._aliases.get(name, [])

    @staticmethod
    def _agrees(own: str, name: str, bare: str) -> bool:
        """Whether only one of two ids has a version, or only one says which mapping to GRCh37 it is of."""
        return own == bare or own.removeprefix(name)[:1] == "_" or name.removeprefix(own)[:1] == "_"

    def in_other_case(self, name: str) -> str:
        """An id or symbol that differs from a name in capitals alone, or ""."""
        return next((one for names in (self._ids, self._symbols) for one in names if one.lower() == name.lower()), "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
