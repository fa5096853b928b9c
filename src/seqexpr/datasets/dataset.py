"""Prepared datasets: a folder with `manifest.json`, `genes.tsv`, `sequences.safetensors` and, made with `translate`,
`coding.fa.gz`.

Sequences are uint8 tokens read through memory maps, so a dataset of any size opens at once, and a model crops
the part of the window that it reads. A folder appears whole, by a rename, or not at all.
"""

from __future__ import annotations

import csv
import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from seqexpr.datasets.token_store import TokenStore, TokenStoreWriter
from seqexpr.errors import InputError, UsageError, printable
from seqexpr.files import (
    held_folder,
    ordinary_mode,
    recover_folder,
    remove_abandoned,
    replace_folder,
    sha256_file,
    temporary_path,
    write_json,
)
from seqexpr.inputs.half_life import IDENTITY, LOG10, TRANSFORMS
from seqexpr.inputs.labels import ANNOTATIONS
from seqexpr.manifest import DATASET, read_manifest
from seqexpr.own_files import check_shape, is_printable, read_own_table

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
GENE_COLUMNS = ("id", *ANNOTATIONS)
"""First columns of genes.tsv; the labels and then the half-life features follow."""

_GENES = "genes.tsv"
_SEQUENCES = "sequences.safetensors"

_LARGEST_NUMBER = 1e30
"""No label and no feature is larger: networks compute in float32."""


