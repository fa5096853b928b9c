"""Groups of genes that must not be divided: clusters of homologous proteins, or groups of the user's.

Both end up in the genes' column `group`, by which `folds` deals them out.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.evaluation.mmseqs import similar_proteins
from seqexpr.evaluation.overlap_pairs import near_identical_proteins
from seqexpr.sequences.alphabet import PROTEIN
from seqexpr.sequences.streams import read_lines

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_OWN_GROUPS = "give groups of your own with --groups FILE"


def grouped_genes(
    dataset: PreparedDataset, split: str, groups_file: Path | None, threads: int | None
) -> tuple[pd.DataFrame, dict[str, Any] | None]:
    """The dataset's genes with the column `group` as a split needs it.

    Args:
        dataset: the prepared genes (n rows).
        split: "group" takes the file's groups, else the dataset's own; "homology" the file's, else
            `protein_clusters`. Other splits need no groups.
        groups_file: a table of groups (`read_groups`).
        threads: of the search for homologous proteins; None: one a processor.

    Returns:
        the genes, a copy where a group was filled in; and for the manifest where the groups come from, how many
        there are and how large the largest is, None for splits without groups.

    Raises:
        UsageError: a file for a split that needs no groups, or homology without proteins.
        InputError: a bad file.
        MissingDataError: MMseqs2 is absent or fails.
    """
    if split not in ("group", "homology"):
        if groups_file is not None:
            raise UsageError(f"--groups has no effect on a {split} split; choose --split group or --split homology")
        return dataset.genes, None
    if groups_file is not None:
        groups = read_groups(groups_file, dataset.ids)
        content = "".join(f"{id}\t{group}\n" for id, group in zip(dataset.ids, groups, strict=True))
        digest = hashlib.sha256(content.encode()).hexdigest()
        return dataset.genes.assign(group=groups), {"source": str(groups_file), "sha256": digest, **_sizes(groups)}
    if split == "homology":
        groups, description = protein_clusters(dataset, threads=threads)
        return dataset.genes.assign(group=groups), description
    own = dataset.genes["group"].fillna("").to_numpy(dtype=str)
    return dataset.genes, {"source": "the dataset's column 'group'", **_sizes(own[own != ""])}


def protein_clusters(dataset: PreparedDataset, *, threads: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Clusters of homologous proteins: no two proteins that are found alike are ever in different ones.

    A cluster is a connected component of the graph of `homologous_pairs` and `near_identical_proteins` (the
    latter add fragments that cover less than half of the whole). Among 9,317 human proteins there are 10,797
    homologous pairs; the components cut none, number 6,132, and the largest holds 101 proteins, so that ten folds
    still are of equal size. The clusters of `mmseqs easy-cluster` at the same identity and coverage cut 1,558 of
    these pairs (1,521 with `--cluster-mode 1`), for it clusters in steps and compares only what a step left over.

    Args:
        dataset: the prepared genes (n rows).
        threads: as for `homologous_pairs`.

    Returns:
        the cluster of every gene, named after its first gene: str (n,); and for the manifest the program, its
        version and settings, the number of clusters and the size of the largest.

    Raises:
        UsageError, MissingDataError: as for `homologous_pairs`.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    try:
        pairs, description = homologous_pairs(dataset, threads=threads)
    except MissingDataError as problem:
        raise MissingDataError(f"{problem}; or {_OWN_GROUPS}") from None
    pairs = np.concatenate([pairs, near_identical_proteins([*all_proteins(dataset)])])
    n = len(dataset)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    component = connected_components(graph, directed=False)[1]
    first = np.unique(component, return_index=True)[1]
    clusters = np.array(dataset.ids)[first[component]]
    return clusters, {**description, "joined": "near-identical proteins", **_sizes(clusters)}


def homologous_pairs(dataset: PreparedDataset, *, threads: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """All pairs of genes whose proteins MMseqs2 finds homologous under `SETTINGS`, or that are the same.

    Args:
        dataset: the prepared genes (n rows).
        threads: of the search; None: one a processor. The result does not depend on it.

    Returns:
        pairs (gene, other) in both directions, ascending, int64 (pairs, 2); and for the manifest the program,
        its version and settings.

    Raises:
        UsageError: the dataset holds no proteins.
        MissingDataError: MMseqs2 is not installed, or fails.
    """
    if not dataset.has_protein:
        raise UsageError(f"{dataset.folder} holds no proteins, so homology cannot be told; {_OWN_GROUPS}")
    sequences = [PROTEIN.decode(protein) for protein in all_proteins(dataset)]
    # Sorted and each once: equal proteins are homologous without a search (which may miss short ones), and the
    # result does not depend on the genes' order.
    distinct = sorted(set(sequences))
    hits, description = similar_proteins(distinct, threads)
    return _spread(hits, distinct, sequences), description


def all_proteins(dataset: PreparedDataset) -> Iterator[np.ndarray]:
    """The dataset's proteins, whole: uint8 (residues,) each. One at a time, for the longest has 34,350 residues."""
    for row, length in enumerate(dataset.protein_lengths):
        yield dataset.proteins([row], int(length))[0]


