"""A scan as files: a track for each strand and output, and a JSON that says what the numbers are.

Each contig's rows are kept in a hidden folder beside the output until all contigs are there, so a scan that was killed
goes on with the contig that it was at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import accumulate, islice
from pathlib import Path
from typing import IO, Any

from seqexpr import __version__
from seqexpr.effects.scan import Scanner, stretch_sizes
from seqexpr.effects.tracks import SUFFIXES, bedgraph_rows, check_format, write_track
from seqexpr.errors import UsageError
from seqexpr.files import alone, atomic_path, write_json
from seqexpr.inputs.options import check_output
from seqexpr.models.trained import Output
from seqexpr.own_files import read_json
from seqexpr.prediction.shard_files import SUFFIX, Description, write_description
from seqexpr.prediction.shards import Shard, contiguous
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import STRANDS, Interval

_STRAND_NAMES = {"+": "plus", "-": "minus"}
_FOLDER_NAME = "scan"
_STATE = "scan.json"
_LOCK = "lock"
_DONE = ".done"
_DESCRIBED = ("seqexpr", "models", "window", "genome", "regions", "step", "value")
"""What the JSON says before the tracks."""


class ScanFiles:
    """Where a scan goes.

    Args:
        out: a folder, where it exists or the text ends with a slash; else what the files' names begin with.
        format: of `tracks.SUFFIXES`.
        outputs: the predicted quantities; several have a track each.

    Raises:
        MissingDataError: bigWig is asked for and pybigtools is not installed.
        UsageError: an empty name, or one that ends in a format's suffix.
    """

    def __init__(self, out: str, format: str, outputs: Sequence[Output]) -> None:
        check_format(format)
        if not out:
            raise UsageError("--out is empty: give a folder, or what the files' names begin with")
        for suffix in (".bedgraph", ".bedgraph.gz", ".bigwig", ".bw"):
            if out.lower().endswith(suffix):
                raise UsageError(f"--out {out}: a scan is a file a strand; leave {suffix} out, and choose by --format")
        folder = out.endswith(("/", os.sep)) or os.path.isdir(out)
        if folder and os.path.isfile(out.rstrip("/" + os.sep)):
            raise UsageError(f"--out {out} is a file, and a name that ends in a slash is a folder's")
        self.prefix = Path(out, _FOLDER_NAME) if folder else Path(out)
        self.format = format
        self.outputs = tuple(outputs)
        self.parts = self.prefix.with_name(f".{self.prefix.name}.parts")
        """The hidden folder, which is there while the scan is not finished."""

    @property
    def description(self) -> Path:
        """The JSON."""
        return self.prefix.with_name(f"{self.prefix.name}.json")

    def track(self, strand: str, output: int) -> Path:
        """The file of one strand and output."""
        name = [self.prefix.name, *([self.outputs[output].name] if len(self.outputs) > 1 else [])]
        return self.prefix.with_name(".".join([*name, _STRAND_NAMES[strand], SUFFIXES[self.format]]).replace("/", "_"))

    @property
    def tracks(self) -> list[Path]:
        """All track files."""
        return [self.track(strand, output) for output in range(len(self.outputs)) for strand in STRANDS]

    def describe(
        self,
        models: Sequence[dict[str, str]],
        window: tuple[int, int],
        genome: Genome,
        regions: Sequence[Interval],
        step: int,
    ) -> dict[str, Any]:
        """What the JSON says.

        Args:
            models: `name` and `sha256` of each weights file.
            window: bases that the models read before a TSS and from it on.
            genome: in which the regions lie.
            regions: what is scanned.
            step: bases from one position to the next.
        """
        return {
            "seqexpr": __version__,
            "models": list(models),
            "window": {"upstream": window[0], "downstream": window[1]},
            "genome": {"file": genome.path.name, "bytes": genome.path.stat().st_size},
            "regions": [f"{region.chrom}:{region.start + 1}-{region.end}" for region in regions],
            "step": step,
            "value": "predicted level if the first transcribed base were the first base of the interval; half-life "
            "features unknown",
            "tracks": self.described_tracks(),
        }

    def described_tracks(self) -> list[dict[str, str]]:
        """What the JSON says of the tracks."""
        return [
            {"file": self.track(strand, number).name, "strand": strand, "output": output.name, "unit": output.unit}
            for number, output in enumerate(self.outputs)
            for strand in STRANDS
        ]

    @contextmanager
    def opened(self, description: dict[str, Any], *, resume: bool) -> Iterator[list[int]]:
        """Hold the hidden folder for this process; gives the places of contigs whose parts are there.

        Args:
            description: as `describe` makes it.
            resume: go on with a scan that was begun.

        Raises:
            UsageError: another scan is at work there; one was begun and `resume` is not set; or it was begun with
                other options.
            OSError: the place cannot be written.
        """
        self.parts.parent.mkdir(parents=True, exist_ok=True)
        self.parts.mkdir(exist_ok=True)
        busy = f"another process is writing this scan ({self.parts}): wait for it, or choose another --out"
        unused = False
        try:
            with alone(self.parts / _LOCK, busy):
                try:
                    yield self._begun(description, resume)
                finally:
                    unused = not self._done()
        finally:
            if unused:
                self.remove_parts()

    def _begun(self, description: dict[str, Any], resume: bool) -> list[int]:
        state = self.parts / _STATE
        for path in self.parts.glob(".*.tmp"):  # of a scan that was killed
            path.unlink()
        if not (state.exists() and self._done()):
            write_json(state, description)
            return []
        if not resume:
            raise UsageError(
                f"a scan that was not finished is in {self.parts}: --resume goes on with it; to begin again, remove it"
            )
        begun = read_json(state, "the state of a scan")
        if begun != description:
            keys = [key for key in description if not isinstance(begun, dict) or begun.get(key) != description[key]]
            raise UsageError(
                f"the scan in {self.parts} was begun with other options ({', '.join(keys)}): give those, or remove it"
            )
        return self._done()

    def _done(self) -> list[int]:
        """The places of contigs whose parts are there."""
        names = [path.name.removesuffix(_DONE) for path in self.parts.glob(f"*{_DONE}")]
        return sorted(int(name) for name in names if name.isdigit())

    def part(self, contig: int, strand: str, output: int) -> Path:
        """The rows of one contig, by its place among those that are scanned."""
        return self.parts / f"{contig}.{_STRAND_NAMES[strand]}.{output}"

    def scan_contig(
        self,
        scanner: Scanner,
        genome: Genome,
        contig: int,
        regions: Sequence[Interval],
        step: int,
        advance: Callable[[int], None],
        part: range | None = None,
    ) -> int:
        """Write the parts of one contig, which appear when all are whole; returns positions without a value.

        Args:
            scanner: the models.
            genome: in which the regions lie.
            contig: its place among those that are scanned.
            regions: those of the contig.
            step: bases from one position to the next.
            advance: is told how many positions are done.
            part: of the contig's stretches; None: all.
        """
        gaps = 0
        with ExitStack() as stack:
            streams: dict[tuple[str, int], IO[bytes]] = {}
            for strand in STRANDS:
                for output in range(len(self.outputs)):
                    path = stack.enter_context(atomic_path(self.part(contig, strand, output)))
                    streams[strand, output] = stack.enter_context(path.open("wb"))
            for levels in stack.enter_context(closing(scanner.scan(genome, regions, step, part))):
                for output in range(len(self.outputs)):
                    rows = bedgraph_rows(levels.region.chrom, levels.starts, levels.ends, levels.values[:, output])
                    streams[levels.strand, output].write(rows)
                gaps += sum(value != value for value in levels.values[:, 0].tolist())
                advance(len(levels.starts))
        write_json(self.parts / f"{contig}{_DONE}", gaps)
        return gaps

    def finish(self, contigs: dict[str, int], places: Sequence[int]) -> int:
        """Make the tracks of the parts; returns positions without a value.

        Args:
            contigs: length of each contig that is scanned, in the genome's order.
            places: of those that have parts, in order.
        """
        gaps = sum(read_json(self.parts / f"{place}{_DONE}", "the number of gaps of a contig") for place in places)
        for output in range(len(self.outputs)):
            for strand in STRANDS:
                parts = [self.part(place, strand, output) for place in places]
                write_track(self.track(strand, output), self.format, parts, contigs)
        return gaps

    def remove_parts(self) -> None:
        """Remove the hidden folder."""
        shutil.rmtree(self.parts, ignore_errors=True)


class ScanShard:
    """One of several parts of a scan: neighbouring stretches, as bedGraph, and a JSON that says which.

    Args:
        shard: which of how many.
        format: of the tracks that `merge_scan` makes.
        made_of: what decides the result, besides the description of the scan.

    """

    def __init__(self, shard: Shard, format: str, made_of: Mapping[str, Any]) -> None:
        self.shard, self._format, self._made_of = shard, format, made_of

    def parts(self, regions: Sequence[Sequence[Interval]], step: int) -> list[range]:
        """Of each contig, whose regions these are, the stretches that are the shard's."""
        sizes = [sum(1 for _ in stretch_sizes(own, step)) for own in regions]
        part = contiguous(self.shard, sum(sizes))
        starts = accumulate(sizes, initial=0)
        return [
            range(max(part.start - start, 0), max(min(part.stop - start, size), 0))
            for start, size in zip(starts, sizes, strict=False)
        ]

    def finish(
        self, files: ScanFiles, description: Mapping[str, Any], stretches: int, contigs: dict[str, int], counts: Any
    ) -> None:
        """Write the JSON, when the tracks are whole.

        Args:
            files: the tracks.
            description: of the scan.
            stretches: of the whole scan.
            contigs: length of each contig that is scanned.
            counts: positions of the shard, and those without a value.
        """
        outputs = [[output.name, output.unit] for output in files.outputs]
        described = {key: value for key, value in description.items() if key != "tracks"}
        write_description(
            self.description(files),
            self.shard,
            command="scan",
            format=self._format,
            made_of={**described, **self._made_of, "outputs": outputs, "contigs": contigs},
            files=files.tracks,
            records={
                "total": stretches,
                "own": len(contiguous(self.shard, stretches)),
                "names": None,
                "largest_block": None,
            },
            segments=None,
            counts=counts,
        )

    @staticmethod
    def description(files: ScanFiles) -> Path:
        """The JSON."""
        return files.prefix.with_name(files.prefix.name + SUFFIX)


