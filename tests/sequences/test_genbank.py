from __future__ import annotations

import logging
import random
import time
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO
from Bio.Data.CodonTable import TranslationError, unambiguous_dna_by_id
from Bio.Seq import Seq
from Bio.SeqFeature import AfterPosition, BeforePosition, CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.annotation import read_annotation
from seqexpr.sequences.coding import CodingSequence, CodonTables, TranslationCounts
from seqexpr.sequences.feature_lines import LeftOut
from seqexpr.sequences.genbank import GenbankFile, read_genbank
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import AnnotatedFeatures
from seqexpr.sequences.windows import Tss

from ..fuzz.mutator import damage
from ..genbank_text import ENSEMBL, LETTERS, feature, record

PLUS = (
    feature("gene", "1..20", gene="ALPHA", locus_tag="T_1", db_xref="GeneID:7")
    + feature("mRNA", "join(1..8,13..20)", gene="ALPHA", locus_tag="T_1")
    + feature("CDS", "join(3..8,13..18)", gene="ALPHA", locus_tag="T_1")
)
MINUS = feature("CDS", "complement(22..30)", locus_tag="T_2", translation="MVK")


def read(folder: Path, text: str, **options: object) -> GenbankFile:
    (folder / "r.gb").write_text(text)
    return read_genbank(folder / "r.gb", **options)  # type: ignore[arg-type]


def coding(
    file: GenbankFile, tables: CodonTables | None = None
) -> tuple[list[CodingSequence], TranslationCounts, dict[str, int]]:
    counts, left_out = TranslationCounts(), LeftOut("r.gb")
    return list(file.coding_sequences(tables or CodonTables(), counts, left_out)), counts, left_out.counts


def test_genes_of_a_record(tmp_path: Path) -> None:
    found = read(tmp_path, record(PLUS + MINUS))
    assert [(site.id, site.symbol, site.chrom, site.boundary, site.strand) for site in found.sites] == [
        ("T_1", "ALPHA", "REC.1", 0, "+"),
        ("T_2", "", "REC.1", 30, "-"),
    ]
    assert found.transcripts["T_1"].exons == ((0, 8), (12, 20))
    assert found.transcripts["T_1"].cds == ((2, 8), (12, 18))
    assert [(one.id, one.sequence) for one in found.proteins()] == [("T_1", b"MKG"), ("T_2", b"MVK")]


def test_picked_genes(tmp_path: Path) -> None:
    text = record(PLUS + MINUS)
    for name in ("ALPHA", "GeneID:7", "T_1"):
        found = read(tmp_path, text, genes=[name])
        assert [site.id for site in found.sites] == ["T_1"]
        assert [one.id for one in found.proteins()] == ["T_1"]
    with pytest.raises(InputError, match="no gene NOPE"):
        read(tmp_path, text, genes=["NOPE"])


def test_windows_are_those_of_the_same_genome(tmp_path: Path) -> None:
    found = read(tmp_path, record(PLUS + MINUS))
    (tmp_path / "g.fa").write_text(f">REC.1\n{LETTERS}\n")
    with Genome(tmp_path / "g.fa") as genome:
        for site in found.sites:
            window, padded = found.sequences.placed_window(site, 12, 9)
            expected, off = genome.placed_window(site, 12, 9)
            np.testing.assert_array_equal(window, expected)
            assert padded == off


@pytest.mark.parametrize("sides", [(5, 3), (0, 40), (39, 1), (70, 55)])
def test_windows_of_a_circular_record_go_round_it(tmp_path: Path, sides: tuple[int, int]) -> None:
    """The same as in many copies of the record, one after the other, the longest window too."""
    sequences = read(tmp_path, record(PLUS, "circular")).sequences
    upstream, downstream = sides
    copies = Seq(LETTERS.upper() * 7)
    for boundary in range(41):
        middle = boundary + 3 * len(LETTERS)
        for strand in "+-":
            window, padded = sequences.placed_window(Tss("x", "REC.1", boundary, strand), upstream, downstream)
            before, after = (upstream, downstream) if strand == "+" else (downstream, upstream)
            around = copies[middle - before : middle + after]
            assert padded == 0
            assert DNA.decode(window) == str(around if strand == "+" else around.reverse_complement())


