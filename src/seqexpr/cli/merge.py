"""`seqexpr merge`: one file of shards."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from seqexpr.cli.help import Quiet

if TYPE_CHECKING:
    from seqexpr.api.merging import Merged

Shards = Annotated[
    list[str],
    typer.Argument(
        metavar="SHARD...",
        help="All shards of one command: their files, the .shard.json beside them, or folders that hold them, in any "
        "order.",
        show_default=False,
    ),
]
Out = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="Where to write; the file appears when all is done. Its format is that of the shards, and .gz compresses. "
        "For scan as there: a folder, or what the files' names begin with.",
        rich_help_panel="Output",
        show_default=False,
    ),
]


def merge(shards: Shards, out: Out, quiet: Quiet = False) -> None:
    """Make one file of shards: the bytes are those of one run without --shard.

    seqexpr merge parts/ --out effects.vcf.gz

    seqexpr merge levels.*.tsv --out levels.tsv
    """
    from seqexpr.api.merging import merge as merge_files
    from seqexpr.cli.console import plural, set_up_logging, status

    set_up_logging(quiet=quiet)
    merged = merge_files(shards, out)
    of_records = "" if merged.command == "scan" else f", {plural(merged.records, 'record')}"
    status(f"{plural(merged.shards, 'shard')} of {merged.command}{of_records}")
    for line in [*totals(merged), *(f"written: {path}" for path in merged.files)]:
        status(line)


def totals(merged: Merged) -> list[str]:
    """What one run says of its records, as far as shards can add it up."""
    from seqexpr.cli.input_summary import summarise
    from seqexpr.prediction.inputs import InputCounts, InputSources

    if merged.command in ("predict", "explain"):
        counts, needs = InputCounts.of_numbers(merged.counts)
        return summarise(counts, InputSources(), needs)
    if merged.command == "scan":
        from seqexpr.cli.scan import summarise_scan

        return [summarise_scan(**merged.counts)]
    if merged.command == "variants":
        from seqexpr.effects.variants import EffectCounts

        flags = Counter(merged.counts["flags"])
        return [EffectCounts(**{**merged.counts, "flags": flags}).describe()]
    if merged.command == "variants --phased":
        from seqexpr.effects.variants import in_brackets

        return [f"{merged.counts['same']['said']}: {merged.counts['rows']:,} rows{in_brackets(merged.counts['flags'])}"]
    return []
