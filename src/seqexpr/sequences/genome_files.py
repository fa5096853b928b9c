"""What a genome FASTA needs on disk before it can be read at random: its index, and no plain gzip.

Two processes may meet here on one file: each step happens under a lock and its result appears by rename.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from filelock import FileLock

from seqexpr.errors import InputError
from seqexpr.files import atomic_path
from seqexpr.paths import cache_folder
from seqexpr.sequences.faidx import Contig, build_index, format_index, parse_index
from seqexpr.sequences.streams import read_blocks

logger = logging.getLogger(__name__)


def load_index(fasta: Path, *, shown: Path, bgzip: bool) -> dict[str, Contig]:
    """The index beside the FASTA or in the cache; built, under a lock, when there is none that fits.

    Args:
        fasta: the file that is read.
        shown: the file that the user named, for errors.
        bgzip: whether the file is bgzip.

    Raises:
        InputError: see `build_index`.
    """
    key = _key(fasta)
    places = (fasta.with_name(f"{fasta.name}.fai"), cache_folder("genomes") / f"{fasta.name}.{key}.fai")
    contigs = _read_index(places, fasta, bgzip)
    if contigs is not None:
        return contigs
    with FileLock(cache_folder("genomes") / f"{key}.lock"):
        contigs = _read_index(places, fasta, bgzip)  # another process may have built it meanwhile
        if contigs is None:
            contigs = build_index(fasta, shown=shown)
            _write_index(places, contigs)
    return contigs


def _read_index(places: tuple[Path, Path], fasta: Path, bgzip: bool) -> dict[str, Contig] | None:
    """The first index that is whole and describes this FASTA, if any."""
    status = fasta.stat()
    for place in places:
        try:
            if place.stat().st_mtime_ns < status.st_mtime_ns:
                logger.info("%s is older than its FASTA and is not used", place)
                continue
            contigs = parse_index(place.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError) as error:
            logger.info("%s is not used: %s", place, error)
            continue
        last = max(contig.byte_at(contig.length - 1) for contig in contigs.values())
        if bgzip or last < status.st_size:
            return contigs
        logger.info("%s describes a longer FASTA and is not used", place)
    return None


def _write_index(places: tuple[Path, Path], contigs: dict[str, Contig]) -> None:
    """Keep the index at the first place that can be written."""
    for place in places:
        try:
            with atomic_path(place) as temporary:
                temporary.write_text(format_index(contigs), encoding="utf-8")
            return
        except OSError as error:
            logger.info("no index is kept at %s (%s)", place, error.strerror)


def decompress_once(path: Path) -> Path:
    """A plain copy of a gzip FASTA in the cache, made by the first process that needs it.

    Raises:
        InputError: the gzip is damaged, or holds something else.
        OSError: the cache's disk is full.
    """
    target = cache_folder("genomes") / f"{Path(path.stem).stem}.{_key(path)}.fa"
    if target.exists():
        return target
    with FileLock(f"{target}.lock"):
        if target.exists():
            return target
        with atomic_path(target) as temporary, temporary.open("wb") as copy:
            for number, block in enumerate(read_blocks(path)):
                if number == 0 and not block.lstrip().startswith(b">"):
                    raise InputError(path, found="gzip of something else", expected="a genome in FASTA")
                copy.write(block)
    size = target.stat().st_size / 1e6
    logger.warning(
        "%s is gzip, which cannot be read at random: decompressed once to %s (%.0f MB); "
        "compress it with bgzip instead to save the space",
        path,
        target,
        size,
    )
    return target


def _key(path: Path) -> str:
    """Names one state of one file: another path, size or time of change gives another key."""
    status = path.stat()
    state = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:16]
