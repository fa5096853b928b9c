"""FASTA records as a stream: plain, gzip or bgzip, a file or standard input.

The format is Pearson's: a line ">id description", then lines of sequence. Memory is one record, one block
and a 64-bit digest per id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqexpr.errors import InputError
from seqexpr.sequences.streams import BYTE_ORDER_MARK, read_blocks

_WHITE_SPACE = b" \t\r\n\v\f"
# NCBI's merged headers (nr) separate their parts by 0x01, so this one control byte is let pass.
_CONTROL = re.compile(rb"[\x00\x02-\x08\x0a-\x1f\x7f]")
_UNIPROT = re.compile(r"(?:sp|tr)\|([A-Z0-9]+(?:-[0-9]+)?)\|\S*")


@dataclass(frozen=True, slots=True)
class FastaRecord:
    """One record of a FASTA file."""

    id: str
    """The first word of the header."""
    description: str
    """The rest of the header."""
    sequence: bytes
    """The letters as they are in the file, without white space."""
    number: int
    """The record's place in the file, from 1."""


def read_fasta(path: str | Path) -> Iterator[FastaRecord]:
    """The records of a FASTA file, in order.

    Args:
        path: the file, or "-" for standard input.

    Raises:
        InputError: absent, a folder, empty, not FASTA, damaged gzip, or a record that has no id, an id seen
            before, no sequence, control bytes, or a header that is not UTF-8.
    """
    seen: set[int] = set()
    number = 0
    for number, (header, parts) in enumerate(_split_records(path), start=1):
        id_, description = _parse_header(path, number, header)
        sequence = _join_sequence(path, f"record {number:,} {id_!r}", parts)
        digest = hash(id_)  # 64 bits, keyed afresh in each process: a clash in 10^6 ids has odds of 10^-7
        if digest in seen:
            raise InputError(path, record=f"record {number:,} {id_!r}", found="the id of an earlier record",
                             expected="each id once")  # fmt: skip
        seen.add(digest)
        yield FastaRecord(id_, description, sequence, number)
    if not number:
        raise InputError(path, found="an empty file", expected="FASTA records")


def uniprot_accession(id: str) -> str:
    """The accession in a UniProt FASTA id ("sp|O43657|TSN6_HUMAN" -> "O43657"); other ids unchanged."""
    match = _UNIPROT.fullmatch(id)
    return match[1] if match else id


def _split_records(path: str | Path) -> Iterator[tuple[bytes, list[bytes]]]:
    """(header without ">", pieces of the sequence's lines) of each record.

    Works by `find` on whole blocks. `header` collects an unfinished header; a newline that ends a block is
    kept back for the next, so that the separator "\\n>" is never cut in two.
    """
    header: list[bytes] = []
    parts: list[bytes] = []
    in_header = started = False
    carry = b""
    for block in read_blocks(path):
        data = carry + block if carry else block
        carry = b""
        at = 0
        if not started:
            data = data.removeprefix(BYTE_ORDER_MARK).lstrip(_WHITE_SPACE)
            if not data or BYTE_ORDER_MARK.startswith(data):
                carry = data
                continue
            _check_start(path, data)
            started = in_header = True
            at = 1
        while True:
            if in_header:
                end = data.find(b"\n", at)
                if end < 0:
                    header.append(data[at:])
                    break
                header.append(data[at:end])
                in_header = False
                at = end  # the newline stays: a next ">" right behind it starts another record
            end = data.find(b"\n>", at)
            if end < 0:
                end = len(data) - data.endswith(b"\n")
                parts.append(data[at:end])
                carry = data[end:]
                break
            parts.append(data[at:end])
            yield b"".join(header), parts
            header, parts, in_header = [], [], True
            at = end + 2
    if started:
        yield b"".join(header), parts
    elif carry:
        _check_start(path, carry)


def _check_start(path: str | Path, data: bytes) -> None:
    if not data.startswith(b">"):
        shown = data[:20].split(b"\n")[0].decode("ascii", "backslashreplace")
        raise InputError(path, found=f"a start of '{shown}'", expected="FASTA, which starts with '>'")


def _parse_header(path: str | Path, number: int, header: bytes) -> tuple[str, str]:
    header = header.strip(_WHITE_SPACE)
    record = f"record {number:,}"
    if match := _CONTROL.search(header):
        raise InputError(path, record=record, found=f"control byte 0x{match[0][0]:02x} in the header",
                         expected="text")  # fmt: skip
    if not header:
        raise InputError(path, record=record, found="a header without an id", expected="'>id description'")
    try:
        id_, _, description = header.replace(b"\t", b" ").decode("utf-8").partition(" ")
    except UnicodeDecodeError:
        shown = header[:40].decode("ascii", "backslashreplace")
        raise InputError(path, record=record, found=f"header '{shown}'", expected="UTF-8 text") from None
    return id_, description.strip()


def _join_sequence(path: str | Path, record: str, parts: list[bytes]) -> bytes:
    sequence = parts[0] if len(parts) == 1 else b"".join(parts)
    # The usual file has only newlines to take out: `replace` finds them many times faster than `translate`.
    sequence = sequence.replace(b"\n", b"")
    letters = np.frombuffer(sequence, dtype=np.uint8)
    if letters.size and letters.min() <= 0x20:
        sequence = sequence.translate(None, _WHITE_SPACE)
        letters = np.frombuffer(sequence, dtype=np.uint8)
    if not letters.size:
        raise InputError(path, record=record, found="no sequence", expected="lines of letters after the header")
    if letters.min() <= 0x20 or letters.max() >= 0x7F:
        at = int(np.argmax((letters <= 0x20) | (letters >= 0x7F)))
        raise InputError(path, record=record, found=f"byte 0x{letters[at]:02x} at position {at + 1:,}",
                         expected="letters")  # fmt: skip
    return sequence
