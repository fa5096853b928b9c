"""Write and read safetensors files whose metadata hold a checksum of every tensor and of the other metadata.

A flipped bit is then an error that names the file and the tensor, instead of another number. Files without checksums,
as earlier versions and other programs write them, are read all the same. Nothing is ever unpickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from seqexpr.errors import InputError
from seqexpr.files import atomic_path
from seqexpr.own_files import check_shape, mapping, parse_json, record, text

if TYPE_CHECKING:
    import torch

CHECKSUMS = "sha256"
"""Key of the metadata: {"metadata": {key: SHA-256}, "tensors": {name: SHA-256}} as JSON."""

_METADATA = "__metadata__"
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def save_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors, metadata and their checksums as one safetensors file, atomically.

    The same tensors and metadata make the same bytes.

    Raises:
        OSError: the file cannot be written, or the disk is full; its `filename` is `path`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sums = {
        "metadata": {key: _digest(value.encode()) for key, value in metadata.items()},
        "tensors": {name: tensor_digest(tensor) for name, tensor in stored.items()},
    }
    with atomic_path(path) as temporary:
        try:
            save_file(stored, temporary, metadata={**metadata, CHECKSUMS: json.dumps(sums, sort_keys=True)})
        except SafetensorError as problem:  # of a full disk, too
            code = _OS_ERROR.search(str(problem))
            number = int(code[1]) if code else errno.EIO
            raise OSError(number, os.strerror(number) if code else str(problem), str(path)) from None
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Put the metadata in order in place, which the library writes in another order each time.

    The header is as long as before, so that the tensors stay where they are: it may end in spaces (safetensors format
    specification, "Format").
    """
    with path.open("rb+") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        header[_METADATA] = dict(sorted(header[_METADATA].items()))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        if len(ordered) != length:
            raise RuntimeError(f"{path}: a header of {len(ordered)} bytes does not go in the place of {length}")
        file.seek(8)
        file.write(ordered)


def read_metadata(path: str | Path, expected: str) -> dict[str, str]:
    """The metadata of a safetensors file, checked, without its tensors and without torch.

    Raises:
        InputError: not a whole safetensors file, or metadata whose checksum is another.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as handle:
            return handle.metadata() or {}
    except SafetensorError as problem:
        raise InputError(path, found=f"a damaged or foreign file ({problem})", expected=expected) from None
    except (OSError, UnicodeEncodeError) as problem:
        found = problem.strerror if isinstance(problem, OSError) else "a name that is not UTF-8"
        raise InputError(path, found=found or str(problem), expected=expected) from None


def check_metadata(path: str | Path, metadata: Mapping[str, str], expected: str) -> None:
    """Check metadata against their checksums, where the file has any.

    Raises:
        InputError: an entry that was changed since.
    """
    for key, digest in _checksums(path, metadata, expected).get("metadata", {}).items():
        if _digest(metadata.get(key, "").encode("utf-8", "surrogatepass")) != digest:
            raise InputError(
                path, record=f"metadata {key!r}", found="another content than was written (SHA-256)", expected=expected
            )


def load_tensors(path: str | Path, expected: str, *, with_gaps: Collection[str] = ()) -> dict[str, torch.Tensor]:
    """All tensors of a file, checked against their checksums where it has any.

    Args:
        path: of the file; `expected` says what it is.
        with_gaps: tensors that may hold NaN; all others must be finite.

    Raises:
        InputError: not a whole safetensors file, or a tensor that was changed, is missing, or holds NaN or infinity.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    metadata = read_metadata(path, expected)
    check_metadata(path, metadata, expected)
    sums = _checksums(path, metadata, expected).get("tensors")
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError) as problem:
        raise InputError(path, found=f"a damaged file ({_first_line(problem)})", expected=expected) from None
    if sums is not None and (odd := sorted(tensors.keys() ^ sums.keys())):
        found = f"{'no tensor' if odd[0] in sums else 'a tensor'} {odd[0][:80]!r}"
        raise InputError(path, found=found, expected=f"the tensors that were written: {expected}")
    for name, tensor in tensors.items():
        where = f"tensor {name[:80]!r}"
        if sums is not None and tensor_digest(tensor) != sums[name]:
            raise InputError(path, record=where, found="other numbers than were written (SHA-256)", expected=expected)
        if tensor.is_complex():
            raise InputError(path, record=where, found="complex numbers", expected=expected)
        if tensor.is_floating_point() and name not in with_gaps and not bool(tensor.float().isfinite().all()):
            raise InputError(path, record=where, found="NaN or infinite numbers", expected=expected)
    return tensors


def check_tensors(
    path: str | Path, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], expected: str
) -> None:
    """Check that there are the tensors that a network has: by name, shape, and whether they are whole numbers.

    Raises:
        InputError: naming the first that differs, what was found and what was expected.
    """
    for name in sorted(wanted.keys() | found.keys()):
        where = f"tensor {name[:80]!r}"
        if name not in found or name not in wanted:
            described = "no such tensor" if name in wanted else "a tensor of another network"
            raise InputError(path, record=where, found=described, expected=expected)
        one, other = _kind(found[name]), _kind(wanted[name])
        if one != other:
            raise InputError(path, record=where, found=one, expected=f"{other}: {expected}")


def _kind(tensor: torch.Tensor) -> str:
    """For instance "shape (64, 15) of floats"."""
    of = "floats" if tensor.is_floating_point() else "whole numbers"
    return f"shape ({', '.join(map(str, tensor.shape))}) of {of}"


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes as they are stored."""
    import torch

    return _digest(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _checksums(path: str | Path, metadata: Mapping[str, str], expected: str) -> dict[str, dict[str, str]]:
    if CHECKSUMS not in metadata:
        return {}
    sums: dict[str, dict[str, str]] = parse_json(metadata[CHECKSUMS], path, expected, f"metadata {CHECKSUMS!r}")
    shape = record({"metadata": mapping(text), "tensors": mapping(text)})
    check_shape(sums, shape, path, expected, f"metadata {CHECKSUMS!r}")
    return sums


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
