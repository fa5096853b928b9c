"""A shard as a file of the ordinary format, and a JSON beside it that says which shard of what it is."""

from __future__ import annotations

import json
import os
import stat
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, Protocol, TypeVar

from seqexpr import __version__
from seqexpr.errors import InputError, UsageError
from seqexpr.files import atomic_path, sha256_file, write_json
from seqexpr.inputs.options import GeneOptions, Table
from seqexpr.own_files import anything, list_of, mapping, maybe, read_json, record, text, whole
from seqexpr.prediction.shards import LARGEST_BLOCK, Shard, Share, block_sizes, contiguous, count_blocks, count_records

SUFFIX = ".shard.json"
"""What follows a shard's name in the name of its JSON."""

Record = TypeVar("Record")

_CHECKSUM = "sha256 of this"
_EXPECTED = "the JSON of a shard, as --shard writes it"
_STREAM = "a stream"
"""What is said of an input that is no file."""

_WHOLE_FILE = 4 << 20
"""Bytes of an input up to which all of it is compared among shards."""
_SAMPLES, _SAMPLE = 64, 64 << 10
"""Of a larger input, and the bytes of each."""
_LISTED = 8


class Segments:
    """A stream whose segments can be read one by one: those of a compressed file are compressed by themselves.

    Args:
        raw: where the bytes go.
        compress: makes the compressing stream of a segment; None: there is none.
    """

    def __init__(self, raw: IO[bytes], compress: Callable[[IO[bytes]], Any] | None = None) -> None:
        self.sizes: list[int] = []
        """Bytes of each segment in the file."""
        self._raw, self._compress = raw, compress
        self._begun = raw.tell()
        self._segment: Any = None if compress else raw

    def write(self, data: bytes) -> None:
        """Add to the present segment."""
        if self._segment is None and self._compress is not None:
            self._segment = self._compress(self._raw)
        self._segment.write(data)

    def end_segment(self) -> None:
        """Begin another one."""
        if self._compress is not None and self._segment is not None:
            self._segment.close()
            self._segment = None
        self.sizes.append(self._raw.tell() - self._begun)
        self._begun = self._raw.tell()

    def flush(self) -> None:
        """There is nothing to do before the file is whole."""

    def isatty(self) -> bool:
        """No: a shard is a file."""
        return False


