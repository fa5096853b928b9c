"""Write records of a VCF file back with one more INFO entry, `seqexpr`, and all else as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from seqexpr.effects.variant_records import VCF_COLUMNS, VariantRecord, VcfReader, header_entries

KEY = "seqexpr"
"""The name of the INFO entry and of the header line that says which model made it."""

_INFO = 7  # place of the column
# VCF 4.3, section 1.2, forbids these within a value; | separates the parts of one of ours.
_RESERVED = re.compile(r"[\x00-\x20\x7f:;=%,|]")
_CONTIG_NAME = re.compile(r'[^\s,<>"=*][^\s,<>"]*')


class _Output(Protocol):
    def write(self, data: bytes, /) -> object: ...


class VcfOutput:
    """Writes a VCF file: its header at once, then each record with what was found about it.

    What comes from a VCF file is the same byte for byte, line ends included, but for the entry `seqexpr` and its header
    lines: those of an earlier run are replaced. Records of other sources become VCF 4.3.

    Args:
        stream: where the bytes go, compressed or not; it stays open.
        reader: the VCF file that the records are from; None for another source.
        info_lines: header lines that are added just before #CHROM, without line ends.
        contigs: lengths by name, for the header where there is no VCF file. Names that VCF does not allow in a header
            are left out of it.
    """

    def __init__(
        self,
        stream: _Output,
        reader: VcfReader | None,
        *,
        info_lines: Sequence[bytes],
        contigs: Mapping[str, int] | None = None,
    ) -> None:
        self._stream = stream
        if reader is None:
            header = [b"##fileformat=VCFv4.3\n"]
            for name, length in (contigs or {}).items():
                if _CONTIG_NAME.fullmatch(name):
                    header.append(f"##contig=<ID={name},length={length}>\n".encode("utf-8", "surrogateescape"))
            column_line = "\t".join(VCF_COLUMNS).encode() + b"\n"
        else:
            header = [line for line in reader.header if not _is_ours(line)]
            column_line = reader.column_line
        end = b"\r\n" if column_line.endswith(b"\r\n") else b"\n"
        stream.write(b"".join([*header, *(line + end for line in info_lines), column_line]))

    def write(self, record: VariantRecord, entries: Sequence[Sequence[str]]) -> None:
        """Add a record.

        Args:
            record: from `reader`, or without a line where there is no reader.
            entries: the values of the entry, which a comma separates, each with its parts, which | separates. They may
                hold any letters: those with a meaning in VCF are written as %3B and the like. None of them: the
                record has no such entry.
        """
        added = ",".join("|".join(map(encode, parts)) for parts in entries).encode("utf-8", "surrogateescape")
        if record.line is None:
            fields = [record.chrom, str(record.position), re.sub(r"\s", "_", record.id)]
            fields += [record.ref, ",".join(record.alts), ".", ".", "."]
            line = "\t".join(fields).encode("utf-8", "surrogateescape") + b"\n"
        else:
            line = record.line
        self._stream.write(_with_info(line, added))


def encode(value: str) -> str:
    """A value with the letters that mean something in VCF, and spaces, as percent and two digits."""
    return _RESERVED.sub(lambda found: f"%{ord(found[0]):02X}", value)


def _is_ours(line: bytes) -> bool:
    key = KEY.encode()
    return line.startswith(b"##" + key + b"=") or header_entries(line, b"INFO").get(b"ID") == key


def _with_info(line: bytes, added: bytes) -> bytes:
    body = line.removesuffix(b"\n").removesuffix(b"\r")
    fields = body.split(b"\t", _INFO + 1)  # FORMAT and the samples stay one piece
    key = KEY.encode()
    entries = [entry for entry in fields[_INFO].split(b";") if entry.partition(b"=")[0] != key]
    if added:
        entries = [entry for entry in entries if entry not in (b"", b".")]
        entries.append(key + b"=" + added)
    fields[_INFO] = b";".join(entries) if entries else b"."
    return b"\t".join(fields) + line[len(body) :]
