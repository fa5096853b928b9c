"""Read the records of GenBank and EMBL files through Biopython, with one clear line for whatever is damaged."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqexpr.errors import InputError
from seqexpr.sequences.feature_lines import LeftOut, has_control, text
from seqexpr.sequences.streams import read_lines

SeqRecord = Any  # of Biopython, whose attributes are optional to the type checker and set by its parsers
SeqFeature = Any

_KINDS = {b"LOCUS": "genbank", b"ID": "embl"}
_END = b"//"
_MOST_HEADER_LINES = 100
"""Lines before the first record: NCBI's release files have ten."""
_LENGTH = re.compile(rb"\s([0-9]{1,18}) (bp|aa|rc)\b", re.IGNORECASE)
_NO_NAME = ("", ".", "<unknown id>", "<unknown name>")
_ORGANELLES = {"mitochondrion": "MT", "plastid": "PT", "chloroplast": "PT"}


@dataclass(frozen=True)
class GenbankRecord:
    """One record that has a sequence."""

    name: str
    """Accession with version, else the LOCUS name."""
    letters: bytes
    """Upper case."""
    circular: bool
    organelle: str
    """"MT", "PT", or "" where the source names neither."""
    features: list[SeqFeature]


def read_records(path: str | Path, left_out: LeftOut) -> Iterator[GenbankRecord]:
    """Read a file's records, gzipped or not; "-" is standard input. Records without DNA are left out.

    Raises:
        InputError: neither GenBank nor EMBL, or a record that is damaged or cut short.
    """
    number = 0
    for number, (lines, ended) in enumerate(_divided(path), start=1):
        kind = _kind(lines[0])
        words = text(lines[0]).split()
        shown = f"record {number:,} {words[1].rstrip(';')!r}" if len(words) > 1 else f"record {number:,}"
        declared = _LENGTH.search(lines[0])
        if declared is not None and declared[2].lower() == b"aa":
            left_out.add("records of proteins (GenPept)", shown)
            continue
        parsed = _parsed(path, shown, kind, lines)
        letters = _letters(parsed)
        length = None if declared is None else int(declared[1])
        if letters and length not in (None, len(letters)):
            raise InputError(
                path, record=shown, found=f"{len(letters):,} bases",
                expected=f"{length:,}, as its {words[0]} line says (is the file cut short?)",
            )  # fmt: skip
        if not ended and (length is None or not letters):
            raise InputError(
                path, record=shown, found="the end of the file within the record (is it cut short?)",
                expected="// at the record's end",
            )  # fmt: skip
        if not letters:
            left_out.add("records without a sequence (GenBank's full format has it, behind ORIGIN)", shown)
            continue
        yield GenbankRecord(
            _name(path, shown, parsed, number),
            letters,
            parsed.annotations.get("topology") == "circular",
            _organelle(parsed),
            parsed.features,
        )


def _divided(path: str | Path) -> Iterator[tuple[list[bytes], bool]]:
    """The lines of each record, the last one `//`, and whether the file has that line itself."""
    lines: list[bytes] = []
    before = 0
    first = b""
    for _, line in read_lines(path):
        if lines and line.rstrip() == _END:
            yield [*lines, _END], True
            lines = []
        elif lines:
            if _kind(line) == "genbank":  # the next record, without an end of this one
                yield [*lines, _END], False
                lines = []
            lines.append(line)
        elif _kind(line.lstrip()):
            lines.append(line.lstrip())
            before = -1
        elif before >= 0 and line.strip():
            first = first or line.strip()
            before += 1
            if before == _MOST_HEADER_LINES:
                break
    if lines:
        yield [*lines, _END], False
    elif before >= 0:
        found = f"a start of {text(first[:40])!r}" if first else "an empty file"
        raise InputError(path, found=found, expected="GenBank (LOCUS) or EMBL (ID) records")


def _kind(line: bytes) -> str:
    """The format of the record that a line begins; "" where it begins none."""
    word = line[:6].split(b" ")[0] if line[:6].count(b" ") else b""
    return _KINDS.get(word, "")


def _parsed(path: str | Path, shown: str, kind: str, lines: list[bytes]) -> SeqRecord:
    from Bio.GenBank.Scanner import EmblScanner, GenBankScanner

    scanner: Any = EmblScanner() if kind == "embl" else GenBankScanner()
    parse_feature = scanner.parse_feature

    def parse_or_mark(key: str, of_feature: list[str]) -> tuple[str, str, list[tuple[str, str]]]:
        """One damaged feature refuses nothing else: it gets a location that cannot be read."""
        try:
            return parse_feature(key, of_feature)
        except (ValueError, AssertionError, IndexError, StopIteration):
            return key, "?", [("label", repr(of_feature[0].strip()[:40]) if of_feature else "''")]

    scanner.parse_feature = parse_or_mark
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Biopython warns of what it mends; lengths are checked by the caller
        try:
            record = scanner.parse(io.StringIO(text(b"\n".join([*lines, b""]))))
        except UnicodeError:
            record, found = None, "bytes that are not text where the sequence is"
        except Exception as error:  # Biopython raises whatever a damaged line gives rise to
            said = " ".join(str(error).split())[:100]
            record, found = None, "a record that cannot be read" + (f" ({said})" if said else "")
        else:
            found = "no record"  # a first line without a name
    if record is not None:
        return record
    raise InputError(path, record=shown, found=found, expected=f"an intact {kind} record")


def _letters(record: SeqRecord) -> bytes:
    """Upper-case letters; none where the record gives none."""
    from Bio.Seq import UndefinedSequenceError

    try:
        return bytes(record.seq).upper()
    except UndefinedSequenceError:
        return b""


def _name(path: str | Path, shown: str, record: SeqRecord, number: int) -> str:
    name = next((name for name in (record.id, record.name) if name not in _NO_NAME), f"record_{number}")
    if has_control(name):
        raise InputError(path, record=shown, found=f"the name {name!r}", expected="a name without control characters")
    return "_".join(name.split()) or f"record_{number}"


def _organelle(record: SeqRecord) -> str:
    for feature in record.features:
        if feature.type == "source" and (given := feature.qualifiers.get("organelle", [""])[0].lower()):
            return next((kind for word, kind in _ORGANELLES.items() if given.startswith(word)), "")
    return ""
