import gzip
from pathlib import Path

import numpy as np
import pytest

from seqexpr.datasets.named import prepare_task
from seqexpr.datasets.sources import find_source
from seqexpr.datasets.tasks import open_task_dataset
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.sequences.alphabet import DNA

GENES = {
    "train": ["ENSG00000000001", "ENSG00000000002"],
    "valid": ["ENSG00000000003"],
    "test": ["ENSG00000000004"],
}


def put(source: str, index: int, content: bytes) -> Path:
    path = find_source(source).files[index].path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def xpresso() -> None:
    import h5py

    random = np.random.default_rng(0)
    for index, (split, genes) in enumerate(GENES.items()):
        path = put("xpresso-human", index, b"")
        assert path.name == f"{split}.h5"
        promoter = np.zeros((len(genes), 20_000, 4), bool)
        promoter[:, :4] = np.eye(4, dtype=bool)  # A C G T, then unknown letters
        with h5py.File(path, "w") as file:
            file["promoter"] = promoter
            file["data"] = random.normal(size=(len(genes), 8))
            file["label"] = np.array([int(gene[-1]) / 10 for gene in genes])
            file["geneName"] = np.array([gene.encode() for gene in genes])


@pytest.fixture
def lung() -> None:
    table = (
        "idx\tC1\tC2\nENSG00000000001.5\t1\t2\nENSG00000000002.1\tNA\t4\nENSG00000000003.2\tNA\tNA\n"
        "ENSG00000000004.7_PAR_Y\t9\t9\nENSG00000000009.7\t9\t9\n"
    )
    put("cptac-lscc-protein", 0, table.encode())
    put("uniprot-human", 0, gzip.compress(b">sp|P1|A\nMK\n>sp|P2|B\nMKL\n"))
    text = 'Entry\tGene\tEnsembl\nP1\tA\t"ENST1.1; ENSG00000000001.9."\nP2\tB\tENST2 [P2-1]; ENSG00000000002.1\n'
    put("uniprot-human", 1, gzip.compress(text.encode()))


def test_missing_sources_name_the_command() -> None:
    with pytest.raises(MissingDataError, match=r"needs xpresso-human, .*; run: seqexpr fetch prot-lung"):
        prepare_task("prot-lung")
    with pytest.raises(UsageError, match="no task"):
        prepare_task("nothing")


def test_xpresso_keeps_its_split_and_its_scores(xpresso: None) -> None:
    dataset = prepare_task("mrna-human")
    assert dataset.ids == [gene for genes in GENES.values() for gene in genes]
    assert dataset.genes["split"].tolist() == ["train", "train", "valid", "test"]
    assert DNA.decode(dataset.dna([3], 10_000, 10_000)[0][:6]) == "ACGTNN"
    np.testing.assert_allclose(dataset.labels(["mrna"])[:, 0], [0.1, 0.2, 0.3, 0.4])
    assert set(dataset.half_life_transforms) == {"identity"}
    assert open_task_dataset("mrna-human").ids == dataset.ids
    with pytest.raises(UsageError, match="exists"):
        prepare_task("mrna-human")
    assert len(prepare_task("mrna-human", force=True)) == 4


def test_cptac_labels_are_means_over_tumours(xpresso: None, lung: None) -> None:
    dataset = prepare_task("prot-lung")
    assert dataset.ids == GENES["train"]
    np.testing.assert_allclose(dataset.labels(["protein"])[:, 0], [1.5, 4])
    np.testing.assert_array_equal(dataset.protein_lengths, [2, 3])
    assert dataset.genes["split"].tolist() == ["", ""]
    roles = [source["role"] for source in dataset.manifest["sources"]]
    assert roles[0] == "xpresso-human/train.h5"
    assert all(source["sha256"] for source in dataset.manifest["sources"])


def test_a_damaged_source_is_named(xpresso: None) -> None:
    path = find_source("xpresso-human").files[1].path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"valid\.h5: found a file that is not whole HDF5"):
        prepare_task("mrna-human")


def test_a_task_without_sources_is_made_on_the_spot() -> None:
    dataset = prepare_task("synthetic-half-life")
    assert dataset.has_dna and dataset.has_protein and dataset.label_names == ("planted",)
    assert open_task_dataset("synthetic-half-life").folder == dataset.folder
