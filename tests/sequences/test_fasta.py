from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences import streams
from seqexpr.sequences.fasta import FastaRecord, read_fasta, uniprot_accession

TWO_GENES = b">g1 first gene\nACGT\nAC\n>g2\nGGTT\n"
TWO_RECORDS = [FastaRecord("g1", "first gene", b"ACGTAC", 1), FastaRecord("g2", "", b"GGTT", 2)]


def records(folder: Path, content: bytes) -> list[FastaRecord]:
    path = folder / "x.fa"
    path.write_bytes(content)
    return list(read_fasta(path))


@pytest.mark.parametrize(
    "content",
    [
        TWO_GENES,
        TWO_GENES.replace(b"\n", b"\r\n"),
        TWO_GENES.rstrip(),
        b"\n\n" + TWO_GENES + b"\n\n",
        b"\xef\xbb\xbf" + TWO_GENES,
        TWO_GENES.replace(b"AC\n>", b"A C\t\n\n>"),
    ],
    ids=["plain", "crlf", "no-newline", "blank-lines", "bom", "spaces"],
)
@pytest.mark.parametrize("block", [1, 2, 7, 1 << 20])
def test_forms_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, block: int) -> None:
    monkeypatch.setattr(streams, "_BLOCK", block)
    assert records(tmp_path, content) == TWO_RECORDS


def test_case_is_kept(tmp_path: Path) -> None:
    assert records(tmp_path, b">g\nacGT\n")[0].sequence == b"acGT"


def test_records_of_a_slow_pipe_come_as_they_are_whole() -> None:
    code = "from seqexpr.sequences.fasta import read_fasta\nfor record in read_fasta('-'): print(record.id, flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        reader.stdin.write(TWO_GENES)
        reader.stdin.flush()
        assert reader.stdout.readline().strip() == b"g1"  # while standard input is still open
        reader.stdin.close()
        assert reader.stdout.readline().strip() == b"g2"


letters = st.text("ACGTNacgtn", min_size=1, max_size=80)
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10)


@given(
    st.dictionaries(words, st.tuples(words, letters), min_size=1, max_size=6),
    st.integers(1, 30),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(1, 64),
)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    entries: dict[str, tuple[str, str]],
    width: int,
    newline: str,
    packed: bool,
    block: int,
) -> None:
    text = ""
    for id_, (description, sequence) in entries.items():
        lines = [sequence[at : at + width] for at in range(0, len(sequence), width)]
        text += newline.join([f">{id_} {description}", *lines]) + newline
    path = tmp_path_factory.getbasetemp() / "property.fa"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "_BLOCK", block)
        found = list(read_fasta(path))
    assert [(r.id, r.description, r.sequence.decode()) for r in found] == [
        (id_, description, sequence) for id_, (description, sequence) in entries.items()
    ]
    assert [record.number for record in found] == list(range(1, len(entries) + 1))


@given(st.binary(max_size=200))
def test_any_bytes_give_records_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.fa"
    path.write_bytes(b">" + content)
    try:
        found = list(read_fasta(path))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(record.id and record.sequence for record in found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"\n \n", "found an empty file"),
        (b"\xef\xbb\xbf", "found an empty file"),
        (gzip.compress(b""), "found an empty file"),
        (b"ACGT\n", "found a start of 'ACGT'"),
        (b"\xef", r"found a start of '\\xef'"),
        (b"PK\x03\x04zip", "expected FASTA, which starts with '>'"),
        (b">\nACGT\n", "record 1: found a header without an id"),
        (b">a\nA\n>a b\nC\n", "record 2 'a': found the id of an earlier record"),
        (b">a\n>b\nC\n", "record 1 'a': found no sequence"),
        (b">a\nC\n>b", "record 2 'b': found no sequence"),
        (b">a\nAC\0GT\n", "record 1 'a': found byte 0x00 at position 3"),
        (b">a\nAC\xe9\n", "record 1 'a': found byte 0xe9 at position 3"),
        (b">a\0b\nAC\n", "record 1: found control byte 0x00 in the header"),
        (b">a\rAC\r>b\rAC\r", "control byte 0x0d in the header"),
        (b">caf\xe9\nAC\n", r"record 1: found header 'caf\\xe9'; expected UTF-8"),
        (gzip.compress(TWO_GENES)[:-4], "found a gzip file that is cut short"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        records(tmp_path, content)
    assert str(error.value).startswith(f"{tmp_path}/x.fa")
    assert "\n" not in str(error.value)


def test_uniprot_accession() -> None:
    assert uniprot_accession("sp|O43657|TSN6_HUMAN") == "O43657"
    assert uniprot_accession("tr|A0A024RBG1|NUD4B_HUMAN") == "A0A024RBG1"
    assert uniprot_accession("sp|P04637-2|P53_HUMAN") == "P04637-2"
    assert uniprot_accession("ENSG00000000003.15") == "ENSG00000000003.15"
    assert uniprot_accession("gi|1|x") == "gi|1|x"
