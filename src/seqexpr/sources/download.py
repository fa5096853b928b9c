"""One address to one file over HTTP: resumed, retried, and never mistaken for what it is not.

A download grows in `FILE.part`, with `FILE.part.json` beside it naming the address and the server's validator
(a strong ETag, else Last-Modified; RFC 9110, sections 8.8, 13 and 14). A later attempt asks for the rest with
Range and If-Range, and starts over when the server's file is another one by now.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqexpr import __version__
from seqexpr.errors import InputError, NetworkError, UsageError
from seqexpr.files import write_json
from seqexpr.own_files import maybe, read_json, record, text, whole
from seqexpr.sources.disk_space import DiskError, DiskRoom
from seqexpr.sources.http_status import (
    MAX_REDIRECTS,
    TryAgain,
    check_status,
    content_range,
    explain,
    is_web_page,
    refuse_downgrade,
    validator,
    web_page,
)

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there will be, None while that is unknown."""


@dataclass(frozen=True)
class Patience:
    """How long to try. Attempts count from the last one that brought new bytes."""

    attempts: int = 6
    first_wait: float = 1.0
    """Seconds before the second attempt; doubled for each further one."""
    longest_wait: float = 60.0
    """Seconds at most between two attempts; a Retry-After beyond it ends the download."""
    connect_timeout: float = 20.0
    """Seconds to reach the server."""
    read_timeout: float = 60.0
    """Seconds without a byte after which a connection counts as stalled."""
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after so many failures (from 1); `asked` is the server's Retry-After."""
        doubled = min(self.longest_wait, self.first_wait * 2 ** (failures - 1))
        jittered = doubled * random.uniform(0.5, 1.0)  # clients that failed together do not come back together
        return max(jittered, asked or 0.0)


def download(
    url: str,
    part: Path,
    *,
    size: int | None = None,
    decoded: bool = False,
    progress: Progress = lambda done, total: None,
    check: Callable[[Path], None] = lambda part: None,
    patience: Patience = Patience(),
    room: DiskRoom | None = None,
) -> None:
    """Bring the bytes at `url` into the file `part`, continuing one that an earlier call began.

    Args:
        url: http or https.
        part: the growing file; whole when this returns, and kept for the next call when it raises.
        size: bytes that the file must have, where known.
        decoded: undo a compression that the server adds on the way although none was asked for.
        progress: told how it grows; may raise to stop, which keeps what is there.
        check: looks at the whole file; may raise `TryAgain`, and then the file comes anew.
        room: shared by downloads that run at once.

    Raises:
        UsageError: httpx is not installed, or another kind of address.
        NetworkError: the file cannot be had from there.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url}: found an address of another kind; expected http://, https:// or file://")
    state, room = Part(part), room or DiskRoom()
    failures, most = 0, state.size()
    with _client(patience) as client:
        while True:
            try:
                _attempt(client, url, state, size, decoded, progress, room)
                return _checked(state, check)
            except TryAgain as failure:
                failures, most = (1, state.size()) if state.size() > most else (failures + 1, most)
                if failures >= (failure.attempts or patience.attempts):
                    raise NetworkError(f"{url}: {failure}; gave up after {failures} attempts") from None
                wait = patience.wait(failures, failure.after)
                if wait > patience.longest_wait:
                    raise NetworkError(f"{url}: {failure}; the server asks to wait {wait:.0f} s") from None
                logger.warning("%s: %s; trying again in %.0f s", url, failure, wait)
                patience.sleep(wait)


def remote_size(url: str) -> int | None:
    """Bytes of what is at `url`, as its server says without being asked twice; None when it does not say."""
    try:
        import httpx
    except ImportError:
        return None
    try:
        with _client(Patience(connect_timeout=5.0, read_timeout=5.0)) as client:
            response = client.head(url)
    except (httpx.HTTPError, httpx.InvalidURL, NetworkError, OSError):
        return None
    length = response.headers.get("Content-Length", "")
    page = response.headers.get("Content-Type", "").lower().startswith("text/html")
    return int(length) if response.status_code == 200 and length.isdecimal() and not page else None


_NOTE = record({"url": text}, {"validator": maybe(text), "total": maybe(whole(0))})


@dataclass(frozen=True)
class Part:
    """The part of a file that is here, and a note of what it is a part of."""

    path: Path

    @property
    def note(self) -> Path:
        """Where address and validator are kept."""
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self, url: str) -> str | None:
        """The validator to resume with; None when the part cannot be continued from `url`."""
        noted = self._noted()
        return noted.get("validator") if noted.get("url") == url else None

    def total(self) -> int | None:
        """The length of the whole file, as the first response told it."""
        return self._noted().get("total")

    def begin(self, url: str, validator: str | None, total: int | None = None) -> None:
        """Start with nothing."""
        self.path.write_bytes(b"")
        write_json(self.note, {"url": url, "validator": validator, "total": total})

    def _noted(self) -> dict[str, Any]:
        """What is known of the part; nothing where the note is absent or damaged, and then it is not continued."""
        try:
            noted: dict[str, Any] = read_json(self.note, "the note of a download", _NOTE)
        except InputError:
            return {}
        return noted

    def discard(self) -> None:
        """Forget what is here."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _client(patience: Patience) -> httpx.Client:
    try:
        import httpx
    except ImportError:
        raise UsageError("downloads need httpx, which is not installed; run: pip install httpx") from None
    try:
        return httpx.Client(
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            event_hooks={"response": [refuse_downgrade]},
            timeout=httpx.Timeout(patience.read_timeout, connect=patience.connect_timeout),
            # identity: a body compressed on the way has no length to check and no range to resume
            headers={"User-Agent": f"seqexpr/{__version__}", "Accept-Encoding": "identity"},
        )
    except OSError as problem:  # httpx reads the certificates here
        named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
        raise NetworkError(f"SSL_CERT_FILE or SSL_CERT_DIR, {named}: {problem.strerror or problem}") from None
    except (ValueError, ImportError) as problem:  # and the proxies
        reason = str(problem).rstrip(".")
        raise NetworkError(f"HTTPS_PROXY, HTTP_PROXY or ALL_PROXY: {reason}; expected http://HOST:PORT") from None


