"""Gene ids of several files: version suffixes, and what to say when nothing joins."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

from seqexpr.errors import InputError

_VERSION = re.compile(r"\.\d+$")


def strip_version(id: str) -> str:
    """The id without a version suffix: ENSG00000000003.15 -> ENSG00000000003."""
    return _VERSION.sub("", id)


def unchanged(id: str) -> str:
    """The id as it is."""
    return id


@dataclass(frozen=True)
class Side:
    """One file's part in a join: what it holds ("labels"), its name, and its ids."""

    role: str
    file: str
    ids: Sequence[str]


def cleaned(side: Side, clean: Callable[[str], str]) -> list[str]:
    """The side's ids, cleaned.

    Raises:
        InputError: two ids become one.
    """
    seen: dict[str, str] = {}
    for id in side.ids:
        if clean(id) in seen:
            raise InputError(
                side.file,
                record=repr(id),
                found=f"the same gene as {seen[clean(id)]!r} once versions are stripped",
                expected="one row per gene",
            )
        seen[clean(id)] = id
    return list(seen)


def nothing_joined(sides: Sequence[Side], with_map: bool) -> InputError:
    """The error for files that share no gene: names the first two that share none, or else all of them."""
    for left, right in combinations(sides, 2):
        if not set(left.ids) & set(right.ids):
            return InputError(
                right.file,
                found=f"none of the {_count(left)} in its {_count(right)}, so 0 genes joined",
                expected=f"gene ids that both share{_hint(left, right, with_map)}",
            )
    counts = "; ".join(_count(side) for side in sides)
    return InputError(
        sides[0].file,
        found=f"no gene that every file holds ({counts})",
        expected="genes with all that is asked for",
    )


def _count(side: Side) -> str:
    example = f" (for instance {side.ids[0]!r})" if side.ids else ""
    return f"{len(set(side.ids)):,} ids of {side.role}{example}"


def _hint(left: Side, right: Side, with_map: bool) -> str:
    if _stripped(left.ids) & _stripped(right.ids):
        return "; they agree without version suffixes: add --strip-versions"
    if "proteins" in (left.role, right.role) and not with_map:
        return "; --protein-map says which protein belongs to which gene"
    return ""


def _stripped(ids: Collection[str]) -> set[str]:
    return {strip_version(id) for id in ids}
