"""Sources arrive whole, checked and recorded, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqexpr.errors import MissingDataError, NetworkError, UsageError
from seqexpr.sources.download import Patience
from seqexpr.sources.fetch import fetch, pending
from seqexpr.sources.file_fetch import FetchOptions
from seqexpr.sources.registry import Address, Source, SourceFile, find_source

from .misbehaving_server import BODY, Handler, Server, cut, status, whole

IMPATIENT = Patience(attempts=2, read_timeout=5.0, sleep=lambda _: None)
OPTIONS = FetchOptions(patience=IMPATIENT)
SHA256 = hashlib.sha256(BODY).hexdigest()


def source(*urls: str, size: int | None = None, sha256: str | None = None) -> Source:
    file = SourceFile("made-up", "file.bin", tuple(map(Address, urls)), "tests", size, sha256)
    return Source("made-up", "A made-up source", "none", "nobody", (file,))


def get(what: Source, options: FetchOptions = OPTIONS) -> str | None:
    (fetched,) = fetch([what], options)
    if fetched.failure:
        raise fetched.failure
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
    with pytest.raises(NetworkError, match=r"found SHA-256 .*; expected .*: it is damaged, or was replaced"):
        get(what, FetchOptions(offline=True))
    assert get(what) == f"{server.url}/file.bin"  # a damaged file is got again, and must be the recorded one
    assert what.files[0].path.read_bytes() == BODY
    what.files[0].path.write_bytes(b"damaged")
    server.script = [whole(b"another version", etag='"version-2"')]
    with pytest.raises(NetworkError, match=r"found SHA-256 .*; expected .* as first recorded .*--force"):
        get(what)
    assert what.files[0].path.read_bytes() == b"damaged"


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
    get(what, FetchOptions(origin=tmp_path, offline=True))
    assert what.files[0].path.read_bytes() == BODY
    assert (tmp_path / place).exists()


def test_a_folder_without_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"found no made-up/file.bin and no file.bin"):
        get(source("https://nowhere.invalid/file.bin"), FetchOptions(origin=tmp_path))


def test_an_ambiguous_name_needs_the_sources_folder(tmp_path: Path) -> None:
    for name in ("train.h5", "valid.h5", "test.h5"):
        (tmp_path / name).write_bytes(BODY)  # of human or mouse?
    with pytest.raises(MissingDataError, match=r"found no xpresso-human/train.h5;"):
        pending([find_source("xpresso-human")], FetchOptions(origin=tmp_path))


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
        FetchOptions(origin=tmp_path, mirror="https://mirror")
    with pytest.raises(UsageError, match="expected an address of http://"):
        FetchOptions(mirror="ftp://mirror")


def test_what_is_pending(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    assert [(item.place, item.size) for item in pending([what])] == [(f"{server.url}/file.bin", len(BODY))]
    assert pending([what], FetchOptions(offline=True))[0].size is None
    get(what)
    assert pending([what]) == []
    assert len(pending([what], FetchOptions(force=True))) == 1


def test_growth_is_watched(server: Server) -> None:
    seen: list[tuple[str, int, int | None]] = []
    what = source(f"{server.url}/file.bin")
    list(fetch([what], OPTIONS, lambda file, done, total: seen.append((file.label, done, total))))
    assert seen[-1] == ("made-up/file.bin", len(BODY), len(BODY))


def test_every_address_that_failed_is_told_in_one_line(server: Server) -> None:
    server.script = [status(404), status(403)]
    with pytest.raises(NetworkError) as caught:
        get(source(f"{server.url}/a", f"{server.url}/b"))
    assert str(caught.value) == f"{server.url}/a: HTTP 404 Not Found; then {server.url}/b: HTTP 403 Forbidden"


def test_what_comes_packed_is_unpacked_before_it_is_checked(server: Server) -> None:
    server.script = [status(404), whole(gzip.compress(BODY))]
    addresses = (Address(f"{server.url}/plain"), Address(f"{server.url}/packed.gz", "gzip"))
    file = SourceFile("made-up", "file.bin", addresses, "tests", len(BODY), SHA256)
    what = Source("made-up", "", "", "", (file,))
    assert get(what) == f"{server.url}/packed.gz"
    assert file.path.read_bytes() == BODY
    assert remains(what) == {"file.bin", "file.bin.json"}


def test_a_packed_download_goes_on_too(server: Server) -> None:
    packed = gzip.compress(BODY)
    file = SourceFile("made-up", "file.bin", (Address(f"{server.url}/packed.gz", "gzip"),), "tests")
    server.script = [cut(100, body=packed), whole(packed)]
    assert get(Source("made-up", "", "", "", (file,))) == f"{server.url}/packed.gz"
    assert file.path.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=100-"]


def several(server: Server, count: int = 6) -> Source:
    names = [f"file{number}.bin" for number in range(count)]
    files = [SourceFile("made-up", name, (Address(f"{server.url}/{name}"),), "tests") for name in names]
    return Source("made-up", "", "", "", tuple(files))


def test_several_files_come_at_once(server: Server) -> None:
    together = threading.Barrier(3)

    def waits_for_others(request: Handler) -> None:
        together.wait(10)  # breaks, and the download fails, unless three requests are there at the same time
        whole()(request)

    server.script = [waits_for_others]
    what = several(server)
    results = list(fetch([what], FetchOptions(jobs=3, patience=IMPATIENT)))
    assert all(result.failure is None for result in results)
    assert {result.file.name for result in results} == {file.name for file in what.files}


def test_one_failure_does_not_stop_the_others(server: Server) -> None:
    def by_name(request: Handler) -> None:
        (status(404) if request.path in ("/file1.bin", "/file4.bin") else whole())(request)

    server.script = [by_name]
    results = {result.file.name: result for result in fetch([several(server)], OPTIONS)}
    failed = {name for name, result in results.items() if result.failure}
    assert failed == {"file1.bin", "file4.bin"} and len(results) == 6
    assert isinstance(results["file1.bin"].failure, NetworkError)


def test_whoever_stops_asking_stops_the_downloads(server: Server) -> None:
    """The first file comes whole, the others never end: they are left when nobody waits for results."""

    def first_only(request: Handler) -> None:
        if request.path == "/file0.bin":
            return whole()(request)
        request.start(200, Content_Length=len(BODY), ETag='"version-1"')
        while not request.server.released.wait(0.01):
            request.wfile.write(b"x")

    server.script = [first_only]
    results = fetch([several(server, 3)], OPTIONS)
    assert next(results).file.name == "file0.bin"
    results.close()
    for _ in range(500):
        clients = [thread for thread in threading.enumerate() if "work" in thread.name]
        if not clients:
            break
        clients[0].join(0.02)
    assert not clients


def test_a_bug_in_a_thread_reaches_the_caller(server: Server) -> None:
    def watch(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(fetch([source(f"{server.url}/file.bin")], OPTIONS, watch))


def test_known_sizes_must_fit_before_anything_is_asked_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 << 20))
    with pytest.raises(NetworkError, match=r"found 0\.10 GB free; expected 0\.1[12] GB"):
        list(fetch([source(f"{server.url}/file.bin", size=50 << 20)], OPTIONS))
    assert server.seen == []


def test_from_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mirror.zip", "w") as archive:
        archive.writestr("downloads/made-up/file.bin", BODY)
    what = source("https://nowhere.invalid/file.bin")
    assert get(what, FetchOptions(origin=tmp_path / "mirror.zip", offline=True)).endswith("#downloads/made-up/file.bin")
    assert what.files[0].path.read_bytes() == BODY


@pytest.mark.parametrize("way", ["folder", "mirror"])
def test_a_copy_that_is_cut_short_is_refused(tmp_path: Path, way: str) -> None:
    (tmp_path / "made-up").mkdir()
    (tmp_path / "made-up" / "file.bin").write_bytes(gzip.compress(BODY)[:-20])
    options = FetchOptions(origin=tmp_path) if way == "folder" else FetchOptions(mirror=tmp_path.as_uri())
    what = source("https://nowhere.invalid/file.bin")
    with pytest.raises(NetworkError, match="gzip cut short"):
        get(what, options)
    assert remains(what) == set()


def test_what_a_killed_process_left_is_cleared(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    folder = what.files[0].path.parent
    folder.mkdir(parents=True)
    (folder / ".file.bin.abc.tmp").write_bytes(b"half")
    get(what)
    assert remains(what) == {"file.bin", "file.bin.json"}


def test_with_force_the_old_file_stays_until_the_new_one_is_whole(server: Server) -> None:
    what = source(f"{server.url}/file.bin")
    get(what)
    server.script = [cut(3_000)]
    with pytest.raises(NetworkError):
        get(what, FetchOptions(force=True, patience=IMPATIENT))
    assert what.files[0].path.read_bytes() == BODY
    assert get(what) is None  # and it is still the recorded one


def test_sizes_of_what_is_pending(server: Server, tmp_path: Path) -> None:
    server.head_length = None
    assert pending([source(f"{server.url}/file.bin")])[0].size is None
    assert pending([source(f"{server.url}/file.bin", size=7)])[0].size == 7
    assert pending([source("http://127.0.0.1:9/file.bin")])[0].size is None  # nobody answers
    (tmp_path / "made-up").mkdir()
    (tmp_path / "made-up" / "file.bin").write_bytes(b"four")
    (found,) = pending([source()], FetchOptions(mirror=tmp_path.as_uri()))
    assert found.size == 4


def test_a_download_never_goes_on_from_a_part_of_a_copy(server: Server, tmp_path: Path) -> None:
    """A download is cut; a copy of another version is killed half-way; then the download is tried again."""
    what = source(f"{server.url}/file.bin")
    server.script = [cut(3_000), status(500)]
    with pytest.raises(NetworkError):
        get(what)
    other = tmp_path / "made-up" / "file.bin"
    other.parent.mkdir()
    other.write_bytes(BODY[::-1])

    def killed(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(fetch([what], FetchOptions(origin=tmp_path), killed))
    server.script, server.seen = [whole()], []
    get(what)
    assert what.files[0].path.read_bytes() == BODY
    assert server.ranges() == ["bytes=3000-"]  # and the copy did not cost what the download had brought
    assert remains(what) == {"file.bin", "file.bin.json"}


def test_a_mistyped_folder_costs_nothing(server: Server, tmp_path: Path) -> None:
    what = source(f"{server.url}/file.bin")
    server.script = [cut(3_000), status(500)]
    with pytest.raises(NetworkError):
        get(what)
    with pytest.raises(MissingDataError):
        get(what, FetchOptions(origin=tmp_path))
    with pytest.raises(NetworkError):
        get(what, FetchOptions(mirror=tmp_path.as_uri()))
    server.script, server.seen = [whole()], []
    get(what)
    assert server.ranges() == ["bytes=3000-"]


def test_each_address_goes_on_with_its_own_part(server: Server) -> None:
    answers = {"/a": [cut(150_000), status(500), status(500)], "/b": [cut(100), status(500)]}

    def by_address(request: Handler) -> None:
        answers[request.path].pop(0)(request)

    server.script = [by_address]
    what = source(f"{server.url}/a", f"{server.url}/b")
    with pytest.raises(NetworkError):
        get(what)
    server.script, server.seen = [whole()], []
    assert get(what) == f"{server.url}/a"
    assert server.ranges() == ["bytes=150000-"]
    assert remains(what) == {"file.bin", "file.bin.json"}


def test_a_full_disk_is_no_reason_to_try_another_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    what = source(f"{server.url}/a", f"{server.url}/b")
    server.script = [cut(150_000), status(404)]
    with pytest.raises(NetworkError):
        get(what)
    server.script, server.seen = [whole()], []
    with monkeypatch.context() as full, pytest.raises(NetworkError, match=r"GB free; expected"):
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
        get(what)
    assert [path for path, _ in server.seen] == ["/a"]
    server.seen = []
    get(what)
    assert server.ranges() == ["bytes=150000-"]


def test_a_server_that_compresses_unasked(server: Server) -> None:
    packed = gzip.compress(BODY)
    server.script = [whole(packed, Content_Encoding="gzip")]
    what = source(f"{server.url}/file.bin")
    get(what)
    assert what.files[0].path.read_bytes() == BODY
    file = SourceFile("made-up", "file.gz", (Address(f"{server.url}/file.gz"),), "tests")
    get(Source("made-up", "", "", "", (file,)))  # of a .gz file the header says what it is, not how it travels
    assert file.path.read_bytes() == packed


def test_a_record_is_never_of_another_file(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process finds a file without a record; before it writes one, another replaces the file."""
    what = source(f"{server.url}/file.bin")
    file = what.files[0]
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(b"old")
    plain, calls = SourceFile.check, []

    def check_and_be_overtaken(self: SourceFile) -> str:
        found = plain(self)
        calls.append(found)
        if len(calls) == 1:
            overtaker = threading.Thread(target=lambda: get(what, FetchOptions(force=True, patience=IMPATIENT)))
            overtaker.start()
            overtaker.join(0.3)  # it waits for the lock, if this one holds it
        return found

    monkeypatch.setattr(SourceFile, "check", check_and_be_overtaken)
    get(what)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "<lambda>" in thread.name:
            thread.join(10)
    assert file.recorded()["sha256"] == hashlib.sha256(file.path.read_bytes()).hexdigest() == SHA256


