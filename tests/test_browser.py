"""The browser that tests drive: what a page does wrong must not escape it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .browser import Browser, BrowserError, find_browser


def write(path: Path, body: str, head: str = "") -> Path:
    path.write_text(f"<!DOCTYPE html><html><head><title>t</title>{head}</head><body>{body}</body></html>")
    return path


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>throw new Error('broken')</script>", "exception: Error: broken"),
        ("<script>Promise.reject(new Error('late'))</script>", "exception: Error: late"),
        ("<script>console.error('bad', 7)</script>", "console: bad 7"),
        ("<script>console.warn('hm')</script>", "console: hm"),
        ("<script>alert('hello')</script>", "dialog: hello"),
        ("<img src='absent.png' alt=''>", "log: Failed to load resource: net::ERR_FILE_NOT_FOUND"),
    ],
    ids=["exception", "rejection", "error", "warning", "dialog", "absent file"],
)
def test_faults_of_a_page_are_found(body: str, fault: str, browser: Browser, tmp_path: Path) -> None:
    (found,) = browser.open(write(tmp_path / "page.html", body)).faults
    assert found.startswith(fault)


def test_what_a_policy_forbids_is_a_fault(browser: Browser, tmp_path: Path) -> None:
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    tab = browser.open(write(tmp_path / "page.html", "<script>let a = 1</script>", policy))
    assert len(tab.faults) == 1 and "Content Security Policy" in tab.faults[0]


def test_requests_of_a_page_are_found(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "other.js").write_text("let a = 1;")
    page = write(tmp_path / "page.html", "<script src='other.js'></script>")
    tab = browser.open(page)
    assert tab.requests == [page.as_uri(), (tmp_path / "other.js").as_uri()]
    assert browser.open(write(tmp_path / "quiet.html", "")).requests == [(tmp_path / "quiet.html").as_uri()]


def test_contrasts_are_measured(browser: Browser, tmp_path: Path) -> None:
    body = "<p style='color: #fff'>white</p><p style='color: #000'>black <b style='color: #777'>grey</b></p>"
    inside = "<div style='background: #000'><p style='background: #ffffff80; color: #fff'>half</p></div>"
    tab = browser.open(write(tmp_path / "page.html", f"{body}{inside}<p hidden>hidden</p>"))
    found = {name: round(ratio, 1) for name, ratio in tab.contrasts()}
    assert found == {"white": 1, "black": 21, "grey": 4.5, "half": 4.0}


@pytest.mark.parametrize("touch", [False, True])
def test_a_page_wider_than_its_window_is_found(touch: bool, browser: Browser, tmp_path: Path) -> None:
    head = "<meta name='viewport' content='width=device-width'><style>body { margin: 0 }</style>"
    for width, over in ((380, 0), (450, 60)):
        page = write(tmp_path / "page.html", f"<p style='width: {width}px'>wide</p>", head)
        assert browser.open(page, width=390, touch=touch).overflow() == over


def test_a_program_that_is_no_browser_says_what_it_said(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho 'not installed' >&2\nexit 10\n")
    program.chmod(0o755)
    with pytest.raises(BrowserError, match=r"chromium does not start: it has ended; it said: not installed$"):
        Browser(str(program), tmp_path)


def test_a_browser_is_found_by_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_browser() is None
    for name in ("chrome", "chromium"):
        (tmp_path / name).touch(0o755)
        assert find_browser() == str(tmp_path / name)
