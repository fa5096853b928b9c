"""Downloads from a server that misbehaves."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqexpr.errors import NetworkError, UsageError
from seqexpr.sources.download import Part, Patience, download, remote_size

from .misbehaving_server import (
    BODY,
    Handler,
    Server,
    cut,
    ignores_range,
    redirect_to_itself,
    stall,
    status,
    web_page,
    whole,
)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "file.part"


class Waits(list[float]):
    """Takes the place of `time.sleep`: remembers, does not wait."""

    def patience(self, **changes: float) -> Patience:
        return Patience(**{"attempts": 4, "read_timeout": 5.0, "sleep": self.append, **changes})  # type: ignore[arg-type]


def test_a_plain_download(server: Server, part: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(f"{server.url}/f", part, progress=lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == BODY
    assert seen[0] == (0, len(BODY)) and seen[-1] == (len(BODY), len(BODY))
    assert server.seen[0][1]["accept-encoding"] == "identity"


def test_a_cut_connection_goes_on_where_it_stopped(server: Server, part: Path) -> None:
    server.script = [cut(1_000), whole()]
    waits = Waits()
    download(f"{server.url}/f", part, patience=waits.patience())
    assert part.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=1000-"]
    assert len(waits) == 1


def test_a_later_call_goes_on_too(server: Server, part: Path) -> None:
    server.script = [cut(5_000)]
    with pytest.raises(NetworkError, match="gave up"):
        download(f"{server.url}/f", part, patience=Waits().patience())
    server.script, server.seen = [whole()], []
    download(f"{server.url}/f", part)
    assert part.read_bytes() == BODY
    assert server.ranges() == ["bytes=5000-"]


def test_a_part_of_another_address_is_not_continued(server: Server, part: Path) -> None:
    Part(part).begin("http://elsewhere/f", '"version-1"')
    part.write_bytes(b"wrong")
    download(f"{server.url}/f", part)
    assert part.read_bytes() == BODY
    assert server.ranges() == [None]


def test_without_a_validator_a_part_is_not_continued(server: Server, part: Path) -> None:
    server.script = [cut(1_000, etag=None), whole(etag=None)]
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert part.read_bytes() == BODY
    assert server.ranges() == [None, None]


def test_a_weak_etag_is_no_validator(server: Server, part: Path) -> None:
    server.script = [cut(1_000, etag='W/"1"'), whole()]
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert server.ranges() == [None, None]


def test_a_server_that_ignores_ranges(server: Server, part: Path) -> None:
    server.script = [cut(1_000), ignores_range()]
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert part.read_bytes() == BODY


def test_a_file_that_changes_between_two_parts(server: Server, part: Path) -> None:
    changed = BODY[::-1]
    server.script = [cut(1_000), whole(changed, etag='"version-2"')]
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert part.read_bytes() == changed


def test_a_changed_file_from_a_server_without_if_range(server: Server, part: Path) -> None:
    changed = BODY[::-1]

    def careless(request: object) -> None:  # a range of the new file, although If-Range named the old one
        request.start(  # type: ignore[attr-defined]
            206,
            Content_Range=f"bytes 1000-{len(changed) - 1}/{len(changed)}",
            Content_Length=len(changed) - 1000,
            ETag='"version-2"',
        )
        request.wfile.write(changed[1000:])  # type: ignore[attr-defined]

    server.script = [cut(1_000), careless, whole(changed, etag='"version-2"')]
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert part.read_bytes() == changed


def test_a_part_that_is_whole_already(server: Server, part: Path) -> None:
    Part(part).begin(f"{server.url}/f", '"version-1"')
    part.write_bytes(BODY)
    download(f"{server.url}/f", part)
    assert part.read_bytes() == BODY


def test_a_part_longer_than_the_file(server: Server, part: Path) -> None:
    Part(part).begin(f"{server.url}/f", '"version-1"')
    part.write_bytes(BODY + b"more")
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert part.read_bytes() == BODY


def test_errors_that_pass(server: Server, part: Path) -> None:
    server.script = [status(500), status(503, Retry_After="7"), status(429), whole()]
    waits = Waits()
    download(f"{server.url}/f", part, patience=waits.patience())
    assert part.read_bytes() == BODY
    assert 0.5 <= waits[0] <= 1.0  # jitter around the first wait
    assert waits[1] == 7.0  # Retry-After
    assert 2.0 <= waits[2] <= 4.0  # doubled twice


def test_waiting_longer_than_is_sensible(server: Server, part: Path) -> None:
    server.script = [status(429, Retry_After="86400")]
    with pytest.raises(NetworkError, match=r"429.*asks to wait 86400 s"):
        download(f"{server.url}/f", part, patience=Waits().patience())


def test_errors_that_do_not_pass(server: Server, part: Path) -> None:
    server.script = [status(500)]
    waits = Waits()
    with pytest.raises(NetworkError, match=r"HTTP 500.*gave up after 4 attempts"):
        download(f"{server.url}/f", part, patience=waits.patience())
    assert len(waits) == 3


@pytest.mark.parametrize("code", [403, 404, 410])
def test_no_second_attempt_at_what_is_not_there(server: Server, part: Path, code: int) -> None:
    server.script = [status(code)]
    with pytest.raises(NetworkError, match=f"HTTP {code}"):
        download(f"{server.url}/f", part, patience=Waits().patience())
    assert len(server.seen) == 1


def test_progress_restarts_the_count_of_attempts(server: Server, part: Path) -> None:
    def one_more(request: object) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])  # type: ignore[attr-defined]
        if start:
            request.start(  # type: ignore[attr-defined]
                206,
                Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}",
                Content_Length=len(BODY) - start,
                ETag='"version-1"',
            )
        else:
            request.start(200, Content_Length=len(BODY), ETag='"version-1"')  # type: ignore[attr-defined]
        request.wfile.write(BODY[start : start + 20_000])  # type: ignore[attr-defined]

    server.script = [one_more]  # eleven connections, each bringing a tenth
    download(f"{server.url}/f", part, patience=Waits().patience(attempts=2))
    assert part.read_bytes() == BODY


def test_a_redirect_loop_ends(server: Server, part: Path) -> None:
    server.script = [redirect_to_itself()]
    with pytest.raises(NetworkError, match="more than 5 redirects"):
        download(f"{server.url}/f", part, patience=Waits().patience())


def test_another_length_than_known(server: Server, part: Path) -> None:
    with pytest.raises(NetworkError, match="found 204,800 bytes; expected 1,000,000"):
        download(f"{server.url}/f", part, size=1_000_000)
    assert len(server.seen) == 1


def test_a_length_that_is_too_long(server: Server, part: Path) -> None:
    """More is promised than there is: a server that knows ranges says so when asked for the rest."""

    def promises_more(request: Handler) -> None:
        request.start(200, Content_Length=len(BODY) + 8, ETag='"version-1"')
        request.wfile.write(BODY)

    server.script = [promises_more, whole()]
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert part.read_bytes() == BODY
    Part(part).discard()
    server.script = [promises_more]
    with pytest.raises(NetworkError, match=r"ended after|connection broke .*gave up"):
        download(f"{server.url}/f", part, patience=Waits().patience())


def test_the_size_that_a_server_tells(server: Server) -> None:
    assert remote_size(f"{server.url}/f") == len(BODY)
    server.head_length = None
    assert remote_size(f"{server.url}/f") is None


def test_no_size_behind_a_redirect_out_of_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a download would refuse is not known; it is no reason for a dry run to fail."""

    def refused(*_: object, **__: object) -> None:
        raise NetworkError("redirected to http://elsewhere, which is not encrypted")

    monkeypatch.setattr("httpx.Client.head", refused)
    assert remote_size("https://somewhere/f") is None


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_login_page_is_not_data(server: Server, part: Path, content_type: str) -> None:
    server.script = [web_page(content_type)]
    with pytest.raises(NetworkError, match="found a web page; expected data"):
        download(f"{server.url}/f", part)


