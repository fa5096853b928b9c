"""A local web server that misbehaves on request, one scripted answer per request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]
"""What the server does with one request."""

BODY = bytes(range(256)) * 800  # 204,800 bytes, no two neighbouring blocks alike
ETAG = '"version-1"'


class Handler(BaseHTTPRequestHandler):
    """Answers with the next scripted answer; the last one goes on for ever."""

    server: Server

    def do_GET(self) -> None:
        with self.server.guard:
            self.server.seen.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            script = self.server.script
            answer = script.pop(0) if len(script) > 1 else script[0]
        answer(self)

    def do_HEAD(self) -> None:
        length = self.server.head_length
        self.start(200, **({} if length is None else {"Content_Length": length}))

    def start(self, status: int, **headers: object) -> None:
        """Status line and headers; `Content_Length=3` stands for `Content-Length: 3`."""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.guard = threading.Lock()
        self.script: list[Answer] = [whole()]
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        self.head_length: int | None = len(BODY)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the play."""

    def ranges(self) -> list[str | None]:
        """The Range header of every request so far."""
        return [headers.get("range") for _, headers in self.seen]


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def whole(body: bytes = BODY, etag: str | None = ETAG, **headers: object) -> Answer:
    """A well-behaved server: whole file or the range asked for, If-Range honoured."""

    def answer(request: Handler) -> None:
        sent = {"ETag": etag, **headers} if etag else headers
        asked, proof = request.headers.get("Range"), request.headers.get("If-Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and proof == etag else 0
        if start >= len(body):
            request.start(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
        elif start:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            request.start(206, Content_Range=span, Content_Length=len(body) - start, **sent)
            request.wfile.write(body[start:])
        else:
            request.start(200, Content_Length=len(body), **sent)
            request.wfile.write(body)

    return answer


def cut(after: int, etag: str | None = ETAG, body: bytes = BODY) -> Answer:
    """Promise the whole file and hang up after so many bytes."""

    def answer(request: Handler) -> None:
        request.start(200, Content_Length=len(body), **({"ETag": etag} if etag else {}))
        request.wfile.write(body[:after])

    return answer


def ignores_range(body: bytes = BODY) -> Answer:
    """Always the whole file, whatever range is asked for."""

    def answer(request: Handler) -> None:
        request.start(200, Content_Length=len(body), ETag=ETAG)
        request.wfile.write(body)

    return answer


def status(code: int, **headers: object) -> Answer:
    """Nothing but a status."""
    return lambda request: request.start(code, Content_Length=0, **headers)


def redirect_to_itself() -> Answer:
    return lambda request: request.start(302, Location=request.path, Content_Length=0)


def web_page(content_type: str = "text/html; charset=utf-8") -> Answer:
    def answer(request: Handler) -> None:
        page = b"\n<!DOCTYPE html><html><body>Please log in</body></html>"
        request.start(200, Content_Length=len(page), Content_Type=content_type)
        request.wfile.write(page)

    return answer


def stall(after: int) -> Answer:
    """Send so many bytes, then nothing more while the connection stays open."""

    def answer(request: Handler) -> None:
        request.start(200, Content_Length=len(BODY), ETag=ETAG)
        request.wfile.write(BODY[:after])
        request.wfile.flush()
        request.server.released.wait(10)

    return answer