class PreparedDataset:
    """An opened dataset. It can be pickled and used in several processes at once.

    Attributes:
        folder, manifest: where it is, and what it was made from.
        genes: DataFrame, one row per gene: `GENE_COLUMNS`, labels, raw half-life features.
        ids: gene ids, in the order of the sequences.
        label_names, half_life_names, half_life_transforms: tuples, empty when the dataset has none.
        upstream, downstream: bp stored before and from the TSS boundary on; 0 without DNA.
        has_protein: whether there is a protein of every gene.
        has_coding: whether there are coding sequences; single genes may lack theirs.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        recover_folder(self.folder)
        self.manifest = read_manifest(self.folder, "dataset")
        self._read_head()
        self._store = TokenStore(self.folder / _SEQUENCES)
        self.genes = _read_genes(self.folder / _GENES, (*self.label_names, *self.half_life_names))
        self._check_numbers()
        self._check_genes()
        self.ids: list[str] = self.genes["id"].tolist()
        if self.manifest.get("records", len(self.ids)) != len(self.ids):
            found = f"{len(self.ids)} genes in genes.tsv"
            expected = f"{self.manifest['records']}, as manifest.json says; prepare the dataset again"
            raise InputError(self.folder, found=found, expected=expected)
        stored = (self._store.records, self._store.window, self._store.has_protein, self._store.has_coding)
        if stored != (len(self.ids), self.upstream + self.downstream, self.has_protein, self.has_coding):
            raise InputError(
                self.folder,
                found=f"{self._store.records} sequence records and {len(self.ids)} genes"
                if stored[0] != len(self.ids)
                else "sequences of another kind than the manifest says",
                expected="the files of one prepared dataset; prepare it again",
            )

    @classmethod
    def open(cls, folder: str | Path) -> PreparedDataset:
        """Open the dataset in `folder`.

        Raises:
            InputError: the folder is no prepared dataset, is damaged, or is of a newer format.
        """
        return cls(folder)

    def _read_head(self) -> None:
        manifest = self.manifest
        if manifest.get("format") != FORMAT:
            raise InputError(
                self.folder / "manifest.json",
                found=f"dataset format {manifest.get('format')!r}",
                expected=f"format {FORMAT}; a newer one needs a newer seqexpr",
            )
        check_shape(manifest, DATASET, self.folder / "manifest.json", "the manifest of a prepared dataset")
        window, half_life = manifest["window"], manifest["half_life"]
        self.label_names: tuple[str, ...] = tuple(manifest["labels"])
        self.has_protein: bool = manifest["proteins"]
        self.has_coding: bool = manifest.get("coding", False)  # absent in datasets of earlier versions
        self.upstream: int = window["upstream"] if window else 0
        self.downstream: int = window["downstream"] if window else 0
        self.half_life_names: tuple[str, ...] = tuple(half_life["names"]) if half_life else ()
        self.half_life_transforms: tuple[str, ...] = tuple(half_life["transforms"]) if half_life else ()
        columns = (*GENE_COLUMNS, *self.label_names, *self.half_life_names)
        if half_life and self.half_life_transforms not in (TRANSFORMS, (IDENTITY,) * len(TRANSFORMS)):
            raise InputError(
                self.folder / "manifest.json",
                record="key 'half_life.transforms'",
                found=", ".join(self.half_life_transforms),
                expected=f"{', '.join(TRANSFORMS)}; or {IDENTITY} for all",
            )
        if len(set(columns)) != len(columns) or len(self.half_life_names) != len(self.half_life_transforms):
            raise InputError(
                self.folder / "manifest.json",
                found="labels and half-life features of one name, or features without a transform",
                expected="names that are all different, each feature with its transform",
            )

    def __len__(self) -> int:
        return len(self.ids)

    def _check_numbers(self) -> None:
        """Numbers that float32 holds, and no feature below 0 of which a logarithm is taken."""
        logged = {
            name
            for name, transform in zip(self.half_life_names, self.half_life_transforms, strict=True)
            if transform == LOG10
        }
        for name in (*self.label_names, *self.half_life_names):
            values = self.genes[name].to_numpy(dtype=np.float64)
            least = 0.0 if name in logged else -_LARGEST_NUMBER
            bad = (values < least) | (values > _LARGEST_NUMBER)  # NaN, which is missing, is neither
            if bad.any():
                row = int(bad.argmax())
                raise InputError(
                    self.folder / _GENES,
                    record=f"line {row + 2}, column {name!r}",
                    found=f"{values[row]:g}",
                    expected=f"a number from {least:g} to {_LARGEST_NUMBER:g}, or an empty cell",
                )

    def _check_genes(self) -> None:
        """Labels that were edited after `prepare` are not those that the manifest describes; a check costs nothing."""
        written = (self.manifest.get("content") or {}).get(_GENES)
        if written and (found := self._sha256(_GENES)) != written:
            raise _changed(self.folder / _GENES, found, written)

    def check_content(self, *, required: bool = True) -> dict[str, str]:
        """Check that the files are those that were written, to the last byte.

        Args:
            required: whether a manifest without checksums, as the first version wrote it, is an error too.

        Returns:
            SHA-256 by name of the file.

        Raises:
            InputError: the content has changed since, or no checksum of it was written down.
        """
        written = self.manifest.get("content") or {}
        further = [name for name in written if Path(name).name == name]  # coding sequences, where there are some
        found = {name: self._sha256(name) for name in dict.fromkeys((_GENES, _SEQUENCES, *further))}
        for name, digest in found.items():
            expected = written.get(name)
            if expected and digest != expected:
                raise _changed(self.folder / name, digest, expected)
            if required and not expected:
                found_none = "no checksum of it in manifest.json"
                wanted = "a dataset of this version of seqexpr; prepare it again"
                raise InputError(self.folder / name, found=found_none, expected=wanted)
        return found

    def _sha256(self, name: str) -> str:
        try:
            return sha256_file(self.folder / name)
        except OSError as problem:
            found = problem.strerror or "an unreadable file"
            raise InputError(self.folder / name, found=found, expected="a file of a prepared dataset") from None

    @property
    def has_dna(self) -> bool:
        """Whether the dataset holds DNA windows."""
        return self.upstream + self.downstream > 0

    @property
    def protein_lengths(self) -> np.ndarray:
        """Residues of every gene's protein, int64 (genes,)."""
        if not self.has_protein:
            raise InputError(self.folder, found="no proteins", expected="a dataset prepared with --proteins")
        return self._store.protein_lengths

    @property
    def coding_lengths(self) -> np.ndarray:
        """Codons of every gene's coding sequence, int64 (genes,); 0 where it is not known."""
        return self._store.coding_lengths if self.has_coding else np.zeros(len(self), dtype=np.int64)

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Labels `names`, float64 (genes, len(names)), NaN where missing.

        Raises:
            InputError: a label that the dataset does not hold.
        """
        for name in names:
            if name not in self.label_names:
                raise InputError(
                    self.folder,
                    found=f"no label {name!r}",
                    expected=f"one of {', '.join(self.label_names)}"
                    if self.label_names
                    else "a dataset prepared with --labels",
                )
        return self.genes[list(names)].to_numpy(dtype=np.float64)

    def half_life(self) -> np.ndarray | None:
        """Half-life features, float64 (genes, 8), NaN where missing; None when the dataset has none.

        Raw values, or where all transforms are the identity (Xpresso's tables) z-scores.
        """
        if not self.half_life_names:
            return None
        return self.genes[list(self.half_life_names)].to_numpy(dtype=np.float64)

    def dna(self, indices: Sequence[int] | np.ndarray, upstream: int, downstream: int) -> np.ndarray:
        """Windows of the genes `indices` around the TSS boundary: uint8 (genes, upstream + downstream).

        Raises:
            InputError: the dataset holds no DNA, or shorter windows.
        """
        if upstream > self.upstream or downstream > self.downstream:
            raise InputError(
                self.folder,
                found=f"windows of {self.upstream} bp upstream and {self.downstream} bp downstream"
                if self.has_dna
                else "no DNA",
                expected=f"at least {upstream} and {downstream} bp, which the model reads",
            )
        return self._store.windows(indices, self.upstream - upstream, self.upstream + downstream)

    def proteins(self, indices: Sequence[int] | np.ndarray, max_length: int) -> np.ndarray:
        """The proteins of the genes `indices`, cut to `max_length` residues.

        Returns:
            uint8 (len(indices), residues of the longest of them), right-padded with 0.

        Raises:
            InputError: the dataset holds no proteins.
        """
        if not self.has_protein:
            raise InputError(self.folder, found="no proteins", expected="a dataset prepared with --proteins")
        return self._store.proteins(indices, max_length)

    def coding(self, indices: Sequence[int] | np.ndarray, max_length: int) -> np.ndarray:
        """The coding sequences of the genes `indices` as tokens of `alphabet.CODING`, cut to `max_length` codons.

        Returns:
            uint8 (len(indices), codons of the longest of them), right-padded with 0; rows of 0 for genes without one.

        Raises:
            InputError: the dataset holds no coding sequences.
        """
        if not self.has_coding:
            expected = "a dataset prepared with --cds or --translate"
            raise InputError(self.folder, found="no coding sequences", expected=expected)
        return self._store.coding(indices, max_length)


def _changed(path: Path, found: str, written: str) -> InputError:
    expected = f"{written}, as it was written; prepare the dataset again"
    return InputError(path, found=f"SHA-256 {found}", expected=expected)


def _read_genes(path: Path, numbers: Sequence[str]) -> pd.DataFrame:
    # As text first: a gene called NA is a gene, and float() reads back exactly what was written.
    kinds = {**dict.fromkeys(GENE_COLUMNS, "text"), "tss": "place", **dict.fromkeys(numbers, "number")}
    expected = "the genes of a prepared dataset; prepare it again"
    genes = read_own_table(path, kinds, expected, exact=True, quoted=False)
    seen: set[str] = set()
    for row, id in enumerate(genes["id"]):
        if id in seen or not id or not is_printable(id):
            found = f"the id {id[:60]!r}" + (" again" if id in seen else "")
            raise InputError(path, record=f"line {row + 2}", found=found, expected=f"an id of its own: {expected}")
        seen.add(id)
    return genes


class DatasetWriter:
    """Streams records into a folder that appears whole when `finish` has run, and not at all otherwise.

    A context manager. An existing folder is an error unless it is empty, or `force` is given and it is a
    prepared dataset; then the old one makes way only after the new one is whole.

    Args:
        folder: the folder to make; its parents are made as needed.
        upstream, downstream: bp of every window before and from the TSS boundary on; both 0 without DNA.
        with_protein: whether every record has a protein.
        force: replace an existing dataset.
        with_coding: whether records may have a coding sequence.

    Raises:
        UsageError: the folder exists.
        OSError: the disk is full or the place cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        upstream: int,
        downstream: int,
        with_protein: bool,
        force: bool = False,
        with_coding: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.ids: list[str] = []
        self._window = {"upstream": upstream, "downstream": downstream} if upstream + downstream else None
        self._with_protein, self._with_coding = with_protein, with_coding
        self._force = force
        self._files = [_GENES, _SEQUENCES]

    def __enter__(self) -> DatasetWriter:
        recover_folder(self.folder)
        check_target(self.folder, self._force)
        self._named = named = self.folder
        # The real path: the folder lands where it was meant to whatever happens to the process, a link stays a link.
        self.folder = named.resolve()
        remove_abandoned(self.folder)
        self._new_parents = [parent for parent in self.folder.parents if not parent.exists()]
        self._temporary = temporary_path(self.folder)
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.mkdir(mode=0o700)
        except OSError as error:
            self._remove_parents()
            if isinstance(error, FileExistsError):  # a file where the folder's parent should be
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(named)) from error
            raise OSError(error.errno, error.strerror, str(named)) from error
        self._held = ExitStack()
        try:
            self._held.enter_context(held_folder(self._temporary))
            length = sum(self._window.values()) if self._window else 0
            path = self._temporary / _SEQUENCES
            self._store = TokenStoreWriter(path, length, self._with_protein, self._with_coding)
        except BaseException:
            self._held.close()
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._remove_parents()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(self._named)  # a full disk does not say by itself which file it stopped
        try:
            self._store.__exit__(kind)
        finally:
            self._held.close()
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._remove_parents()

    def _remove_parents(self) -> None:
        """Remove the folders made on the way to a dataset that did not appear; those with content stay."""
        for parent in self._new_parents:
            with suppress(OSError):
                parent.rmdir()

    def add(
        self,
        id: str,
        dna: np.ndarray | None = None,
        protein: np.ndarray | None = None,
        coding: np.ndarray | None = None,
    ) -> None:
        """Append a gene: `dna` uint8 (upstream + downstream,), `protein` uint8 (residues,), `coding` uint8 (codons,).

        Raises:
            InputError: an id that is empty or holds control characters, such as tabs.
        """
        if not id or not is_printable(id):
            expected = "gene ids without control characters"
            raise InputError(self.folder, found=f"the id {printable(id)!r}" if id else "an empty id", expected=expected)
        self._store.add(dna, protein, coding)
        self.ids.append(id)

    def path_of(self, name: str) -> Path:
        """Where to write a further file of the dataset, before `finish`, which notes its checksum."""
        self._files.append(name)
        return self._temporary / name

    def finish(self, genes: pd.DataFrame, manifest: dict[str, Any]) -> None:
        """Write the table and the manifest and let the folder appear.

        Args:
            genes: one row per added gene, in that order: column `id`, any of `ANNOTATIONS`, then the columns
                that the manifest's `labels` and `half_life` name.
            manifest: as `describe_run` makes it, with `labels` (list of names) and `half_life` (None or
                `names` and `transforms`); `records`, `window`, `proteins`, `coding` and `content` are filled
                in here.

        Raises:
            ValueError: the genes are not the ones that were added.
            OSError: the disk is full.
        """
        if genes["id"].tolist() != self.ids:
            raise ValueError("the table's genes are not the ones that were added, in that order")
        self._store.finish()
        half_life = manifest["half_life"]
        numbers = [*manifest["labels"], *(half_life["names"] if half_life else ())]
        table = genes.reindex(columns=[*GENE_COLUMNS, *numbers])
        table.to_csv(self._temporary / _GENES, sep="\t", index=False, na_rep="", quoting=csv.QUOTE_NONE)
        own = {
            "records": len(self.ids),
            "window": self._window,
            "proteins": self._with_protein,
            "coding": self._with_coding,
            "content": {name: sha256_file(self._temporary / name) for name in self._files},
        }
        write_json(self._temporary / "manifest.json", {**manifest, **own})
        for name in self._files:
            with (self._temporary / name).open("rb+") as file:
                os.fsync(file.fileno())
        self._appear()

    def _appear(self) -> None:
        self._temporary.chmod(ordinary_mode(0o777))  # private so far; datasets are ordinary folders
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()
        replace_folder(self._temporary, self.folder)


def check_target(folder: str | Path, force: bool) -> None:
    """Check that a dataset may be written to `folder`, before any work is done.

    Raises:
        UsageError: it is a file, or a folder with content that `force` does not cover: only a prepared
            dataset is ever replaced.
    """
    folder = Path(folder)
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; a dataset is a folder")
    if not any(folder.iterdir()):
        return
    try:
        read_manifest(folder, "dataset")
    except InputError:
        raise UsageError(f"{folder} exists and is not a prepared dataset; choose another folder") from None
    if not force:
        raise UsageError(f"{folder} exists; choose another folder, or --force to replace it")
