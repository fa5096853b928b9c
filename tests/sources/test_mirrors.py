"""Folders and archives of files, well made and not."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seqexpr.errors import InputError, MissingDataError, NetworkError
from seqexpr.sources.disk_space import DiskRoom
from seqexpr.sources.mirrors import Mirror
from seqexpr.sources.registry import SourceFile, find_source

BODY = os.urandom(200_000)
FILE = SourceFile("made-up", "file.bin", (), "tests")
SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]


def archive(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in members.items():
                made.writestr(name, content)
        return path
    mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}[path.suffix]
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return path


def copy(mirror: Path, folder: Path, file: SourceFile = FILE) -> bytes:
    target = folder / "target"
    Mirror(mirror).copy(file, target, lambda done, total: None, DiskRoom())
    return target.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "name", ["made-up/file.bin", "file.bin", "./made-up/file.bin", "downloads/made-up/file.bin", "downloads/file.bin"]
)
def test_archives_however_they_were_made(tmp_path: Path, suffix: str, name: str) -> None:
    path = archive(tmp_path / f"a{suffix}", {"README": b"hello", name: BODY, "made-up/other.bin": b"x"})
    assert copy(path, tmp_path) == BODY
    assert Mirror(path).find(FILE) == (f"{path.as_uri()}#{name}", len(BODY))


def test_growth_is_told(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = archive(tmp_path / "a.tar.gz", {"file.bin": BODY})
    Mirror(path).copy(FILE, tmp_path / "t", lambda done, total: seen.append((done, total)), DiskRoom())
    assert seen[-1] == (len(BODY), len(BODY))


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize(
    "name",
    ["../made-up/file.bin.evil", "/file.bin.evil", "../../escaped", "x/y/made-up/file.bin", "made-up/../file.bin"],
)
def test_names_from_inside_are_never_paths(tmp_path: Path, suffix: str, name: str) -> None:
    """Only the names that are asked for are read at all, and nothing is written but the target."""
    inner = tmp_path / "deep" / "inner"
    inner.mkdir(parents=True)
    path = archive(inner / f"a{suffix}", {name: b"evil", "made-up/file.bin": BODY})
    before = sorted(tmp_path.rglob("*"))
    assert copy(path, inner) == BODY
    assert sorted(tmp_path.rglob("*")) == sorted([*before, inner / "target"])


def test_a_file_that_two_sources_have_needs_its_folder(tmp_path: Path) -> None:
    train = find_source("xpresso-human").files[0]
    with pytest.raises(
        MissingDataError, match=r"found no xpresso-human/train\.h5; expected the files of xpresso-human"
    ):
        copy(archive(tmp_path / "a.zip", {"train.h5": BODY}), tmp_path, train)
    assert copy(archive(tmp_path / "b.zip", {"xpresso-human/train.h5": BODY}), tmp_path, train) == BODY


def linked(path: Path) -> None:
    with tarfile.open(path, "w") as made:
        info = tarfile.TarInfo("made-up/file.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(info)


def zip_linked(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        info = zipfile.ZipInfo("made-up/file.bin")
        info.external_attr = 0o120777 << 16
        made.writestr(info, "/etc/passwd")


def device(path: Path) -> None:
    with tarfile.open(path, "w") as made:
        info = tarfile.TarInfo("file.bin")
        info.type = tarfile.CHRTYPE
        made.addfile(info)


def twice(path: Path) -> None:
    archive(path, {"made-up/file.bin": BODY, "downloads/made-up/file.bin": BODY[::-1]})


def encrypted(path: Path) -> None:
    archive(path, {"file.bin": BODY})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags, there and in the directory
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)


def damaged(path: Path) -> None:
    archive(path, {"file.bin": BODY})
    content = bytearray(path.read_bytes())
    content[100_000] ^= 0xFF
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    archive(path, {"file.bin": BODY})
    path.write_bytes(path.read_bytes()[:100_000])


def bomb(path: Path) -> None:
    archive(path, {"file.bin": bytes(150 << 20)})


def bomb_beside(path: Path) -> None:
    archive(path, {"other": bytes(150 << 20), "file.bin": BODY[:100]})


def long_header(path: Path) -> None:
    """An extended header, which tarfile would read as one piece; gzip packs it to little."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 100 << 20
    with gzip.open(path, "wb", 1) as made:
        made.write(tarfile.TarInfo("first").tobuf() + info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(100):
            made.write(bytes(1 << 20))


def many_headers(path: Path) -> None:
    with gzip.open(path, "wb", 1) as made:
        made.write(tarfile.TarInfo("x").tobuf() * 100_001 + bytes(10_240))


def liar(path: Path) -> None:
    """A zip whose member is said to be smaller than it is."""
    archive(path, {"file.bin": BODY})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(mark) + offset, 1_000)
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (linked, "a.tar", "member 'made-up/file.bin': found a link, folder or device; expected a plain file"),
        (zip_linked, "a.zip", "found a link, folder or device"),
        (device, "a.tar", "found a link, folder or device"),
        (twice, "a.tar.gz", "found both 'made-up/file.bin' and 'downloads/made-up/file.bin'; expected one"),
        (twice, "a.zip", "found both"),
        (encrypted, "a.zip", "member 'file.bin': found an encrypted file"),
        (damaged, "a.zip", "found a damaged archive"),
        (damaged, "a.tar.gz", r"a\.tar\.gz: "),
        (cut_short, "a.tar", "a.tar"),
        (cut_short, "a.tar.gz", "a.tar.gz"),
        (bomb, "a.zip", "found 157,286,400 bytes packed into .*; no such data"),
        (bomb, "a.tar.xz", "found over 104,857,600 bytes packed into"),
        (bomb_beside, "a.tar.xz", "found over 104,857,600 bytes packed into"),
        (long_header, "a.tar.gz", "found a header of 104,857,600 bytes"),
        (many_headers, "a.tar.gz", "found more than 100,000 members"),
        (liar, "a.zip", r"a\.zip"),
    ],
)
def test_archives_that_are_not_as_they_should_be(
    tmp_path: Path, make: Callable[[Path], None], name: str, message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(NetworkError, match=message) as caught:
        copy(tmp_path / name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = archive(tmp_path / "inner.zip", {"file.bin": b"of the inner one"}).read_bytes()
    path = archive(tmp_path / "a.tar", {"file.bin": BODY, "inner.zip": inner})
    assert zipfile.is_zipfile(path)  # what it would be taken for by its end
    assert copy(path, tmp_path) == BODY


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archives_damaged_anywhere(tmp_path: Path, suffix: str) -> None:
    """One byte changed or the end cut off: the right bytes, or an error of one line; never anything else."""
    body, generator = BODY[:3_000], random.Random(suffix)
    good = archive(tmp_path / f"a{suffix}", {"made-up/other.bin": b"x", "made-up/file.bin": body}).read_bytes()
    refused = 0
    for trial in range(150):
        content = bytearray(good)
        place = generator.randrange(len(content))
        if trial % 3:
            content[place] ^= generator.randint(1, 255)
        else:
            del content[place:]
        (tmp_path / f"a{suffix}").write_bytes(content)
        try:
            found = copy(tmp_path / f"a{suffix}", tmp_path)
        except (NetworkError, MissingDataError, InputError) as problem:
            assert "\n" not in str(problem)
            refused += 1
        else:
            assert found == body or suffix == ".tar"  # which has no checksum of contents
    assert refused > 10  # the padding of a small .tar may hold anything


def test_a_disk_that_is_full_is_not_the_archives_fault(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"file.bin": BODY})
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(NetworkError, match="/dev/full: No space left on device"):
        Mirror(path).copy(FILE, full, lambda done, total: None, DiskRoom())


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(BODY)
    with pytest.raises(InputError, match=r"found a file that is no archive; expected a folder, a \.zip"):
        Mirror(tmp_path / "a.tar.gz")
    with pytest.raises(MissingDataError, match="found no such folder or archive"):
        Mirror(tmp_path / "absent")


def test_an_archive_whose_names_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as made:
        info = tarfile.TarInfo("donn\xe9es/made-up/file.bin")
        info.size = len(BODY)
        made.addfile(info, io.BytesIO(BODY))
    assert copy(path, tmp_path) == BODY
    place = Mirror(path).find(FILE)[0]
    place.encode()
    assert place.endswith("#donn%E9es/made-up/file.bin")


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"file.bin": BODY})
    with pytest.raises(NetworkError, match=r"target: Is a directory"):
        (tmp_path / "target").mkdir()
        copy(path, tmp_path)
