"""Files of sources from a folder or an archive of the user's: how data reach a machine without a network.

Both hold `SOURCE/FILE`, or `FILE` where only one source has such a file; an archive may have one folder around them, as
people make them. Of an archive only the member asked for is read, and it is written to our own path: no name from
inside is ever used as a path, so none can escape.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar
from urllib.parse import quote

from seqexpr.errors import InputError, MissingDataError, NetworkError
from seqexpr.own_files import check_shape, parse_json
from seqexpr.sources.archives import is_zip, open_tar, readable, refuse_bomb, tar_members
from seqexpr.sources.disk_space import DiskError, DiskRoom
from seqexpr.sources.registry import RECORD, SourceFile, list_sources

_BLOCK = 1 << 20
_LONGEST_RECORD = 1 << 16

_Member = TypeVar("_Member")

Copied = Callable[[int, int], None]
"""Called with the bytes written and the bytes there will be; may raise to stop."""


class Mirror:
    """A folder or an archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz).

    Raises:
        MissingDataError: neither is there.
        InputError: a file that is no such archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise MissingDataError(f"{path}: found no such folder or archive; expected the files of the sources")
        with readable(path):
            if path.is_file() and not is_zip(path):
                self._expect_tar()

    def _expect_tar(self) -> None:
        try:
            with open_tar(self.path):
                pass
        except (tarfile.ReadError, EOFError):  # the latter: compressed, and too short
            raise InputError(
                self.path, found="a file that is no archive", expected="a folder, a .zip or a .tar(.gz)"
            ) from None

    def find(self, file: SourceFile) -> tuple[str, int]:
        """Where in the mirror the file is, as people read it, and its bytes.

        Raises:
            MissingDataError: it is not in the mirror.
            NetworkError: it is there twice, or is no plain file.
        """
        if self.path.is_dir():
            path = self._path(file)
            return path.as_uri(), path.stat().st_size
        with self._member(file) as (_, name, size):
            found = _place(self.path, name), size
        return found

    def copy(self, file: SourceFile, target: Path, copied: Copied, room: DiskRoom) -> str:
        """Copy the file to `target`; return its place.

        Raises:
            MissingDataError, NetworkError: as `find`; or it is damaged, encrypted, or too large to be true.
        """
        if self.path.is_dir():
            origin = self._path(file)
            copy_file(origin, target, copied, room)
            return origin.as_uri()
        with self._member(file) as (stream, name, size):
            shown = f"{self.path}, member {name!r}"
            refuse_bomb(self.path, name, size)
            _write(stream, size, target, copied, room, shown)
            return _place(self.path, name)

    def record(self, file: SourceFile) -> dict[str, Any]:
        """What was recorded where the copy was made (`FILE.json` beside it); empty where nothing was."""
        beside = replace(file, name=f"{file.name}.json")
        try:
            if self.path.is_dir():
                text = self._path(beside).read_bytes()
            else:
                with self._member(beside) as (stream, _, _):
                    text = stream.read(_LONGEST_RECORD)
            found: dict[str, Any] = parse_json(text, self.path, "the record of a download")
            check_shape(found, RECORD, self.path, "the record of a download")
        except (MissingDataError, InputError, OSError):
            return {}
        return found

    def _path(self, file: SourceFile) -> Path:
        for name in _names(file):
            if (self.path / name).is_file():
                return (self.path / name).resolve()
        raise self._absent(file)

    @contextmanager
    def _member(self, file: SourceFile) -> Iterator[tuple[IO[bytes], str, int]]:
        """The member's content, name and size."""
        with readable(self.path):
            if is_zip(self.path):
                with zipfile.ZipFile(self.path) as archive:
                    info = self._only(file, ((info.filename, info) for info in archive.infolist()))
                    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.is_dir():
                        raise self._odd(info.filename)
                    if info.flag_bits & 1:
                        raise NetworkError(f"{self.path}, member {info.filename!r}: found an encrypted file")
                    with archive.open(info) as stream:
                        yield stream, info.filename, info.file_size
            else:
                with open_tar(self.path) as archive:
                    member = self._only(file, tar_members(self.path, archive))
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise self._odd(member.name)
                    yield content, member.name, member.size
                    while archive.fileobj and archive.fileobj.read(_BLOCK):  # the checksum is at the end
                        pass

    def _only(self, file: SourceFile, members: Iterable[tuple[str, _Member]]) -> _Member:
        wanted = [PurePosixPath(name).parts for name in _names(file)]
        found: dict[str, _Member] = {}
        for name, member in members:
            parts = PurePosixPath(name).parts
            if parts in wanted or parts[1:] in wanted:
                if found:
                    first = next(iter(found))
                    raise NetworkError(f"{self.path}: found both {first!r} and {name!r}; expected one {file.label}")
                found[name] = member
        if not found:
            raise self._absent(file)
        return next(iter(found.values()))

    def _absent(self, file: SourceFile) -> MissingDataError:
        return MissingDataError(
            f"{self.path}: found no {' and no '.join(_names(file))}; expected the files of {file.source}, as "
            f"`seqexpr fetch {file.source}` gets them where there is a network"
        )

    def _odd(self, name: str) -> NetworkError:
        return NetworkError(f"{self.path}, member {name!r}: found a link, folder or device; expected a plain file")


def _place(archive: Path, member: str) -> str:
    """A member as an address; its name may hold bytes that are no text."""
    return f"{archive.resolve().as_uri()}#{quote(member, errors='surrogateescape')}"


def copy_file(origin: Path, target: Path, copied: Copied, room: DiskRoom) -> None:
    """Copy a file of this machine, watched and with the disk's room in view.

    Raises:
        NetworkError: it cannot be read, or does not fit.
    """
    with readable(origin), origin.open("rb") as stream:
        _write(stream, origin.stat().st_size, target, copied, room, str(origin))


def _names(file: SourceFile) -> list[str]:
    """Where a mirror may hold a file: SOURCE/FILE, or FILE where no other source has a file of this name."""
    name = file.name.removesuffix(".json")
    namesakes = [other for source in list_sources() for other in source.files if other.name == name]
    return [file.label] if len(namesakes) > 1 else [file.label, file.name]


def _write(stream: IO[bytes], size: int, target: Path, copied: Copied, room: DiskRoom, shown: str) -> None:
    """Write a stream of a known size to `target`."""
    done = 0
    with room.claim(target, size) as shrink, _open_target(target) as out:
        while block := stream.read(_BLOCK):
            done += len(block)
            if done > size:
                break
            try:
                out.write(block)
            except OSError as problem:
                raise DiskError(f"{target}: {problem.strerror or problem}") from None
            shrink(size - done)
            copied(done, size)
    if done != size:
        raise NetworkError(
            f"{shown}: found {'more' if done > size else 'less'} than its {size:,} bytes; is it damaged?"
        )


def _open_target(target: Path) -> IO[bytes]:
    try:
        return target.open("wb", buffering=0)
    except OSError as problem:
        raise DiskError(f"{target}: {problem.strerror or problem}") from None
