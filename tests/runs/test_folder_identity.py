from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest

from seqexpr.datasets.dataset import DatasetWriter, PreparedDataset
from seqexpr.runs.folder import data_digests, first_difference, folds_digest, inputs_digest, labels_digest

from ..small_dataset import make_small_dataset


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


def manifest(**options):
    return {"kind": "cv", "format": 1, "created": "now", "device": "cpu", "options": options}


def again(dataset, folder, *, base=0, residue=0, half_life=0.0, shift=0):
    """The dataset prepared again, with one base, residue or half-life feature of gene 7 changed, or the TSS moved."""
    whole = dataset.dna(np.arange(len(dataset)), dataset.upstream, dataset.downstream)
    whole[7, 100] = (whole[7, 100] - 1 + base) % 4 + 1
    genes = dataset.genes.copy()
    genes.loc[7, "cds_len"] += half_life
    with DatasetWriter(folder, dataset.upstream + shift, dataset.downstream - shift, with_protein=True) as writer:
        for row, id in enumerate(dataset.ids):
            protein = dataset.proteins([row], 1000)[0].copy()
            protein[3] = (protein[3] - 1 + residue * (row == 7)) % 22 + 1
            writer.add(id, whole[row], protein)
        writer.finish(genes, dataset.manifest)
    return PreparedDataset.open(folder)


def test_labels_digest_is_that_of_ids_and_chosen_labels(small):
    """By hand: SHA-256 of the JSON of ids and names, then the labels as little-endian doubles, gene by gene."""
    head = json.dumps([[f"g{row}" for row in range(48)], ["a"]]).encode()
    values = struct.pack("<48d", *small.genes["a"])
    assert labels_digest(small, ("a",)) == hashlib.sha256(head + values).hexdigest()


def test_the_same_inputs_prepared_again_have_the_same_digests(small, tmp_path):
    assert data_digests(again(small, tmp_path / "again"), ("a", "b")) == data_digests(small, ("a", "b"))


@pytest.mark.parametrize("change", [{"base": 1}, {"residue": 1}, {"half_life": 1e-3}, {"shift": 1}])
def test_any_other_input_has_another_digest_and_the_same_labels(small, tmp_path, change):
    other = again(small, tmp_path / "other", **change)
    assert inputs_digest(other) != inputs_digest(small)
    assert labels_digest(other, ("a", "b")) == labels_digest(small, ("a", "b"))


def test_places_and_machines_make_no_difference():
    here = manifest(
        task="/one/data",
        dataset={
            "folder": "/one/data",
            "genes": 3,
            "sources": [{"role": "windows", "file": "/one/w.fa", "sha256": "0"}],
        },
        groups={"source": "/one/groups.tsv", "sha256": "1"},
    )
    there = json.loads(json.dumps(here).replace("/one/", "/two/"))
    there |= {"created": "later", "device": "cuda", "command": ["seqexpr"], "threads": 3}
    assert first_difference(here, there) == ""
    there["options"]["groups"]["sha256"] = "2"
    assert first_difference(here, there) == "sha256 was '1', now '2'"
    there = json.loads(json.dumps(here))
    there["options"]["dataset"]["sources"][0]["sha256"] = "3"
    assert first_difference(here, there).startswith("sources was [{'role': 'windows', 'sha256': '0'}]")
    assert "file" in here["options"]["dataset"]["sources"][0]  # what is compared is a copy


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ids_and_labels", "the dataset has other genes or labels now"),
        ("inputs", "the dataset has other sequences or half-life features now"),
        ("folds", "the genes are divided otherwise now"),
    ],
)
def test_a_digest_that_differs_is_said_in_words(name, said):
    one = dict.fromkeys(("ids_and_labels", "inputs", "folds"), "0")
    assert first_difference(manifest(digests=one), manifest(digests={**one, name: "1"})) == said
    without = {key: value for key, value in one.items() if key != name}  # made before there was such a digest
    assert first_difference(manifest(digests=without), manifest(digests=one)) == ""


def test_folds_digest_is_that_of_the_fold_of_every_gene():
    fold_of = np.array([0, 2, 1])
    assert folds_digest(fold_of) == hashlib.sha256(struct.pack("<3q", 0, 2, 1)).hexdigest()
