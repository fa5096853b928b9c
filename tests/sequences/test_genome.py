from __future__ import annotations

import gzip
import logging
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyfaidx
import pytest
from Bio import bgzf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqexpr.errors import InputError
from seqexpr.sequences import genome_files
from seqexpr.sequences.alphabet import DNA, reverse_complement
from seqexpr.sequences.annotation import read_tss
from seqexpr.sequences.fasta import read_fasta
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Interval, Tss

_random = random.Random(1)
CHR1 = "".join(_random.choices("ACGTacgtN", k=1003))
CHR2 = "".join(_random.choices("ACGT", k=61))


def fasta_text(width: int = 50, newline: str = "\n") -> bytes:
    lines = []
    for name, letters in (("chr1", CHR1), ("chr2", CHR2), ("MT", "ACGT")):
        lines += [f">{name} words", *(letters[at : at + width] for at in range(0, len(letters), width))]
    return (newline.join(lines) + newline).encode()


def write_genome(folder: Path, form: str) -> Path:
    path = folder / f"genome.{form}"
    if form == "bgzip":
        with bgzf.BgzfWriter(str(path)) as writer:
            for at in range(0, len(fasta_text()), 100):  # many blocks, so that windows span several
                writer.write(fasta_text()[at : at + 100])
                writer.flush()
    elif form == "gzip":
        path.write_bytes(gzip.compress(fasta_text()))
    else:
        path.write_bytes(
            fasta_text(newline="\r\n" if form == "crlf" else "\n", width=5000 if form == "one-line" else 50)
        )
    return path


