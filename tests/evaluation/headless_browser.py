"""Chromium without a screen, steered by its DevTools protocol over a pipe: no port, no driver, no further package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LONGEST_ANSWER = 60.0
"""Seconds to wait for the browser's next word."""

_FLAGS = (
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
    "--disable-dev-shm-usage", "--disable-extensions", "--force-device-scale-factor=1", "--lang=en",
)  # fmt: skip

_FIGURES = """
[...document.querySelectorAll("svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll("path, use, rect, circle, line, polygon, polyline, image")].filter(mark => {
    if (mark.closest("defs, clipPath")) return false;
    const style = getComputedStyle(mark), size = mark.getBoundingClientRect();
    const drawn = paint => paint !== "none" && !/, 0\\)$/.test(paint);
    return (size.width > 0 || size.height > 0) && style.visibility === "visible" && style.display !== "none" &&
      +style.opacity > 0 && (mark.tagName === "image" || mark.tagName === "use" || drawn(style.stroke) ||
      drawn(style.fill));
  });
  return {left: box.left + scrollX, top: box.top + scrollY, width: box.width, height: box.height, marks: marks.length};
})
"""


@dataclass
class Figure:
    """An <svg> of a page: its box in pixels, how many of its marks have paint, and how much of its box is not empty."""

    left: float
    top: float
    width: float
    height: float
    marks: int
    painted: float = 0.0
    """Share of the pixels that differ from the box's commonest colour."""


@dataclass
class Seen:
    """What a browser noted while it showed a page."""

    figures: list[Figure]
    complaints: list[str] = field(default_factory=list)
    """Console messages, uncaught exceptions, and what the browser itself logged."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for, the page's own left out."""
    overhang: float = 0.0
    """Pixels by which the page is wider than the window."""


def find_browser() -> str | None:
    """The first of `PROGRAMS` that is there."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """A running browser; `with Browser(program, folder) as browser: browser.look(page)`."""

    def __init__(self, program: str, profile: Path) -> None:
        # Chromium reads commands at descriptor 3 and answers at 4; the shell puts our two pipes there.
        steered = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", steered, program, *_FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "HOME": str(profile)},
        )
        self._rest = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._send("Browser.close", {}, None)
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()

    def look(self, page: Path, width: int = 1280, picture: Path | None = None) -> Seen:
        """Open a page from disk in a window of its own and note what is seen.

        Args:
            page: an HTML file.
            width: of the window in pixels.
            picture: where to put a picture of the whole page.
        """
        address = page.resolve().as_uri()
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", size, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable", {}, session)
        self._events.clear()
        self._ask("Page.navigate", {"url": address}, session)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._listen()
        figures = [Figure(**figure) for figure in self._evaluate(_FIGURES, session)]
        overhang = self._evaluate(
            "document.scrollingElement.scrollWidth - document.documentElement.clientWidth", session
        )
        image = self._photograph(session, picture)
        for figure in figures:
            figure.painted = _share_painted(image, figure)
        seen = Seen(figures, overhang=overhang)
        for event in self._events:
            _note(event["method"], event["params"], address, seen)
        self._ask("Target.closeTarget", {"targetId": target})
        return seen

    def _evaluate(self, expression: str, session: str) -> Any:
        answer = self._ask("Runtime.evaluate", {"expression": expression, "returnByValue": True}, session)
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]

    def _photograph(self, session: str, picture: Path | None) -> np.ndarray:
        """The whole page as (height, width, 4) numbers from 0 to 1."""
        from matplotlib.image import imread

        answer = self._ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True}, session)
        data = base64.b64decode(answer["data"])
        if picture:
            picture.write_bytes(data)
        return imread(BytesIO(data), format="png")

    def _ask(self, method: str, parameters: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        number = self._send(method, parameters, session)
        while True:
            message = self._listen()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _send(self, method: str, parameters: dict[str, Any], session: str | None) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        return self._number

    def _listen(self) -> dict[str, Any]:
        """The browser's next message; those that are events are kept too."""
        end = time.monotonic() + LONGEST_ANSWER
        pipe = self._process.stdout.fileno()
        while b"\0" not in self._rest:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            block = os.read(pipe, 1 << 16) if ready else b""
            if not block:
                raise TimeoutError("the browser has ended" if ready else f"no word in {LONGEST_ANSWER:.0f} s")
            self._rest += block
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self._events.append(message)
        return message


def _note(method: str, parameters: dict[str, Any], address: str, seen: Seen) -> None:
    if method == "Runtime.consoleAPICalled":
        texts = [str(argument.get("value", argument.get("description"))) for argument in parameters["args"]]
        seen.complaints.append(f"console {parameters['type']}: {' '.join(texts)}")
    elif method == "Runtime.exceptionThrown":
        details = parameters["exceptionDetails"]
        seen.complaints.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
    elif method == "Log.entryAdded":
        seen.complaints.append(f"{parameters['entry']['level']}: {parameters['entry']['text']}")
    elif method == "Network.requestWillBeSent":
        url = parameters["request"]["url"]
        if url != address and not url.startswith("data:"):
            seen.requests.append(url)


def _share_painted(image: np.ndarray, figure: Figure) -> float:
    """Share of a figure's pixels, as far as they are on the picture, that differ from the commonest colour."""
    rows = slice(max(0, round(figure.top)), round(figure.top + figure.height))
    columns = slice(max(0, round(figure.left)), round(figure.left + figure.width))
    pixels = (image[rows, columns, :3] * 255).round().astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    if not pixels.size:
        return 0.0
    return 1 - np.unique(pixels, return_counts=True)[1].max() / pixels.size
