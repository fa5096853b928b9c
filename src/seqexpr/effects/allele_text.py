"""What the text of an allele means: letters, what a record's INFO spells out, or nothing that can be computed.

`classify` says what stands in the way of an allele's sequence, `resolve_symbolic` what <DEL>, <DUP> and <INS> do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from seqexpr.effects.variant_records import VariantRecord, whole_or_zero

LONGEST_ALLELE = 100_000
"""Letters of a REF or ALT; longer alleles are flagged `too_long`."""

Flag = Literal["symbolic", "star", "no_alt", "not_acgt", "too_long"]
"""What stands in the way of an allele's sequence."""

_ACGT = re.compile("[ACGTacgt]+")


@dataclass(frozen=True, slots=True)
class Structural:
    """What a symbolic allele stands for; coordinates are 0-based half-open."""

    kind: Literal["DEL", "DUP", "INS"]
    """DEL: the bases from `start` to `end` are gone. DUP: they are there twice, one copy behind the other. INS: there
    are others before `start`, which is `end`."""
    start: int
    end: int
    inserted: str = ""
    """The bases of an INS, in upper or lower case."""


def classify(ref: str, alt: str) -> Flag | None:
    """What stands in the way of reading an allele as letters; None for one of A, C, G and T in either case.

    "symbolic": <DEL>, <*>, <NON_REF> and breakends, whose letters are not given. "star": *, the allele is missing
    because of a deletion in another record. "no_alt": ., there is no other allele. "too_long": REF or ALT of more than
    100,000 letters. "not_acgt": any other letter in REF or ALT; N is one.
    """
    if alt == "*":
        return "star"
    if alt == ".":
        return "no_alt"
    # Breakends: G]17:198982], ]13:123456]T; single ones, whose mate is not known: G. and .G
    if alt.startswith("<") or "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return "symbolic"
    if len(ref) > LONGEST_ALLELE or len(alt) > LONGEST_ALLELE:
        return "too_long"
    if not (_ACGT.fullmatch(ref) and _ACGT.fullmatch(alt)):
        return "not_acgt"
    return None


def resolve_symbolic(record: VariantRecord, alt: int) -> Structural | None:
    """What a <DEL>, <DUP> or <INS> does, where the record says enough; None for every other allele.

    Kinds of deletions and insertions, such as <DEL:ME:ALU>, count as such, and <DUP:TANDEM> is a <DUP>; of other
    duplications the place of the second copy is not known. The bases start behind POS, which is the one before them.
    They end at END, or are as many as SVLEN says, and where both are given they must agree; where several ALTs have an
    SVLEN each, that of the allele counts. The bases of an <INS> are those of INFO SVINSSEQ or SEQ.

    Args:
        alt: index into `record.alts`.
    """
    found = _RESOLVED.fullmatch(record.alts[alt])
    if found is None:
        return None
    if found[3]:
        inserted = _inserted(record)
        return None if inserted is None else Structural("INS", record.position, record.position, inserted)
    lengths = (record.info("SVLEN") or "").split(",")
    length = lengths[alt].lstrip("-") if len(lengths) == len(record.alts) else ""
    ends = [whole_or_zero(record.info("END") or ""), record.position + whole_or_zero(length)]
    if len(record.alts) > 1:
        ends.reverse()
    said = [end for end in ends if end > record.position]
    if not said or (len(record.alts) == 1 and len(set(said)) > 1):  # nothing, or two things
        return None
    return Structural("DEL" if found[1] else "DUP", record.position, said[0])


_RESOLVED = re.compile(r"<(?:(DEL)(?::[^<>]*)?|(DUP)(?::TANDEM)?|(INS)(?::[^<>]*)?)>")
_SEQUENCES = ("SVINSSEQ", "SEQ")
"""INFO entries in which callers give the bases of an <INS>."""


def _inserted(record: VariantRecord) -> str | None:
    """The bases of an insertion; None where they are not given, or given for several alleles at once."""
    for key in _SEQUENCES:
        bases = record.info(key) or ""
        if len(record.alts) == 1 and len(bases) <= LONGEST_ALLELE and _ACGT.fullmatch(bases):
            return bases
    return None