@pytest.mark.parametrize("mirror", ["http://[::1", "http://", "file://host/x", "file:relative", "s3://bucket"])
def test_mirrors_that_are_no_addresses(mirror: str) -> None:
    with pytest.raises(UsageError, match="expected an address of http://"):
        FetchOptions(mirror=mirror)


def test_a_disk_that_is_full_while_a_file_is_written(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqexpr.sources.file_fetch.sha256_file", full)
    with pytest.raises(NetworkError, match=r"file\.bin: No space left on device"):
        get(source(f"{server.url}/file.bin"))


def test_the_size_of_a_copy_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"four")
    (found,) = pending([source()], FetchOptions(origin=tmp_path))
    assert (found.size, found.place) == (4, (tmp_path / "file.bin").as_uri())


@pytest.mark.parametrize("way", ["damaged archive", "web page"])
def test_nothing_stays_of_a_copy_that_failed(tmp_path: Path, way: str) -> None:
    origin = tmp_path / "a.zip" if way == "damaged archive" else tmp_path
    if way == "web page":
        (tmp_path / "file.bin").write_bytes(b"<!DOCTYPE html><html>log in</html>")
    else:
        with zipfile.ZipFile(origin, "w") as archive:
            archive.writestr("file.bin", BODY)
        content = bytearray(origin.read_bytes())
        content[50_000] ^= 1
        origin.write_bytes(content)
    what = source("https://nowhere.invalid/file.bin")
    with pytest.raises(NetworkError, match=r"damaged archive|web page"):
        get(what, FetchOptions(origin=origin))
    assert remains(what) == set()


