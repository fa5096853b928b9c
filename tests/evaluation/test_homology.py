from __future__ import annotations

import gzip
import os
import shutil
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqexpr.datasets.dataset import DatasetWriter, PreparedDataset
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.evaluation.folds import make_folds
from seqexpr.evaluation.homology import grouped_genes, homologous_pairs, protein_clusters, read_groups
from seqexpr.paths import cache_folder

needs_mmseqs = pytest.mark.skipif(shutil.which("mmseqs") is None, reason="MMseqs2 is not installed")


def make_dataset(folder: Path, proteins: list[np.ndarray] | None, groups: list[str] | None = None) -> PreparedDataset:
    count = 4 if proteins is None else len(proteins)
    with DatasetWriter(folder, *((3, 2) if proteins is None else (0, 0)), with_protein=proteins is not None) as writer:
        for row in range(count):
            dna, protein = (np.ones(5, np.uint8), None) if proteins is None else (None, proteins[row])
            writer.add(f"g{row}", dna, protein)
        genes = pd.DataFrame({"id": writer.ids, "group": groups or [""] * count})
        writer.finish(genes, {"kind": "dataset", "format": 1, "labels": [], "half_life": None})
    return PreparedDataset.open(folder)


def random_proteins(count: int, length: int = 120) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(1, 21, length).astype(np.uint8) for _ in range(count)]


