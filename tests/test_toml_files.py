from __future__ import annotations

import time
from pathlib import Path

import pytest

from seqexpr.errors import InputError
from seqexpr.toml_files import packaged_toml, read_toml


def test_packaged_settings():
    assert packaged_toml("seqexpr.models", "presets/dna-perceiver.toml")["upstream"] == 7_000


@pytest.mark.parametrize(
    ("content", "said"), [(b"a = ", "not TOML"), (b"a = '\xff'", "not TOML"), (None, "No such file")]
)
def test_files_that_are_not_toml(tmp_path, content, said):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_toml(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("betas = " + "[" * 5000 + "]" * 5000, "key 'betas': found more than 16 levels"),
        ("a = " + "[" * 30 + "]" * 30, "key 'a': found more than 16 levels"),
        ("a." * 5000 + "b = 1", "more than 16 levels"),
        ("a." * 20 + "b = 1", "more than 16 levels"),
        ("learning_rate = " + "9" * 5000, "key 'learning_rate': found a number of 5,000 digits"),
        ('a = "' + "x" * 2**20 + '"', "more than 1,048,576 bytes"),
        ("a = \x00", "not TOML"),
    ],
)
def test_content_that_would_exhaust_a_parser_is_named(tmp_path, content, said):
    (tmp_path / "r.toml").write_text(content)
    with pytest.raises(InputError, match=said):
        read_toml(tmp_path / "r.toml")


def test_time_does_not_grow_with_the_square_of_a_line(tmp_path):
    (tmp_path / "r.toml").write_text('a = "' + "x" * 1_000_000 + '"')
    begin = time.process_time()
    assert len(read_toml(tmp_path / "r.toml")["a"]) == 1_000_000
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("digits", ["0x" + "f" * 5000, "0b" + "1" * 65, "[1, 0x1ffffffffffffffff]"])
def test_a_number_beyond_64_bits_is_named(tmp_path, digits):
    (tmp_path / "r.toml").write_text(f"[model]\nlatents = {digits}\n")
    with pytest.raises(InputError, match=r"key 'model.latents': found a number beyond 64 bits"):
        read_toml(tmp_path / "r.toml")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
def test_a_device_that_never_ends_is_refused():
    with pytest.raises(InputError, match="more than 1,048,576 bytes"):
        read_toml("/dev/zero")