@pytest.mark.parametrize("way", ["folder", "mirror", "archive"])
def test_a_copy_of_another_size_than_known(tmp_path: Path, way: str) -> None:
    (tmp_path / "made-up").mkdir()
    (tmp_path / "made-up" / "file.bin").write_bytes(BODY)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "made-up" / "file.bin", "file.bin")
    origin = {"folder": tmp_path, "archive": tmp_path / "a.zip"}.get(way)
    what = source("https://nowhere.invalid/file.bin", size=1_000)
    options = FetchOptions(origin=origin) if origin else FetchOptions(mirror=tmp_path.as_uri())
    with pytest.raises(NetworkError, match=r"found 204,800 bytes; expected 1,000 of made-up/file\.bin"):
        get(what, options)
    assert remains(what) == set()


def test_what_unpacks_to_more_than_its_known_size(server: Server) -> None:
    server.script = [whole(gzip.compress(BODY))]
    file = SourceFile("made-up", "file.bin", (Address(f"{server.url}/packed.gz", "gzip"),), "tests", 1_000)
    what = Source("made-up", "", "", "", (file,))
    with pytest.raises(NetworkError, match=r"unpacks to more than the 1,000 bytes of made-up/file\.bin"):
        get(what)
    assert remains(what) == set()


def test_the_part_of_a_packed_download_goes_when_another_address_had_the_file(server: Server) -> None:
    server.script = [cut(100, body=gzip.compress(BODY)), status(404), whole()]
    addresses = (Address(f"{server.url}/packed.gz", "gzip"), Address(f"{server.url}/plain"))
    what = Source("made-up", "", "", "", (SourceFile("made-up", "file.bin", addresses, "tests"),))
    assert get(what) == f"{server.url}/plain"
    assert remains(what) == {"file.bin", "file.bin.json"}