def _attempt(
    client: httpx.Client, url: str, part: Part, size: int | None, decoded: bool, progress: Progress, room: DiskRoom
) -> None:
    import httpx

    proof = part.validator(url)
    headers = {"Range": f"bytes={part.size()}-", "If-Range": proof} if proof and part.size() else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == 416 and headers:
                return _nothing_left(response, part)
            check_status(url, response)
            if decoded and response.headers.get("Content-Encoding", "identity").lower() != "identity":
                _receive(url, response.iter_bytes(), part, Extent(), progress, room)
            else:
                _receive(url, response.iter_raw(), part, _extent(url, response, part, size), progress, room)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise explain(url, problem) from None
    except OSError as problem:
        raise DiskError(f"{part.path}: {problem.strerror or problem}; what is there is kept") from None


@dataclass(frozen=True)
class Extent:
    """What a response brings of a file."""

    start: int = 0
    """0: the whole file, which replaces the part."""
    total: int | None = None
    """Bytes of the whole file, where known."""
    validator: str | None = None
    """What proves that a later part is of the same file; None: it cannot be continued."""


def _checked(part: Part, check: Callable[[Path], None]) -> None:
    """What is whole by its length but not by its content is of no use as a start either."""
    try:
        check(part.path)
    except DiskError:
        raise
    except (TryAgain, NetworkError):
        part.discard()
        raise


def _nothing_left(response: httpx.Response, part: Part) -> None:
    """A range beyond the file's end: the part is the whole file already, or of another version."""
    _, total = content_range(response.headers.get("Content-Range", ""))
    if total != part.size():
        part.discard()
        raise TryAgain("the file changed on the server")


def _extent(url: str, response: httpx.Response, part: Part, size: int | None) -> Extent:
    """What a response brings that travels as it is."""
    if response.status_code == 206:
        start, total = content_range(response.headers.get("Content-Range", ""))
        same = validator(response) in (None, part.validator(url)) and total in (None, part.total())
        if start != part.size() or not same:
            part.discard()
            raise TryAgain("the file changed on the server")
    else:
        length = response.headers.get("Content-Length", "")
        start, total = 0, int(length) if length.isdecimal() else None
    if size is not None and total not in (None, size):
        part.discard()
        raise NetworkError(f"{url}: found {total:,} bytes; expected {size:,}")
    return Extent(start or 0, size if total is None else total, validator(response))


def _receive(url: str, blocks: Iterator[bytes], part: Part, extent: Extent, progress: Progress, room: DiskRoom) -> None:
    """Append the blocks to the part, or begin it anew: only when there is room, and something that may be the file."""
    done, total = extent.start, extent.total
    with room.claim(part.path, (total or 0) - done) as shrink:
        first = next(blocks, b"")
        if not done:
            if is_web_page(first):
                raise web_page(url)
            part.begin(url, extent.validator, total)
        progress(done, total)
        with part.path.open("ab", buffering=0) as file:  # unbuffered: an attempt cut short keeps what it brought
            for block in chain([first], blocks):
                file.write(block)
                done += len(block)
                shrink((total or 0) - done)
                progress(done, total)
    if total is not None and done < total:
        raise TryAgain(f"the connection ended after {done:,} of {total:,} bytes")
    if total is not None and done > total:
        part.discard()
        raise NetworkError(f"{url}: found {done:,} bytes; expected {total:,}")
