"""Prepare the datasets of named tasks from their fetched sources, into the cache.

- Xpresso (HDF5): `promoter` (genes, 20000, 4) one-hot A C G T with the TSS at 10,000, `data` (genes, 8)
  half-life features that are z-scores already, `label` (genes,) z-scored log10 mRNA, `geneName`; a file per
  split.
- CPTAC (text): rows are versioned Ensembl genes, columns are tumours. The label is the mean over tumours;
  `_PAR_Y` copies are left out, as is a gene that no tumour has a value for.
- UniProt: reviewed human proteins and their Ensembl genes; a gene's first entry in the file counts.

The protein tasks hold the genes that have DNA, a protein and a label (the triplets of Stefanini et al. 2023,
section 2.5), so that all presets are compared on the same genes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqexpr.datasets.half_life import FEATURES, IDENTITY
from seqexpr.datasets.joining import Side, nothing_joined, strip_version
from seqexpr.datasets.prepare import describe_file
from seqexpr.datasets.prepared import DatasetWriter, PreparedDataset, check_target
from seqexpr.datasets.protein_input import ProteinFasta
from seqexpr.datasets.sources import find_source
from seqexpr.datasets.tables import read_table
from seqexpr.datasets.tasks import Task, find_task, open_task_dataset, task_folder
from seqexpr.errors import InputError, MissingDataError
from seqexpr.manifest import describe_run
from seqexpr.sequences.alphabet import DNA, PROTEIN

UPSTREAM = 10_000
DOWNSTREAM = 10_000

_SPLITS = ("train", "valid", "test")
_BLOCK = 64  # genes read at once: 5 MB of one-hot letters
_GENE = re.compile(r"ENSG\d{11}")


@dataclass(frozen=True)
class _Promoter:
    gene: str
    split: str
    window: np.ndarray
    half_life: np.ndarray
    label: float


def prepare_task(name: str, force: bool = False) -> PreparedDataset:
    """Build the dataset of a named task in the cache.

    Raises:
        MissingDataError: a source is not here, or h5py is not installed; the text names the command to run.
        UsageError: no such task, or its dataset is there already and `force` is not given.
        InputError: a source that is not as it should be.
    """
    task = find_task(name)
    if not task.sources:  # made on the spot
        return open_task_dataset(name, remake=force)
    absent = [source for source in task.sources if not find_source(source).present()]
    if absent:
        raise MissingDataError(f"task {name} needs {', '.join(absent)}; run: seqexpr fetch {name}")
    folder = task_folder(name)
    check_target(folder, force)
    files = {f"{source}/{file.name}": file.path for source in task.sources for file in find_source(source).files}
    labels = {column: _tumour_means(path) for column, path in _cptac_files(task).items()}
    known = set().union(*labels.values()) if labels else None
    proteins = _proteins(known) if "uniprot-human" in task.sources else None
    with DatasetWriter(folder, UPSTREAM, DOWNSTREAM, proteins is not None, force) as writer:
        rows, seen = [], []
        for promoter in _promoters(task):
            seen.append(promoter.gene)
            values = [labels[column].get(promoter.gene, np.nan) for column in task.labels] if labels else None
            if values is not None and np.isnan(values).all():
                continue
            if proteins is not None and promoter.gene not in proteins:
                continue
            writer.add(promoter.gene, promoter.window, None if proteins is None else proteins[promoter.gene])
            rows.append((promoter, [promoter.label] if values is None else values))
        if not rows:
            sides = [
                Side("Xpresso", task.sources[0], seen),
                Side("the labels", task.sources[-1], sorted(known or ())),
            ]
            raise nothing_joined(sides, with_map=True)
        writer.finish(_table(task, rows), _manifest(task, files, proteins is not None))
    return PreparedDataset.open(folder)


def _table(task: Task, rows: list[tuple[_Promoter, list[float]]]) -> Any:
    import pandas as pd

    columns: dict[str, Any] = {"id": [promoter.gene for promoter, _ in rows]}
    if task.split == "given":
        columns["split"] = [promoter.split for promoter, _ in rows]
    columns |= dict(zip(task.labels, np.array([values for _, values in rows]).T, strict=True))
    columns |= dict(zip(FEATURES, np.array([promoter.half_life for promoter, _ in rows]).T, strict=True))
    return pd.DataFrame(columns)


def _manifest(task: Task, files: dict[str, Path], with_protein: bool) -> dict[str, Any]:
    alphabets = (DNA, PROTEIN) if with_protein else (DNA,)
    return {
        **describe_run("dataset", {"task": task.name}),
        "task": task.name,
        "sources": [describe_file(role, path) for role, path in files.items()],
        "labels": list(task.labels),
        "half_life": {"names": list(FEATURES), "transforms": [IDENTITY] * len(FEATURES)},
        "alphabets": {alphabet.name: alphabet.to_dict() for alphabet in alphabets},
        "notes": ["half-life features are the source's own z-scores"],
    }


def _promoters(task: Task) -> Iterator[_Promoter]:
    source = find_source(task.sources[0])
    for split in _SPLITS:
        path = source.file(f"{split}.h5")
        with _open_hdf5(path) as file:
            missing = [name for name in ("promoter", "data", "label", "geneName") if name not in file]
            if missing:
                raise InputError(path, found=f"no dataset {', '.join(missing)}", expected="an Xpresso HDF5 file")
            expected = (len(file["geneName"]), UPSTREAM + DOWNSTREAM, 4)
            if file["promoter"].shape != expected or file["data"].shape != (expected[0], len(FEATURES)):
                raise InputError(
                    path,
                    found=f"promoters {file['promoter'].shape} and features {file['data'].shape}",
                    expected=f"{expected} and {(expected[0], len(FEATURES))}",
                )
            yield from _blocks(file, split)


def _blocks(file: Any, split: str) -> Iterator[_Promoter]:
    letters = np.arange(1, 5, dtype=np.uint8)
    for start in range(0, len(file["geneName"]), _BLOCK):
        part = slice(start, start + _BLOCK)
        windows = (file["promoter"][part].astype(np.uint8) * letters).sum(axis=2, dtype=np.uint8)
        fields = zip(file["geneName"][part], windows, file["data"][part], file["label"][part], strict=True)
        for gene, window, half_life, label in fields:
            name = gene.decode() if isinstance(gene, bytes) else str(gene)
            yield _Promoter(name, split, window, half_life.astype(np.float64), float(label))


def _open_hdf5(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingDataError("reading Xpresso's HDF5 files needs h5py; run: pip install 'seqexpr[fetch]'") from None
    try:
        return h5py.File(path, "r")
    except OSError:
        raise InputError(path, found="a file that is not whole HDF5", expected="an Xpresso HDF5 file") from None


def _cptac_files(task: Task) -> dict[str, Path]:
    """The CPTAC file of each label of a task."""
    kinds = {"rna": "mrna", "protein": "protein"}
    names = [name for name in task.sources if name.startswith("cptac-")]
    return {kinds[name.rsplit("-", 1)[1]]: find_source(name).files[0].path for name in names}


def _tumour_means(path: Path) -> dict[str, float]:
    """Mean over the tumours that have a value, by gene without version."""
    table = read_table(path)
    values = table.numbers(table.columns[1:])
    known = ~np.isnan(values)
    means: dict[str, float] = {}
    for gene, row, present, line in zip(table.ids(), values, known, table.lines, strict=True):
        if gene.endswith("_PAR_Y") or not present.any():
            continue
        bare = strip_version(gene)
        if bare in means:
            raise InputError(
                path, record=f"line {line}", found=f"a second version of {bare}", expected="one row per gene"
            )
        means[bare] = float(row[present].mean())
    return means


def _proteins(known: set[str] | None) -> dict[str, np.ndarray]:
    """The protein of each gene that has a label."""
    source = find_source("uniprot-human")
    table = read_table(source.file("ensembl_map.tsv.gz"))
    accession_of: dict[str, str] = {}
    for row in table.rows:
        for gene in dict.fromkeys(_GENE.findall(row[-1])):
            accession_of.setdefault(gene, row[0])
    genes_of: dict[str, list[str]] = {}
    for gene, accession in accession_of.items():
        genes_of.setdefault(accession, []).append(gene)
    wanted: Callable[[str], bool] = (lambda gene: True) if known is None else known.__contains__
    fasta = ProteinFasta(source.file("proteins.fasta.gz"), genes_of, None, strip_version)
    return dict(fasta.stream(wanted))
