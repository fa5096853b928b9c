"""`seqexpr fetch` as a process of its own, against a server that misbehaves: right bytes, or exit 6 and no file."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seqexpr.sources.registry import find_source

from ..sources.misbehaving_server import (
    BODY,
    ETAG,
    Answer,
    Handler,
    Server,
    cut,
    ignores_range,
    redirect_to_itself,
    running,
    status,
    web_page,
    whole,
)

pytestmark = pytest.mark.slow

NAME = "cptac-gbm-rna"
"""A source of one file, of whose kind nothing is asked."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture
def environment(private_cache: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key.lower() not in _PROXIES and key != "SSL_CERT_FILE"}
    return {**kept, "SEQEXPR_CACHE": str(private_cache)}


@pytest.fixture
def fetch(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `seqexpr fetch` from a mirror."""

    def run(url: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "seqexpr", "fetch", NAME, "--mirror", url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**environment, **changes}, timeout=120)

    return run


def path() -> Path:
    return find_source(NAME).files[0].path


def right(done: subprocess.CompletedProcess[str], body: bytes = BODY) -> None:
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path()}\n"
    assert path().read_bytes() == body
    record = json.loads(path().with_name(f"{path().name}.json").read_text())
    assert (record["sha256"], record["size"]) == (hashlib.sha256(body).hexdigest(), len(body))
    assert not [left for left in path().parent.iterdir() if left.suffix in (".part", ".tmp")]


def refused(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    assert (done.returncode, done.stdout) == (6, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("seqexpr: error: ") and done.stderr.count("seqexpr: error: ") == 1
    assert all(text in last for text in texts), done.stderr
    assert "Traceback" not in done.stderr
    assert not path().exists() and not path().with_name(f"{path().name}.json").exists()


def cut_anywhere(body: bytes, generator: random.Random, most: int) -> Answer:
    """Serve what is asked for, and hang up at a random place of it, after `most` bytes at the latest."""

    def answer(request: Handler) -> None:
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            request.start(206, Content_Range=span, Content_Length=len(body) - start, ETag=ETAG)
        else:
            request.start(200, Content_Length=len(body), ETag=ETAG)
        request.wfile.write(body[start : start + generator.randint(1, most)])

    return answer


@pytest.mark.parametrize("seed", range(3))
def test_cut_at_random_places(server: Server, fetch: Callable[..., Any], seed: int) -> None:
    server.script = [*[cut_anywhere(BODY, random.Random(seed), 150_000)] * 3, whole()]
    right(fetch(server.url))
    asked = [int(value[6:-1]) for value in server.ranges() if value]
    assert asked == sorted(asked) and len(asked) >= 1  # never anything twice


@pytest.mark.parametrize(
    "script",
    [
        [cut(1_000), ignores_range()],  # a 200 with the whole file in answer to a Range
        [cut(1_000), whole(BODY, etag='"version-2"')],  # its validator changed, its bytes did not
        [status(500), whole()],
        [status(429, Retry_After="1"), whole()],
        [status(503), cut(70_000), whole()],
        [cut(1_000, etag=None), whole(etag=None)],
    ],
    ids=["range ignored", "validator changed", "500 then 200", "429", "503 and a cut", "no validator"],
)
def test_faults_that_pass(server: Server, fetch: Callable[..., Any], script: list[Answer]) -> None:
    server.script = script
    right(fetch(server.url))


def test_a_file_that_changes_between_two_parts(server: Server, fetch: Callable[..., Any]) -> None:
    changed = BODY[::-1]
    server.script = [cut(1_000), whole(changed, etag='"version-2"')]
    right(fetch(server.url), changed)


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        (status(404), ("HTTP 404",)),
        (status(403), ("HTTP 403",)),
        (redirect_to_itself(), ("more than 5 redirects",)),
        (web_page(), ("found a web page; expected data",)),
        (web_page("application/octet-stream"), ("found a web page; expected data",)),
        (status(429, Retry_After="3600"), ("429", "asks to wait 3600 s")),
        (status(302, Location="ftp://elsewhere/file"), ("ftp",)),
        (status(302, Location="file:///etc/passwd"), ("file",)),
    ],
    ids=["404", "403", "redirects in a loop", "captive portal", "hidden portal", "long 429", "to ftp", "to file"],
)
def test_faults_that_do_not_pass(
    server: Server, fetch: Callable[..., Any], answer: Answer, texts: tuple[str, ...]
) -> None:
    server.script = [answer]
    refused(fetch(server.url), server.url, *texts)


def too_short(body: bytes, length: int) -> Answer:
    """A Content-Length that is less than the file."""

    def answer(request: Handler) -> None:
        request.start(200, Content_Length=length, ETag=ETAG)
        request.wfile.write(body[:length])

    return answer


def hdf5() -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["x"] = np.arange(20_000.0)
    return content.getvalue()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (gzip.compress(os.urandom(50_000)), "gzip cut short"),
        (hdf5(), "HDF5 cut short"),
        (b"idx\tA\tB\n" + b"ENSG00000000003.15\t1.25\t2.5\n" * 900 + b"ENSG00000000005.6\t1\t2\n", "a table cut short"),
    ],
    ids=["gzip", "HDF5", "table"],
)
def test_a_length_that_is_too_short(server: Server, fetch: Callable[..., Any], body: bytes, text: str) -> None:
    """The server says where the file ends, and is wrong: what the file is shows it."""
    server.script = [too_short(body, len(body) - 8)]
    refused(fetch(server.url), text, "gave up after 3 attempts")
    server.script = [too_short(body, len(body) - 8), whole(body)]
    right(fetch(server.url), body)


def test_uniprots_message_in_place_of_data(server: Server, fetch: Callable[..., Any]) -> None:
    body = gzip.compress(b">sp|P1|A\nMK\n")
    server.script = [whole(b"Error encountered when streaming data. Please try again later."), whole(body)]
    right(fetch(server.url), body)


def test_other_bytes_than_were_recorded(server: Server, fetch: Callable[..., Any]) -> None:
    right(fetch(server.url))
    path().unlink()
    server.script = [whole(b"another file", etag='"version-2"')]
    done = fetch(server.url)
    assert (done.returncode, done.stdout) == (6, "") and "as first recorded" in done.stderr
    assert not path().exists()
    right(fetch(server.url, "--force"), b"another file")


@pytest.fixture
def authority(tmp_path: Path) -> Any:
    import trustme

    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def test_a_certificate_authority_that_nobody_knows(
    server: Server, fetch: Callable[..., Any], authority: Any, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    refused(fetch(url), "certificate", "SSL_CERT_FILE", "HTTPS_PROXY")
    right(fetch(url, SSL_CERT_FILE=str(tmp_path / "ca.pem")))
    path().unlink()
    server.script = [status(302, Location=f"http://127.0.0.1:{server.server_address[1]}/plain")]
    done = fetch(url, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    assert done.returncode == 6 and not path().exists()
    assert f"redirected to http://127.0.0.1:{server.server_address[1]}/plain, which is not encrypted" in done.stderr


def test_a_proxy_that_refuses(server: Server, fetch: Callable[..., Any]) -> None:
    server.script = [status(403)]
    refused(fetch("https://data.invalid", HTTPS_PROXY=server.url), "HTTPS_PROXY")


def test_one_failure_does_not_lose_the_others(server: Server, environment: dict[str, str]) -> None:
    def by_name(request: Handler) -> None:
        (status(404) if "train.h5" in request.path else whole())(request)

    server.script = [by_name]
    command = [sys.executable, "-m", "seqexpr", "fetch", "xpresso-mouse", NAME, "--mirror", server.url]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    here = [file.path for file in [*find_source("xpresso-mouse").files[1:], *find_source(NAME).files]]
    assert done.returncode == 6
    assert done.stdout.splitlines() == list(map(str, here))  # in the order asked, whatever came first
    assert all(place.read_bytes() == BODY for place in here)
    assert done.stderr.splitlines()[-1] == f"seqexpr: error: {server.url}/xpresso-mouse/train.h5: HTTP 404 Not Found"


def test_an_interrupt_ends_at_once_and_keeps_the_part(server: Server, environment: dict[str, str]) -> None:
    def slow(request: Handler) -> None:
        request.start(200, Content_Length=len(BODY), ETag=ETAG)
        request.wfile.write(BODY[:4_000])
        request.wfile.flush()
        request.server.released.wait(60)

    server.script = [slow]
    part = path().with_name(f"{path().name}.part")
    process = subprocess.Popen(
        [sys.executable, "-m", "seqexpr", "fetch", NAME, "--mirror", server.url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not (part.exists() and part.stat().st_size == 4_000):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err and part.read_bytes() == BODY[:4_000]
    server.script, server.seen = [whole()], []
    command = [sys.executable, "-m", "seqexpr", "fetch", NAME, "--mirror", server.url]
    right(subprocess.run(command, capture_output=True, text=True, env=environment))
    assert server.ranges() == ["bytes=4000-"]


def paced(body: bytes, seconds: float, etag: str) -> Answer:
    """Serve what is asked for, so slowly that the whole takes so long."""

    def answer(request: Handler) -> None:
        asked = request.headers.get("Range")
        start = (
            int(asked.removeprefix("bytes=").rstrip("-")) if asked and request.headers.get("If-Range") == etag else 0
        )
        step = len(body) // 20
        if start >= len(body):
            return request.start(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
        if start:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            request.start(206, Content_Range=span, Content_Length=len(body) - start, ETag=etag)
        else:
            request.start(200, Content_Length=len(body), ETag=etag)
        for begin in range(start, len(body), step):
            request.wfile.write(body[begin : begin + step])
            request.wfile.flush()
            time.sleep(seconds / 20)

    return answer


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(server: Server, environment: dict[str, str], seed: int) -> None:
    """25 kills in each of 4 runs, of a file whose server changes it all the time.

    Whatever is in place is one of the versions and whole, and recorded as what it is or not at all.
    """
    generator = random.Random(seed)
    versions = {hashlib.sha256(body).hexdigest(): body for body in (BODY, BODY[::-1])}
    fetching = "from seqexpr.cli.app import run; run(['fetch', '--force', *__import__('sys').argv[1:]])"
    command = [sys.executable, "-c", fetching, NAME, "--mirror", server.url]
    record = path().with_name(f"{path().name}.json")
    ended = 0
    seen_versions, seen_moments = set(), set()
    for _ in range(25):
        digest = generator.choice(sorted(versions))
        server.script = [paced(versions[digest], 0.12, etag=f'"{digest}"')]
        seen = len(server.seen)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        while process.poll() is None and len(server.seen) == seen:
            time.sleep(0.005)  # the start of a process is not what is tested: wait for its request
        time.sleep(generator.uniform(0, 0.25))
        process.kill()
        ended += process.wait() == 0
        here = hashlib.sha256(path().read_bytes()).hexdigest() if path().exists() else None
        recorded = json.loads(record.read_text())["sha256"] if record.exists() else None
        assert here is None or here in versions
        assert recorded is None or here == recorded
        seen_versions.add(here)
        seen_moments.add(path().with_name(f"{path().name}.part").exists())
    assert ended < 25  # kills that came too late prove nothing
    assert set(versions) <= seen_versions and seen_moments == {True, False}  # kills in many phases were seen
    done = subprocess.run(
        [sys.executable, "-m", "seqexpr", "fetch", NAME, "--mirror", server.url],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    here = hashlib.sha256(path().read_bytes()).hexdigest()
    assert here in versions and json.loads(record.read_text())["sha256"] == here
