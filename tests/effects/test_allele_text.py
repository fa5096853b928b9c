"""What the text of an allele means, as VCF files have it."""

from __future__ import annotations

import pytest

from seqexpr.effects.allele_text import LONGEST_ALLELE, Structural, classify, resolve_symbolic
from seqexpr.effects.variant_records import VariantRecord, parse_variant


def symbolic(position: int, alt: str, info: str) -> VariantRecord:
    """A record of a VCF file."""
    line = f"c\t{position}\t.\tN\t{alt}\t.\t.\t{info}\n"
    return VariantRecord(1, "c", position, ".", "N", tuple(alt.split(",")), line.encode())


@pytest.mark.parametrize(
    ("ref", "alt", "flag"),
    [
        ("A", "C", None),
        ("a", "ACgt", None),
        ("A" * LONGEST_ALLELE, "C", None),
        ("A" * (LONGEST_ALLELE + 1), "C", "too_long"),
        ("A", "N" * (LONGEST_ALLELE + 1), "too_long"),
        ("N", "A", "not_acgt"),
        ("A", "R", "not_acgt"),
        ("A", "-", "not_acgt"),
        (".", "A", "not_acgt"),
        ("A", "C\n", "not_acgt"),
        ("N", "<DEL>", "symbolic"),
        ("A", "<*>", "symbolic"),
        ("A", "<NON_REF>", "symbolic"),
        ("G", "G]17:198982]", "symbolic"),
        ("G", "[17:198982[G", "symbolic"),
        ("G", "G.", "symbolic"),
        ("G", ".G", "symbolic"),
        ("A", "*", "star"),
        ("N", ".", "no_alt"),
    ],
)
def test_flags_of_alleles(ref: str, alt: str, flag: str | None) -> None:
    assert classify(ref, alt) == flag


@pytest.mark.parametrize(
    ("alt", "info", "found"),
    [
        ("<DEL>", "END=400", [Structural("DEL", 300, 400)]),
        ("<DEL>", "SVLEN=-10", [Structural("DEL", 300, 310)]),
        ("<DEL>", "SVLEN=10", [Structural("DEL", 300, 310)]),
        ("<DEL>", "END=400;SVLEN=-100", [Structural("DEL", 300, 400)]),
        ("<DEL>", "END=400;SVLEN=-99", [None]),
        ("<DEL>", "END=300;SVLEN=-99", [Structural("DEL", 300, 399)]),
        ("<DEL:ME:ALU>", "END=310", [Structural("DEL", 300, 310)]),
        ("<DEL>", "END=299", [None]),
        ("<DEL>", "END=x", [None]),
        ("<DEL>", "SVLEN=1,2", [None]),
        ("<DEL>", ".", [None]),
        ("<DUP>", "END=310", [Structural("DUP", 300, 310)]),
        ("<DUP:TANDEM>", "END=310", [Structural("DUP", 300, 310)]),
        ("<DUP:INT>", "END=310", [None]),
        ("<DEL>,<DUP>", "END=400;SVLEN=-10,20", [Structural("DEL", 300, 310), Structural("DUP", 300, 320)]),
        ("<DEL>,<DEL>", "SVLEN=-10,.", [Structural("DEL", 300, 310), None]),
        ("<DEL>,A", "END=400", [Structural("DEL", 300, 400), None]),
        ("<INS>", "SVINSSEQ=ACgt", [Structural("INS", 300, 300, "ACgt")]),
        ("<INS:ME:L1>", "SEQ=AC", [Structural("INS", 300, 300, "AC")]),
        ("<INS>", "SVINSSEQ=ACN", [None]),
        ("<INS>", "SVLEN=5;END=300", [None]),
        ("<INS>,<INS>", "SVINSSEQ=AC", [None, None]),
        ("<INV>", "END=310", [None]),
        ("<CNV>", "END=310", [None]),
        ("G]c:5]", "END=310", [None]),
        ("A", "END=310", [None]),
    ],
)
def test_what_symbolic_alleles_stand_for(alt: str, info: str, found: list[Structural | None]) -> None:
    record = symbolic(300, alt, info)
    assert [resolve_symbolic(record, place) for place in range(len(record.alts))] == found


def test_a_deletion_behind_the_telomere_starts_with_the_first_base() -> None:
    assert resolve_symbolic(symbolic(0, "<DEL>", "END=5"), 0) == Structural("DEL", 0, 5)


def test_a_record_that_is_no_line_of_a_file_has_no_info_to_say_where_it_ends() -> None:
    assert resolve_symbolic(parse_variant("c:300:N:<DEL>"), 0) is None