def test_a_linear_record_is_padded(tmp_path: Path) -> None:
    sequences = read(tmp_path, record(PLUS)).sequences
    window, padded = sequences.placed_window(Tss("x", "REC.1", 2, "+"), 5, 3)
    assert (DNA.decode(window), padded) == ("NNNTTATG", 3)


@pytest.mark.parametrize("topology", ["linear", "circular"])
def test_features_are_those_of_the_same_gtf(tmp_path: Path, topology: str) -> None:
    """On the circular record the gene lies over the origin; the GTF is of the record turned back."""
    text = record(PLUS)
    if topology == "circular":
        turned = LETTERS[4:] + LETTERS[:4]
        over = PLUS.replace("1..20", "join(37..40,1..16)").replace("join(1..8,13..20)", "join(37..40,1..4,9..16)")
        text = record(over.replace("join(3..8,13..18)", "join(39..40,1..4,9..14)"), "circular", turned)
    found = read(tmp_path, text)
    (tmp_path / "g.fa").write_text(f">REC.1\n{LETTERS}\n")
    rows = [("exon", 1, 8), ("exon", 13, 20), ("CDS", 3, 8), ("CDS", 13, 18)]
    (tmp_path / "a.gtf").write_text(
        "".join(f'REC.1\tx\t{kind}\t{a}\t{b}\t.\t+\t.\tgene_id "T_1"; transcript_id "t";\n' for kind, a, b in rows)
    )
    with Genome(tmp_path / "g.fa") as genome:
        own = AnnotatedFeatures({one.gene_id: one for one in read_annotation(tmp_path / "a.gtf")}, genome)
        np.testing.assert_array_equal(AnnotatedFeatures(found.transcripts, found.sequences)["T_1"], own["T_1"])


