"""Variants as their sources give them: records of a VCF file, rows of a table, or text such as chr1:123:A:G.

Records come one at a time, in the order of the source, whatever they say: symbolic alleles, breakends, a POS of 0 or a
REF of N are no faults of a file; `allele_text` says what they mean. Only a file that is not in its format is an error.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike

from seqexpr.errors import InputError, UsageError
from seqexpr.sequences.feature_lines import MOST_DIGITS
from seqexpr.sequences.streams import BYTE_ORDER_MARK, read_blocks, read_lines

VCF_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
"""The columns of every VCF file."""

_BCF_MAGIC = (b"BCF\x02", b"BCF\x04")
_SHOWN = 40  # characters of a field that a message shows


@dataclass(frozen=True, slots=True)
class Genotype:
    """The alleles of one sample at one record."""

    alleles: tuple[int | None, ...]
    """0 = REF, 1 = the first ALT, None = unknown; in the order of the haplotypes where `phased`. () without a GT."""
    phased: bool
    """Whether it is known which haplotype each allele is on; true of a single allele."""
    phase_set: str | None
    """PS: only genotypes of the same set are phased with each other; None where the file does not say."""


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """A variant: one REF and the alleles instead of it."""

    number: int
    """1 = the first record of its source."""
    chrom: str
    position: int
    """POS, 1-based: the first letter of REF. 0 is the telomere before the first base."""
    id: str
    """"." where there is none."""
    ref: str
    """As written, in upper or lower case."""
    alts: tuple[str, ...]
    """As written; ("*",), (".",) and ("<DEL>",) included."""
    line: bytes | None = field(default=None, repr=False)
    """The line of a VCF file with its end; None for other sources."""
    file: str = "variant"
    """Where the record is from, for messages."""
    line_number: int | None = None
    """1 = the first line of that file; None where it has no lines."""

    def genotypes(self, samples: Sequence[int]) -> list[Genotype]:
        """The genotypes in samples' columns; `samples` are indices into `VcfReader.samples`.

        Raises:
            InputError: a GT that is none, or names an ALT that is not there.
        """
        assert self.line is not None
        fields = _without_end(self.line).split(b"\t")  # FORMAT is field 8
        keys = fields[8].split(b":")
        return [self._genotype(keys, fields[9 + sample]) for sample in samples]

    def _genotype(self, keys: Sequence[bytes], field: bytes) -> Genotype:
        values = dict(zip(keys, field.split(b":"), strict=False))
        phase_set = values.get(b"PS", b".")
        text = values.get(b"GT")
        alleles, phased = ((), False) if text is None else self._alleles(text)
        return Genotype(alleles, phased, None if phase_set in (b"", b".") else _readable(phase_set))

    @property
    def end(self) -> int:
        """0-based, half-open end of what the record is about: of REF, or of a symbolic allele that says its end."""
        ends = [self.position - 1 + len(self.ref), whole_or_zero(self.info("END") or "")]
        lengths = (self.info("SVLEN") or "").split(",")
        return max([*ends, *(self.position + whole_or_zero(length.lstrip("-")) for length in lengths if length)])

    def info(self, key: str) -> str | None:
        """The value of an INFO entry; "" for a key without a value, None where the entry is absent."""
        if self.line is None:
            return None
        for entry in _without_end(self.line).split(b"\t", 8)[7].split(b";"):
            name, _, value = entry.partition(b"=")
            if name == key.encode():
                return _readable(value)
        return None

    def error(self, found: str, expected: str) -> InputError:
        """The error about this record."""
        place = f"record {self.number:,}" if self.line_number is None else f"line {self.line_number:,}"
        return InputError(self.file, record=place, found=found, expected=expected)

    def _alleles(self, text: bytes) -> tuple[tuple[int | None, ...], bool]:
        # VCF 4.4 may put the phasing of the first allele before it: /0|1
        parts = re.split(rb"[/|]", text[1:] if text[:1] in (b"/", b"|") else text)
        alleles = []
        for part in parts:
            known = part.isdigit() and len(part) <= MOST_DIGITS
            if part != b"." and not (known and int(part) <= len(self.alts)):
                expected = f"alleles of 0 to {len(self.alts)} or . with / or | between"
                raise self.error(f"GT {_shown(text)}", expected)
            alleles.append(int(part) if known else None)
        return tuple(alleles), b"/" not in text


class VcfReader:
    """Reads a VCF 4 file: the header at once, then its records, once and in order, in flat memory.

    Args:
        path: plain, gzip or bgzip; "-" is standard input.

    Raises:
        InputError: the file cannot be read, is no VCF, or has no header. Iterating raises it for a record that has too
            few or too many columns, an empty field, text that is not UTF-8, or a POS that is no number.
    """

    header: list[bytes]
    """The lines that start with ##, with their ends."""
    column_line: bytes
    """The line that starts with #CHROM, with its end."""
    columns: tuple[str, ...]
    samples: tuple[str, ...]
    contig_lengths: dict[str, int]
    """Of the contigs whose ##contig line gives a length."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self._file = str(path)
        self._lines = _numbered(self._file, _vcf_blocks(self._file))
        self.header = []
        self._read_header()
        self.contig_lengths = dict(filter(None, map(_contig_length, self.header)))

    def __iter__(self) -> Iterator[VariantRecord]:
        number = 0
        for line_number, line in self._lines:
            if not line.isspace():
                number += 1
                yield self._record(number, line_number, line)

    def _read_header(self) -> None:
        for number, line in self._lines:
            if line.startswith(b"##"):
                self._check_version(number, line)
                self.header.append(line)
            elif line.startswith(b"#"):
                self._read_columns(number, line)
                return
            elif not line.isspace():
                found = f"{_shown(line)} before any line that starts with #CHROM"
                raise self._error(number, found, "a VCF file: lines with ##, one with #CHROM, and records")
        found = "no line that starts with #CHROM" if self.header else "an empty file"
        raise InputError(self._file, found=found, expected="a VCF file with its header")

    def _check_version(self, number: int, line: bytes) -> None:
        key, _, version = line.rstrip().partition(b"=")
        if key == b"##fileformat" and not version.startswith(b"VCFv4."):
            raise self._error(number, f"the format {_shown(version)}", "VCFv4.0 or newer")

    def _read_columns(self, number: int, line: bytes) -> None:
        fields = _without_end(line).split(b"\t")
        if tuple(fields[:8]) != tuple(name.encode() for name in VCF_COLUMNS):
            spaces = tuple(line.decode("utf-8", "replace").split()[:8]) == VCF_COLUMNS
            found = "columns that spaces separate" if spaces else f"the columns {_shown(b' '.join(fields[:8]))}"
            raise self._error(number, found, f"{' '.join(VCF_COLUMNS)}, separated by tabs")
        if len(fields) > 8 and fields[8] != b"FORMAT":
            raise self._error(number, f"the column {_shown(fields[8])} after INFO", "FORMAT before the samples")
        self.column_line = line
        self.columns = tuple(self._text(number, "a column's name", name) for name in fields)
        self.samples = self.columns[9:]
        seen = set()
        for name in self.samples:
            if not name or name in seen:
                found = f"the sample {name!r} twice" if name else "a sample without a name"
                raise self._error(number, found, "samples' names that are all different")
            seen.add(name)

    def _record(self, number: int, line_number: int, line: bytes) -> VariantRecord:
        if line.startswith(b"#"):
            expected = "one header, before all records: bcftools concat joins files"
            raise self._error(line_number, f"{_shown(line)} among the records", expected)
        columns = line.count(b"\t") + 1
        # Files without samples may have FORMAT in the header and none in the records.
        fewest = len(self.columns) if self.samples else len(VCF_COLUMNS)
        if not fewest <= columns <= len(self.columns):
            spaces = columns == 1 and len(line.split()) >= fewest
            raise self._error(
                line_number,
                "columns that spaces separate" if spaces else f"{columns:,} column{'s' * (columns > 1)}",
                f"{len(self.columns):,} columns separated by tabs, as in the #CHROM line",
            )
        chrom, position, id, ref, alt, _ = line.split(b"\t", 5)
        if not position.isdigit() or len(position) > MOST_DIGITS:
            raise self._error(line_number, f"POS {_shown(position)}", "a whole number, 0 or more")
        alts = self._text(line_number, "ALT", alt).split(",")
        if "" in alts:
            raise self._error(line_number, f"an empty allele in ALT {_shown(alt)}", "alleles separated by commas")
        return VariantRecord(
            number,
            self._text(line_number, "CHROM", chrom),
            int(position),
            self._text(line_number, "ID", id),
            self._text(line_number, "REF", ref),
            tuple(alts),
            line,
            self._file,
            line_number,
        )

    def _text(self, line_number: int, name: str, data: bytes) -> str:
        if not data:
            raise self._error(line_number, f"{name} without a value", "a value, or . for a missing one")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self._error(line_number, f"{name} {_shown(data)}", "text in UTF-8") from None

    def _error(self, line_number: int, found: str, expected: str) -> InputError:
        return InputError(self._file, record=f"line {line_number:,}", found=found, expected=expected)


class VariantTable:
    """Reads a table of variants, a row for each: the header at once, then its rows, once and in order, in flat memory.

    The header has `chrom`, `pos`, `ref`, `alt` and perhaps `id`, in any order and case, separated by tabs or commas;
    other columns are left out. `alt` may hold several alleles with commas between. Lines with ## before the header are
    left out, and the header itself may start with #.

    Args:
        path: plain, gzip or bgzip; "-" is standard input.

    Raises:
        InputError: the file cannot be read, or has no such header. Iterating raises it for a row with more or fewer
            cells than the header, an empty cell, or a `pos` that is no number.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._file = str(path)
        self._lines = read_lines(path)
        number, header = self._header()
        self._separator = "\t" if "\t" in header else ","
        names = [name.strip().lower() for name in self._cells(number, header)]
        self._width = len(names)
        self._places = {name: names.index(name) for name in (*_TABLE_COLUMNS, "id") if name in names}
        if absent := [name for name in _TABLE_COLUMNS if name not in names]:
            found = f"no column {', '.join(absent)}, but {', '.join(names)}"
            raise self._error(number, found, "the columns chrom, pos, ref and alt, separated by tabs or commas")
        if repeated := [name for name in self._places if names.count(name) > 1]:
            raise self._error(number, f"the column {repeated[0]} twice", "each column once")

    def __iter__(self) -> Iterator[VariantRecord]:
        number = 0
        for line_number, line in self._lines:
            if line and not line.isspace():
                number += 1
                yield self._record(number, line_number, self._decoded(line_number, line))

    def _header(self) -> tuple[int, str]:
        for number, line in self._lines:
            if line and not line.isspace() and not line.startswith(b"##"):
                return number, self._decoded(number, line).removeprefix("#")
        raise InputError(self._file, found="no row", expected="a table with the columns chrom, pos, ref and alt")

    def _record(self, number: int, line_number: int, line: str) -> VariantRecord:
        cells = self._cells(line_number, line)
        if len(cells) != self._width:
            found = f"{len(cells)} cells"
            raise self._error(line_number, found, f"{self._width}, as in the header; cells with commas in quotes")
        named = {name: cells[place].strip() for name, place in self._places.items()}
        for name in _TABLE_COLUMNS:
            if not named[name] or len(named[name].split()) > 1:
                found = f"{name} {named[name][:_SHOWN]!r}" if named[name] else f"an empty {name}"
                raise self._error(line_number, found, "a value without spaces in each of chrom, pos, ref and alt")
        if named["chrom"].startswith("#"):
            raise self._error(line_number, f"chrom {named['chrom'][:_SHOWN]!r}", "the name of a contig")
        position = named["pos"]
        if not _is_number(position):
            raise self._error(line_number, f"pos {position[:_SHOWN]!r}", "a whole number, 0 or more")
        alts = tuple(named["alt"].split(","))
        if "" in alts:
            found = f"an empty allele in alt {named['alt'][:_SHOWN]!r}"
            raise self._error(line_number, found, "alleles separated by commas")
        id = named.get("id") or "."
        return VariantRecord(
            number, named["chrom"], int(position), id, named["ref"], alts, None, self._file, line_number
        )

    def _cells(self, line_number: int, line: str) -> list[str]:
        if '"' not in line:  # most lines; and the csv module takes no cell of more than 131,072 letters
            return line.split(self._separator)
        try:
            return next(csv.reader([line], delimiter=self._separator))
        except csv.Error as problem:
            raise self._error(line_number, str(problem), "cells with quotes around or none") from None

    def _decoded(self, line_number: int, line: bytes) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise self._error(line_number, _shown(line), "text in UTF-8") from None

    def _error(self, line_number: int, found: str, expected: str) -> InputError:
        return InputError(self._file, record=f"line {line_number:,}", found=found, expected=expected)


