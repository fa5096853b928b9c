"""A headless Chromium that tests drive through its DevTools protocol, to see a page as its readers do.

The protocol's messages are JSON with a zero byte behind each, on file descriptors 3 (in) and 4 (out) of the browser
(`--remote-debugging-pipe`), which needs no library. There is one tab, which shows one page after the other.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""Of the programs that can be driven."""

ANSWERS_WITHIN = 60
"""Seconds; a busy machine is slow to start a browser."""

_OPTIONS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad"),
    # Containers give neither name spaces for the sandbox nor much shared memory; the pages are our own.
    *("--no-sandbox", "--disable-dev-shm-usage", "--force-device-scale-factor=1", "--hide-scrollbars"),
)

_KEYS = {"Tab": 9, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
"""Keys that write no letter, with their codes."""

_CONTRASTS = """(() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const over = (front, back) => front.rgb.map((one, at) => one * front.a + back[at] * (1 - front.a));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((one) => one / 255)
      .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.a === 1 ? own.rgb : over(own, behind(element.parentElement));
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data.trim()).join("");
    if (!text || !element.checkVisibility() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    if (element.disabled || element instanceof SVGElement) continue;
    const back = behind(element), front = over(parse(getComputedStyle(element).color), back);
    const [dark, light] = [luminance(front), luminance(back)].sort((one, other) => one - other);
    found.push([text.slice(0, 60), (light + 0.05) / (dark + 0.05)]);
  }
  return found;
})()"""


class BrowserError(Exception):
    """The browser is gone, does not answer, or refuses a command."""


def find_browser() -> str | None:
    """Path of a browser that is installed and can be driven here; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None) if os.name == "posix" else None


class Browser:
    """A running browser; `close` ends it.

    Args:
        program: its path.
        folder: an empty one, for its profile and log.

    Raises:
        BrowserError: it does not start; the text ends with what it said last.
    """

    def __init__(self, program: str, folder: Path) -> None:
        import fcntl  # not on Windows

        self._tab: Tab | None = None
        self._number, self._unread, self._answers = 0, b"", dict[int, dict[str, Any]]()
        log = folder / "log"
        # Above 4, so that none is overwritten while it becomes descriptor 3 or 4 of the browser.
        inner_in, self._out, self._in, inner_out = (
            fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for pair in (os.pipe(), os.pipe()) for end in _closing(pair)
        )
        self._process = os.posix_spawn(
            program,
            [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, inner_in, 3),
                (os.POSIX_SPAWN_DUP2, inner_out, 4),
            ],
            setpgroup=0,
        )
        os.close(inner_in)
        os.close(inner_out)
        try:
            self.call("Browser.getVersion")
        except BrowserError as problem:
            self._end()
            said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise BrowserError(f"{program} does not start: {problem}; it said: {said[-1]}") from None

    def open(self, page: Path, *, width: int = 1200, height: int = 900, dark: bool = False, touch: bool = False) -> Tab:
        """Show a file, in place of the one before, and wait until it is loaded and drawn."""
        if self._tab is None:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self._tab = Tab(self, session)
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._tab.call(f"{domain}.enable")
        tab = self._tab
        tab.resize(width, height, touch=touch)
        tab.prefer(dark)
        tab.requests, tab.faults, tab.loaded = [], [], False
        tab.call("Page.navigate", url=page.as_uri())
        self.wait(lambda: tab.loaded)
        tab.settle()
        return tab

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        number = self.send(method, session, **parameters)
        self.wait(lambda: number in self._answers)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def send(self, method: str, session: str = "", **parameters: Any) -> int:
        """Send a command and return its number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        text = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        try:
            while text:
                text = text[os.write(self._out, text) :]
        except BrokenPipeError:
            raise BrowserError("it has ended") from None
        return self._number

    def wait(self, until: Any) -> None:
        """Read what the browser says until a condition holds."""
        end = time.monotonic() + ANSWERS_WITHIN
        while not until():
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise BrowserError(f"no answer within {ANSWERS_WITHIN} s")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise BrowserError("it has ended")
            *messages, self._unread = (self._unread + read).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers[message["id"]] = message
                elif self._tab is not None and message.get("sessionId") == self._tab.session:
                    self._tab.hear(message["method"], message["params"])

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(BrowserError):  # it may be gone already
            self.call("Browser.close")
        self._end()

    def _end(self) -> None:
        os.close(self._out)
        os.close(self._in)
        end = time.monotonic() + 5
        while os.waitpid(self._process, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.killpg(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)
                break
            time.sleep(0.02)


class Tab:
    """The page that is shown, with everything that it asked for and complained of."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.session, self.loaded = session, False
        self.requests: list[str] = []
        """Addresses in the order in which they were asked for; the page's own is the first."""
        self.faults: list[str] = []
        """Exceptions, errors and warnings on the console, and dialogs, which are closed."""
        self._browser, self._touch = browser, False

    def hear(self, event: str, found: dict[str, Any]) -> None:
        """Note what an event says."""
        if event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            self.faults.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
        elif event == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.faults.append(f"log: {found['entry']['text']}")
        elif event == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
            said = " ".join(str(one.get("value", one.get("description"))) for one in found["args"])
            self.faults.append(f"console: {said}")
        elif event == "Page.javascriptDialogOpening":
            self.faults.append(f"dialog: {found['message']}")
            self._browser.send("Page.handleJavaScriptDialog", self.session, accept=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to this page and wait for its answer."""
        return self._browser.call(method, self.session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"].get("exception", {}).get("description", expression))
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until everything that was asked for is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        """Make the window as wide and high, in CSS pixels; `touch` makes it a phone's."""
        self._touch = touch
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if touch else 1, "mobile": touch}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def prefer(self, dark: bool) -> None:
        """Let the reader prefer dark or light colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def place(self, selector: str, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """A point of an element in the window, by shares of its width and height; the page scrolls to it."""
        box = f"document.querySelector({json.dumps(selector)})"
        x, y, width, height = self.evaluate(
            f"({box}.scrollIntoView({{ block: 'center', behavior: 'instant' }}), "
            f"((box) => [box.x, box.y, box.width, box.height])({box}.getBoundingClientRect()))"
        )
        return x + across * width, y + down * height

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a point."""
        self._mouse("mouseMoved", x, y)
        self.settle()

    def drag(self, *points: tuple[float, float]) -> None:
        """Move the mouse from the first point to the others with its left button down, and hold it there."""
        self._mouse("mousePressed", *points[0], button="left", buttons=1, clickCount=1)
        for point in points[1:]:
            self._mouse("mouseMoved", *point, button="left", buttons=1)
        self.settle()

    def release(self, x: float, y: float) -> None:
        """Release the mouse's left button."""
        self._mouse("mouseReleased", x, y, button="left", clickCount=1)
        self.settle()

    def click(self, x: float, y: float, times: int = 1) -> None:
        """Click a point, or tap on it where the window is a phone's."""
        if self._touch:
            self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            self.settle()
            return
        self._mouse("mouseMoved", x, y)
        for count in range(1, times + 1):
            self._mouse("mousePressed", x, y, button="left", buttons=1, clickCount=count)
            self._mouse("mouseReleased", x, y, button="left", clickCount=count)
        self.settle()

    def swipe(self, start: tuple[float, float], end: tuple[float, float], steps: int = 5) -> None:
        """Drag a finger from a point to another one."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": start[0], "y": start[1]}])
        for step in range(1, steps + 1):
            x, y = (one + (other - one) * step / steps for one, other in zip(start, end, strict=True))
            self.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def wheel(self, x: float, y: float, *, across: float = 0, down: float = 0) -> None:
        """Turn the mouse's wheel at a point."""
        self._mouse("mouseWheel", x, y, deltaX=across, deltaY=down)
        self.settle()

    def key(self, key: str) -> None:
        """Press and release a key: a letter, or one of Tab, Home and the arrows."""
        if key in _KEYS:
            named: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        else:
            named = {"key": key, "text": key}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)
        self.settle()

    def overflow(self) -> float:
        """By how many pixels the page is wider than its window."""
        return self.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def contrasts(self) -> list[tuple[str, float]]:
        """Each piece of text outside drawings with the contrast of its colour and its background, by WCAG: 1 to 21."""
        return [(text, ratio) for text, ratio in self.evaluate(_CONTRASTS)]

    def picture(self, width: int, height: int) -> bytes:
        """The upper left part of the page, also of what the window does not show, as PNG."""
        part = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=part, captureBeyondViewport=True, optimizeForSpeed=True)
        return base64.b64decode(shot["data"])

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def _closing(pair: tuple[int, int]) -> Any:
    """Both ends of a pipe, each of which is closed when it has been used."""
    for end in pair:
        yield end
        os.close(end)