@pytest.fixture(params=["plain", "crlf", "one-line", "bgzip", "gzip"])
def genome_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_genome(tmp_path, request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_genome(tmp_path, "plain")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_letters_and_windows_are_slices_of_the_text(genome_path: Path, data: st.DataObject) -> None:
    with Genome(genome_path) as genome:
        start = data.draw(st.integers(0, len(CHR1)))
        end = data.draw(st.integers(start, len(CHR1)))
        assert genome.letters(Interval("chr1", start, end)) == CHR1[start:end].upper().encode()

        boundary = data.draw(st.integers(0, len(CHR1) - 1))
        up, down = data.draw(st.integers(0, 1200)), data.draw(st.integers(0, 1200))
        padded = DNA.encode(("N" * 1200 + CHR1 + "N" * 1200).encode())
        plus = genome.window(Tss("g", "chr1", boundary, "+"), up, down)
        assert plus.tolist() == padded[1200 + boundary - up : 1200 + boundary + down].tolist()
        assert plus.dtype == np.uint8

        # The same stretch read from the other strand: up- and downstream change places.
        if boundary:
            minus = genome.window(Tss("g", "chr1", boundary, "-"), down, up)
            assert reverse_complement(minus).tolist() == plus.tolist()


def test_contigs(genome_path: Path) -> None:
    assert Genome(genome_path).contigs == {"chr1": 1003, "chr2": 61, "MT": 4}


def test_minus_letters_are_the_reverse_complement(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_bytes(b">c\naaCRN\n")
    with Genome(tmp_path / "g.fa") as genome:
        assert genome.letters(Interval("c", 0, 5, "-")) == b"NYGTT"
        assert genome.letters(Interval("c", 0, 5)) == b"AACRN"


def test_bed_row_and_fasta_record_give_the_same_window(plain: Path, tmp_path: Path) -> None:
    """A window cut by hand, as FASTA, and the genome with a BED row, on both strands."""
    (tmp_path / "tss.bed").write_text("chr1\t500\t501\tforward\t0\t+\nchr1\t500\t501\tbackward\t0\t-\n")
    forward = CHR1[480:510]  # 20 up, 10 down of base 500
    backward = CHR1[491:521].translate(str.maketrans("ACGTacgt", "TGCAtgca"))[::-1]
    (tmp_path / "windows.fa").write_text(f">forward\n{forward}\n>backward\n{backward}\n")
    with Genome(plain) as genome:
        from_genome = {t.id: genome.window(t, 20, 10).tolist() for t in read_tss(tmp_path / "tss.bed")}
    from_fasta = {r.id: DNA.encode(r.sequence).tolist() for r in read_fasta(tmp_path / "windows.fa")}
    assert from_genome == from_fasta


def test_padding_is_counted(plain: Path) -> None:
    with Genome(plain) as genome:
        for strand, up, down, padded in [
            ("+", 20, 10, 10),
            ("-", 10, 60, 50),
            ("-", 60, 20, 19),
            ("+", 5, 5, 0),
        ]:
            tss = Tss("g", "chr2", 10, strand)
            window = genome.window(tss, up, down)
            assert len(window) == up + down
            assert genome.padded(tss, up, down) == padded == np.count_nonzero(window == 0)


@pytest.mark.parametrize(("upstream", "downstream"), [(10, 5), (1200, 5), (10, 1200), (2000, 2000), (0, 0)])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_window_comes_with_the_number_of_its_padded_bases(
    strand: str, upstream: int, downstream: int, plain: Path
) -> None:
    site = Tss("g", "chr1", 500, strand)
    left, right = (upstream, downstream) if strand == "+" else (downstream, upstream)
    with Genome(plain) as genome:
        window, padded = genome.placed_window(site, upstream, downstream)
        assert padded == max(0, left - 500) + max(0, 500 + right - len(CHR1))
        assert padded == genome.padded(site, upstream, downstream)
        assert window.tolist() == genome.window(site, upstream, downstream).tolist()
        window[:] = 0  # the caller's own


def test_aliases_are_tried_and_reported(plain: Path) -> None:
    with Genome(plain) as genome:
        assert genome.contig("chr1") == "chr1"
        assert genome.aliases == {}
        assert genome.contig("1") == "chr1"
        assert [genome.contig(name) for name in ("chrM", "M", "chrMT", "MT")] == ["MT"] * 4
        assert genome.aliases == {"1": "chr1", "chrM": "MT", "M": "MT", "chrMT": "MT"}
        assert len(genome.window(Tss("g", "2", 30, "+"), 5, 5)) == 10


def test_alias_without_chr(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_bytes(b">1\nACGT\n>chrM\nACGT\n")
    with Genome(tmp_path / "g.fa") as genome:
        assert (genome.contig("chr1"), genome.contig("MT")) == ("1", "chrM")


def test_unknown_contig(plain: Path) -> None:
    with pytest.raises(InputError, match="TSS of 'g': found no contig 'chr9'; expected one of chr1, chr2, MT"):
        Genome(plain).window(Tss("g", "chr9", 5, "+"), 1, 1)


@pytest.mark.parametrize(("boundary", "strand"), [(61, "+"), (62, "-"), (0, "-"), (-1, "+")])
def test_tss_outside_its_contig(plain: Path, boundary: int, strand: str) -> None:
    with Genome(plain) as genome:
        with pytest.raises(InputError, match=r"TSS of 'g': found position .* of contig chr2; expected 1 to 61"):
            genome.window(Tss("g", "chr2", boundary, strand), 5, 5)
        for inside, side in ((60, "+"), (61, "-"), (1, "-"), (0, "+")):
            assert len(genome.window(Tss("g", "chr2", inside, side), 5, 5)) == 10


def test_interval_outside_its_contig(plain: Path) -> None:
    for start, end in ((-1, 5), (0, 62)):
        with pytest.raises(InputError, match="found an interval outside its contig; expected 0 to 61"):
            Genome(plain).letters(Interval("chr2", start, end))


def test_protein_in_place_of_genome(tmp_path: Path) -> None:
    (tmp_path / "p.fa").write_bytes(b">p\n" + b"MKLLEFPQIW" * 5 + b"\n")
    for strand in "+-":
        with pytest.raises(
            InputError,
            match=r"contig 'p' from base 16: found 'F' at position 1 of 20, which looks like a protein",
        ):
            Genome(tmp_path / "p.fa").window(Tss("g", "p", 25, strand), 10, 10)


def test_index_is_written_beside_and_used(plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="seqexpr"):
        Genome(plain)
    assert not caplog.records  # an index that is not there yet is nothing to tell
    index = plain.with_name("genome.plain.fai")
    assert index.read_text().splitlines()[0] == "chr1\t1003\t12\t50\t51"
    before = index.stat()
    Genome(plain)
    assert index.stat().st_ino == before.st_ino  # not replaced: it was used


def test_stale_index_is_rebuilt(plain: Path) -> None:
    index = plain.with_name("genome.plain.fai")
    index.write_text("old\t4\t6\t4\t5\n")
    os.utime(index, (1, 1))
    assert list(Genome(plain).contigs) == ["chr1", "chr2", "MT"]
    assert index.read_text().startswith("chr1\t")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "half a li",
        "chr1\t999999\t12\t50\t51\n",
        "chr1\t1003\t12\t0\t0\n",
        "chr1\t1003\t12\t60\t61\n",
        "chrB\t1003\t12\t50\t51\n",
        "chr1\t1003\t13\t50\t51\n",
        "chr1\t1003\t-5\t50\t51\n",
        "chr1\t1003\t12\t50\t51\nchr1\t1003\t12\t50\t51\n",
        "\0\0\0",
    ],
)
def test_index_that_does_not_fit_is_rebuilt(plain: Path, content: str) -> None:
    plain.with_name("genome.plain.fai").write_text(content)
    assert Genome(plain).contigs["chr1"] == 1003


def test_genome_that_shrinks_while_it_is_read(plain: Path) -> None:
    genome = Genome(plain)
    plain.write_bytes(fasta_text()[:400])
    with pytest.raises(InputError, match="found the end of the file"):
        genome.window(Tss("g", "chr1", 900, "+"), 5, 5)


def test_read_only_folder_has_its_index_in_the_cache(
    plain: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = genome_files.atomic_path

    def deny(target: Path):  # type: ignore[no-untyped-def]  # chmod does not stop a test that runs as root
        if target.parent == plain.parent:
            raise PermissionError(13, "Permission denied")
        return real(target)

    monkeypatch.setattr(genome_files, "atomic_path", deny)
    expected = Genome(plain).window(Tss("g", "chr1", 500, "+"), 50, 50)
    assert not plain.with_name("genome.plain.fai").exists()
    (index,) = (private_cache / "genomes").glob("*.fai")

    def unexpected(*args: object, **options: object) -> None:
        raise AssertionError("the cached index was not used")

    monkeypatch.setattr(pyfaidx.Faidx, "build_index", unexpected)
    assert Genome(plain).window(Tss("g", "chr1", 500, "+"), 50, 50).tolist() == expected.tolist()
    index.unlink()
    with pytest.raises(AssertionError):
        Genome(plain)


@pytest.mark.parametrize("form", ["gzip", "bgzip"])
def test_compressed_genome_is_decompressed_once_and_says_so(
    tmp_path: Path, private_cache: Path, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    path = write_genome(tmp_path, form)
    with caplog.at_level(logging.WARNING):
        Genome(path)
    assert "decompressed once to" in caplog.text
    assert "(0 MB)" in caplog.text
    caplog.clear()
    Genome(path)
    assert caplog.text == ""
    assert len(list((private_cache / "genomes").glob("*.fa"))) == 1
    assert not list(tmp_path.glob("*.fai"))


def test_changed_gzip_is_decompressed_again(tmp_path: Path) -> None:
    path = write_genome(tmp_path, "gzip")
    Genome(path)
    path.write_bytes(gzip.compress(b">other\nACGT\n"))
    assert Genome(path).contigs == {"other": 4}


@pytest.mark.parametrize("form", ["gzip", "bgzip"])
def test_truncated_gzip_leaves_nothing_behind(tmp_path: Path, private_cache: Path, form: str) -> None:
    path = write_genome(tmp_path, form)
    path.write_bytes(path.read_bytes()[:-20])  # of bgzip: within the block that marks its end
    with pytest.raises(InputError, match="cut short"):
        Genome(path)
    assert not [file for file in (private_cache / "genomes").iterdir() if file.suffix != ".lock"]


def test_damaged_bgzip(tmp_path: Path) -> None:
    path = write_genome(tmp_path, "bgzip")
    content = bytearray(path.read_bytes())
    content[25:30] = b"\xff" * 5
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        Genome(path)


def test_plain_text_under_a_compressed_name(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(fasta_text())
    assert Genome(path).letters(Interval("chr2", 0, 61)) == CHR2.encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"ACGT\n", "text before the first '>'"),
        (b">c\nAC\0T\n", "byte 0x00 at position 3"),
        (b">c\nAC\xffT\n", "bytes that are not text"),
        (gzip.compress(b"hello"), "gzip of something else"),
        (gzip.compress(b""), "gzip of something else"),
        (b">c\nACGT\nAC\nACGT\n", "contig 'c': found lines of different lengths"),
        (b">c\nACGT\n\nACGT\n", "contig 'c': found lines of different lengths"),
        (b">c\nACGT\r\nACGT\nACGT\r\n", "contig 'c': found lines of different lengths"),
        (b">c\n>d\nA\n", "contig 'c': found no sequence"),
        (b">c\nA\n>d\n", "contig 'd': found no sequence"),
        (b">c\nA\n>c\nA\n", 'found contig names that repeat .*"c"'),
        (b">\nA\n", "found text that cannot be indexed"),
    ],
)
def test_files_that_are_no_genome(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "g.fa").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Genome(tmp_path / "g.fa").window(Tss("g", "c", 2, "+"), 2, 2)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 3), st.integers(0, 2), st.sampled_from(["", "d"]))
def test_longer_last_line_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    width: int,
    more: int,
    whole_lines: int,
    ends: int,
    following: str,
) -> None:
    """pyfaidx indexes such a contig, and would give wrong letters for it."""
    lines = [">c", *["A" * width] * (whole_lines + 1), "C" * (width + more)]
    text = "\n".join(lines) + "\n" * (max(ends, 1) if following else ends)
    path = tmp_path_factory.mktemp("uneven") / "g.fa"
    path.write_text(text + (f">{following}\n" + "G" * 50 + "\n" if following else ""))
    with pytest.raises(InputError, match="contig 'c': found lines of different lengths"):
        Genome(path)
    assert [file.name for file in path.parent.iterdir()] == ["g.fa"]


