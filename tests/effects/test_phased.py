"""Levels of samples are those of genomes in which their haplotypes are written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqexpr.effects.gene_windows import GeneWindows
from seqexpr.effects.phased import PhasedLevels
from seqexpr.effects.variant_records import VcfReader
from seqexpr.errors import InputError, UsageError
from seqexpr.prediction.predictor import Predictor
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Tss
from tests.effects.test_mutagenesis import DOWNSTREAM, HALF_LIFE, SMALL, UPSTREAM, model
from tests.effects.test_variants import SITES, folder, level, text, write  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def one():
    return model(**SMALL)


def vcf(path: Path, samples: list[str], rows: list[tuple[int, str, str, str]], contig: str = "c1") -> Path:
    """Rows: POS, REF, ALT and the samples' fields."""
    lines = [
        "##fileformat=VCFv4.3",
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]),
    ]
    lines += [f"{contig}\t{at}\t.\t{ref}\t{alt}\t.\t.\t.\tGT:PS\t{fields}" for at, ref, alt, fields in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def levels_of(genome: Path, one, file: Path, samples=(), sites=SITES[:2], workers=1, **options):
    with Genome(genome) as opened:
        windows = GeneWindows(opened, sites, UPSTREAM, DOWNSTREAM)
        computing = PhasedLevels(
            Predictor([one], workers=workers),
            windows,
            lambda gene: (windows.window(gene)[0], HALF_LIFE),
            sites,
            samples,
            VcfReader(file),
            **options,
        )
        return list(computing.stream())


def test_haplotypes_are_those_written_out(tmp_path, text, folder, one):  # noqa: F811
    letters = text["c1"]
    edits = [(650, 1, "GGG"), (660, 4, letters[660]), (720, 1, "T" if letters[720] != "T" else "A"), (800, 2, "CATG")]
    rows = [(at + 1, letters[at : at + size], alt) for at, size, alt in edits]
    fields = ["0|1", "1|1", "1|0", "1/1"]
    file = vcf(tmp_path / "p.vcf", ["s"], [(*row, field) for row, field in zip(rows, fields, strict=True)])
    found = {row.gene.id: row for row in levels_of(folder, one, file)}
    for haplotype, chosen in ((0, (1, 2, 3)), (1, (0, 1, 3))):
        edited, shift = letters, {site.id: 0 for site in SITES[:2]}
        for number in reversed(chosen):
            at, size, alt = edits[number]
            edited = edited[:at] + alt + edited[at + size :]
            for site in SITES[:2]:
                shift[site.id] += (len(alt) - size) * (at < site.boundary)
        by_hand = write(tmp_path / f"{haplotype}.fa", {**text, "c1": edited})
        for site in SITES[:2]:
            there = Tss(site.id, site.chrom, site.boundary + shift[site.id], site.strand)
            expected = level(by_hand, one, there).mean(axis=0)
            np.testing.assert_allclose(found[site.id].haplotypes[haplotype], expected, atol=1e-5)
            assert found[site.id].flags == ()
    assert [found[gene].variants for gene in ("plus", "minus")] == [4, 4]


def test_what_cannot_be_placed_is_flagged(tmp_path, text, folder, one):  # noqa: F811
    letters = text["c1"]
    at = {place: letters[place - 1] for place in (650, 655, 660, 670, 672, 680)}
    other = {place: "A" if base != "A" else "C" for place, base in at.items()}
    rows = [
        (650, at[650], other[650], "0/1\t0|0\t.|.\t1"),
        (655, at[655], f"{other[655]},<X>", "0|0\t2|0\t0|0\t0"),
        (660, letters[659:670], letters[659], "0|0\t1|0\t0|0\t0"),
        (665, letters[664:668], letters[664], "0|0\t1|0\t0|0\t0"),  # within the deletion before
        (680, at[680], other[680], "0|0:7\t0|1:7\t0|1:1\t0"),
        (672, at[672], other[672], "0|0:7\t0|1:8\t0|0:1\t0"),
    ]
    file = vcf(tmp_path / "f.vcf", ["a", "b", "c", "d"], rows)
    found = {row.sample: row for row in levels_of(folder, one, file, sites=SITES[:1])}
    assert {name: row.flags for name, row in found.items()} == {
        "a": ("unphased",),
        "b": ("overlap", "phase_sets", "symbolic"),
        "c": ("missing_genotype",),
        "d": ("haploid",),
    }
    assert found["d"].haplotypes[1] is None and found["d"].variants == 1
    np.testing.assert_array_equal(found["a"].haplotypes[0], found["a"].reference)


@pytest.mark.parametrize(
    ("edits", "haplotype", "tss"),
    [
        # A run of eight T upstream of the TSS at 40, changed at several places.
        ([(19, 2, "G"), (24, 1, "C")], "G" + "TTTTCTTT"[1:] + "G", 39),
        ([(19, 2, "G"), (27, 1, "C")], "G" + "TTTTTTTC"[1:] + "G", 39),
        ([(19, 1, "GT"), (23, 1, "TT")], "G" + "T" * 10 + "G", 42),
        ([(19, 2, "G"), (26, 2, "T")], "G" + "T" * 6 + "G", 38),
        ([(19, 2, "G"), (20, 1, "C")], "G" + "T" * 7 + "G", 39),  # the letter that is changed is gone: left out
        ([(22, 0, "AC"), (22, 0, "GG")], "G" + "TTACTTTTTT" + "G", 42),  # two at one place: the first
    ],
)
def test_edits_of_one_haplotype_in_a_repeat_keep_their_places(tmp_path, one, edits, haplotype, tss):
    """Each is where the file puts it: moved over another one it would be another haplotype."""
    head, run, tail = "ACGGATCCATGCAATCGTA", "G" + "T" * 8 + "G", "CATGCCATAGGACTTACG" * 12
    genome = {"c1": "C" * 300 + head + run + tail}
    site = Tss("g", "c1", 340, "+")
    rows = []
    for at, size, alt in edits:
        start = 300 + at - (size == 0)
        kept = genome["c1"][start] if size == 0 else ""
        rows.append((start + 1, genome["c1"][start : start + size + (size == 0)], kept + alt, "1|0"))
    file = vcf(tmp_path / "r.vcf", ["s"], rows)
    (found,) = levels_of(write(tmp_path / "g.fa", genome), one, file, sites=[site])
    by_hand = write(tmp_path / "h.fa", {"c1": "C" * 300 + head + haplotype + tail})
    expected = level(by_hand, one, Tss("g", "c1", 300 + tss, "+")).mean(axis=0)
    np.testing.assert_allclose(found.haplotypes[0], expected, atol=1e-5)
    one_left_out = found.flags == ("overlap",)
    assert one_left_out == (edits[1][0] in (20, 22)) and found.variants == 2


def test_genotypes_of_more_than_two_alleles_and_large_variants_are_flagged(tmp_path, text, folder, one):  # noqa: F811
    base = text["c1"][649]
    file = tmp_path / "x.vcf"
    header = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT a b".replace(" ", "\t")
    rows = [
        f"c1 650 . {base} GG . . . GT 0|0|1 1/1/0",
        f"c1 20 . {text['c1'][19]} <INV> . . END=1900 GT 0|0 1|1",
        "nowhere 20 . A C . . . GT 1|1 1|1",
    ]
    file.write_text("\n".join(["##fileformat=VCFv4.3", header, *(row.replace(" ", "\t") for row in rows)]) + "\n")
    with Genome(folder) as opened:
        windows = GeneWindows(opened, SITES[:1], UPSTREAM, DOWNSTREAM)
        read = (lambda gene: (windows.window(gene)[0], HALF_LIFE),)
        computing = PhasedLevels(Predictor([one]), windows, *read, SITES[:1], (), VcfReader(file))
        found = {row.sample: row for row in computing.stream()}
    assert found["a"].flags == ("polyploid",) and found["b"].flags == ("polyploid", "symbolic")
    assert computing.flags == {"symbolic": 1, "contig_missing": 1}
    np.testing.assert_array_equal(found["b"].haplotypes[0], found["b"].reference)


def test_rows_are_of_each_gene_and_sample_in_their_order_with_any_threads(tmp_path, text, folder, one):  # noqa: F811
    base = text["c1"][649]
    fields = "\t".join(["0|1", "0|0", "1|1"])
    file = vcf(tmp_path / "o.vcf", ["a", "b", "c"], [(650, base, "GG", fields)])
    rows = levels_of(folder, one, file, ("c", "a"), SITES)
    order = [(row.gene.id, row.sample) for row in rows]
    assert order == [(site.id, name) for site in SITES for name in ("c", "a")]
    again = levels_of(folder, one, file, ("c", "a"), SITES, workers=3)
    assert [row.haplotypes[1].tobytes() for row in again] == [row.haplotypes[1].tobytes() for row in rows]
    far = rows[-1]
    np.testing.assert_array_equal(far.haplotypes[0], far.reference)


def test_samples_that_are_not_there(tmp_path, text, folder, one):  # noqa: F811
    file = vcf(tmp_path / "s.vcf", ["a"], [])
    with pytest.raises(UsageError, match="--samples: no sample 'z' in the VCF file; it has a"):
        levels_of(folder, one, file, ("z",))
    bare = tmp_path / "bare.vcf"
    bare.write_text("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    with pytest.raises(UsageError, match="--phased needs a VCF file with samples"):
        levels_of(folder, one, bare)


def test_another_assembly_is_refused(tmp_path, text, folder, one):  # noqa: F811
    other = "A" if text["c1"][649] != "A" else "C"
    file = vcf(tmp_path / "w.vcf", ["a"], [(650, other, "GG", "0|1")])
    with pytest.raises(InputError, match="1 of 1 REF alleles differ"):
        levels_of(folder, one, file)