def test_what_cannot_be_used_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    off = feature("CDS", "3..99", locus_tag="X")
    assert [site.id for site in read(tmp_path, record(MINUS + off)).sites] == ["T_2"]
    assert "left out 1 CDS features with positions beyond the end of the record (first: X of REC.1)" in caplog.text


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (MINUS, "no coding gene has a 5'UTR, so its TSS is the start codon"),
        (feature("gene", "1..30", gene="x") + feature("CDS", "3..8", gene="x"), "so its TSS is the gene's start"),
        (feature("gene", "1..9", gene="x") + feature("exon", "2..9", gene="x") + feature("CDS", "3..8", gene="x"), ""),
        (PLUS, ""),
    ],
)
def test_what_a_tss_is_taken_from_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, features: str, said: str
) -> None:
    read(tmp_path, record(features))
    assert said in caplog.text and bool(caplog.text) == bool(said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (record(""), "found no gene"),
        (record(PLUS) + record(MINUS), "record 'REC.1': found a second record"),
        (record(feature("CDS", "3..99", locus_tag="X")), "X of REC.1: found 1 CDS features with positions beyond"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


# Coding sequences

SELENO = "aa" + "atgaaatgaccctaa" + "gg"


def reverse(letters: str) -> str:
    return str(Seq(letters).reverse_complement())


@pytest.mark.parametrize(
    ("letters", "location", "qualifiers", "codons", "protein"),
    [
        ("gtgaaataag", "1..9", {"transl_table": 11}, "GTGAAA", "MK"),  # an alternative start
        ("gtgaaataag", "<1..9", {"transl_table": 11}, "GTGAAA", "VK"),  # which is none where the beginning is missing
        ("agtgaaataag", "<1..10", {"transl_table": 11, "codon_start": 2}, "GTGAAA", "VK"),
        (reverse("agtgaaataag"), "complement(2..>11)", {"transl_table": 11, "codon_start": 2}, "GTGAAA", "VK"),
        ("atgaaatgaccc", "1..>12", {}, None, None),  # a stop within
        (SELENO, "3..17", {"transl_except": "(pos:9..11,aa:Sec)"}, "ATGAAATGACCC", "MKUP"),
        (
            reverse(SELENO),
            "complement(3..17)",
            {"transl_except": "(pos:complement(9..11),aa:Sec)"},
            "ATGAAATGACCC",
            "MKUP",
        ),
        (SELENO, "3..17", {"transl_except": "(pos:9..11,aa:OTHER)"}, "ATGAAATGACCC", "MKXP"),
        (SELENO, "3..17", {"transl_except": "nonsense"}, None, None),
        (SELENO, "3..17", {"transl_table": 2}, "ATGAAATGACCC", "MKWP"),
        (SELENO, "3..17", {"translation": "MKUP"}, "", "MKUP"),
        ("atgaaacccgggtaa", "1..15", {"translation": "MKPL"}, "ATGAAACCCGGG", "MKPL"),  # RNA editing
        (SELENO, "3..17", {"translation": "MKLLP"}, "", "MKLLP"),  # what cannot be its codons is not given as such
        (SELENO, "3..17", {"translation": "MK*P"}, None, None),
        ("atgaaanntra", "1..11", {}, "ATGAAANNT", "MKX"),
        ("atgaaat", "1..7", {"transl_except": "(pos:7,aa:TERM)"}, "ATGAAA", "MK"),  # the poly(A) tail completes it
        ("atgaaaggaccc", "join(1..6,6..10)", {}, "ATGAAAAGG", "MKR"),  # the ribosome slips back
        ("atgaaaggaccc", "join(1..6,8..12)", {}, "ATGAAAGAC", "MKD"),
        ("taa", "1..3", {}, None, None),
        ("at", "1..2", {}, None, None),
    ],
)
def test_how_a_coding_sequence_is_read(
    tmp_path: Path, letters: str, location: str, qualifiers: dict[str, str], codons: str | None, protein: str | None
) -> None:
    found, counts, left_out = coding(
        read(tmp_path, record(feature("CDS", location, locus_tag="X", **qualifiers), letters=letters))
    )
    assert [(one.codons, one.protein) for one in found] == ([(codons, protein)] if protein else [])
    assert sum(left_out.values()) == (protein is None)
    assert counts.translated == (protein is not None)


def test_tails_that_complete_a_stop_are_no_fault(tmp_path: Path) -> None:
    whole = feature("CDS", "1..7", locus_tag="X", transl_except="(pos:7,aa:TERM)")
    _, counts, _ = coding(read(tmp_path, record(whole, letters="atgaaat")))
    assert (counts.no_stop, counts.incomplete, counts.no_start) == (0, 0, 0)
    _, counts, _ = coding(read(tmp_path, record(feature("CDS", "1..7", locus_tag="X"), letters="atgaaat")))
    assert (counts.no_stop, counts.incomplete, counts.no_start) == (1, 1, 0)


def test_the_table_is_the_features_else_the_organelles(tmp_path: Path) -> None:
    cds = feature("CDS", "1..12", locus_tag="X")
    own = feature("CDS", "1..12", locus_tag="X", transl_table=2)
    source = feature("source", "1..14", organelle="mitochondrion")
    letters = "atgatactatgagg"  # ATA is M in mitochondria, CTA is T in yeast's, TGA is W
    for features, tables, protein in (
        (cds, CodonTables(), "MIL"),
        (cds, CodonTables(nuclear=10), "MILC"),
        (source + cds, CodonTables(), "MMLW"),
        (source + cds, CodonTables(mitochondrial=3), "MMTW"),
        (own, CodonTables(), "MMLW"),
        (source + own, CodonTables(mitochondrial=3), "MMLW"),
    ):
        ((found,), counts, _) = coding(read(tmp_path, record(features, letters=letters)), tables)
        assert found.protein == protein
        assert counts.mitochondrial == (source in features and own not in features)


@st.composite
def written_records(draw: st.DrawFn) -> SeqRecord:
    """A record with one CDS, of parts on either strand, that may lie over the origin or be incomplete."""
    length = draw(st.integers(30, 90))
    generator = draw(st.randoms(use_true_random=False))
    letters = "".join(generator.choice("ACGT" * 9 + "NRYacgt") for _ in range(length))
    circular, sign = draw(st.booleans()), draw(st.sampled_from((1, -1)))
    pieces, at = [], draw(st.integers(0, length - 1) if circular else st.integers(0, 9))
    first = at
    for _ in range(draw(st.integers(1, 4))):
        end = at + draw(st.integers(1, 25))
        if end > (first + length if circular else length):
            break
        pieces += [(at, end)] if end <= length or at >= length else [(at, length), (length, end)]
        at = end + draw(st.integers(-1, 6))  # -1: the ribosome slips back
    places = [(start % length, end - start // length * length) for start, end in pieces or [(0, 9)]]
    parts = [SimpleLocation(start, end, sign) for start, end in places][::sign]
    if draw(st.booleans()):
        start, end = parts[0].start, parts[0].end
        known = (BeforePosition(start), end) if sign == 1 else (start, AfterPosition(end))
        parts[0] = SimpleLocation(*known, sign)
    qualifiers = {
        "locus_tag": ["X"],
        "codon_start": [str(draw(st.integers(1, 3)))],
        "transl_table": [str(draw(st.sampled_from((1, 2, 3, 4, 5, 11, 25, 27))))],
    }
    location = parts[0] if len(parts) == 1 else CompoundLocation(parts)
    made = SeqRecord(Seq(letters), "R.1", "R", features=[SeqFeature(location, "CDS", qualifiers=qualifiers)])
    made.annotations = {"molecule_type": "DNA", "topology": "circular" if circular else "linear"}
    return made


@given(written_records())
@pytest.mark.filterwarnings("ignore::Bio.BiopythonWarning")  # of codon table 27, whose stop is an amino acid within
def test_proteins_are_biopythons(tmp_path_factory: pytest.TempPathFactory, made: SeqRecord) -> None:
    path = tmp_path_factory.getbasetemp() / "written.gb"
    SeqIO.write(made, path, "genbank")
    (cds,) = made.features
    found, _, left_out = coding(read_genbank(path))
    phase, table = int(cds.qualifiers["codon_start"][0]) - 1, int(cds.qualifiers["transl_table"][0])
    spliced = cds.extract(made.seq).upper()[phase:]
    spliced = spliced[: len(spliced) // 3 * 3]
    first = cds.location.parts[0]
    from_start = phase == 0 and not {BeforePosition, AfterPosition} & {type(first.start), type(first.end)}
    try:
        whole = str(
            spliced.translate(table=table, cds=True)
        )  # of a whole coding sequence, Biopython says the start too
    except TranslationError:
        whole = ""
    stopped = str(spliced[-3:]) in unambiguous_dna_by_id[table].stop_codons
    protein = str(spliced.translate(table=table))
    protein = protein[:-1] if stopped else protein.removesuffix("*")  # TRA is a stop too
    if not protein or "*" in protein:
        assert found == [] and sum(left_out.values()) == 1
        return
    (one,) = found
    assert one.protein[1:] == protein[1:]
    assert one.codons == str(spliced)[: 3 * len(protein)]
    if whole and from_start:
        assert one.protein == whole
    elif not from_start:
        assert one.protein[0] == protein[0]


def test_damaged_files_are_errors_of_their_own(tmp_path: Path) -> None:
    """500 seeds; what is not damaged beyond reading is read on, translated and cut into windows."""
    logging.disable(logging.CRITICAL)
    sound = [
        record(PLUS + MINUS).encode(),
        record(PLUS + feature("CDS", "join(35..40,1..6)", locus_tag="O"), "circular").encode(),
        (record(PLUS) + record(MINUS, name="TWO")).encode(),
        record(feature("CDS", "3..17", gene="S", transl_except="(pos:9..11,aa:Sec)"), letters=SELENO).encode(),
        ENSEMBL.encode(),
    ]
    try:
        for seed in range(500):
            generator = random.Random(seed)
            path = tmp_path / "damaged.gb"
            path.write_bytes(damage(generator.choice(sound), generator, path.name))
            begun = time.monotonic()
            try:
                found = read_genbank(path)
                list(found.proteins())
                for site in found.sites:
                    found.sequences.check_inside(site)
                    found.sequences.placed_window(site, 70, 35)
                features = AnnotatedFeatures(found.transcripts, found.sequences)
                assert all(len(features[gene]) for gene in found.transcripts)
            except InputError as problem:
                assert str(problem)
            assert time.monotonic() - begun < 5, seed
    finally:
        logging.disable(logging.NOTSET)