def changed(protein: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A copy of which `share` of the residues are others."""
    generator = np.random.default_rng(seed)
    copy = protein.copy()
    places = generator.choice(len(copy), round(share * len(copy)), replace=False)
    copy[places] = (copy[places] - 1 + generator.integers(1, 20, len(places))) % 20 + 1
    return copy


@pytest.fixture
def fake_mmseqs(tmp_path, monkeypatch):
    """Puts a script in place of MMseqs2: `$3` to `$5` are the proteins, the hits and the temporary folder."""

    def install(easy_search: str, version: str = "14-fake") -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        log = tmp_path / "calls"
        log.touch()
        script = folder / "mmseqs"
        script.write_text(
            f"#!/bin/sh\nif [ $1 = version ]; then echo {version}; exit; fi\necho $@ >> {log}\n{easy_search}\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return log

    return install


def hits_of(pairs: list[tuple[int, int]]) -> str:
    """A search that finds these pairs of places in the file of proteins, and every protein itself."""
    lines = "".join(f"printf '{one}\\t{two}\\n' >> $4\n" for one, two in pairs)
    return f"grep '>' $2 | sed 's/>\\(.*\\)/\\1\\t\\1/' > $4\n{lines}"


def sorted_proteins(count: int) -> list[np.ndarray]:
    """Proteins whose order as text is that of the genes, so that places in the searched file are gene numbers."""
    proteins = random_proteins(count)
    for row, protein in enumerate(proteins):
        protein[0] = row + 1
    return proteins


def test_clusters_are_connected_components_named_after_their_first_gene(tmp_path, fake_mmseqs):
    fake_mmseqs(hits_of([(1, 3), (4, 3)]))
    dataset = make_dataset(tmp_path / "data", sorted_proteins(6))
    clusters, description = protein_clusters(dataset)
    # 1-3 and 4-3 are hits, 1-4 is not: a chain is one cluster all the same.
    assert clusters.tolist() == ["g0", "g1", "g2", "g1", "g1", "g5"]
    assert (description["groups"], description["largest"]) == (4, 3)
    assert (description["source"], description["version"]) == ("MMseqs2", "14-fake")
    assert description["settings"]["--min-seq-id"] == 0.3


def test_pairs_are_given_in_both_directions_and_without_self_hits(tmp_path, fake_mmseqs):
    fake_mmseqs(hits_of([(0, 2)]))
    pairs, _ = homologous_pairs(make_dataset(tmp_path / "data", sorted_proteins(3)))
    assert pairs.tolist() == [[0, 2], [2, 0]]


def test_equal_proteins_are_homologous_without_a_hit_and_searched_once(tmp_path, fake_mmseqs):
    log = fake_mmseqs(f"cp $2 {tmp_path}/searched.fa\n{hits_of([])}")
    a, b = random_proteins(2)
    dataset = make_dataset(tmp_path / "data", [b, a, b, np.zeros(0, np.uint8), np.zeros(0, np.uint8)])
    pairs, _ = homologous_pairs(dataset)
    assert pairs.tolist() == [[0, 2], [2, 0]]  # genes without residues are not alike
    assert (tmp_path / "searched.fa").read_text().count(">") == 2
    assert "easy-search" in log.read_text()


def test_a_fragment_joins_the_cluster_of_its_whole(tmp_path, fake_mmseqs):
    fake_mmseqs(hits_of([]))
    whole, other = random_proteins(2)
    clusters, _ = protein_clusters(make_dataset(tmp_path / "data", [whole, other, whole[30:60]]))
    assert clusters.tolist() == ["g0", "g1", "g0"]


def test_a_search_is_done_once_for_sequences_settings_and_version(tmp_path, fake_mmseqs):
    log = fake_mmseqs(hits_of([(0, 1)]))
    dataset = make_dataset(tmp_path / "data", sorted_proteins(4))
    first, _ = protein_clusters(dataset)
    shuffled = make_dataset(tmp_path / "shuffled", sorted_proteins(4)[::-1])
    again, _ = protein_clusters(shuffled, threads=3)
    assert first.tolist() == ["g0", "g0", "g2", "g3"] and again.tolist() == ["g0", "g1", "g2", "g2"]
    assert len(log.read_text().splitlines()) == 1
    fake_mmseqs(hits_of([(2, 3)]), version="15-fake")
    assert protein_clusters(dataset)[0].tolist() == ["g0", "g1", "g2", "g2"]
    protein_clusters(make_dataset(tmp_path / "other", sorted_proteins(5)), threads=3)
    assert len(log.read_text().splitlines()) == 3
    assert "--threads 3" in log.read_text().splitlines()[2]
    assert sorted(path.suffix for path in cache_folder("homology").iterdir()) == [".lock"] * 3 + [".npy"] * 3


def test_absent_program_names_the_commands_that_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDataError) as problem:
        protein_clusters(make_dataset(tmp_path / "data", random_proteins(3)))
    for part in ("apt-get install mmseqs2", "conda install -c bioconda mmseqs2", "--groups FILE"):
        assert part in str(problem.value)


def test_failing_program_is_one_line_and_leaves_nothing(tmp_path, fake_mmseqs):
    fake_mmseqs("mkdir $5; touch $5/much; echo step 1; echo 'Error: Prefilter died' >&2; echo; exit 7")
    dataset = make_dataset(tmp_path / "data", random_proteins(3))
    with pytest.raises(MissingDataError) as problem:
        protein_clusters(dataset)
    assert str(problem.value) == (
        "MMseqs2 failed with exit status 7 (Error: Prefilter died); or give groups of your own with --groups FILE"
    )
    assert [path.suffix for path in cache_folder("homology").iterdir()] == [".lock"]
    fake_mmseqs(hits_of([]))
    assert protein_clusters(dataset)[1]["groups"] == 3  # what failed was not kept


def test_interruption_ends_the_program_and_its_children_and_leaves_nothing(tmp_path, fake_mmseqs):
    fake_mmseqs(
        f"mkdir $5; sleep 60 & echo $! > {tmp_path}/child.part; mv {tmp_path}/child.part {tmp_path}/child; wait"
    )
    dataset = make_dataset(tmp_path / "data", random_proteins(3))

    def interrupt(*_) -> None:
        if (tmp_path / "child").exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            protein_clusters(dataset)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 60
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)
    assert [path.suffix for path in cache_folder("homology").iterdir()] == [".lock"]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_a_killed_process_left_makes_way(tmp_path, fake_mmseqs):
    fake_mmseqs(hits_of([]))
    dataset = make_dataset(tmp_path / "data", random_proteins(3))
    protein_clusters(dataset)
    (result,) = cache_folder("homology").glob("*.npy")
    result.unlink()
    left = result.with_suffix(".tmp")
    (left / "tmp").mkdir(parents=True)
    (left / "hits.tsv").write_text("0\t1\n")
    assert protein_clusters(dataset)[1]["groups"] == 3
    assert not left.exists()


def test_dataset_without_proteins_says_so(tmp_path):
    with pytest.raises(UsageError, match=r"data holds no proteins, .* --groups FILE"):
        protein_clusters(make_dataset(tmp_path / "data", None))


@needs_mmseqs
def test_mmseqs_finds_copies_at_60_percent_and_no_unrelated_proteins(tmp_path):
    families = random_proteins(4, 250)
    proteins = [*families, *(changed(protein, 0.4, seed) for seed, protein in enumerate(families))]
    dataset = make_dataset(tmp_path / "data", proteins)
    clusters, description = protein_clusters(dataset, threads=1)
    assert clusters.tolist() == ["g0", "g1", "g2", "g3"] * 2
    assert (description["groups"], description["largest"]) == (4, 2)
    genes, _ = grouped_genes(dataset, "homology", None, 1)
    fold_of = make_folds(genes, "homology", 2, 0)
    np.testing.assert_array_equal(fold_of[:4], fold_of[4:])


def write_groups(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["groups.tsv", "groups.tsv.gz"])
@pytest.mark.parametrize("header", ["", "id\tgroup\n", "gene_id\tcluster\n"])
def test_groups_are_read_in_the_order_of_the_genes(tmp_path, name, header):
    path = write_groups(tmp_path / name, f"{header}g2\t b\r\n\ng1\ta\ng3\tb\ng1\ta\nelsewhere\tz\n")
    assert read_groups(path, ["g1", "g2", "g3"]).tolist() == ["a", "b", "b"]


def test_ids_that_the_dataset_lacks_are_logged_without_the_header(tmp_path, caplog):
    caplog.set_level("INFO", logger="seqexpr")
    read_groups(write_groups(tmp_path / "g.tsv", "id\tgroup\ng1\ta\nx\tb\ny\tb\nx\tb\n"), ["g1"])
    assert f"{tmp_path / 'g.tsv'}: 2 ids that the dataset does not hold are ignored" in caplog.text


def test_a_gene_called_id_is_a_gene(tmp_path):
    assert read_groups(write_groups(tmp_path / "g.tsv", "id\tgroup\n"), ["id"]).tolist() == ["group"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g1\ta\ng2\n", "line 2: found 1 field(s); expected a gene id, a tab and a group"),
        ("g1\ta\tb\n", "line 1: found 3 field(s); expected"),
        ("g1\ta\ng2\t\n", "line 2: found an empty cell; expected"),
        ("g1\ta\ng2\tb\ng1\tc\n", "line 3: found gene 'g1' in group 'c' and before in 'a'; expected one group"),
        ("g1\ta\n", "'g2': found no group for this gene (2 of 3 genes of the dataset have none)"),
        ("", "'g1': found no group for this gene (3 of 3 genes"),
    ],
)
def test_bad_groups_are_one_line(tmp_path, text, message):
    with pytest.raises(InputError) as problem:
        read_groups(write_groups(tmp_path / "g.tsv", text), ["g1", "g2", "g3"])
    assert str(problem.value).startswith(f"{tmp_path / 'g.tsv'}, {message}")


def test_groups_that_are_not_text_are_one_line(tmp_path):
    path = tmp_path / "g.tsv"
    path.write_bytes(b"g1\t\xff\n")
    with pytest.raises(InputError, match="line 1: found text that is not UTF-8"):
        read_groups(path, ["g1"])


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    group_of=st.dictionaries(names, names, min_size=1, max_size=20),
    packed=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    random=st.randoms(use_true_random=False),
)
@pytest.mark.slow
def test_groups_written_in_any_order_are_read_back(tmp_path, group_of, packed, line_end, random):
    lines = [f"{id}\t{group}{line_end}" for id, group in group_of.items()]
    lines += random.choices(lines, k=3)
    random.shuffle(lines)
    path = write_groups(tmp_path / ("g.tsv.gz" if packed else "g.tsv"), "".join(lines))
    ids = random.sample(sorted(group_of), random.randint(1, len(group_of)))
    assert read_groups(path, ids).tolist() == [group_of[id] for id in ids]


def test_splits_without_groups_leave_the_genes_as_they_are(tmp_path):
    dataset = make_dataset(tmp_path / "data", random_proteins(3))
    for split in ("random", "chromosome", "given"):
        genes, description = grouped_genes(dataset, split, None, None)
        assert genes is dataset.genes and description is None
        with pytest.raises(UsageError, match=f"--groups has no effect on a {split} split"):
            grouped_genes(dataset, split, tmp_path / "groups.tsv", None)


@pytest.mark.parametrize("split", ["group", "homology"])
def test_the_users_groups_are_taken_for_either_split(tmp_path, monkeypatch, split):
    monkeypatch.setenv("PATH", str(tmp_path))  # no MMseqs2: none is needed
    dataset = make_dataset(tmp_path / "data", random_proteins(3))
    path = write_groups(tmp_path / "groups.tsv", "g1\tb\ng0\ta\ng2\tb\n")
    genes, description = grouped_genes(dataset, split, path, None)
    assert genes["group"].tolist() == ["a", "b", "b"] and dataset.genes["group"].tolist() == [""] * 3
    assert description == {
        "source": str(path),
        # of "g0\ta\ng1\tb\ng2\tb\n", by sha256sum: the groups of this dataset, not the file's order
        "sha256": "9dcf0d604eddf979121c359760ae0c74d7436352693449bd24b0757c5f2d6e50",
        "groups": 2,
        "largest": 2,
    }


def test_the_datasets_own_groups_are_taken_without_a_file(tmp_path):
    dataset = make_dataset(tmp_path / "data", random_proteins(4), ["a", "a", "b", "a"])
    genes, description = grouped_genes(dataset, "group", None, None)
    assert genes["group"].tolist() == ["a", "a", "b", "a"]
    assert description == {"source": "the dataset's column 'group'", "groups": 2, "largest": 3}


def test_homology_fills_in_the_clusters(tmp_path, fake_mmseqs):
    fake_mmseqs(hits_of([(0, 2)]))
    dataset = make_dataset(tmp_path / "data", sorted_proteins(3), ["own", "own", "own"])
    genes, description = grouped_genes(dataset, "homology", None, 1)
    assert genes["group"].tolist() == ["g0", "g1", "g0"]
    assert description is not None and description["source"] == "MMseqs2"