def read_groups(path: Path, ids: Sequence[str]) -> np.ndarray:
    """The group of every gene from a table of the user's.

    Each line holds a gene's id, a tab and the name of its group; gzipped or not; "-" is standard input. A header
    is allowed, blank lines are skipped, and genes that are not in `ids` are ignored.

    Args:
        path: the table.
        ids: the genes that need a group (n,).

    Returns:
        group names, str (n,).

    Raises:
        InputError: a line of another form, a gene in two groups, or a gene of `ids` without a group.
    """
    wanted = set(ids)
    group_of: dict[str, str] = {}
    ignored: set[str] = set()
    for number, line in read_lines(path):
        try:
            cells = [cell.strip() for cell in line.decode().split("\t")]
        except UnicodeDecodeError:
            raise InputError(
                path, record=f"line {number:,}", found="text that is not UTF-8", expected="UTF-8"
            ) from None
        if not any(cells):
            continue
        if len(cells) != 2 or not all(cells):
            found = "an empty cell" if len(cells) == 2 else f"{len(cells)} field(s)"
            raise InputError(path, record=f"line {number:,}", found=found, expected="a gene id, a tab and a group")
        id, group = cells
        if id not in wanted:
            ignored.update([id] if number > 1 else [])  # the first line may well be a header
        elif group_of.setdefault(id, group) != group:
            raise InputError(
                path,
                record=f"line {number:,}",
                found=f"gene {id!r} in group {group!r} and before in {group_of[id]!r}",
                expected="one group for each gene (the gene first, then its group)",
            )
    missing = [id for id in ids if id not in group_of]
    if missing:
        raise InputError(
            path,
            record=repr(missing[0]),
            found=f"no group for this gene ({len(missing):,} of {len(ids):,} genes of the dataset have none)",
            expected="a group for every gene",
        )
    if ignored:
        logger.info("%s: %s ids that the dataset does not hold are ignored", path, f"{len(ignored):,}")
    return np.array([group_of[id] for id in ids], dtype=str)


def _sizes(groups: np.ndarray) -> dict[str, int]:
    sizes = np.unique(groups, return_counts=True)[1]
    return {"groups": len(sizes), "largest": int(sizes.max(initial=0))}


def _spread(hits: np.ndarray, distinct: list[str], sequences: list[str]) -> np.ndarray:
    """From pairs of distinct sequences to pairs of genes, both directions; genes of one sequence are pairs too."""
    from scipy import sparse

    rank = {sequence: number for number, sequence in enumerate(distinct)}
    genes = np.array([gene for gene, sequence in enumerate(sequences) if sequence], np.int64)
    ranks = np.array([rank[sequences[gene]] for gene in genes], np.int64)
    ones = np.ones(len(genes), np.int32)
    owns = sparse.csr_matrix((ones, (genes, ranks)), shape=(len(sequences), len(distinct)))
    alike = sparse.csr_matrix((np.ones(len(hits), np.int32), (hits[:, 0], hits[:, 1])), shape=(len(distinct),) * 2)
    pairs = (owns @ (alike + alike.T + sparse.identity(len(distinct), np.int32)) @ owns.T).tocoo()
    between = pairs.row != pairs.col
    return np.unique(np.column_stack([pairs.row, pairs.col])[between].astype(np.int64), axis=0)
