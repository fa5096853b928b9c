"""What an HTTP response, or the lack of one, means for a download: go on, try again, give up (RFC 9110)."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from seqexpr.errors import NetworkError

if TYPE_CHECKING:
    import httpx

MAX_REDIRECTS = 5

_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_HTML_STARTS = (b"<!doctype html", b"<html")
_STREAM_ERROR = b"error encountered when streaming"
_ERROR_STARTS = (_STREAM_ERROR, b'{"error', b'<?xml version="1.0" encoding="utf-8"?>\n<error>')


class TryAgain(Exception):
    """This attempt failed as a later one may not.

    Args:
        reason: why, in a few words.
        after: the server's Retry-After in seconds.
        attempts: how often to try at most, where that is less than usual.
    """

    def __init__(self, reason: str, after: float | None = None, attempts: int | None = None) -> None:
        super().__init__(reason)
        self.after = after
        self.attempts = attempts


def check_status(url: str, response: httpx.Response) -> None:
    """Pass a response whose body is the file or a part of it.

    Raises:
        TryAgain: a status that passes with time.
        NetworkError: any other status, or a web page in place of data.
    """
    status = response.status_code
    if status in _RETRIED:
        raise TryAgain(f"HTTP {status} {response.reason_phrase}", retry_after(response.headers.get("Retry-After")))
    if status not in (200, 206):
        raise NetworkError(f"{url}: HTTP {status} {response.reason_phrase}")
    if response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
        raise web_page(url)


def refuse_downgrade(response: httpx.Response) -> None:
    """Let no redirect lead out of https, before anything is asked there.

    Raises:
        NetworkError: it does.
    """
    if response.has_redirect_location and response.url.scheme == "https":
        following = response.url.join(response.headers["Location"])
        if following.scheme != "https":
            raise NetworkError(f"{response.url}: redirected to {following}, which is not encrypted")


def is_web_page(start: bytes) -> bool:
    """Whether a body that starts so is HTML, whatever its Content-Type claims."""
    return start.lstrip()[:14].lower().startswith(_HTML_STARTS)


def is_error_text(start: bytes) -> bool:
    """Whether a body that starts so is the message of a service that failed after it had answered 200.

    UniProt's stream does that: "Error encountered when streaming data. Please try again later."
    """
    return start.lstrip()[:60].lower().startswith(_ERROR_STARTS)


def ends_in_error(end: bytes) -> bool:
    """Whether a body that ends so is cut off by such a message: the service failed when it had sent some data."""
    return _STREAM_ERROR in end[-120:].lower()


def web_page(url: str) -> NetworkError:
    """The error for HTML where data should be."""
    return NetworkError(f"{url}: found a web page; expected data (does a login page of this network answer instead?)")


def validator(response: httpx.Response) -> str | None:
    """What proves that two parts are of one file: a strong ETag, else Last-Modified."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def content_range(value: str) -> tuple[int | None, int | None]:
    """Start and total of `bytes START-END/TOTAL` or `bytes */TOTAL`; None for what it does not say."""
    unit, _, rest = value.partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes":
        return None, None
    return int(start) if start.isdecimal() else None, int(total) if total.isdecimal() else None


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None when it says nothing of use."""
    if value is None:
        return None
    seconds = value.strip()  # float would not strip all that str does
    if seconds.isdecimal():
        return float(seconds)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000" as zone
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def explain(url: str, problem: Exception) -> TryAgain | NetworkError:
    """The error to raise for an exception of httpx: some pass with time, others need the user."""
    import httpx

    text = str(problem) or type(problem).__name__
    if isinstance(problem, httpx.TooManyRedirects):
        return NetworkError(f"{url}: more than {MAX_REDIRECTS} redirects")
    if isinstance(problem, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)):
        return NetworkError(f"{url}: {text}")
    if isinstance(problem, httpx.ProxyError):
        return NetworkError(f"{url}: the proxy says {text!r}; check HTTPS_PROXY and NO_PROXY")
    if "ssl" in text.lower() or "certificate" in text.lower():
        return NetworkError(
            f"{url}: {text}; where a proxy re-encrypts traffic, set SSL_CERT_FILE to its certificate "
            "authority and HTTPS_PROXY to its address"
        )
    if isinstance(problem, httpx.ConnectError):
        # A name that nobody knows, or no network at all, does not mend itself within a minute.
        return TryAgain(f"cannot connect ({text}); where a proxy is needed, set HTTPS_PROXY", attempts=2)
    if isinstance(problem, httpx.TimeoutException):
        return TryAgain("the server stalled")
    return TryAgain(f"the connection broke ({text})")
