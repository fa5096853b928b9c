from __future__ import annotations

import gzip
import os
import random
import threading
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.inputs.half_life import FEATURES, MissingFeatures
from seqexpr.inputs.windows import DnaCounts
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds
from seqexpr.prediction.records import pair_by_id, read_records
from seqexpr.sequences.fasta import FastaRecord
from seqexpr.sequences.windows import Tss

from .. import toy_annotation

DNA = ModelNeeds(("mrna",), upstream=6, downstream=4, protein_length=0, half_life_names=())
HALF_LIFE = ModelNeeds(("mrna",), upstream=6, downstream=4, protein_length=0, half_life_names=FEATURES)
PROTEIN = ModelNeeds(("protein",), upstream=0, downstream=0, protein_length=12, half_life_names=())
BOTH = ModelNeeds(("protein",), upstream=6, downstream=4, protein_length=12, half_life_names=())


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def read(needs: ModelNeeds, **options: Any) -> tuple[list[InputRecord], InputCounts]:
    counts = InputCounts()
    return list(read_records(InputSources(**options), needs, counts)), counts


def letters(tokens: np.ndarray | None) -> str:
    assert tokens is not None and tokens.dtype == np.uint8
    return "".join("-ACGT"[token] for token in tokens)


def test_records_of_the_windows_length_are_windows(tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", ">a x\nACGTACGTAC\n>b\nnnacgtRRTT\n")
    (a, b), counts = read(DNA, fasta=fasta)
    assert (a.id, letters(a.dna), a.protein, a.half_life) == ("a", "ACGTACGTAC", None, None)
    assert (b.id, letters(b.dna)) == ("b", "--ACGT--TT")
    assert counts == InputCounts(records=2, expected=2, dna=DnaCounts(unknown_windows=1, unknown_bases=4))


def test_gzip_is_read(tmp_path: Path) -> None:
    (tmp_path / "w.fa.gz").write_bytes(gzip.compress(b">a\nACGTACGTAC\n"))
    (a,), _ = read(DNA, fasta=str(tmp_path / "w.fa.gz"))
    assert letters(a.dna) == "ACGTACGTAC"


@pytest.mark.parametrize("length", [1, 9, 11, 400])
def test_another_length_without_tss_at_is_an_error_that_names_the_option(length: int, tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", f">fine\nACGTACGTAC\n>odd\n{'A' * length}\n")
    stream = read_records(InputSources(fasta=fasta), DNA, InputCounts())
    assert next(stream).id == "fine"
    with pytest.raises(InputError) as caught:
        next(stream)
    message = str(caught.value)
    assert "w.fa, record 2 'odd'" in message
    assert f"found {length} bp" in message
    assert "a window of exactly 10 bp, 6 of them before the TSS" in message
    assert "--tss-at" in message


@pytest.mark.parametrize(
    ("sequence", "tss_at", "window", "padded", "cropped"),
    [
        ("AAAAAACCCCCCGGGG", 8, "AAAACCCCCC", 0, 1),  # 16 letters: [2, 12)
        ("AACCGG", 2, "----AACCGG", 4, 0),
        ("AACCGG", 6, "AACCGG----", 4, 0),
        ("AACCGG", 0, "------AACC", 6, 1),
        ("AACCGG", "center", "---AACCGG-", 4, 0),
        ("AACCG", "center", "----AACCG-", 5, 0),  # 5 // 2 = 2 letters come before the TSS
    ],
)
def test_tss_at_crops_and_pads(
    sequence: str, tss_at: Any, window: str, padded: int, cropped: int, tmp_path: Path
) -> None:
    (record,), counts = read(DNA, fasta=write(tmp_path / "w.fa", f">a\n{sequence}\n"), tss_at=tss_at)
    assert letters(record.dna) == window
    known = DnaCounts(padded_windows=int(padded > 0), padded_bases=padded, cropped_records=cropped)
    assert counts == InputCounts(records=1, expected=1, dna=replace(known, cropped_bases=counts.dna.cropped_bases))


def test_padding_and_unknown_letters_are_counted_apart(tmp_path: Path) -> None:
    (record,), counts = read(DNA, fasta=write(tmp_path / "w.fa", ">a\nNACGN\n"), tss_at=1)
    assert letters(record.dna) == "------ACG-"
    assert (counts.dna.padded_bases, counts.dna.unknown_bases) == (5, 2)


def test_a_tss_behind_the_records_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found 4 bp; expected at least 5 bp, because of --tss-at 5"):
        read(DNA, fasta=write(tmp_path / "w.fa", ">a\nACGT\n"), tss_at=5)


def test_tss_at_is_obeyed_for_records_of_the_windows_length_too(tmp_path: Path) -> None:
    (record,), _ = read(DNA, fasta=write(tmp_path / "w.fa", ">a\nACGTACGTAC\n"), tss_at="center")
    assert letters(record.dna) == "-ACGTACGTA"


GENOME = ">chr1\nAAAAACCCCCGGGGGTTTTT\n>2\nACGTNACGTACGTACGTACG\n"


def test_sites_name_contigs_as_the_genome_does(tmp_path: Path) -> None:
    genome = write(tmp_path / "g.fa", GENOME)
    bed = write(tmp_path / "t.bed", "chr2\t9\t10\tg\t0\t+\n")
    _, counts = read(DNA, genome=genome, tss=bed)
    assert counts.sites == {"g": Tss("g", "2", 9, "+")}


def test_windows_are_cut_from_a_genome_on_both_strands(tmp_path: Path) -> None:
    genome = write(tmp_path / "g.fa", GENOME)
    bed = write(tmp_path / "t.bed", "chr1\t9\t10\tplus\t0\t+\nchr1\t9\t10\tminus\t0\t-\n")
    (plus, minus), counts = read(DNA, genome=genome, tss=bed)
    assert (plus.id, letters(plus.dna)) == ("plus", "AACCCCCGGG")  # [3, 13)
    assert (minus.id, letters(minus.dna)) == ("minus", "ACCCCCGGGG")  # [6, 16), reverse complemented
    sites = {"plus": Tss("plus", "chr1", 9, "+"), "minus": Tss("minus", "chr1", 10, "-")}
    symbols, contigs = {"plus": "", "minus": ""}, {"chr1": 20, "2": 20}
    assert counts == InputCounts(records=2, expected=2, symbols=symbols, sites=sites, contigs=contigs)


def test_padding_aliases_and_unknown_bases_of_a_genome_are_counted(tmp_path: Path) -> None:
    genome = write(tmp_path / "g.fa", GENOME)
    bed = write(tmp_path / "t.bed", "chr2\t2\t3\ta\t0\t+\n1\t19\t20\tb\t0\t-\n")
    (a, b), counts = read(DNA, genome=genome, tss=bed)
    assert letters(a.dna) == "----ACGT-A"
    assert letters(b.dna) == "------AAAA"
    assert counts.dna == DnaCounts(
        padded_windows=2,
        padded_bases=10,
        unknown_windows=1,
        unknown_bases=1,
        contig_aliases={"chr2": "2", "1": "chr1"},
    )


def test_genes_are_picked(tmp_path: Path) -> None:
    genome = write(tmp_path / "g.fa", GENOME)
    bed = write(tmp_path / "t.bed", "chr1\t9\t10\ta\t0\t+\nchr1\t8\t9\tb\t0\t+\n")
    records, _ = read(DNA, genome=genome, tss=bed, genes=("b",))
    assert [record.id for record in records] == ["b"]


def test_proteins_are_cut_at_the_longest_and_counted(tmp_path: Path) -> None:
    (a, b), counts = read(PROTEIN, proteins=write(tmp_path / "p.fa", ">a\nMKV\n>b\nMKVLAAGIVGLCAKAY\n"))
    assert a.protein is not None and a.protein.tolist() == [11, 9, 18]
    assert b.protein is not None and len(b.protein) == 12
    assert counts == InputCounts(records=2, expected=2, truncated_proteins=1)


def test_half_life_rows_are_joined_and_what_is_missing_is_counted(tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", "".join(f">{name}\nACGTACGTAC\n" for name in "abc"))
    table = write(
        tmp_path / "h.tsv",
        "\t".join(["gene_id", *FEATURES]) + "\nc\t1\t2\t3\t4\t.5\t.6\t.7\t8\na\t1\t2\t3\t4\tNA\t\t.7\t8\n",
    )
    (a, b, c), counts = read(HALF_LIFE, fasta=fasta, half_life=table)
    np.testing.assert_array_equal(a.half_life, [1, 2, 3, 4, np.nan, np.nan, 0.7, 8])
    np.testing.assert_array_equal(b.half_life, [np.nan] * 8)
    np.testing.assert_array_equal(c.half_life, [1, 2, 3, 4, 0.5, 0.6, 0.7, 8])
    missing = MissingFeatures(FEATURES, 3, 1, Counter(utr5_gc=1, cds_gc=1))
    assert counts == InputCounts(records=3, expected=3, half_life_absent=1, half_life=missing)


def test_the_table_is_on_the_models_scale(tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", ">a\nACGTACGTAC\n")
    header = "\t".join(["gene_id", *FEATURES])
    scores = write(tmp_path / "z.tsv", f"{header}\na\t-1\t2\t-3\t0\t-1.5\t1.6\t0\t0.1\n")
    raw = write(tmp_path / "h.tsv", f"{header}\na\t100\t900\t0\t50\t.5\t.6\t.7\t8\n")
    needs = replace(HALF_LIFE, half_life_scale="z-scores")
    (a,), _ = read(needs, fasta=fasta, half_life=scores)
    np.testing.assert_array_equal(a.half_life, [-1, 2, -3, 0, -1.5, 1.6, 0, 0.1])
    with pytest.raises(InputError, match=r"z\.tsv, line 2, column 'utr5_len': found -1; expected a raw value"):
        read(HALF_LIFE, fasta=fasta, half_life=scores)
    with pytest.raises(InputError, match=r"h\.tsv, line 2, column 'utr5_len': found 100; expected z-scores"):
        read(needs, fasta=fasta, half_life=raw)


def test_without_a_table_half_life_is_unknown(tmp_path: Path) -> None:
    (a,), counts = read(HALF_LIFE, fasta=write(tmp_path / "w.fa", ">a\nACGTACGTAC\n"))
    np.testing.assert_array_equal(a.half_life, [np.nan] * 8)
    assert counts == InputCounts(records=1, expected=1, half_life=MissingFeatures(FEATURES, 1, 1))


def test_windows_and_proteins_are_paired_by_id_or_accession(tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", "".join(f">{name}\nACGTACGTAC\n" for name in ("x", "O43657", "y")))
    proteins = write(tmp_path / "p.fa", ">y\nMY\n>extra\nMK\n>sp|O43657|TSN6_HUMAN\nMT\n>x\nMC\n>more\nMK\n")
    records, counts = read(BOTH, fasta=fasta, proteins=proteins)
    assert [record.id for record in records] == ["x", "O43657", "y"]
    assert [record.protein.tolist()[1] for record in records if record.protein is not None] == [2, 17, 20]
    assert counts == InputCounts(records=3, expected=3, unused_proteins=2)


def test_windows_without_a_protein_are_an_error_that_counts_them(tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", "".join(f">{name}\nACGTACGTAC\n" for name in "abcde"))
    proteins = write(tmp_path / "p.fa", ">d\nMY\n>a\nMK\n")
    stream = read_records(InputSources(fasta=fasta, proteins=proteins), BOTH, InputCounts())
    assert next(stream).id == "a"
    with pytest.raises(InputError, match="found no protein for 3 windows, the first being 'b'"):
        next(stream)


def test_two_proteins_of_one_accession_are_an_error(tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", ">a\nACGTACGTAC\n")
    proteins = write(tmp_path / "p.fa", ">sp|O43657|ONE\nMY\n>tr|O43657|TWO\nMK\n>a\nMK\n")
    with pytest.raises(InputError, match="accession O43657 a second time"):
        read(BOTH, fasta=fasta, proteins=proteins)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(names=st.lists(st.text("abc123", min_size=1), unique=True), seed=st.integers(0, 1000))
def test_pairing_does_not_depend_on_the_order_of_the_proteins(names: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample(names, len(names))
    windows = ((name, np.frombuffer(name.encode(), np.uint8)) for name in names)
    proteins = ((name, np.frombuffer(name.encode(), np.uint8)) for name in shuffled)
    paired = list(pair_by_id(windows, proteins, InputSources(fasta="w", proteins="p"), InputCounts()))
    assert [name for name, _, _ in paired] == names
    assert all(window.tobytes() == protein.tobytes() == name.encode() for name, window, protein in paired)


def test_proteins_that_wait_for_their_windows_are_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqexpr.prediction.records._MOST_WAITING", 100_000)
    number, length = 1000, 10_000

    def proteins() -> Any:
        for name in range(number):
            yield f"g{name}", np.full(length, name % 20 + 1, np.uint8)

    windows = ((f"g{name}", np.zeros(1, np.uint8)) for name in reversed(range(number)))
    tracemalloc.start()
    try:
        for place, (_, _, protein) in enumerate(
            pair_by_id(windows, proteins(), InputSources(fasta="w"), InputCounts())
        ):
            assert len(protein) == length and set(protein) == {(number - 1 - place) % 20 + 1}
        assert tracemalloc.get_traced_memory()[1] < number * length / 10
    finally:
        tracemalloc.stop()


def test_files_of_one_order_are_read_in_step() -> None:
    read_ahead: list[int] = []

    def proteins() -> Any:
        for number in range(100):
            read_ahead.append(number)
            yield f"g{number}", np.zeros(1, np.uint8)

    windows = ((f"g{number}", np.zeros(1, np.uint8)) for number in range(100))
    for given_, _ in enumerate(pair_by_id(windows, proteins(), InputSources(fasta="w"), InputCounts())):
        assert len(read_ahead) == given_ + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("hello\n", "FASTA"),
        (">a\nACGTACGTAC\n>a\nACGTACGTAC\n", "the id of an earlier record"),
        (">a\nMKVLAAGIVGLCAKAY\n", "looks like a protein"),
        (">a\nAC\0GT\n", "byte 0x00"),
        (">a\n>b\nACGT\n", "no sequence"),
    ],
)
def test_bad_fasta(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(DNA, fasta=write(tmp_path / "w.fa", text))


def test_dna_in_place_of_proteins_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="looks like DNA"):
        read(PROTEIN, proteins=write(tmp_path / "p.fa", f">a\n{'ACGT' * 10}\n"))


def test_a_half_life_table_of_other_genes_is_an_error_before_the_first_record(tmp_path: Path) -> None:
    table = write(tmp_path / "h.tsv", "\t".join(["gene_id", *FEATURES]) + "\nc\t1\t2\t3\t4\t.5\t.6\t.7\t8\n")
    genome = write(tmp_path / "g.fa", ">chr1\n" + "ACGT" * 10 + "\n")
    bed = write(tmp_path / "t.bed", "chr1\t9\t10\ta\t0\t+\nchr1\t20\t21\tb\t0\t+\n")
    fasta = write(tmp_path / "w.fa", ">a\nACGTACGTAC\n>b\nACGTACGTAC\n")
    in_memory = InputSources(windows=(FastaRecord("a", "", b"ACGTACGTAC", 1),), half_life=table)
    both = "none of the 2 records .*'a'.* among its 1 ids .*'c'"
    for sources, found in (
        (InputSources(genome=genome, tss=bed, half_life=table), both),
        (InputSources(fasta=fasta, half_life=table), both),
        (in_memory, "the one record .*'a'.* is not among its 1 ids .*'c'"),
    ):
        with pytest.raises(InputError, match=rf"h\.tsv: found {found}"):
            read_records(sources, HALF_LIFE, InputCounts())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_of_genes_that_come_through_a_pipe_it_is_an_error_at_the_end(tmp_path: Path) -> None:
    table = write(tmp_path / "h.tsv", "\t".join(["gene_id", *FEATURES]) + "\nc\t1\t2\t3\t4\t.5\t.6\t.7\t8\n")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(">a\nACGTACGTAC\n>b\nACGTACGTAC\n",))
    writer.start()
    records = read_records(InputSources(fasta=str(pipe), half_life=table), HALF_LIFE, InputCounts())
    assert [next(records).id, next(records).id] == ["a", "b"]
    with pytest.raises(InputError, match=r"h\.tsv: found none of the 2 records .*'b'.* among its 1 ids"):
        next(records)
    writer.join()


def test_symbols_come_from_the_annotation_where_a_bed_has_none(tmp_path: Path) -> None:
    genome = write(tmp_path / "toy.fa", toy_annotation.GENOME)
    bed = write(tmp_path / "t.bed", "toy\t11\t12\tPLUS\t0\t+\ntoy\t30\t31\tNEW\t0\t+\n")
    gtf = write(tmp_path / "a.gtf", toy_annotation.as_gtf())
    _, counts = read(HALF_LIFE, genome=genome, tss=bed, annotation=gtf)
    assert (counts.symbols["PLUS"], counts.symbols["NEW"]) == ("plus", "")


def test_the_first_records_of_sequences_given_without_an_option_are_not_lost(tmp_path: Path) -> None:
    """Whether a half-life table fits is judged by the ids of the file, not by reading the stream itself."""
    fasta = write(tmp_path / "w.fa", ">a\nACGTACGTAC\n>b\nACGTACGTAC\n>c\nACGTACGTAC\n")
    table = write(tmp_path / "h.tsv", "\t".join(["gene_id", *FEATURES]) + "\nc\t1\t2\t3\t4\t.5\t.6\t.7\t8\n")
    sources = InputSources(fasta=fasta, half_life=table).by_letters()
    assert [record.id for record in read_records(sources, HALF_LIFE, InputCounts())] == ["a", "b", "c"]


def test_half_life_rows_are_found_by_accession_as_in_prepare(tmp_path: Path) -> None:
    fasta = write(tmp_path / "w.fa", ">sp|P68871|HBB_HUMAN\nACGTACGTAC\n")
    table = write(tmp_path / "h.tsv", "\t".join(["id", *FEATURES]) + "\nP68871\t1\t2\t3\t4\t.5\t.6\t.7\t8\n")
    (record,) = read_records(InputSources(fasta=fasta, half_life=table), HALF_LIFE, InputCounts())
    assert record.half_life is not None and record.half_life[0] == 1
