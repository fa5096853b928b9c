from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqexpr.effects.attribution import Explained
from seqexpr.effects.effect_files import Sink, file_name, open_effects
from seqexpr.effects.effect_table import COLUMNS, rows
from seqexpr.effects.effect_tracks import track
from seqexpr.effects.gene_effects import GeneEffects, Region
from seqexpr.effects.letters import RESIDUES
from seqexpr.errors import MissingDataError, UsageError
from seqexpr.prediction.inputs import InputCounts
from seqexpr.sequences.windows import Tss

Make = Callable[..., GeneEffects]


def counts_of(*genes: GeneEffects) -> InputCounts:
    counts = InputCounts(expected=len(genes))
    for gene in genes:
        if gene.interval is not None:
            place = gene.interval
            boundary = place.start - gene.first if place.strand == "+" else place.end + gene.first
            counts.sites[gene.id] = Tss(gene.id, place.chrom, boundary, place.strand)
            counts.contigs[place.chrom] = gene.contig_length
            counts.circular |= {place.chrom} if gene.circular else set()
    return counts


def write(out: Path | str, *genes: GeneEffects) -> None:
    with opened(out, counts_of(*genes), genes[0]) as sink:
        for gene in genes:
            sink.write(gene)


def opened(out: Path | str, counts: InputCounts, first: GeneEffects) -> AbstractContextManager[Sink]:
    explained = Explained(first.letters, Region(first.first, first.first + len(first.tokens)), first.output, 0)
    return open_effects(str(out), explained, counts, about="tiny", description={"models": []})


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text()), delimiter="\t"))


def test_the_table_has_a_row_for_each_substitution(tmp_path: Path, effects: Make) -> None:
    gene = effects("g", "ANC", "chr1:9-12:+", symbol="GENE", first=-1)
    write(tmp_path / "e.tsv", gene)
    table = read(tmp_path / "e.tsv")
    assert tuple(table[0]) == COLUMNS["dna"]
    assert [(row["pos"], row["tss_distance"], row["ref"], row["alt"]) for row in table] == [
        *(("10", "-1", "A", alt) for alt in "CGT"),
        *(("12", "1", "C", alt) for alt in "AGT"),
    ]
    assert {(row["id"], row["symbol"], row["chrom"], row["strand"]) for row in table} == {("g", "GENE", "chr1", "+")}
    wanted = [*gene.deltas[[1, 2, 3], 0], *gene.deltas[[0, 2, 3], 2]]
    np.testing.assert_allclose([float(row["delta"]) for row in table], wanted, rtol=1e-5)


def test_letters_of_a_gene_on_the_other_strand_are_those_of_the_genome(effects: Make) -> None:
    gene = effects("g", "AC", "chr1:9-11:-")
    table = list(rows(gene))
    assert [row[3:8] for row in table] == [
        *((11, "-", 0, "T", alt) for alt in "ACG"),
        *((10, "-", 1, "G", alt) for alt in "ACT"),
    ]
    # A on the + strand is the gene's T.
    assert [row[8] for row in table[:3]] == pytest.approx([gene.deltas[place, 0] for place in (3, 2, 1)])


def test_windows_without_a_place_keep_their_letters(tmp_path: Path, effects: Make) -> None:
    write(tmp_path / "e.tsv.gz", effects("g", "AC", first=5))
    table = list(
        csv.DictReader(io.StringIO(gzip.decompress((tmp_path / "e.tsv.gz").read_bytes()).decode()), delimiter="\t")
    )
    assert [(row["chrom"], row["pos"], row["strand"], row["tss_distance"], row["ref"]) for row in table[::3]] == [
        ("", "", "", "5", "A"),
        ("", "", "", "6", "C"),
    ]


