"""Read all transcripts of a GTF or GFF3 file, whichever of the two it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from seqexpr.sequences.feature_lines import FeatureLine, LeftOut, read_feature_lines
from seqexpr.sequences.gff3 import read_gff3
from seqexpr.sequences.gtf import read_gtf
from seqexpr.sequences.streams import read_lines
from seqexpr.sequences.transcripts import Transcript

_EXPECTED = "GTF (gene_id, transcript_id) or GFF3 (ID, Parent) lines of transcripts, exons or CDS"
_NO_ATTRIBUTES = (b"", b".")
_GFF3_PAIR = re.compile(rb"\s*[^\s=;\"']+=[^;]*(?:;|$)")
_GFF3_SIGN = re.compile(rb"(?:^|;)\s*(?:ID|Parent)\s*=")
_GTF_SIGN = re.compile(rb"(?:^|;)\s*(?:gene_id|transcript_id)[\s=]")


def read_gene_models(path: str | Path, lines: Iterable[tuple[int, bytes]] | None = None) -> Iterator[Transcript]:
    """Read all transcripts of a GTF or GFF3 file, in the order in which the file first names them.

    The two formats are told apart by the first line that has attributes: `key "value"` or `key=value`. What cannot be
    used is left out, and a warning for each reason says how much.

    Args:
        path: the file, for messages; it is opened where `lines` is None.
        lines: its numbered lines.

    Raises:
        InputError: nothing in the file can be used; the text names the first reason.
    """
    left_out = LeftOut(path)
    features = read_feature_lines(read_lines(path) if lines is None else lines, left_out)
    head: list[FeatureLine] = []
    for line in features:
        head.append(line)
        attributes = line.attributes.strip()
        if attributes not in _NO_ATTRIBUTES and (b"=" in attributes or b" " in attributes):
            break
    if not head:
        raise left_out.error("no feature of a gene", _EXPECTED)
    read = read_gff3 if _is_gff3(head[-1].attributes) else read_gtf
    count = 0
    for transcript in read(chain(head, features), left_out):
        count += 1
        yield transcript
    if not count:
        raise left_out.error("no transcript", _EXPECTED)
    left_out.report()


def _is_gff3(attributes: bytes) -> bool:
    if _GFF3_SIGN.search(attributes):
        return True
    return _GFF3_PAIR.match(attributes) is not None and not _GTF_SIGN.search(attributes)
