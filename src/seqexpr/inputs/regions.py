"""Stretches of a genome that a user names: one region, the rows of a BED file, or whole contigs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from seqexpr.errors import InputError, UsageError
from seqexpr.sequences.bed import read_intervals
from seqexpr.sequences.feature_lines import MOST_DIGITS, has_control
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Interval

# The name is greedy, because contigs such as HLA-A*01:01:01:01 hold colons themselves.
_REGION = re.compile(r"(?P<chrom>\S+):(?P<first>[0-9][0-9,]*)-(?P<last>[0-9][0-9,]*)")


def parse_region(text: str) -> Interval:
    """The region that "chr1:1-2,000,000" names: bases from 1 on, the last one included.

    Raises:
        UsageError: the text is not such a region.
    """
    match = _REGION.fullmatch(text)
    numbers = [match[name].replace(",", "") for name in ("first", "last")] if match else []
    if match is None or max(map(len, numbers)) > MOST_DIGITS or has_control(match["chrom"]):
        raise UsageError(f"--region {text!r}: expected CONTIG:FIRST-LAST, such as chr1:1-2,000,000")
    first, last = map(int, numbers)
    if not 1 <= first <= last:
        raise UsageError(f"--region {text!r}: expected 1 <= FIRST <= LAST, as bases are counted from 1")
    return Interval(match["chrom"], first - 1, last)


def check_one_choice(region: str | None, regions: Path | str | None, chromosomes: Sequence[str] | None) -> None:
    """Check that exactly one way of naming regions is used.

    Raises:
        UsageError: none is, or several are.
    """
    options = {"--region": region, "--regions": regions, "--chromosomes": chromosomes}
    given = [name for name, value in options.items() if value is not None]
    if not given:
        raise UsageError("no region: give --region chr1:1-2,000,000, --regions FILE or --chromosomes chr1,chr2")
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are two choices of regions; give one")


def chosen_regions(
    genome: Genome,
    *,
    region: str | None = None,
    regions: Path | str | None = None,
    chromosomes: Sequence[str] | None = None,
) -> list[Interval]:
    """The regions in the genome's own names and order.

    Args:
        genome: in which they lie.
        region: as `parse_region` takes it.
        regions: a BED file of 3 columns or more; strands are not looked at.
        chromosomes: names of contigs, each as a whole.

    Raises:
        UsageError: not exactly one of the three, or text that is no region.
        InputError: a bad file, a contig that the genome lacks, a region outside its contig, or regions that overlap.
    """
    check_one_choice(region, regions, chromosomes)
    lengths = genome.contigs
    if region is not None:
        found = [_placed(genome, lengths, parse_region(region), genome.path, f"--region {region}")]
    elif regions is not None:
        found = [
            _placed(genome, lengths, interval, regions, f"line {number:,}")
            for number, interval in read_intervals(regions)
        ]
    else:
        names = [genome.contig(name, record="--chromosomes") for name in chromosomes or ()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"--chromosomes names {twice} twice")
        found = [Interval(name, 0, lengths[name]) for name in names]
    order = {name: place for place, name in enumerate(lengths)}
    found.sort(key=lambda one: (order[one.chrom], one.start))
    for one, other in pairwise(found):
        if one.chrom == other.chrom and other.start < one.end:
            raise InputError(
                regions or genome.path,
                found=f"regions that overlap, {_shown(one)} and {_shown(other)}",
                expected="each base in one region at most; bedtools merge joins them",
            )
    return found


def _placed(genome: Genome, lengths: dict[str, int], region: Interval, file: Path | str, record: str) -> Interval:
    """The region under its contig's own name."""
    contig = genome.contig(region.chrom, record=record)
    if region.end > lengths[contig]:
        raise InputError(
            file,
            record=record,
            found=f"base {region.end:,} of contig {contig}",
            expected=f"1 to {lengths[contig]:,}, the contig's length (is it the same assembly?)",
        )
    return Interval(contig, region.start, region.end)


def _shown(region: Interval) -> str:
    return f"{region.chrom}:{region.start + 1:,}-{region.end:,}"