class BlockWriter(Protocol):
    """A writer of results that can end a block; a context manager."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    @property
    def write(self) -> Callable[..., None]:
        """Add what belongs to one record."""
        ...

    def end_block(self) -> None:
        """What is written from now on is another block."""
        ...


class ShardFile:
    """Where one shard of a command goes.

    Args:
        out: the file.
        shard: the value of --shard.
        command: that makes it.
        format: of the file.
        largest: records in a block, at most.

    Raises:
        UsageError: `shard` is not I/N, or `out` is no file beside which another one can lie.
    """

    def __init__(self, out: str | None, shard: str, command: str, format: str, *, largest: int = LARGEST_BLOCK) -> None:
        self.share = Share(Shard.parse(shard), largest)
        self.out = _file_of(out)
        self.made_of: Mapping[str, Any] = {}
        """What decides the result, but for the records themselves; the same for all shards."""
        self.sizes: list[int] | None = None
        """Of what stands before the records and of each block: bytes of text, genes of arrays; None for Parquet."""
        self._command, self._format = command, format

    @contextmanager
    def opened_whole(self) -> Iterator[IO[bytes]]:
        """The stream for a file that appears when all is written, and whose format knows of blocks itself."""
        with atomic_path(os.path.realpath(self.out)) as temporary, temporary.open("wb") as raw:
            yield raw

    @contextmanager
    def opened(self, compress: Callable[[IO[bytes]], Any], end: bytes = b"") -> Iterator[Segments]:
        """The stream for text that appears when all is written.

        Args:
            compress: of a segment, where the file's name ends in .gz.
            end: of a compressed file.
        """
        gz = self.out.lower().endswith(".gz")
        with self.opened_whole() as raw:
            segments = Segments(raw, compress if gz else None)
            self.sizes = segments.sizes
            yield segments
            raw.write(end if gz else b"")

    def in_blocks(self, writer: BlockWriter, place: Callable[[], int] | None = None) -> InBlocks:
        """The writer, whose blocks end where the shard's do.

        Args:
            writer: into this file.
            place: of the record that is written, among the shard's own; None: each call writes the next one.
        """
        return InBlocks(writer, self.share, place)

    def described(self) -> str:
        """How much of the input the shard is, when it is finished."""
        return f"shard {self.share.shard}: {self.share.own:,} of {self.share.total:,} records"

    def finish(self, counts: Mapping[str, Any]) -> None:
        """Write the JSON, when the file is whole.

        Args:
            counts: what the command says of its records, as numbers that can be added up.
        """
        share = self.share
        write_description(
            self.out + SUFFIX,
            share.shard,
            command=self._command,
            format=self._format,
            made_of=self.made_of,
            files=[self.out],
            records={"total": share.total, "own": share.own, "names": share.names, "largest_block": share.largest},
            segments=self.sizes,
            counts=counts,
        )


def write_description(
    target: str | Path,
    shard: Shard,
    *,
    command: str,
    format: str,
    made_of: Mapping[str, Any],
    files: Sequence[str | Path],
    records: Mapping[str, Any],
    segments: Sequence[int] | None,
    counts: Mapping[str, Any],
) -> None:
    """Write the JSON of a shard, whose files are whole; arguments as for `Description`."""
    said = {
        "seqexpr": __version__,
        "command": command,
        "format": format,
        "shard": shard.index,
        "of": shard.count,
        "files": {os.path.basename(file): sha256_file(file) for file in files},
        "made_of": dict(made_of),
        "records": dict(records),
        "segments": None if segments is None else list(segments),
        "counts": dict(counts),
    }
    write_json(target, {**said, _CHECKSUM: _checksum(said)})


def _checksum(said: Mapping[str, Any]) -> str:
    """Of what a JSON says, but for the checksum itself."""
    rest = {key: value for key, value in said.items() if key != _CHECKSUM}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


class InBlocks:
    """A writer whose blocks end where a shard's do, see `ShardFile.in_blocks`."""

    def __init__(self, writer: BlockWriter, share: Share, place: Callable[[], int] | None) -> None:
        self._writer, self._share, self._place = writer, share, place
        self._written = self._ended = 0
        self._sizes = block_sizes(share.largest)
        self._full = next(self._sizes)
        """Records in the blocks that have ended and the present one."""

    def __enter__(self) -> InBlocks:
        self._writer.__enter__()
        return self

    def write(self, *record: Any) -> None:
        """Add what belongs to one record."""
        place = self._written if self._place is None else self._place()
        while place >= self._full:
            self._end_block()
        self._writer.write(*record)
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                blocks = count_blocks(self._share.own, self._share.largest)
                while self._ended < blocks:
                    self._end_block()
            except BaseException:
                self._writer.__exit__(*sys.exc_info())
                raise
        self._writer.__exit__(kind, error, traceback)

    def _end_block(self) -> None:
        self._writer.end_block()
        self._ended += 1
        self._full += next(self._sizes)


