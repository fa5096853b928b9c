"""What a genome FASTA needs on disk before pyfaidx can read it at random: plain text, and an index that fits.

Two processes may meet here on one file: each step happens under a lock and its result appears by rename.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock

from seqexpr.errors import InputError
from seqexpr.files import atomic_path
from seqexpr.paths import cache_folder
from seqexpr.sequences.streams import GZIP_MAGIC, open_input, read_blocks

if TYPE_CHECKING:
    from pyfaidx import Faidx

logger = logging.getLogger(__name__)

_COMPRESSED_NAMES = (".gz", ".bgz", ".bz2", ".zip")  # pyfaidx goes by these, whatever the content
_LONGEST_HEADER = 1 << 16  # bytes
_LONGEST_LOOK = 1 << 20  # bytes of a first line that are looked at
_UNFORESEEN = re.compile(r"at entry (\S+?)Please report")
_UNEVEN_LINES = re.compile(r"Inconsistent line found in >(\S+)")


def plain_fasta(path: Path) -> Path:
    """The file itself when it is plain text, else a decompressed copy in the cache.

    bgzip, too, is decompressed: reading windows from it at random takes 5 to 8 times as long.

    Raises:
        InputError: absent, empty, not FASTA, or gzip that is damaged.
        OSError: the cache's disk is full.
    """
    with open_input(path) as handle:
        compressed = handle.read(2) == GZIP_MAGIC
    start = next(read_blocks(path), b"").lstrip()
    if not start.startswith(b">"):
        found = "text before the first '>'" if start else "an empty file"
        raise InputError(path, found="gzip of something else" if compressed else found, expected="a genome in FASTA")
    if compressed or path.name.lower().endswith(_COMPRESSED_NAMES):
        return _decompress_once(path)
    return path


def ensure_index(fasta: Path, *, shown: Path) -> Path:
    """The `.fai` index beside the FASTA, or in the cache; built, under a lock, when there is none that fits.

    Args:
        fasta: the plain file that is read.
        shown: the file that the user named, for errors.

    Raises:
        InputError: lines of different lengths within a contig (then no base could be found by arithmetic), a
            contig without name or letters, a name twice, or bytes that are not text.
        OSError: the index can be written nowhere.
    """
    key = _key(fasta)
    beside = fasta.with_name(f"{fasta.name}.fai")
    cached = cache_folder("genomes") / f"{fasta.name}.{key}.fai"
    index = _fitting_index(fasta, beside, cached)
    if index is None:
        with FileLock(cache_folder("genomes") / f"{key}.lock"):
            index = _fitting_index(fasta, beside, cached)  # another process may have built it meanwhile
            if index is None:
                index = _build_index(fasta, beside, cached, shown)
    return index


def open_indexed(fasta: Path, index: Path) -> Faidx:
    """A reader for one process; it never writes an index.

    Raises:
        ValueError: the index is damaged, or names a contig twice.
        OSError: a file is absent or cannot be read.
    """
    from pyfaidx import Faidx

    return Faidx(fasta, indexname=index, as_raw=True, build_index=False)


def _fitting_index(fasta: Path, beside: Path, cached: Path) -> Path | None:
    """The first index that is not older than the FASTA and describes it, if any."""
    for index in (beside, cached):
        if not index.is_file():
            continue
        try:
            # The cached one needs no look at the time: its name holds that of the FASTA.
            if index == beside and index.stat().st_mtime_ns < fasta.stat().st_mtime_ns:
                logger.info("%s is older than its FASTA and is not used", index)
                continue
            with open_indexed(fasta, index) as reader:
                if reader.index and _misplaced_contig(reader) is None:
                    return index
            logger.info("%s does not describe its FASTA and is not used", index)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            logger.info("%s is not used: %s", index, error)
    return None


def _build_index(fasta: Path, beside: Path, cached: Path, shown: Path) -> Path:
    """Build the index at the first of two places that can be written."""
    try:
        return _build_index_at(beside, fasta, shown)
    except OSError as error:
        reason = error.strerror or error
        logger.info("the genome's index goes to %s, for %s cannot be written (%s)", cached, beside, reason)
    return _build_index_at(cached, fasta, shown)


def _build_index_at(index: Path, fasta: Path, shown: Path) -> Path:
    from pyfaidx import Faidx, FastaIndexingError

    for block in read_blocks(fasta):
        if not block.isascii():  # pyfaidx counts characters, and a base is looked for by its byte
            raise InputError(shown, found="bytes that are not text", expected="a genome in FASTA")
    with atomic_path(index) as temporary:
        temporary.unlink()  # pyfaidx builds only what is not there
        try:
            with Faidx(fasta, indexname=temporary) as reader:
                empty = next((name for name, contig in reader.index.items() if not contig.rlen), None)
                uneven = _misplaced_contig(reader)
        except FastaIndexingError as error:
            raise _not_indexable(shown, error) from None
        except (RuntimeError, IndexError, KeyError) as error:  # of pyfaidx, for what it did not foresee
            raise _not_indexable(shown, error) from None
        except UnicodeDecodeError:
            raise InputError(shown, found="bytes that are not text", expected="a genome in FASTA") from None
        except ValueError as error:
            raise InputError(shown, found=f"contig names that repeat ({error})", expected="each name once") from None
        if empty is not None:
            raise InputError(
                shown,
                record=f"contig {empty!r}",
                found="no sequence",
                expected="lines of letters after the header",
            )
        if uneven is not None:
            raise _uneven_lines(shown, uneven)
    return index


def _misplaced_contig(reader: Faidx) -> str | None:
    """The first contig that is not where its index has it.

    An index may belong to another state of the file; and pyfaidx accepts a last line that is longer than the
    others, whose letters it would then look for in wrong places.
    """
    file = reader.file
    previous = None
    for name, contig in reader.index.items():
        if contig.rlen < 1 or contig.lenc < 1:
            return name
        file.seek(max(contig.prev_bend, contig.offset - _LONGEST_HEADER))
        if previous is not None and (_next_record(file, reader.index[previous]) or b"")[:1] != b">":
            return previous
        file.seek(max(contig.prev_bend, contig.offset - _LONGEST_HEADER))
        header = file.read(max(contig.offset - file.tell(), 0)).rstrip(b"\r\n").rpartition(b"\n")[2]
        if header[:1] != b">" or header[1:].split()[:1] != [name.encode()]:
            return previous or name  # the one before reaches into this header
        if not _lies_as_promised(file, contig):
            return name
        previous = name
    file.seek(0, 2)
    if previous is not None and _next_record(file, reader.index[previous]) is not None:
        return previous  # the file goes on with contigs that the index does not know
    return None


def _lies_as_promised(file: BinaryIO, contig: Any) -> bool:
    """Whether lines end where the index says, and the last base is the last one before the next contig."""
    ends = contig.lenb - contig.lenc
    whole = min(contig.lenc, contig.rlen)
    file.seek(contig.offset)
    first = file.read(min(whole, _LONGEST_LOOK))
    if len(first) < min(whole, _LONGEST_LOOK) or b"\n" in first or b"\r" in first:
        return False
    if contig.rlen > contig.lenc:
        file.seek(contig.offset + contig.lenc)
        if file.read(ends).strip(b"\r\n") or not 1 <= ends <= 2:
            return False
    file.seek(_last_base(contig))
    last = file.read(1)
    if not last or last in b"\r\n":
        return False
    following = file.read(2)
    return following in (b"", b"\n", b"\r") or following[:1] == b"\n" or following == b"\r\n"


def _last_base(contig: Any) -> int:
    whole: int = (contig.rlen - 1) // contig.lenc * contig.lenb
    return int(contig.offset + whole + (contig.rlen - 1) % contig.lenc)


def _next_record(file: BinaryIO, contig: Any) -> bytes | None:
    """What follows the last base of a contig, but for white space; None at the end of the file."""
    file.seek(_last_base(contig) + 1)
    while block := file.read(1 << 12):
        if rest := block.strip():
            return rest
    return None


def _not_indexable(shown: Path, error: Exception) -> InputError:
    uneven = _UNEVEN_LINES.search(str(error))
    if uneven:
        return _uneven_lines(shown, uneven[1])
    unforeseen = _UNFORESEEN.search(str(error))
    if unforeseen:
        return _uneven_lines(shown, unforeseen[1])
    return InputError(
        shown,
        found=f"text that cannot be indexed ({error})",
        expected="'>' and the contig's name, then letters",
    )


def _uneven_lines(shown: Path, contig: str) -> InputError:
    return InputError(
        shown,
        record=f"contig {contig!r}",
        found="lines of different lengths, or blank ones",
        expected="lines of one length, as random access needs (seqkit seq -w 60)",
    )


def _decompress_once(path: Path) -> Path:
    """A plain copy in the cache, made by the first process that needs it."""
    target = cache_folder("genomes") / f"{Path(path.stem).stem}.{_key(path)}.fa"
    if target.exists():
        return target
    with FileLock(f"{target}.lock"):
        if target.exists():
            return target
        with atomic_path(target) as temporary, temporary.open("wb") as copy:
            for block in read_blocks(path):
                copy.write(block)
    logger.warning(
        "%s is compressed, which is slow to read at random: decompressed once to %s (%.0f MB)",
        path,
        target,
        target.stat().st_size / 1e6,
    )
    return target


def _key(path: Path) -> str:
    """Names one state of one file: another path, size or time of change gives another key."""
    status = path.stat()
    state = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:16]
