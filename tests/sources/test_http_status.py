"""Header fields that decide how a download goes on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.sources.http_status import content_range, is_web_page, retry_after


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes 100-199/200", (100, 200)),
        ("bytes 100-199/*", (100, None)),
        ("bytes */200", (None, 200)),
        ("lines 1-2/3", (None, None)),
        ("", (None, None)),
        ("bytes", (None, None)),
    ],
)
def test_content_range(value: str, expected: tuple[int | None, int | None]) -> None:
    assert content_range(value) == expected


@given(st.text())
def test_content_range_takes_any_text(value: str) -> None:
    start, total = content_range(value)
    assert (start is None or start >= 0) and (total is None or total >= 0)


def test_retry_after_in_seconds_and_as_a_date() -> None:
    assert retry_after("120") == 120.0
    assert retry_after(" 120\x1f") == 120.0
    later = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert retry_after(format_datetime(later, usegmt=True)) == pytest.approx(100, abs=30)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 -0000") == 0.0
    assert retry_after("soon") is None
    assert retry_after(None) is None


@given(st.text())
def test_retry_after_takes_any_text(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0


def test_web_pages_and_data() -> None:
    assert is_web_page(b"<!DOCTYPE html><html>")
    assert is_web_page(b"\r\n <HTML lang='en'>")
    assert not is_web_page(b"")
    assert not is_web_page(b"\x1f\x8b\x08")
    assert not is_web_page(b">gene1\nACGT")