@given(
    st.lists(st.text("ACGTN", min_size=1, max_size=60), min_size=1, max_size=5),
    st.integers(1, 25),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_every_regular_fasta_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    sequences: list[str],
    width: int,
    newline: str,
    last_newline: bool,
) -> None:
    lines: list[str] = []
    for number, sequence in enumerate(sequences):
        lines.append(f">contig{number} text > more")
        lines += [sequence[at : at + width] for at in range(0, len(sequence), width)]
    path = tmp_path_factory.mktemp("regular") / "genome.fa"
    path.write_bytes((newline.join(lines) + newline * last_newline).encode())
    with Genome(path) as genome:
        for number, sequence in enumerate(sequences):
            for start in range(len(sequence)):
                interval = Interval(f"contig{number}", start, len(sequence))
                assert genome.letters(interval).decode() == sequence[start:]


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Genome(tmp_path / "absent.fa")
    with pytest.raises(InputError, match="found a folder"):
        Genome(tmp_path)
    with pytest.raises(InputError, match="read at random"):
        Genome("-")


@pytest.mark.parametrize("form", ["plain", "gzip", "bgzip"])
def test_two_processes_at_once_on_one_new_genome(tmp_path: Path, form: str) -> None:
    path = write_genome(tmp_path, form)
    code = (
        "import sys\n"
        "from seqexpr.sequences.genome import Genome\n"
        "from seqexpr.sequences.windows import Interval\n"
        "sys.stdin.readline()\n"
        "print(Genome(sys.argv[1]).letters(Interval('chr2', 0, 61)).decode())"
    )
    command = [sys.executable, "-c", code, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:  # both have imported everything: let them go together
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0].strip() for process in processes] == [CHR2, CHR2]
    assert [process.returncode for process in processes] == [0, 0]
    assert not list(tmp_path.glob("*.tmp"))