def test_arrays_are_as_motif_discovery_reads_them(tmp_path: Path, effects: Make) -> None:
    genes = [effects("a", "ACGTN", seed=1), effects("b", "TTNCA", seed=2)]
    write(tmp_path / "ism.npz", *genes)
    with np.load(tmp_path / "ism.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["effects", "ids", "one_hot"]
        assert arrays["ids"].tolist() == ["a", "b"]
        assert (arrays["effects"].shape, arrays["effects"].dtype) == ((2, 4, 5), np.float32)
        assert (arrays["one_hot"].shape, arrays["one_hot"].dtype) == ((2, 4, 5), np.int8)
        for place, gene in enumerate(genes):
            known = gene.tokens > 0
            np.testing.assert_array_equal(arrays["effects"][place][:, known], gene.deltas[:, known])
            assert (arrays["effects"][place][:, ~known] == 0).all()
            np.testing.assert_array_equal(arrays["one_hot"][place].sum(axis=0), known)
            np.testing.assert_array_equal(arrays["one_hot"][place].argmax(axis=0)[known], gene.tokens[known] - 1)
    again = tmp_path / "again.npz"
    write(again, *genes)
    assert again.read_bytes() == (tmp_path / "ism.npz").read_bytes()


def test_the_table_of_a_protein_counts_residues(tmp_path: Path, effects: Make) -> None:
    gene = effects("p", "MXU", of=RESIDUES, first=7)
    write(tmp_path / "e.tsv", gene)
    table = read(tmp_path / "e.tsv")
    assert tuple(table[0]) == COLUMNS["protein"]
    assert [(row["residue"], row["ref"], row["alt"]) for row in table] == [
        *(("7", "M", alt) for alt in "ACDEFGHIKLNPQRSTVWY"),
        *(("9", "U", alt) for alt in "ACDEFGHIKLMNPQRSTVWY"),
    ]
    np.testing.assert_allclose([float(row["delta"]) for row in table[19:]], gene.deltas[:, 2], rtol=1e-5)


def test_arrays_of_proteins_are_as_long_as_the_longest(tmp_path: Path, effects: Make) -> None:
    genes = [effects("a", "MKX", of=RESIDUES), effects("b", "WCCAU", of=RESIDUES)]
    write(tmp_path / "ism.npz", *genes)
    with np.load(tmp_path / "ism.npz", allow_pickle=False) as arrays:
        assert arrays["effects"].shape == arrays["one_hot"].shape == (2, 20, 5)
        np.testing.assert_array_equal(arrays["effects"][0, :, :2], genes[0].deltas[:, :2])
        np.testing.assert_array_equal(arrays["effects"][1], genes[1].deltas)
        assert not arrays["effects"][0, :, 2:].any() and not arrays["one_hot"][0, :, 2:].any()
        assert arrays["one_hot"][1].sum(axis=0).tolist() == [1, 1, 1, 1, 0]
        assert [RESIDUES.letters[row] for row in arrays["one_hot"][1].argmax(axis=0)[:4]] == list("WCCA")


@pytest.mark.parametrize("suffix", ["bedgraph", "bw"])
def test_proteins_have_no_tracks(suffix: str, tmp_path: Path, effects: Make) -> None:
    with pytest.raises(UsageError, match="residues of proteins have no place in a genome"):
        write(tmp_path / f"e.{suffix}", effects("p", "MK", of=RESIDUES))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_proteins(tmp_path: Path, effects: Make) -> None:
    pytest.importorskip("matplotlib")
    write(f"{tmp_path}/out/", effects("p", "MKWX" * 20, of=RESIDUES, first=1), effects("q", "W", of=RESIDUES, first=1))
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    figures = [f"genes/{name}.{suffix}" for name in "pq" for suffix in ("png", "svg")]
    assert names == ["effects.html", "effects.json", "effects.tsv", *figures, "ism.npz"]
    assert "residues" in (tmp_path / "out/genes/p.svg").read_text()
    assert "TSS" not in (tmp_path / "out/genes/p.svg").read_text()


def test_a_track_runs_along_the_genome(tmp_path: Path, effects: Make) -> None:
    gene = effects("g", "ANC", "chr1:9-12:-", symbol='a "b"')
    write(tmp_path / "e.bedgraph", gene)
    head, *lines = (tmp_path / "e.bedgraph").read_text().splitlines()
    assert head == (
        'track type=bedGraph name="a _b_ mrna" description="minus the mean change of mrna (log10(x)) by the three '
        'substitutions of a base: what the base adds to a _b_ (g), strand -" visibility=full'
    )
    cells = [line.split("\t") for line in lines]
    assert [cell[:3] for cell in cells] == [["chr1", "9", "10"], ["chr1", "11", "12"]]
    np.testing.assert_allclose([float(cell[3]) for cell in cells], gene.support[[2, 0]], rtol=1e-5)


@given(st.integers(0, 50), st.booleans())
def test_a_track_of_the_other_strand_is_that_of_the_genome_turned_round(start: int, plus: bool) -> None:
    """The same gene on a genome and on its reverse complement."""
    letters = np.random.default_rng(start).integers(0, 5, 12).astype(np.uint8)
    deltas = np.random.default_rng(start + 1).normal(size=(4, 12)).astype(np.float32)
    from seqexpr.sequences.windows import Interval

    def gene(interval: Interval) -> GeneEffects:
        return GeneEffects("g", "", interval, 100, 0, letters, 0.0, deltas, "mrna", "")

    strands = ("+", "-") if plus else ("-", "+")
    one = track(gene(Interval("c", start, start + 12, strands[0])))
    other = track(gene(Interval("c", 100 - start - 12, 100 - start, strands[1])))
    assert one == [(99 - place, value) for place, value in reversed(other)]


def test_a_window_that_goes_round_a_circle_adds_up(effects: Make) -> None:
    gene = effects("g", "ACGTACG", "ring:-2-5:+", contig=5, circular=True)
    values = dict(track(gene))
    assert sorted(values) == [0, 1, 2, 3, 4]
    assert values[3] == pytest.approx(gene.support[0] + gene.support[5])


def test_padding_beyond_a_linear_contig_has_no_place_in_it(effects: Make) -> None:
    gene = effects("g", "NNACGTN", "chr1:-2-5:+", contig=4)
    assert gene.genomic.tolist() == [-2, -1, 0, 1, 2, 3, 4]
    assert [place for place, _ in track(gene)] == [0, 1, 2, 3]
    assert [row[3] for row in rows(gene)][::3] == [1, 2, 3, 4]


def test_a_bigwig_holds_the_values_of_the_track(tmp_path: Path, effects: Make) -> None:
    pybigtools = pytest.importorskip("pybigtools")
    genes = [
        effects("b", "ACGT", "chr2:5-9:-"),
        effects("late", "ACGT", "chr1:60-64:+"),
        effects("a", "TTTT", "chr1:1-5:+"),
    ]
    write(tmp_path / "e.bw", *genes)
    found = pybigtools.open(str(tmp_path / "e.bw"))
    assert found.chroms() == {"chr1": 10_000, "chr2": 10_000}
    for chrom, wanted in (("chr1", track(genes[2]) + track(genes[1])), ("chr2", track(genes[0]))):
        got = [(start, value) for start, _, value in found.records(chrom)]
        assert [place for place, _ in got] == [place for place, _ in wanted]
        np.testing.assert_allclose([value for _, value in got], [value for _, value in wanted], rtol=1e-6)


def test_a_bigwig_of_genes_that_overlap_is_refused_before_anything_is_computed(tmp_path: Path, effects: Make) -> None:
    pytest.importorskip("pybigtools")
    with pytest.raises(UsageError, match="the windows of one and two overlap, and a bigWig holds one value of a base"):
        write(tmp_path / "e.bw", effects("one", "ACGT", "chr1:5-9:+"), effects("two", "ACGT", "chr1:8-12:-"))
    assert list(tmp_path.iterdir()) == []


def test_windows_beyond_the_ends_of_a_linear_contig_overlap_nothing(tmp_path: Path, effects: Make) -> None:
    pybigtools = pytest.importorskip("pybigtools")
    genes = [
        effects("last", "NNAC", "chr1:48-52:-", contig=50),
        effects("first", "NNAC", "chr1:-2-2:+", contig=50),
        effects("middle", "ACGT", "chr1:20-24:+", contig=50),
    ]
    write(tmp_path / "e.bw", *genes)
    got = [start for start, _, _ in pybigtools.open(str(tmp_path / "e.bw")).records("chr1")]
    assert got == [0, 1, 20, 21, 22, 23, 48, 49]


def test_a_window_over_the_origin_of_a_circle_is_in_two_parts(tmp_path: Path, effects: Make) -> None:
    pybigtools = pytest.importorskip("pybigtools")
    over = effects("over", "ACGT", "ring:-2-2:+", contig=50, circular=True)
    write(tmp_path / "e.bw", over, effects("inside", "ACGT", "ring:20-24:+", contig=50, circular=True))
    records = list(pybigtools.open(str(tmp_path / "e.bw")).records("ring"))
    assert [start for start, _, _ in records] == [0, 1, 20, 21, 22, 23, 48, 49]
    np.testing.assert_allclose([records[place][2] for place in (6, 7, 0, 1)], over.support, rtol=1e-6)
    for interval in ("ring:45-49:+", "ring:1-5:-"):
        with pytest.raises(UsageError, match="overlap, and a bigWig holds one value of a base"):
            write(tmp_path / "no.bw", over, effects("other", "ACGT", interval, contig=50, circular=True))
    round_it = [effects(name, "ACGTACG", "ring:2-9:+", contig=5, circular=True) for name in ("one", "two")]
    write(tmp_path / "round.bw", round_it[0])
    with pytest.raises(UsageError, match="the windows of one and two overlap"):
        write(tmp_path / "no.bw", *round_it)


@pytest.mark.parametrize(
    ("module", "out", "command"),
    [
        ("pybigtools", "e.bw", "pip install pybigtools"),
        ("matplotlib", "e.svg", "pip install matplotlib"),
        ("matplotlib", "e/", "pip install matplotlib"),
        ("jinja2", "e.html", "pip install jinja2"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command(
    module: str, out: str, command: str, tmp_path: Path, effects: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDataError, match=command):
        write(f"{tmp_path}/{out}", effects("g", "ACGT", "chr1:5-9:+"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["e", "e.txt", "e.csv", "e.npz.gz", "e.html.gz", "e.gz"])
def test_other_suffixes_are_refused(out: str, tmp_path: Path, effects: Make) -> None:
    with pytest.raises(UsageError, match=r"its suffix is none of \.tsv, .*; a folder's name ends in a slash"):
        write(tmp_path / out, effects("g", "ACGT"))


@pytest.mark.parametrize("out", ["e.bedgraph", "e.bedgraph.gz", "e.bw"])
def test_tracks_need_a_genome(out: str, tmp_path: Path, effects: Make) -> None:
    with pytest.raises(UsageError, match="windows that are not cut from a genome have no place in it"):
        write(tmp_path / out, effects("g", "ACGT"))


def test_a_figure_is_of_one_gene(tmp_path: Path, effects: Make) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match=r"is the figure of one gene; there are 2: pick one"):
        write(tmp_path / "e.svg", effects("a", "ACGT"), effects("b", "ACGT"))
    counts = InputCounts()  # of a pipe, whose records are not known before
    with (
        pytest.raises(UsageError, match="is the figure of one gene; there are a, b and perhaps more"),
        opened(tmp_path / "e.svg", counts, effects("a", "ACGT")) as sink,
    ):
        sink.write(effects("a", "ACGT"))
        sink.write(effects("b", "ACGT"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_holds_all_and_names_never_leave_it(tmp_path: Path, effects: Make) -> None:
    pytest.importorskip("matplotlib")
    names = ["../../x", "CON", "con.1", "/etc/passwd", "a/b", "a_b", "", "..", "日本", "-x"]
    genes = [effects(name, "ACGT", f"chr1:{10 * place}-{10 * place + 4}:+") for place, name in enumerate(names, 1)]
    write(f"{tmp_path}/inner/out/", *genes)
    out = tmp_path / "inner/out"
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert all(name.startswith("inner/out/") for name in files)
    assert {path.name for path in out.iterdir()} == {
        *("effects.tsv", "effects.bedgraph", "effects.html", "effects.json", "ism.npz", "genes"),
    }
    figures = sorted(path.name for path in (out / "genes").iterdir())
    assert len(figures) == 2 * len(names)
    assert figures == sorted(
        f"{name}{suffix}"
        for name in ("x", "_CON", "_con.1", "etc_passwd", "a_b", "a_b-2", "gene", "gene-2", "gene-3", "x-2")
        for suffix in (".png", ".svg")
    )
    assert len(read(out / "effects.tsv")) == 12 * len(names)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_holds_no_file_of_an_earlier_run_and_keeps_what_is_not_its_own(tmp_path: Path, effects: Make) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    write(f"{out}/", effects("old", "ACGT", "chr1:5-9:+"), effects("both", "ACGT", "chr1:25-29:+"))
    foreign = {"notes.txt": b"mine", "genes/drawn.svg": b"<svg/>", "genes/old.txt": b"mine", "genes/more/x.png": b"x"}
    for name, text in foreign.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(text)
    new = [effects("new", "TTTT"), effects("both", "GGGG")]
    write(f"{out}/", *new)
    write(f"{tmp_path}/fresh/", *new)
    assert contents(out) == contents(tmp_path / "fresh") | foreign
    assert "effects.bedgraph" not in contents(out) and "genes/old.svg" not in contents(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "out"]


@pytest.mark.parametrize("there", [True, False])
def test_after_an_error_a_folder_is_as_it_was(there: bool, tmp_path: Path, effects: Make) -> None:
    pytest.importorskip("matplotlib")
    if there:
        write(f"{tmp_path}/out/", effects("old", "ACGT", "chr1:5-9:+"))
    before, gene = contents(tmp_path), effects("new", "ACGT", "chr1:5-9:+")
    with (
        pytest.raises(RuntimeError, match="no more"),
        opened(f"{tmp_path}/out/", counts_of(gene), gene) as sink,
    ):
        sink.write(gene)
        raise RuntimeError("no more")
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * there
    if there:
        assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, effects: Make) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file/ is a file, and a name that ends in a slash is a folder's"):
        write(f"{tmp_path}/file/", effects("g", "ACGT"))
    with pytest.raises(OSError) as caught:
        write(f"{tmp_path}/file/out/", effects("g", "ACGT"))
    assert str(caught.value.filename) == f"{tmp_path}/file/out"


@given(st.lists(st.text(max_size=120), max_size=8))
def test_file_names_are_plain_distinct_and_short(names: list[str]) -> None:
    taken: set[str] = set()
    made = [file_name(name, taken) for name in names]
    assert len({name.lower() for name in made}) == len(names)
    for name in made:
        assert 0 < len(name) <= 90 and name.isascii() and not name.startswith(".")
        assert not set(name) & set('/\\:*?"<>|\0 \n')
        assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


@pytest.mark.parametrize("out", ["e.tsv", "e.npz", "e.bedgraph", "e.html"])
def test_nothing_appears_when_the_work_fails(out: str, tmp_path: Path, effects: Make) -> None:
    gene = effects("g", "ACGT", "chr1:5-9:+")
    with (
        pytest.raises(RuntimeError, match="no more"),
        opened(tmp_path / out, counts_of(gene), gene) as sink,
    ):
        sink.write(gene)
        raise RuntimeError("no more")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, effects: Make) -> None:
    for out in ("absent/e.tsv", "absent/e.npz", "absent/e.html"):
        with pytest.raises(OSError) as caught:
            write(tmp_path / out, effects("g", "ACGT"))
        named: Any = caught.value.filename
        assert str(named) == str(tmp_path / out)