class Numbered(Generic[Record]):
    """An iterator that knows the number of what it gave last."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records, self.last = records, -1

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        record = next(self._records)
        self.last += 1
        return record


@dataclass(frozen=True)
class Description:
    """What the JSON of a shard says."""

    path: Path
    """Of the JSON."""
    command: str
    format: str
    shard: Shard
    files: Mapping[Path, str]
    """The shard's files, with their SHA-256."""
    made_of: Mapping[str, Any]
    """What decides the result, but for the records themselves."""
    total: int
    """Records of the whole input."""
    own: int
    """Records of the shard."""
    names: str | None
    """SHA-256 of all records' names and letters, where they are not known beforehand."""
    largest_block: int | None
    """Records in a block, at most; None: the shard's records are neighbours."""
    segments: array[int]
    """Of what stands before the records and of each block: bytes of text, genes of arrays; empty for other files."""
    counts: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The file, of a shard that has one."""
        return next(iter(self.files))

    @property
    def blocks(self) -> int:
        """How many blocks the shard has."""
        assert self.largest_block is not None, "shards of neighbours have none"
        return count_blocks(self.own, self.largest_block)


_RECORDS = {"total": whole(0), "own": whole(0), "names": maybe(text), "largest_block": maybe(whole(1, 1 << 20))}
_SHAPE = record(
    {
        "seqexpr": text,
        "command": text,
        "format": text,
        "shard": whole(1),
        "of": whole(1),
        "files": mapping(text),
        "made_of": mapping(anything),
        "records": record(_RECORDS),
        "segments": maybe(list_of(whole(0))),
        "counts": mapping(anything),
        _CHECKSUM: text,
    }
)


def read_description(path: Path) -> Description:
    """Read the JSON of a shard.

    Raises:
        InputError: it is not one, or contradicts itself.
    """
    found = read_json(path, _EXPECTED, _SHAPE)

    def refuse(key: str, what: str, expected: str) -> InputError:
        return InputError(path, record=f"key {key!r}", found=what, expected=f"{expected} ({_EXPECTED})")

    if found["seqexpr"] != __version__:
        what = f"a shard of seqexpr {found['seqexpr']}"
        raise InputError(path, found=what, expected=f"one of {__version__}, which merges it")
    if found[_CHECKSUM] != (own := _checksum(found)):
        raise refuse(_CHECKSUM, found[_CHECKSUM], f"{own}: it was changed since it was written")
    if found["shard"] > found["of"]:
        raise refuse("shard", f"{found['shard']} of {found['of']}", "a shard of them")
    names = [name for name in found["files"] if name and name == os.path.basename(name)]
    if not names or len(names) != len(found["files"]):
        raise refuse("files", ", ".join(map(repr, found["files"])) or "none", "names of files that lie beside it")
    records, shard = found["records"], Shard(found["shard"], found["of"])
    description = Description(
        path,
        found["command"],
        found["format"],
        shard,
        {path.parent / name: digest for name, digest in found["files"].items()},
        {"seqexpr": found["seqexpr"], **found["made_of"]},
        records["total"],
        records["own"],
        records["names"],
        records["largest_block"],
        array("q", found["segments"] or ()),
        found["counts"],
    )
    total, largest = description.total, description.largest_block
    expected = len(contiguous(shard, total)) if largest is None else count_records(shard, total, largest)
    if description.own != expected:
        raise refuse("records.own", f"{description.own:,}", f"{expected:,}")
    if description.segments and len(description.segments) != 1 + description.blocks:
        raise refuse("segments", f"{len(description.segments):,} segments", f"{1 + description.blocks:,}")
    return description


def find_descriptions(given: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The JSON files of shards, each once.

    Args:
        given: the shards' files, their JSON files, or folders that hold them.

    Raises:
        InputError: there is none for one of these.
    """
    found: dict[str, Path] = {}
    for one in map(Path, given):
        if one.is_dir():
            paths = sorted(one.glob(f"*{SUFFIX}"))
            if not paths:
                raise InputError(one, found=f"a folder without a file *{SUFFIX}", expected="the shards of a command")
        else:
            paths = [one if one.name.endswith(SUFFIX) else one.with_name(one.name + SUFFIX)]
            if not paths[0].exists():
                shown = "no such file" if paths[0] == one else f"no {paths[0].name} beside it"
                raise InputError(
                    one, found=shown, expected="a shard, with the JSON that --shard writes when it is whole"
                )
        for path in paths:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def read_shards(given: Iterable[str | os.PathLike[str]]) -> list[Description]:
    """All shards of one command, in their order, each checked against its SHA-256.

    Args:
        given: as for `find_descriptions`.

    Raises:
        InputError: a shard is missing, there twice, of something else, or damaged.
    """
    paths = find_descriptions(given)
    if not paths:
        raise UsageError("no shards to merge")
    shards: dict[int, Description] = {}
    first: Description | None = None
    for path in paths:
        one = read_description(path)
        first = first or one
        _check_same(one, first)
        if (other := shards.setdefault(one.shard.index, one)) is not one:
            raise InputError(path, found=f"shard {one.shard} a second time", expected=f"it once, as {other.path}")
    assert first is not None
    count = first.shard.count
    if missing := [str(index) for index in range(1, count + 1) if index not in shards]:
        listed = ", ".join(missing[:_LISTED]) + (f" and {len(missing) - _LISTED:,} more" if missing[_LISTED:] else "")
        raise InputError(
            first.path.parent,
            found=f"no shard {listed} of {count:,}, which {'is' if len(missing) == 1 else 'are'} missing",
            expected=f"all {count:,}, each finished with its file *{SUFFIX}",
        )
    ordered = [shards[index] for index in range(1, count + 1)]
    for one in ordered:
        for file, digest in one.files.items():
            _check_digest(file, digest, one.path)
    return ordered


