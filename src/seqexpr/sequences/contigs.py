"""Find a contig under the name that another database gives it: chr1, 1, Chr01, NC_000001.11, CM000663.2, M, Mito."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from seqexpr.errors import InputError
from seqexpr.sequences.streams import read_lines

_PREFIX = re.compile(r"^(?:chromosome|chr)[_\s]?(?=[0-9A-Za-z])", re.IGNORECASE)
_VERSION = re.compile(r"\.[0-9]+$")
_MITOCHONDRION = frozenset({"M", "MT", "MITO", "MITOCHONDRION", "MITOCHONDRIA", "MTDNA", "MITOCHONDRION_GENOME"})
_PLASTID = frozenset({"PT", "PLTD", "CHLOROPLAST", "PLASTID"})
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI")
_WORM = ("I", "II", "III", "IV", "V", "X")
_FASTA_ID = re.compile(r"(?:^|\|)(?:ref|gb|emb|dbj|tpg|lcl)\|([^|]+)\|?$")
"""NCBI's FASTA ids, such as ref|NC_001133| and gi|568815597|ref|NC_000001.11|."""
_UCSC = re.compile(r"^(?:chr)?(?:Un|[0-9]+|[A-Z])_([A-Z]{2,4}[0-9]{6,})v([0-9]+)(?:_(?:random|alt|fix))?$")
"""UCSC's names of unplaced and alternative contigs, chr1_KI270706v1_random, hold their accession, KI270706.1."""
_MISSING = ("", "na", ".", "-")
_REPORT_NAMES = ("Sequence-Name", "GenBank-Accn", "RefSeq-Accn", "UCSC-style-name")
"""Columns of NCBI's assembly reports that name the row's own contig."""


def _series(letters: str, first: int, names: Iterable[str]) -> dict[str, str]:
    return {f"{letters}{number:06d}": name for number, name in enumerate(names, first)}


def _numbers(last: int) -> list[str]:
    return [str(number) for number in range(1, last + 1)]


# Accessions of chromosomes in RefSeq (NC_, NT_) and GenBank, without their versions, which tell assemblies apart.
_ACCESSIONS = {
    **_series("NC_", 1, [*_numbers(22), "X", "Y"]),  # human
    **_series("CM", 663, [*_numbers(22), "X", "Y"]),
    "NC_012920": "MT", "J01415": "MT",
    **_series("NC_", 67, [*_numbers(19), "X", "Y"]),  # mouse
    **_series("CM", 994, [*_numbers(19), "X", "Y"]),
    "NC_005089": "MT", "AY172335": "MT",
    **_series("NC_", 51336, [*_numbers(20), "X", "Y"]),  # rat, mRatBN7.2
    **_series("CM", 26974, [*_numbers(20), "X", "Y"]),
    "NC_001665": "MT", "AY172581": "MT",
    **_series("NC_", 7112, _numbers(25)),  # zebrafish
    **_series("CM", 2885, _numbers(25)),
    "NC_002333": "MT",
    **_series("NC_", 1133, _ROMAN),  # yeast
    "BK006934": "VIII", **_series("BK", 6935, [name for name in _ROMAN if name != "VIII"]),
    "NC_001224": "MT", "AJ011856": "MT",
    **_series("NC_", 3279, _WORM),  # worm
    **_series("BX", 284601, _WORM),
    "NC_001328": "MT",
    "NT_033779": "2L", "NT_033778": "2R", "NT_037436": "3L", "NT_033777": "3R",  # fly
    "NC_004353": "4", "NC_004354": "X", "NC_024512": "Y", "NC_024511": "MT",
    "AE014134": "2L", "AE013599": "2R", "AE014296": "3L", "AE014297": "3R",
    "AE014135": "4", "AE014298": "X", "CP007106": "Y", "KJ947872": "MT",
    "NC_003070": "1", "NC_003071": "2", "NC_003074": "3", "NC_003075": "4", "NC_003076": "5",  # Arabidopsis
    **_series("CP", 2684, _numbers(5)),
    "NC_037304": "MT", "NC_000932": "PT",
}  # fmt: skip