def test_pickled_genome_reads_the_same(genome_path: Path) -> None:
    genome = Genome(genome_path)
    tss = Tss("g", "1", 500, "-")
    expected = genome.window(tss, 30, 40).tolist()
    copy = pickle.loads(pickle.dumps(genome))
    assert copy.window(tss, 30, 40).tolist() == expected
    assert copy.aliases == {"1": "chr1"}


def _read_many(genome: Genome, seed: int, results: multiprocessing.Queue[bool]) -> None:
    places = random.Random(seed)
    good = True
    for _ in range(300):
        start = places.randrange(len(CHR1) - 60)
        good &= genome.letters(Interval("chr1", start, start + 60)) == CHR1[start : start + 60].upper().encode()
    results.put(good)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_do_not_disturb_each_other(plain: Path) -> None:
    genome = Genome(plain)
    genome.letters(Interval("chr1", 0, 10))  # the parent's handle is open when the workers start
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_read_many, args=(genome, seed, results)) for seed in range(3)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=30) for _ in workers] == [True] * 3
    for worker in workers:
        worker.join()


@pytest.mark.shared_data
def test_windows_of_real_genes_letter_by_letter(shared_data: Path) -> None:
    """GRCh37's first 10 Mb with its BED, against windows that were cut elsewhere, both strands."""
    reference = {
        record.id: DNA.encode(record.sequence) for record in read_fasta(shared_data / "human" / "tss_windows.fa.gz")
    }
    compared = letters = 0
    with Genome(shared_data / "grch37_chr1" / "chr1_10Mb.fa.gz") as genome:
        for tss in read_tss(shared_data / "grch37_chr1" / "tss.bed"):
            if tss.id in reference:
                known = reference[tss.id] != 0
                window = genome.window(tss, 10_000, 10_000)
                assert np.array_equal(window[known], reference[tss.id][known]), tss
                compared += 1
                letters += int(known.sum())
    assert (compared, letters) == (111, 2_219_942)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_tokens_of_an_interval_are_padded_beyond_its_contig(genome_path: Path, strand: str) -> None:
    with Genome(genome_path) as genome:
        for start, end in ((0, 61), (-5, 3), (55, 80), (-7, 90), (20, 20)):
            letters = "".join(CHR2[place] if 0 <= place < 61 else "N" for place in range(start, end))
            expected = DNA.encode(letters.encode()) if letters else np.empty(0, np.uint8)
            found = genome.tokens(Interval("2", start, end, strand))
            np.testing.assert_array_equal(found, expected if strand == "+" else reverse_complement(expected))
        with pytest.raises(InputError, match="no contig 'chr7'"):
            genome.tokens(Interval("chr7", 0, 5))
