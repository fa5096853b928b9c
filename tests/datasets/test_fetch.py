"""Sources arrive whole, checked and recorded, or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqexpr.datasets.download import Patience
from seqexpr.datasets.fetch import FetchOptions, fetch, pending
from seqexpr.datasets.sources import Source, SourceFile, find_source
from seqexpr.errors import MissingDataError, NetworkError, UsageError

from .misbehaving_server import BODY, Server, cut, running, status, whole

IMPATIENT = Patience(attempts=2, read_timeout=5.0, sleep=lambda _: None)
OPTIONS = FetchOptions(patience=IMPATIENT)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as started:
        yield started


def source(*urls: str, size: int | None = None, sha256: str | None = None) -> Source:
    file = SourceFile("made-up", "file.bin", urls, size, sha256)
    return Source("made-up", "A made-up source", "none", "nobody", (file,))


def get(what: Source, options: FetchOptions = OPTIONS) -> str | None:
    (fetched,) = fetch([what], options)
    return fetched.origin


def remains(what: Source) -> set[str]:
    """Names in the source's folder, locks aside."""
    folder = what.files[0].path.parent
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_file_arrives_and_is_recorded(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    assert get(what) == f"{server.url}/file.bin"
    file = what.files[0]
    assert file.path.read_bytes() == BODY
    record = file.recorded()
    assert (record["sha256"], record["size"], record["url"]) == (SHA256, len(BODY), f"{server.url}/file.bin")
    assert remains(what) == {"file.bin", "file.bin.json"}


def test_a_file_that_is_here_is_checked_and_not_fetched_again(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    get(what)
    assert get(what) is None
    assert len(server.seen) == 1
    what.files[0].path.write_bytes(b"damaged")
    with pytest.raises(NetworkError, match=r"found SHA-256 .*; expected .* as first recorded .*--force"):
        get(what)


def test_a_file_put_there_by_hand_is_recorded() -> None:
    what = source("https://nowhere.invalid/file.bin")
    what.files[0].path.parent.mkdir(parents=True)
    what.files[0].path.write_bytes(BODY)
    assert get(what, FetchOptions(offline=True)) is None
    assert what.files[0].recorded()["sha256"] == SHA256


def test_the_record_outlives_the_file(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    get(what)
    what.files[0].path.unlink()
    server.script = [whole(b"another file", etag='"version-2"')]
    with pytest.raises(NetworkError, match=f"expected {SHA256} as first recorded"):
        get(what)
    assert remains(what) == {"file.bin.json"}
    get(what, FetchOptions(force=True))
    assert what.files[0].path.read_bytes() == b"another file"


def test_a_checksum_of_the_registry_holds_even_with_force(server: Server) -> None:
    what = source(f"{server.url}/file.bin", sha256="0" * 64)
    for force in (False, True):
        with pytest.raises(NetworkError, match="expected 0000"):
            get(what, FetchOptions(force=force, patience=IMPATIENT))
    assert remains(what) == set()


def test_the_next_address_is_tried(server: Server) -> None:
    server.script = [status(404), whole()]
    what = source(f"{server.url}/gone", f"{server.url}/here")
    assert get(what) == f"{server.url}/here"


def test_the_last_failure_is_told(server: Server) -> None:
    server.script = [status(404)]
    with pytest.raises(NetworkError, match="/b: HTTP 404"):
        get(source(f"{server.url}/a", f"{server.url}/b"))


def test_a_broken_download_goes_on_at_the_next_call(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    server.script = [cut(3_000), status(500)]
    with pytest.raises(NetworkError):
        get(what)
    assert not what.present() and "file.bin.part" in remains(what)
    server.script, server.seen = [whole()], []
    get(what)
    assert server.ranges() == ["bytes=3000-"]
    assert what.files[0].path.read_bytes() == BODY


def test_two_at_once_fetch_once(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    origins: list[str | None] = []
    threads = [threading.Thread(target=lambda: origins.append(get(what))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(origins, key=str) == [None, None, f"{server.url}/file.bin"]
    assert len(server.seen) == 1


@pytest.mark.parametrize("place", ["file.bin", "made-up/file.bin"])
def test_from_a_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_bytes(BODY)
    what = source("https://nowhere.invalid/file.bin", sha256=SHA256)
    get(what, FetchOptions(folder=tmp_path, offline=True))
    assert what.files[0].path.read_bytes() == BODY
    assert (tmp_path / place).exists()


def test_a_folder_without_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"found no made-up/file.bin and no file.bin"):
        get(source("https://nowhere.invalid/file.bin"), FetchOptions(folder=tmp_path))


def test_an_ambiguous_name_needs_the_sources_folder(tmp_path: Path) -> None:
    for name in ("train.h5", "valid.h5", "test.h5"):
        (tmp_path / name).write_bytes(BODY)  # of human or mouse?
    with pytest.raises(MissingDataError, match=r"found no xpresso-human/train.h5;"):
        pending([find_source("xpresso-human")], FetchOptions(folder=tmp_path))


def test_a_mirror_takes_the_place_of_the_addresses(server: Server) -> None:
    what = source("https://nowhere.invalid/file.bin")
    assert get(what, FetchOptions(mirror=f"{server.url}/copy/")) == f"{server.url}/copy/made-up/file.bin"


def test_a_mirror_on_disk(tmp_path: Path) -> None:
    folder = tmp_path / "a mirror" / "made-up"
    folder.mkdir(parents=True)
    (folder / "file.bin").write_bytes(BODY)
    what = source("https://nowhere.invalid/file.bin")
    get(what, FetchOptions(mirror=(tmp_path / "a mirror").as_uri(), offline=True))
    assert what.files[0].path.read_bytes() == BODY


def test_offline_names_the_way_out() -> None:
    with pytest.raises(MissingDataError, match="--offline forbids the network; run `seqexpr fetch made-up`"):
        get(source("https://nowhere.invalid/file.bin"), FetchOptions(offline=True))


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--from and --mirror"):
        FetchOptions(folder=tmp_path, mirror="https://mirror")
    with pytest.raises(UsageError, match="expected an address of http://"):
        FetchOptions(mirror="ftp://mirror")


def test_what_is_pending(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    assert [address for _, address in pending([what])] == [f"{server.url}/file.bin"]
    get(what)
    assert pending([what]) == []
    assert len(pending([what], FetchOptions(force=True))) == 1


def test_growth_is_watched(server: Server) -> None:
    seen: list[tuple[str, int, int | None]] = []
    what = source(f"{server.url}/file.bin")
    list(fetch([what], OPTIONS, lambda file, done, total: seen.append((file.label, done, total))))
    assert seen[-1] == ("made-up/file.bin", len(BODY), len(BODY))
