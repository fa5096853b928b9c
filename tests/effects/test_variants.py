"""Effects of variants are those of hand-edited genomes, whatever else is in the stream."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from seqexpr.effects import variants as engine
from seqexpr.effects.alleles import FIRST_RECORDS
from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.variant_records import VariantRecord, VariantTable, parse_variant
from seqexpr.effects.variants import VariantEffects
from seqexpr.errors import DeviceError, InputError, UsageError
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Tss
from tests.effects.test_mutagenesis import DOWNSTREAM, HALF_LIFE, SMALL, UPSTREAM, model

LENGTH = 2_000
SITES = [
    Tss("plus", "c1", 700, "+", "PLUS"),
    Tss("minus", "c1", 750, "-"),
    Tss("edge", "c1", 1_990, "+"),
    Tss("far", "c2", 600, "-"),
]


@pytest.fixture(scope="module")
def text() -> dict[str, str]:
    letters = random.Random(3)
    found = {name: "".join(letters.choices("ACGT", k=LENGTH)) for name in ("c1", "c2", "empty")}
    found["c1"] = found["c1"][:690] + "CACACACACACACACACACA" + found["c1"][710:]  # a repeat over a TSS
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory, text) -> Path:
    return write(tmp_path_factory.mktemp("genome") / "genome.fa", text)


def write(path: Path, text: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in text.items()))
    return path


@pytest.fixture(scope="module")
def one():
    return model(**SMALL, kernel_genes=20, kernel_words=False, kernel_features=True, kernel_members=4)


def effects_of(genome: Path, models, records, sites=SITES, half_life=lambda gene: HALF_LIFE, **options) -> list:
    with Genome(genome) as opened:
        windows = GeneWindows(opened, sites, UPSTREAM, DOWNSTREAM)
        read = lambda gene: (windows.window(gene)[0], half_life(gene.id))  # noqa: E731
        computing = VariantEffects(models, windows, read, **options)
        found = [row for _, rows in computing.stream(records) for row in rows]
    counts = computing.counts
    assert counts.rows == len(found) and counts.scored == sum(row.changed is not None for row in found)
    return found


def level(genome: Path, one, site: Tss) -> np.ndarray:
    with Genome(genome) as opened:
        window = opened.window(site, UPSTREAM, DOWNSTREAM)
    return one.predict_members(window[None], None, HALF_LIFE[None])[:, 0]


def edited(text: dict[str, str], record: VariantRecord, alt: str) -> dict[str, str]:
    letters, start = text[record.chrom], record.position - 1
    assert letters[start : start + len(record.ref)] == record.ref
    return {**text, record.chrom: letters[:start] + alt + letters[start + len(record.ref) :]}


def variant(text: dict[str, str], contig: str, start: int, size: int, alt: str) -> VariantRecord:
    return VariantRecord(1, contig, start + 1, ".", text[contig][start : start + size], (alt,))


@pytest.mark.parametrize(
    ("start", "size", "alt", "genes"),
    [
        (500, 1, "x", ["plus"]),  # a letter
        (680, 1, "x", ["plus", "minus"]),
        (650, 3, "GGG", ["plus", "minus"]),
        (660, 4, "A", ["plus", "minus"]),  # upstream of plus and downstream of minus
        (660, 1, "ACGTTT", ["plus", "minus"]),
        (640, 5, "TTTTTTTTT", ["plus", "minus"]),
        (461, 2, "C", ["plus"]),  # at the edge of a window
        (765, 10, "T", ["plus", "minus"]),  # the other way round
        (800, 1, "GATTACA", ["plus", "minus"]),
        (980, 1, "GATTACA", ["minus"]),
    ],
)
def test_levels_are_those_of_a_hand_edited_genome(tmp_path, text, folder, one, start, size, alt, genes):
    if alt == "x":
        alt = "ACGT"["CGTA".index(text["c1"][start])]
    record = variant(text, "c1", start, size, alt)
    by_hand = write(tmp_path / "edited.fa", edited(text, record, alt))
    found = {row.gene.id: row for row in effects_of(folder, [one], [record])}
    assert list(found) == genes
    grown = len(alt) - size
    for site in (site for site in SITES if site.id in found):
        before = start + size <= site.boundary
        there = Tss(site.id, site.chrom, site.boundary + grown * before, site.strand)
        expected, reference = level(by_hand, one, there), level(folder, one, site)
        row = found[site.id]
        np.testing.assert_allclose(row.changed, expected.mean(axis=0), atol=1e-5)
        np.testing.assert_array_equal(row.reference, reference.mean(axis=0))
        np.testing.assert_allclose(row.sd, (expected - reference).std(axis=0, ddof=1), atol=1e-5)


def test_spellings_of_an_indel_in_a_repeat_give_the_same_bits(text, folder, one):
    letters = text["c1"]
    spelt = []
    for start in range(690, 707, 2):  # one CA less of the repeat over PLUS's TSS, wherever it is written
        spelt.append(variant(text, "c1", start, 3, letters[start]))
        spelt.append(variant(text, "c1", start - 1, 4, letters[start - 1] + letters[start + 2]))
    rows = effects_of(folder, [one], spelt)
    by_gene = {gene: [row for row in rows if row.gene.id == gene] for gene in ("plus", "minus")}
    for found in by_gene.values():
        assert len(found) == len(spelt)
        assert len({(row.changed.tobytes(), row.sd.tobytes(), row.tss_distance, row.flags) for row in found}) == 1
    assert by_gene["plus"][0].tss_distance >= 0  # the 3' rule


def test_order_batches_and_threads_change_no_bit(text, folder, one, monkeypatch):
    letters = random.Random(5)
    records = []
    for number in range(1, 200):
        contig, start = letters.choice(["c1", "c2"]), letters.randrange(400, 1_000)
        size, alt = letters.choice([(1, 1), (1, 1), (1, 1), (2, 2), (1, 4), (3, 1)]), ""
        alt = "".join(letters.choices("ACGT", k=size[1]))
        records.append(variant(text, contig, start, size[0], alt))
        object.__setattr__(records[-1], "number", number)

    def bits(given, **options):
        rows = effects_of(folder, [one], given, **options)
        key = lambda row: (row.record.number, "" if row.gene is None else row.gene.id)  # noqa: E731
        return {key(row): None if row.changed is None else (row.changed.tobytes(), row.sd.tobytes()) for row in rows}

    expected = bits(records)
    assert sum(value is not None for value in expected.values()) > 100
    assert bits(records, workers=4) == expected
    assert bits(records[::-1]) == expected
    assert bits(letters.sample(records, 60)).items() <= expected.items()
    for name, value in (("_JOBS", 7), ("_PART", 3), ("_GENES", 2), ("_GENES_HELD", 1)):
        monkeypatch.setattr(engine, name, value)
    assert bits(records, workers=3) == expected


def test_genes_with_few_variants_are_read_together(tmp_path, one, monkeypatch):
    letters = {"c1": "".join(random.Random(7).choices("ACGT", k=20_000))}
    genome, together = write(tmp_path / "long.fa", letters), []
    sites = [Tss(f"g{number}", "c1", 500 + 400 * number, "+") for number in range(40)]
    records = [variant(letters, "c1", site.boundary - 5, 1, "GA"[: 1 + place % 2]) for place, site in enumerate(sites)]
    read = engine.Mutagenesis.read

    def counted(self, windows, half_lives):
        together.append(len(windows))
        return read(self, windows, half_lives)

    monkeypatch.setattr(engine.Mutagenesis, "read", counted)
    for workers, expected in ((1, [16, 16, 8]), (4, [10, 10, 10, 10])):
        together.clear()
        assert len(effects_of(genome, [one], records, sites=sites, workers=workers)) == 40
        assert sorted(together, reverse=True) == expected


def flags(rows) -> list[tuple[str, str]]:
    return [(row.alt, "&".join(row.flags)) for row in rows]


def test_each_allele_has_rows_with_a_value_or_a_flag(text, folder, one):
    letters = text["c1"]
    ref = letters[649]
    other = "ACGT"["CGTA".index(ref)]
    record = VariantRecord(1, "c1", 650, ".", ref, (other, "*", ".", "<X>", "N", ref + "[c2:7[", "A" * 100_001, ref))
    rows = effects_of(folder, [one], [record], sites=SITES[:1])
    assert flags(rows) == [
        (other, ""), ("*", "star"), (".", "no_alt"), ("<X>", "symbolic"), ("N", "not_acgt"),
        (ref + "[c2:7[", "symbolic"), ("A" * 100_001, "too_long"), (ref, ""),
    ]  # fmt: skip
    assert not rows[-1].deltas.any() and rows[0].deltas.any()  # ALT that is REF changes nothing


def test_flags_of_places(text, folder, one):
    records = [
        VariantRecord(1, "nowhere", 5, ".", "A", ("C",)),
        variant(text, "empty", 50, 1, "AC"),
        variant(text, "c1", 5, 1, "AC"),
        VariantRecord(4, "c1", 0, ".", "N", ("C",)),
        VariantRecord(5, "c1", 650, ".", "ACGT"["CGTA".index(text["c1"][649])], ("GG",)),
        VariantRecord(6, "c1", LENGTH + 5, ".", "A", ("C",)),
    ]
    rows = effects_of(folder, [one], records, max_mismatch=1.0)
    found = [flag for _, flag in flags(rows)]
    assert found == ["contig_missing", "no_gene", "out_of_window", "not_acgt", "ref_mismatch", "ref_mismatch"]
    assert all(row.gene is None and row.tss_distance is None for row in rows)


def test_an_indel_over_the_tss_is_flagged_and_scored(text, folder, one):
    rows = effects_of(folder, [one], [variant(text, "c1", 745, 9, "GG")], sites=SITES[1:2])
    assert flags(rows) == [("GG", "spans_tss")] and rows[0].changed is not None
    rows = effects_of(folder, [one], [variant(text, "c1", 745, 9, "GATTACAGA")], sites=SITES[1:2])
    assert flags(rows) == [("GATTACAGA", "")]


def test_symbolic_deletions_and_duplications_are_those_written_out(text, folder, one):
    def symbolic(kind: str) -> VariantRecord:
        info = f"SVTYPE={kind};END=620"
        line = f"c1\t600\t.\t{text['c1'][599]}\t<{kind}>\t.\t.\t{info}\n".encode()
        return VariantRecord(1, "c1", 600, ".", text["c1"][599], (f"<{kind}>",), line)

    gone, twice = text["c1"][599:620], text["c1"][600:620]
    written = [variant(text, "c1", 599, 21, gone[0]), variant(text, "c1", 619, 1, text["c1"][619] + twice)]
    for one_kind, spelt in zip(("DEL", "DUP"), written, strict=True):
        found = effects_of(folder, [one], [symbolic(one_kind), spelt])
        half = len(found) // 2
        assert [row.changed.tobytes() for row in found[:half]] == [row.changed.tobytes() for row in found[half:]]


def test_distances_run_along_the_gene(text, folder, one):
    rows = effects_of(folder, [one], [variant(text, "c1", 700, 1, "A" if text["c1"][700] != "A" else "C")])
    assert {row.gene.id: row.tss_distance for row in rows} == {"plus": 0, "minus": 49}
    near = effects_of(folder, [one], [variant(text, "c1", 715, 1, "A" if text["c1"][715] != "A" else "C")], distance=30)
    assert [(row.gene.id, row.tss_distance) for row in near] == [("plus", 15)]
    none = effects_of(folder, [one], [variant(text, "c1", 600, 1, "GG")], distance=5)
    assert flags(none) == [("GG", "too_far")]
    before = effects_of(folder, [one], [VariantRecord(1, "c1", 751, ".", text["c1"][750], (text["c1"][750] + "TTTT",))])
    assert next(row.tss_distance for row in before if row.gene.id == "minus") < 0  # an insertion upstream


def test_variants_on_no_contig_of_the_genome_are_refused(folder, one):
    records = [VariantRecord(number, f"{number}", 5, ".", "A", ("C",)) for number in (7, 8)]
    with pytest.raises(InputError, match=r"none of the contigs of 2 variants, the first being '7'.*such as c1, c2"):
        effects_of(folder, [one], records)


def test_a_contig_of_another_length_is_refused_when_a_variant_lies_on_it(text, folder, one):
    record = variant(text, "c1", 650, 1, "GG")
    assert len(effects_of(folder, [one], [record], lengths={"c2": 7, "c1": LENGTH})) == 2
    with pytest.raises(InputError, match="contig c1: found 2,000 bases; expected 7, as the header"):
        effects_of(folder, [one], [record], lengths={"c1": 7})


def test_a_gene_whose_window_is_deleted_has_a_flag_and_no_value(text, folder, one):
    letters = text["c1"]
    rows = effects_of(folder, [one], [variant(text, "c1", 100, 1_500, letters[100])])
    assert {row.gene.id: row.flags for row in rows} == {"plus": ("deleted",), "minus": ("deleted",)}
    assert all(row.changed is None for row in rows)


def test_an_edit_that_can_be_written_far_away_meets_the_genes_at_all_its_places(tmp_path, one):
    """A repeat that begins before a window: its copies are equal, so one less may be the last one."""
    text = {"c1": "ACGT" * 100 + "GATTACA" * 60 + "ACCGGTT" * 100}
    genome = write(tmp_path / "repeat.fa", text)
    site = Tss("g", "c1", 800, "+")
    spelt = [variant(text, "c1", start, 8, text["c1"][start]) for start in (400, 540, 547, 799)]
    rows = effects_of(genome, [one], spelt, sites=[site])
    assert len({(row.changed.tobytes(), row.tss_distance) for row in rows}) == 1 and len(rows) == 4


def test_another_assembly_is_refused_before_anything_is_computed(text, folder, one):
    letters = text["c1"]
    wrong = ["ACGT"["CGTA".index(letters[at])] for at in range(500, 700)]
    records = [VariantRecord(at, "c1", 501 + at, ".", ref, ("GG",)) for at, ref in enumerate(wrong[:3])]
    records += [variant(text, "c1", at, 1, "GG") for at in range(503, 700)]
    with pytest.raises(
        InputError, match=r"3 of 200 REF alleles differ, first c1:501 has [ACGT], not [ACGT].*right one"
    ):
        effects_of(folder, [one], records)
    rows = effects_of(folder, [one], records, max_mismatch=0.02)
    assert sum(row.flags == ("ref_mismatch",) for row in rows) == 3


def test_reference_levels_do_not_depend_on_half_life_that_is_unknown(folder, one, text):
    record = variant(text, "c1", 600, 1, "GGG")
    known = effects_of(folder, [one], [record])
    unknown = effects_of(folder, [one], [record], half_life=lambda gene: None)
    assert not np.array_equal(known[0].reference, unknown[0].reference)


def test_a_share_is_a_share(folder, one):
    with pytest.raises(UsageError, match="--max-mismatch 2"):
        effects_of(folder, [one], [], max_mismatch=2)


def test_ten_thousand_records_in_flat_memory(tmp_path, text, folder, one, monkeypatch):
    """No more records are held than a chunk has jobs."""
    held, most = set(), 0
    monkeypatch.setattr(engine, "_JOBS", 50)

    def watched():
        nonlocal most
        for number in range(1, 3_000):
            held.add(number)
            most = max(most, len(held))
            yield parse_variant(f"c1:{600 + number % 50}:{text['c1'][599 + number % 50]}:GG", number)

    with Genome(folder) as opened:
        windows = GeneWindows(opened, SITES, UPSTREAM, DOWNSTREAM)
        computing = VariantEffects([one], windows, lambda gene: (windows.window(gene)[0], None))
        for record, _ in computing.stream(watched()):
            held.discard(record.number)
    assert most <= FIRST_RECORDS + 51


def test_memory_that_runs_out_is_named(text, folder, one, monkeypatch):
    def full(*given, **named):
        raise MemoryError

    monkeypatch.setattr(engine.Mutagenesis, "read", full)
    with pytest.raises(DeviceError, match="out of memory on cpu; try fewer --threads, or another --device"):
        effects_of(folder, [one], [variant(text, "c1", 650, 1, "GG")], workers=2)


def test_tables_are_sources_too(tmp_path, text, folder, one):
    file = tmp_path / "t.tsv"
    file.write_text(f"chrom\tpos\tref\talt\nc1\t650\t{text['c1'][649]}\tGG\n")
    assert len(effects_of(folder, [one], VariantTable(file))) == 2