def _check_same(one: Description, first: Description) -> None:
    """Whether two shards are of the same result."""
    pairs: dict[str, tuple[Any, Any]] = {
        "the command": (one.command, first.command),
        "the format": (one.format, first.format),
        "the number of shards": (one.shard.count, first.shard.count),
    }
    keys = [*first.made_of, *(key for key in one.made_of if key not in first.made_of)]
    pairs |= {key: (one.made_of.get(key), first.made_of.get(key)) for key in keys}
    pairs["the number of records"] = one.total, first.total
    pairs["the records, by names and letters,"] = one.names, first.names
    for what, (found, expected) in pairs.items():
        if found != expected:
            raise InputError(
                one.path,
                found=f"a shard of something else: {what} {_shown(found)}",
                expected=f"{_shown(expected)}, as in {first.path}",
            )


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value if len(value) <= 24 else f"{value[:12]}..."
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return " ".join(f"{key} {_shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join([*map(_shown, value[:3]), *(["..."] if value[3:] else [])]) or "none"
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _check_digest(file: Path, digest: str, description: Path) -> None:
    try:
        found = sha256_file(file)
    except OSError as problem:
        what = problem.strerror or "an unreadable file"
        raise InputError(
            file, found=what, expected=f"the file that {description} describes, by its name then"
        ) from None
    if found != digest:
        raise InputError(file, found=f"SHA-256 {found}", expected=f"{digest}, as it was written: run this shard again")


def describe_file(path: Table) -> dict[str, Any] | str:
    """What is compared of an input among shards: its size and its bytes, of a large file 64 samples of them.

    The name is not: a copy of a file is the same input.
    """
    if not isinstance(path, (str, os.PathLike)) or str(path) == "-" or not os.path.isfile(path):
        return _STREAM
    size = os.path.getsize(path)
    digest = sha256()
    with open(path, "rb") as file:
        if size <= _WHOLE_FILE:
            digest.update(file.read())
        else:
            for sample in range(_SAMPLES):
                file.seek(sample * (size - _SAMPLE) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
    return {"bytes": size, "sha256" if size <= _WHOLE_FILE else "sampled": digest.hexdigest()}


def check_comparable(sources: GeneOptions) -> None:
    """Check that shards can compare their inputs.

    Raises:
        UsageError: a file beside the records is a stream, of which nothing could be compared.
    """
    main = "fasta" if sources.has_fasta else "proteins"
    for name, file in sources.files().items():
        if name != main and isinstance(file, (str, os.PathLike)) and describe_file(file) == _STREAM:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"--shard: {option} {file} is a stream, which other shards cannot compare; give a file")


def describe_options(sources: GeneOptions) -> dict[str, Any]:
    """What is compared of the input options among shards."""
    files = {f"--{name.replace('_', '-')}": describe_file(file) for name, file in sources.files().items()}
    options = {
        "--tss-at": sources.tss_at,
        "--genes": None if sources.genes is None else sha256("\n".join(sources.genes).encode()).hexdigest(),
        "--allow-unknown-genes": sources.allow_unknown_genes,
        "--skip-missing-contigs": sources.skip_missing_contigs,
    }
    return {**files, **options}


def _file_of(out: str | None) -> str:
    if out is None or out == "-":
        raise UsageError("--shard needs --out FILE: a file beside it says which shard it is")
    try:
        mode = os.stat(out).st_mode
    except OSError:
        return out
    if not stat.S_ISREG(mode):
        raise UsageError(f"--shard needs a file that can lie beside another one: --out {out} is none")
    return out
