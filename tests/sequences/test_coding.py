from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from Bio.Data import CodonTable
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SimpleLocation
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import UsageError
from seqexpr.sequences.alphabet import CODING, PROTEIN
from seqexpr.sequences.annotation import read_annotation
from seqexpr.sequences.coding import (
    STOP,
    CodingSequence,
    CodonTables,
    TranslationCounts,
    residue_tokens,
    splice,
    translate_transcripts,
)
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import Transcript


def transcript(cds: list[tuple[int, int]], strand: str = "+", chrom: str = "c", **more: object) -> Transcript:
    intervals = tuple(sorted(cds))
    return Transcript("t", "g", "", chrom, strand, intervals, intervals, False, **more)  # type: ignore[arg-type]


def translated(
    folder: Path, letters: str, one: Transcript, tables: CodonTables | None = None
) -> tuple[list[CodingSequence], TranslationCounts]:
    (folder / "g.fa").write_text(f">{one.chrom}\n{letters}\n")
    counts = TranslationCounts()
    with Genome(folder / "g.fa") as genome:
        return list(translate_transcripts([one], genome, tables or CodonTables(), counts, LeftOut("g"))), counts


def test_two_exons_on_both_strands(tmp_path: Path) -> None:
    (found,), counts = translated(tmp_path, "TTATGAAATTTTGGTTAACC", transcript([(2, 8), (12, 18)]))
    assert found == CodingSequence("g", "ATGAAAGGT", "MKG")
    assert counts.describe() == ["translated 1 coding sequence by codon table 1"]
    minus = str(Seq("CCATGAAAGGGTAACC").reverse_complement())
    (found,), counts = translated(tmp_path, minus, transcript([(2, 14)], "-"))
    assert (found.codons, found.protein) == ("ATGAAAGGG", "MKG")
    assert (counts.no_start, counts.no_stop, counts.incomplete) == (0, 0, 0)


@pytest.mark.parametrize(
    ("chrom", "tables", "protein"),
    [("c", CodonTables(), None), ("chrM", CodonTables(), "MMWM"), ("MT", CodonTables(mitochondrial=3), "MMWM")],
)
def test_mitochondria_have_a_table_of_their_own(
    tmp_path: Path, chrom: str, tables: CodonTables, protein: str | None
) -> None:
    found, counts = translated(tmp_path, "ATGATATGAATGTAA", transcript([(0, 15)], chrom=chrom), tables)
    assert [one.protein for one in found] == ([protein] if protein else [])
    assert counts.mitochondrial == (protein is not None)


def test_the_annotations_table_counts_first(tmp_path: Path) -> None:
    found, counts = translated(tmp_path, "GTGAAATAA", transcript([(0, 9)], codon_table=11))
    assert [one.protein for one in found] == ["MK"]  # GTG starts in bacteria
    assert counts.tables == {11}


def test_what_is_incomplete_is_counted_and_never_read_in_another_frame(tmp_path: Path) -> None:
    (found,), counts = translated(tmp_path, "CATGAAAGG", transcript([(0, 9)], phase=1))
    assert found.protein == "MK"
    assert (counts.no_start, counts.no_stop, counts.incomplete) == (1, 1, 1)
    found_, _ = translated(tmp_path, "ATGTAAAAATAA", transcript([(0, 12)]))
    assert found_ == []  # a stop within


def test_selenocysteine_where_it_is_tagged(tmp_path: Path) -> None:
    (found,), _ = translated(tmp_path, "ATGTGAAAATAA", transcript([(0, 12)], selenoprotein=True))
    assert found.protein == "MUK"


def test_there_is_no_such_table() -> None:
    with pytest.raises(UsageError, match="there is no codon table 7"):
        CodonTables(7)


def test_of_selenocysteine_only_tga_is_one(tmp_path: Path) -> None:
    assert translated(tmp_path, "ATGTGATAAAAATAA", transcript([(0, 15)], selenoprotein=True))[0] == []


@pytest.mark.parametrize(
    ("letters", "more", "protein"),
    [
        ("atgaaannnrgttaa", {}, "MKXX"),  # lower case, N, and a letter for two bases
        ("AUGAAAUAA", {}, "MK"),
        ("ATGTGAAAATGA", {"codon_table": 27}, "MWK"),  # TGA is W within and a stop at the end
        ("ATGAAAT", {}, "MK"),  # at the end of its contig
        ("ATGA-ATAA", {}, None),
        ("ATG---TAA", {}, None),
        ("ATGAAATAA", {"codon_table": 99}, None),
    ],
)
def test_letters_and_tables(tmp_path: Path, letters: str, more: dict[str, int], protein: str | None) -> None:
    found, _ = translated(tmp_path, letters, transcript([(0, len(letters))], **more))
    assert [one.protein for one in found] == ([protein] if protein else [])