def test_a_stalled_connection_is_left(server: Server, part: Path) -> None:
    server.script = [stall(1_000), whole()]
    download(f"{server.url}/f", part, patience=Waits().patience(read_timeout=0.2))
    assert part.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=1000-"]


def test_nobody_answers(part: Path) -> None:
    with socket.socket() as reserved:  # bound but not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/f"
        with pytest.raises(NetworkError, match=r"cannot connect.*HTTPS_PROXY"):
            download(url, part, patience=Waits().patience(attempts=2))


def test_no_tls_where_it_is_expected(server: Server, part: Path) -> None:
    with pytest.raises(NetworkError, match=r"SSL_CERT_FILE.*HTTPS_PROXY"):
        download(server.url.replace("http:", "https:"), part, patience=Waits().patience(attempts=2))


def test_a_proxy_that_refuses(server: Server, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = [status(403)]
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    with pytest.raises(NetworkError, match="HTTPS_PROXY"):
        download("https://data.invalid/f", part, patience=Waits().patience(attempts=1))


def test_a_disk_without_room(server: Server, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
    with pytest.raises(NetworkError, match=r"GB free; expected .*SEQEXPR_CACHE"):
        download(f"{server.url}/f", part)


@pytest.mark.parametrize("url", ["ftp://host/f", "s3://bucket/f", "/local/f"])
def test_other_kinds_of_address(url: str, part: Path) -> None:
    with pytest.raises(UsageError, match="expected http://"):
        download(url, part)


def test_without_httpx_the_extra_is_named(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(UsageError, match=r"run: pip install httpx$"):
        download("http://localhost/f", part)


def test_a_part_of_another_length_is_not_of_the_same_file(server: Server, part: Path) -> None:
    """A server without validators in its answers to Range: only the total tells."""

    def shorter(request: object) -> None:
        request.start(206, Content_Range="bytes 1000-1999/2000", Content_Length=1000)  # type: ignore[attr-defined]
        request.wfile.write(bytes(1000))  # type: ignore[attr-defined]

    server.script = [cut(1_000), shorter, whole()]
    download(f"{server.url}/f", part, patience=Waits().patience())
    assert part.read_bytes() == BODY


def test_a_login_page_does_not_cost_the_part(server: Server, part: Path) -> None:
    server.script = [cut(5_000), web_page("application/octet-stream")]
    with pytest.raises(NetworkError, match="found a web page"):
        download(f"{server.url}/f", part, patience=Waits().patience())
    server.script, server.seen = [whole()], []
    download(f"{server.url}/f", part)
    assert server.ranges() == ["bytes=5000-"] and part.read_bytes() == BODY


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SSL_CERT_FILE", "/no/such.pem", "SSL_CERT_FILE or SSL_CERT_DIR, /no/such.pem: No such file"),
        ("ALL_PROXY", "socks5://127.0.0.1:9", "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY: "),
        ("HTTPS_PROXY", "ftp://127.0.0.1:9", "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY: .*; expected http://HOST:PORT"),
    ],
)
def test_settings_that_cannot_be_right_are_named(
    part: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(NetworkError, match=message):
        download("https://data.invalid/f", part)


def test_a_certificate_file_that_holds_none(part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(NetworkError, match=r"SSL_CERT_FILE or SSL_CERT_DIR, .*ca\.pem: "):
        download("https://data.invalid/f", part)
