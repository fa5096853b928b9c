"""Make one file of shards from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqexpr.api.arguments import Path_, path_text
from seqexpr.errors import UsageError
from seqexpr.inputs.options import check_output
from seqexpr.prediction.merging import add_up, merge_parquet, merge_text
from seqexpr.prediction.shard_files import read_shards
from seqexpr.prediction.writers import choose_format

if TYPE_CHECKING:
    from seqexpr.prediction.shard_files import Description


@dataclass(frozen=True)
class Merged:
    """What shards were merged."""

    command: str
    """That made them."""
    shards: int
    records: int
    """Of all shards together."""
    counts: dict[str, Any]
    """What the shards counted, added up."""
    files: tuple[Path, ...]
    """That were written."""


def merge(shards: Path_ | Iterable[Path_], out: Path_) -> Merged:
    """Make the file of one run of the shards that `--shard` wrote: the same bytes, in flat memory.

    >>> import pathlib, tempfile
    >>> from seqexpr.cli.app import run
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for shard in ("1/2", "2/2"):
    ...     _ = run(["predict", "--example", "-q", "--shard", shard, "--out", f"{folder}/{shard[0]}.tsv"])
    >>> merge(folder, folder / "levels.tsv").records
    12

    Args:
        shards: the shards' files, or folders that hold them; in any order.
        out: the file, which appears when it is whole. Its format is that of the shards; whether it is compressed, its
            name says. Of a scan: a folder, or what the files' names begin with.

    Returns:
        What was merged.

    Raises:
        UsageError: the name says another format than that of the shards, or is that of a shard.
        InputError: a shard is missing, there twice, of something else, or damaged; the text names it.
        OSError: the file cannot be written.
    """
    given = [shards] if isinstance(shards, (str, os.PathLike)) else list(shards)
    target = path_text(out, "out") or ""
    if target in ("", "-"):
        raise UsageError("merge needs --out FILE")
    found = read_shards([path_text(one, "shards") or "" for one in given])
    for one in found:
        check_output(target, one.path, *one.files)
    files = _merge(found, target)
    return Merged(found[0].command, len(found), found[0].total, add_up(found), files)


def _merge(shards: list[Description], out: str) -> tuple[Path, ...]:
    """Write the result; returns its files."""
    command, format = shards[0].command, shards[0].format
    if command == "scan":
        from seqexpr.effects.scan_files import merge_scan

        return tuple(merge_scan(shards, out))
    if command == "explain":
        from seqexpr.effects.effect_arrays import merge_arrays
        from seqexpr.effects.effect_files import shard_format

        if shard_format(out) != format:
            raise _other_format(out, format)
        (merge_arrays if format == "npz" else merge_text)(shards, out)
        return (Path(out),)
    if command.startswith("variants"):
        from seqexpr.effects.bgzf import BgzfWriter
        from seqexpr.effects.variant_output import choose_effect_format

        _check_format(choose_effect_format, out, format)
        if format == "vcf":
            merge_text(shards, out, BgzfWriter)
            return (Path(out),)
    else:
        _check_format(choose_format, out, format)
    if format == "parquet":
        merge_parquet(shards, out)
    else:
        merge_text(shards, out)
    return (Path(out),)


def _check_format(choose: Callable[[str, str], str], out: str, format: str) -> None:
    try:
        choose(out, format)
    except UsageError:
        raise _other_format(out, format) from None


def _other_format(out: str, format: str) -> UsageError:
    return UsageError(f"--out {out}: its name says another format than that of the shards, {format}")