_TABLE_COLUMNS = ("chrom", "pos", "ref", "alt")

_ALLELE = r"(?:[A-Za-z]+|[*.]|<[^<>\s]+>)"
# The name of a contig may hold colons and hyphens, so it takes all that the other three leave.
_SPELLINGS = [
    re.compile(rf"(?P<chrom>[^\s#]\S*){before}(?P<pos>[0-9]+){between}(?P<alt>{_ALLELE}(?:,{_ALLELE})*)")
    for before, between in (
        (":", rf":(?P<ref>{_ALLELE}):"),
        ("-", rf"-(?P<ref>{_ALLELE})-"),
        (":", rf"\s*(?P<ref>{_ALLELE})>"),
    )
]


def parse_variant(text: str, number: int = 1) -> VariantRecord:
    """The variant that a text spells: `chr1:123:A:G`, `chr1-123-A-G`, `chr1:123A>G` or `chr1:123 A>G`.

    Positions are 1-based, REF comes before ALT, and several ALTs have commas between.

    Args:
        text: as a user gives it; spaces around it are left out.
        number: of the record that comes of it.

    Raises:
        UsageError: the text has none of these forms.
    """
    for spelling in _SPELLINGS:
        if (found := spelling.fullmatch(text.strip())) and _is_number(found["pos"]):
            alts = tuple(found["alt"].split(","))
            return VariantRecord(number, found["chrom"], int(found["pos"]), ".", found["ref"], alts)
    shown = text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}..."
    raise UsageError(f"variant {shown!r}: write CHROM:POS:REF:ALT with the bases themselves, such as chr1:123:A:G")