def test_what_is_left_out_is_counted_and_refuses_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">c\nATGAAATAA\n")
    whole = transcript([(0, 9)])
    odd = [
        transcript([(0, 10)]),
        transcript([(0, 9)], chrom="lacking"),
        transcript([(0, 9)], codon_table=99),
        transcript([(1, 3)]),
        transcript([(6, 9)]),
    ]
    left_out = LeftOut("a.gtf")
    with Genome(tmp_path / "g.fa") as genome:
        found = list(translate_transcripts([*odd, whole], genome, CodonTables(), TranslationCounts(), left_out))
    assert [one.protein for one in found] == ["MK"]
    assert list(left_out.counts.values()) == [1] * len(odd)
    assert {what.removeprefix("coding sequences ") for what in left_out.counts} == {
        "that reach beyond the end of their contig",
        "on contigs that the genome lacks",
        "with a codon table that does not exist (transl_table 99)",
        "with no whole codon",
        "with a stop codon alone",
    }


@pytest.mark.parametrize("chrom", ["MT", "Mito", "chrM", "NC_001224.1", "mitochondrion"])
def test_names_of_mitochondria(chrom: str) -> None:
    assert CodonTables(mitochondrial=3).of(chrom, None) == 3
    assert CodonTables(mitochondrial=3).of(chrom, 4) == 4


@pytest.mark.parametrize("chrom", ["Pt", "ChrC", "chloroplast", "NC_000932.1"])
def test_names_of_plastids(chrom: str) -> None:
    assert CodonTables().of(chrom, None) == 11


steps = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 12)), min_size=1, max_size=5)


@given(steps, st.sampled_from("+-"), st.randoms(use_true_random=False))
def test_splicing_is_biopythons(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int]], strand: str, random: object
) -> None:
    parts, at = [], 0
    for gap, length in drawn:
        parts.append((at + gap, at + gap + length))
        at += gap + length
    letters = "".join(random.choice("ACGT") for _ in range(at + 5))  # type: ignore[attr-defined]
    path = tmp_path_factory.getbasetemp() / "s.fa"
    path.write_text(f">c\n{letters}\n")
    sign = 1 if strand == "+" else -1
    locations = [SimpleLocation(start, end, sign) for start, end in parts]
    ordered = locations if sign == 1 else locations[::-1]
    location = ordered[0] if len(ordered) == 1 else CompoundLocation(ordered)
    with Genome(path) as genome:
        assert splice(transcript(parts, strand), genome) == str(location.extract(Seq(letters)))
    assert all(left[1] < right[0] for left, right in pairwise(parts))


@pytest.mark.shared_data
def test_yeasts_translated_proteins_are_the_published_ones(shared_data: Path) -> None:
    from seqexpr.sequences.fasta import read_fasta

    folder = shared_data / "yeast"
    given_ = {record.id: record.sequence.decode().rstrip("*") for record in read_fasta(folder / "proteins.fa.gz")}
    counts, tables = TranslationCounts(), CodonTables(mitochondrial=3)
    with Genome(folder / "genome.fa.gz") as genome:
        found = {
            one.gene: one.protein
            for one in translate_transcripts(
                read_annotation(folder / "annotation.gtf.gz"), genome, tables, counts, LeftOut("g")
            )
        }
    both = found.keys() & given_.keys()
    assert len(both) > 0.9 * len(given_)
    assert sum(found[gene] == given_[gene] for gene in both) > 0.99 * len(both)


@pytest.mark.parametrize("number", sorted(CodonTable.unambiguous_dna_by_id))
def test_residues_are_those_of_every_table(number: int) -> None:
    table = CodonTable.unambiguous_dna_by_id[number]
    residues = residue_tokens(number)
    assert PROTEIN.decode(residues[:1]) == "X"
    for token, codon in enumerate(CODING.codons, start=1):
        if codon in table.forward_table:
            assert PROTEIN.decode(residues[token : token + 1]) == table.forward_table[codon]
        else:
            assert residues[token] == STOP and codon in table.stop_codons
