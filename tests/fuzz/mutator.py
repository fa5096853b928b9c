"""Damage to files: bytes, cells, and values deep inside JSON, each decided by a random generator alone."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
import zlib
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "nan", "\x1b]0;x\x07", "a\tb\n", "\ud800", [], {}, [[]], {"a": 1}, 0, -1, 1.5, -0.0),
    *(2**31, 2**63, 2**70, 10**400, 1e-320, 1e308, float("nan"), float("inf"), [1, "a"], "9" * 50, "dna", [None]),
)
ODD_CELLS = (
    *(b"", b"NA", b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"1_0", b"9" * 400, b"1.5", b'"', b"\xff", b"\0"),
    *(b"\x1b[2J", b" ", b".", b"+", b"#", b">", b"\r", b"%09", b"'", b"\xef\xbb\xbf", b"\xc2\xa0", b"\xe2\x80\xa8"),
)


def damage(data: bytes, generator: random.Random, name: str) -> bytes:
    """The file's content with one to three faults; `name` says by its suffix what it is."""
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        kinds = [_bytes, _bytes, _cell]
        if name.endswith((".json", ".jsonl")):
            kinds = [_json_lines if name.endswith("l") else _json] * 4 + [_bytes]
        elif name.endswith(".safetensors"):
            kinds = [_safetensors] * 4 + [_bytes]
        elif name.endswith(".gz"):
            kinds = [_bytes, _inside_gzip, _inside_gzip]
        data = generator.choice(kinds)(data, generator)
    return data


def _bytes(data: bytes, generator: random.Random) -> bytes:
    """Flip, drop, double, cut or insert some bytes."""
    start = generator.randrange(len(data) + 1)
    end = min(len(data), start + generator.choice((1, 1, 2, 8, 64, 1000)))
    how = generator.randrange(6)
    if how == 0 and start < len(data):
        return data[:start] + bytes([data[start] ^ 1 << generator.randrange(8)]) + data[start + 1 :]
    if how == 1:
        return data[:start] + data[end:]
    if how == 2:
        return data[:end] + data[start:end] + data[end:]
    if how == 3:
        return data[:start]
    if how == 4:
        return data[:start] + bytes(generator.randrange(256) for _ in range(4)) + data[start:]
    return data[:start] + generator.choice(ODD_CELLS) + data[end:]


def _cell(data: bytes, generator: random.Random) -> bytes:
    """Put something odd in the place of a cell, a line or a word."""
    separator = generator.choice((rb"[^\t\n]*", rb"[^\n]*\n", rb"[\w.]+"))
    places = list(re.finditer(separator, data[:200_000]))
    if not places:
        return data
    chosen = generator.choice(places)
    other = generator.choice(places)
    new = generator.choice((generator.choice(ODD_CELLS), other[0], chosen[0] * 2))
    return data[: chosen.start()] + new + data[chosen.end() :]


def _json(data: bytes, generator: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes(data, generator)
    if generator.random() < 0.03:
        return b"[" * 100_000
    return json.dumps(_odd_inside(value, generator)).encode()


def _json_lines(data: bytes, generator: random.Random) -> bytes:
    lines = data.split(b"\n")
    place = generator.randrange(len(lines))
    lines[place] = _json(lines[place], generator)
    return b"\n".join(lines)


def _odd_inside(value: Any, generator: random.Random) -> Any:
    """A copy in which one place, at any depth, holds something odd, is missing, or is a copy of its neighbour."""
    if isinstance(value, dict) and value and generator.random() < 0.85:
        key = generator.choice(sorted(value))
        how = generator.random()
        if how < 0.1:
            return {name: entry for name, entry in value.items() if name != key}
        if how < 0.15:
            return {**value, key: value[generator.choice(sorted(value))]}
        return {**value, key: _odd_inside(value[key], generator)}
    if isinstance(value, list) and value and generator.random() < 0.85:
        place = generator.randrange(len(value))
        if generator.random() < 0.15:
            return value[:place] + value[place + generator.randrange(2) :] + value[: generator.randrange(2)]
        return [*value[:place], _odd_inside(value[place], generator), *value[place + 1 :]]
    if isinstance(value, str) and value[:1] in ("{", "[") and generator.random() < 0.8:  # JSON in JSON: metadata
        return _json(value.encode(), generator).decode("utf-8", "replace")
    return generator.choice(ODD_VALUES)


def _safetensors(data: bytes, generator: random.Random) -> bytes:
    """Damage the header, or the data behind it; often without the checksums, which would see everything."""
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    except (ValueError, struct.error, RecursionError):
        return _bytes(data, generator)
    if not isinstance(header, dict):
        return _bytes(data, generator)
    if generator.random() < 0.6 and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"].pop("sha256", None)
    if generator.random() < 0.3 and body:
        body = _bytes(body, generator) if generator.random() < 0.3 else _same_length(body, generator)
    else:
        header = _odd_inside(header, generator)
    try:
        text = json.dumps(header, ensure_ascii=generator.random() < 0.9).encode()
    except UnicodeEncodeError:
        text = json.dumps(header).encode()
    text = text.ljust((len(text) + 7) // 8 * 8)
    return struct.pack("<Q", len(text)) + text + body


def _same_length(body: bytes, generator: random.Random) -> bytes:
    start = generator.randrange(len(body))
    new = generator.choice((b"\xff\xff\xff\xff", b"\x00\x00\xc0\x7f", b"\xc8", b"\x00\x00\x80\x7f"))
    return (body[:start] + new + body[start + len(new) :])[: len(body)]


def _inside_gzip(data: bytes, generator: random.Random) -> bytes:
    try:
        return gzip.compress(_bytes(gzip.decompress(data), generator), mtime=0)
    except (OSError, EOFError, ValueError, zlib.error):
        return _bytes(data, generator)