def header_entries(line: bytes, key: bytes) -> dict[bytes, bytes]:
    """The entries of a header line such as ##contig=<ID=chr1,length=5>, unquoted; none of a line of another key."""
    start = b"##" + key + b"=<"
    body = line.rstrip()
    if not (body.startswith(start) and body.endswith(b">")):
        return {}
    return {name.strip(): value.strip(b'"') for name, value in _HEADER_ENTRY.findall(body[len(start) : -1])}


_HEADER_ENTRY = re.compile(rb'(?:^|,)([^=,"]+)=("(?:[^"\\]|\\.)*"|[^,]*)', re.DOTALL)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def whole_or_zero(text: str) -> int:
    """The whole number that a text is; 0 where it is none."""
    return int(text) if _is_number(text) else 0


def _vcf_blocks(file: str) -> Iterator[bytes]:
    """The blocks of a VCF file without a byte order mark; a BCF file is recognised."""
    blocks = read_blocks(file)
    head = b""
    for block in blocks:
        head += block  # a pipe may hand over single bytes
        if len(head) >= len(_BCF_MAGIC[0]):
            break
    if head.startswith(_BCF_MAGIC):
        name = "x.bcf" if file == "-" else shlex.quote(file)
        expected = f"VCF text: bcftools view {name} | seqexpr variants --vcf -"
        raise InputError(file, found="a BCF file", expected=expected)
    yield head.removeprefix(BYTE_ORDER_MARK)
    yield from blocks


def _numbered(file: str, blocks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines, numbered from 1, with their ends: what is written back must be the same bytes."""
    number = 0
    begun: list[bytes] = []  # the pieces of a line that goes on in the next block
    for block in blocks:
        if b"\0" in block:
            at = number + 1 + block.count(b"\n", 0, block.index(b"\0"))
            raise InputError(file, record=f"line {at:,}", found="a NUL byte", expected="VCF text")
        for line in io.BytesIO(block):
            begun.append(line)
            if line.endswith(b"\n"):
                number += 1
                yield number, b"".join(begun)
                begun = []
    if begun:
        yield number + 1, b"".join(begun)


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _contig_length(line: bytes) -> tuple[str, int] | None:
    entries = header_entries(line, b"contig")
    name, length = (_readable(entries.get(key, b"")) for key in (b"ID", b"length"))
    return (name, int(length)) if name and _is_number(length) else None


def _readable(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _shown(data: bytes) -> str:
    """A field, or the start of it, for a message."""
    text = _readable(data).rstrip()
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