def common_name(name: str) -> str:
    """Reduce a contig's name to what databases agree on: "chr01", "1" and "NC_000001.11" all give "1"."""
    if (match := _FASTA_ID.search(name)) is not None:
        name = match[1]
    if (match := _UCSC.match(name)) is not None:
        return f"{match[1]}.{match[2]}"
    accession = _ACCESSIONS.get(_VERSION.sub("", name))
    if accession is not None:
        return accession
    bare = _PREFIX.sub("", name)
    upper = bare.upper()
    if upper in _MITOCHONDRION or upper.endswith("_MITOCHONDRION_GENOME"):
        return "MT"
    if upper in _PLASTID or (upper == "C" and bare != name):
        return "PT"
    return bare.lstrip("0") or "0" if bare.isdigit() else upper


class ContigNames:
    """The contigs of one genome, found by their own names and by those of other databases.

    Args:
        names: the genome's own names.
        aliases: further names of contigs, of `read_contig_aliases`.
    """

    def __init__(self, names: Iterable[str], aliases: Iterable[tuple[str, ...]] = ()) -> None:
        self._own = frozenset(names)
        given = [(name, own) for row in aliases for own in self._own.intersection(row) for name in row]
        own_names = [(name, name) for name in self._own]
        self._given = _fitting(given)
        self._by_common = _fitting((common_name(name), own) for name, own in own_names + given)
        self._is_roman = "VIII" in self._by_common

    def find(self, name: str) -> str | None:
        """The genome's own name of a contig, or None. A name that fits several contigs fits none."""
        if name in self._own:
            return name
        if name in self._given:
            return self._given[name]
        common = common_name(name)
        if common in self._by_common:
            return self._by_common[common]
        return self._by_common.get(self._in_other_numerals(common))

    def _in_other_numerals(self, common: str) -> str:
        """The common name in Roman numerals for a genome that has these (yeast's), else in Arabic ones; "" for none.

        I, V and X are not turned into Arabic ones: X is far more often the sex chromosome than the tenth, and a gene
        that is left out does less harm than one that is read from another chromosome.
        """
        if self._is_roman:
            return _ROMAN[int(common) - 1] if common.isdecimal() and 1 <= int(common) <= len(_ROMAN) else ""
        return str(_ROMAN.index(common) + 1) if common in _ROMAN and len(common) > 1 else ""


def _fitting(pairs: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """The contig that each name fits; None for a name that fits several."""
    found: dict[str, str | None] = {}
    for name, own in pairs:
        if found.setdefault(name, own) != own:
            found[name] = None
    return found


def read_contig_aliases(path: str | Path) -> list[tuple[str, ...]]:
    """Read a table of which each row holds the names of one contig, separated by tabs.

    UCSC's chromAlias.txt and NCBI's assembly_report.txt are such tables. Lines that begin with # are left out, but of
    NCBI's reports the last of them names the columns: there the names, accessions and UCSC's names count, and the
    molecule only in the row of the whole molecule, for it stands in the rows of its unplaced pieces too.

    Raises:
        InputError: no row has two names.
    """
    rows = []
    header: list[str] = []
    for _, line in read_lines(path):
        cells = [cell.strip() for cell in line.decode("utf-8", "replace").split("\t")]
        if line.startswith(b"#"):
            header = [cells[0].lstrip("# "), *cells[1:]]
            continue
        if _REPORT_NAMES[0] in header:
            row = dict(zip(header, cells, strict=False))
            whole = row.get("Sequence-Role") == "assembled-molecule"
            cells = [row.get(column, "") for column in (*_REPORT_NAMES, *(["Assigned-Molecule"] if whole else []))]
        names = tuple(cell for cell in cells if cell not in _MISSING)
        if len(names) > 1:
            rows.append(names)
    if not rows:
        expected = "the names of one contig in each row, separated by tabs"
        raise InputError(path, found="no row with two names", expected=expected)
    return rows