def merge_scan(shards: Sequence[Description], out: str) -> list[Path]:
    """Make the files of a whole scan; returns them.

    Args:
        shards: all of one scan, in their order.
        out: as for `ScanFiles`.

    Raises:
        MissingDataError, UsageError, InputError, OSError: as `ScanFiles` and `write_track`.
    """
    made_of = shards[0].made_of
    outputs = [Output(name, unit) for name, unit in made_of["outputs"]]
    files = ScanFiles(out, shards[0].format, outputs)
    for made in (*files.tracks, files.description):
        check_output(made, *(file for one in shards for file in (one.path, *one.files)))
    files.prefix.parent.mkdir(parents=True, exist_ok=True)
    for place, track in enumerate(files.tracks):
        write_track(track, files.format, [list(one.files)[place] for one in shards], dict(made_of["contigs"]))
    description = {key: made_of[key] for key in _DESCRIBED}
    write_json(files.description, {**description, "tracks": files.described_tracks()})
    return [*files.tracks, files.description]


def write_scan(
    files: ScanFiles,
    scanner: Scanner,
    genome: Genome,
    regions: Sequence[Interval],
    step: int,
    description: dict[str, Any],
    *,
    resume: bool = False,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int], Any],
    shard: ScanShard | None = None,
) -> tuple[int, int]:
    """Scan regions into files; returns how many positions were scanned, and how many of them have no value.

    Args:
        files: where to.
        scanner: the models.
        genome: in which the regions lie.
        regions: in the genome's order.
        step: bases from one position to the next.
        description: as `ScanFiles.describe` makes it.
        resume: go on with a scan that was begun.
        say: is told how many contigs are there already.
        progress: from the number of positions to a context in which to tell how many are done.
        shard: a part of the scan that alone is computed; None: all.

    Raises:
        UsageError: as `ScanFiles.opened`.
        InputError: letters that are not DNA, or a bigWig file without a value.
        DeviceError: out of memory.
        OSError: a file cannot be written.
    """
    names = list(dict.fromkeys(region.chrom for region in regions))
    contigs = {name: genome.contigs[name] for name in names}
    by_contig = [[region for region in regions if region.chrom == name] for name in names]
    whole = [range(sum(1 for _ in stretch_sizes(own, step))) for own in by_contig]
    parts = whole if shard is None else shard.parts(by_contig, step)
    positions = [
        sum(islice(stretch_sizes(own, step), part.start, part.stop)) for own, part in zip(by_contig, parts, strict=True)
    ]
    places = [place for place, part in enumerate(parts) if part]
    state = description if shard is None else {**description, "shard": str(shard.shard)}
    with files.opened(state, resume=resume) as done:
        if done:
            say(f"{len(done):,} of {len(places):,} contig{'' if len(places) == 1 else 's'} done before")
        left = [place for place in places if place not in done]
        with progress(sum(positions[place] for place in left)) as advance:
            for place in left:
                files.scan_contig(scanner, genome, place, by_contig[place], step, advance, parts[place])
        gaps = files.finish(contigs, places)
        counts = {"positions": sum(positions), "gaps": gaps}
        if shard is None:
            write_json(files.description, description)
        else:
            shard.finish(files, description, sum(map(len, whole)), contigs, counts)
    files.remove_parts()
    return counts["positions"], gaps
