"""Genome browser tracks of numbers: bedGraph as plain text or gzip, and bigWig."""

from __future__ import annotations

import errno
import gzip
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from seqexpr.errors import InputError, MissingDataError
from seqexpr.files import atomic_path

SUFFIXES = {"bedgraph": "bedgraph", "bedgraph.gz": "bedgraph.gz", "bigwig": "bw"}
"""What tracks are written as, and how their files' names end."""

_DIGITS = ".6g"
"""As in the tables of `predict`."""

_BLOCK = 1 << 20


def check_format(name: str) -> None:
    """Check that tracks of a format can be written here.

    Raises:
        MissingDataError: bigWig, and pybigtools is not installed; the text has the command that installs it.
    """
    if name == "bigwig":
        import_pybigtools()


def bedgraph_rows(contig: str, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> bytes:
    """Rows of bedGraph, one for each value that is not NaN.

    Args:
        contig: on which they lie.
        starts, ends: int (n,), 0-based half-open intervals.
        values: float (n,)
    """
    rows = zip(starts.tolist(), ends.tolist(), values.tolist(), strict=True)
    return "".join(
        f"{contig}\t{start}\t{end}\t{value:{_DIGITS}}\n" for start, end, value in rows if value == value
    ).encode()


def write_track(out: Path, format: str, parts: Sequence[Path], contigs: Mapping[str, int]) -> None:
    """Write a track, which appears when it is whole; the same parts give the same bytes.

    Args:
        out: where to.
        format: of `SUFFIXES`.
        parts: files of bedGraph rows, in the order of `contigs` and ascending.
        contigs: length of each contig, in the genome's order.

    Raises:
        InputError: a bigWig file without a single value, which the format does not have.
        OSError: the disk is full, or the place cannot be written.
    """
    target = Path(os.path.realpath(out))  # through a link, which a rename would replace
    with atomic_path(target) as temporary:
        if format == "bigwig":
            _write_bigwig(temporary, out, parts, contigs)
            return
        with ExitStack() as stack:
            stream: IO[bytes] = stack.enter_context(temporary.open("wb"))
            if format == "bedgraph.gz":  # without name and time of day: the same values are the same bytes
                zipped = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
                stream = stack.enter_context(io.BufferedWriter(zipped))
            for part in parts:
                with part.open("rb") as rows:
                    while block := rows.read(_BLOCK):
                        stream.write(block)


def _write_bigwig(temporary: Path, out: Path, parts: Sequence[Path], contigs: Mapping[str, int]) -> None:
    rows = _rows(parts)
    first = next(rows, None)
    if first is None:
        raise InputError(out, found="no value to write", expected="a window with known letters, else use bedgraph")
    written = temporary.with_name(f"{temporary.name}.bw")  # pybigtools tells what to write by the suffix
    try:
        import_pybigtools().open(str(written), "w").write(dict(contigs), chain([first], rows))
        written.replace(temporary)
    except OSError:
        raise
    except Exception as error:  # of a class of its own, such as for a disk that is full
        raise OSError(errno.EIO, f"pybigtools could not write it ({error})", str(out)) from error
    finally:
        written.unlink(missing_ok=True)


def _rows(parts: Sequence[Path]) -> Iterator[tuple[str, int, int, float]]:
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            for line in lines:
                contig, start, end, value = line.split("\t")
                yield contig, int(start), int(end), float(value)


def import_pybigtools() -> Any:
    """The module that writes bigWig.

    Raises:
        MissingDataError: it is not installed; the text has the command that installs it.
    """
    try:
        import pybigtools
    except ImportError:
        raise MissingDataError("bigWig needs pybigtools, which is not installed; run: pip install pybigtools") from None
    return pybigtools
