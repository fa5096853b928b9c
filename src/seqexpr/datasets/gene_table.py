"""What the tables say about the genes: labels, positions, half-life features; and the rows of genes.tsv."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seqexpr.datasets.options import PrepareOptions
from seqexpr.errors import InputError
from seqexpr.inputs.gene_ids import Side, cleaned
from seqexpr.inputs.half_life import TRANSFORMS
from seqexpr.inputs.half_life_table import HalfLifeTable, read_half_life
from seqexpr.inputs.labels import LabelTable, read_labels
from seqexpr.inputs.reference import Reference
from seqexpr.own_files import is_printable
from seqexpr.sequences.transcripts import FEATURES, AnnotatedFeatures, Transcript
from seqexpr.sequences.windows import Tss

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features:
    """Raw half-life features of the dataset's genes, float64 (genes, features), NaN where missing."""

    values: np.ndarray
    names: tuple[str, ...] = FEATURES
    transforms: tuple[str, ...] = TRANSFORMS

    def counts(self) -> dict[str, int]:
        """Genes with a value, per feature."""
        known = np.count_nonzero(~np.isnan(self.values), axis=0)
        return dict(zip(self.names, map(int, known), strict=True))

    def describe(self) -> dict[str, list[str]]:
        """The manifest's entry."""
        return {"names": list(self.names), "transforms": list(self.transforms)}


@dataclass
class GeneTables:
    """The tables that were given; gene ids are cleaned."""

    labels: LabelTable | None = None
    label_rows: dict[str, int] = field(default_factory=dict)
    labelled: set[str] | None = None
    """Genes with at least one label; None without a table of labels."""
    unlabelled: int = 0
    """Rows of labels without a value."""
    half_life: HalfLifeTable | None = None
    transcripts: dict[str, Transcript] | None = None
    annotated: AnnotatedFeatures | None = None
    """Half-life features of `transcripts`."""
    positions: dict[str, Tss] = field(default_factory=dict)
    """TSS by gene, from `--tss`, else from the annotation."""
    files: dict[str, str] = field(default_factory=dict)

    def known_genes(self) -> set[str] | None:
        """Every gene id that some table names; None without tables."""
        if self.labels is None and self.half_life is None and not self.positions:
            return None
        half_life = self.half_life.ids if self.half_life is not None else ()
        return {*self.label_rows, *half_life, *self.positions}

    def optional_sides(self) -> list[Side]:
        """The tables that a gene may lack."""
        sides = []
        if self.half_life is not None:
            sides.append(Side("half-life features", self.files["half_life"], self.half_life.ids))
        if self.transcripts is not None:
            sides.append(Side("the annotation", self.files["annotation"], list(self.transcripts)))
        return sides

    def label_counts(self, ids: Sequence[str]) -> dict[str, int]:
        """Genes of `ids` with a value, per label."""
        if self.labels is None:
            return {}
        known = np.count_nonzero(~np.isnan(self._label_values(ids)), axis=0)
        return dict(zip(self.labels.names, map(int, known), strict=True))

    def features(self, ids: Sequence[str]) -> Features | None:
        """Half-life features of `ids`; None when no table and no annotation was given."""
        if self.half_life is not None:
            return Features(self.half_life.rows(ids))
        if self.annotated is None:
            return None
        values = np.full((len(ids), len(FEATURES)), np.nan)
        for row, gene in enumerate(ids):
            if gene in self.annotated:
                values[row] = self.annotated[gene]
        return Features(values)

    def table(self, ids: Sequence[str], features: Features | None) -> pd.DataFrame:
        """The rows of genes.tsv: id, what is known about the gene, labels, half-life features."""
        import pandas as pd

        places = [self.positions.get(gene) for gene in ids]
        columns: dict[str, Any] = {"id": list(ids)}
        columns["symbol"] = [place.symbol if place else "" for place in places]
        columns["chrom"] = [place.chrom if place else "" for place in places]
        columns["tss"] = [str(place.boundary) if place else "" for place in places]
        columns["strand"] = [place.strand if place else "" for place in places]
        if self.labels is not None:
            self._fill_from_labels(ids, columns)
            columns.update(zip(self.labels.names, self._label_values(ids).T, strict=True))
        if features is not None:
            columns.update(zip(features.names, features.values.T, strict=True))
        return pd.DataFrame(columns)

    def _label_values(self, ids: Sequence[str]) -> np.ndarray:
        assert self.labels is not None
        return self.labels.values[[self.label_rows[gene] for gene in ids]]

    def _fill_from_labels(self, ids: Sequence[str], columns: dict[str, Any]) -> None:
        """Take from the labels' own columns what neither --tss nor the annotation said."""
        assert self.labels is not None
        for name in self.labels.annotations.columns:
            own = self.labels.annotations[name].tolist()
            here = columns.get(name, [""] * len(ids))
            columns[name] = [value or own[self.label_rows[gene]] for value, gene in zip(here, ids, strict=True)]


def read_gene_tables(options: PrepareOptions, clean: Callable[[str], str], reference: Reference) -> GeneTables:
    """Read labels and half-life features, and take TSSs and transcripts by their cleaned gene ids.

    Raises:
        InputError: a bad table, or column names that clash.
    """
    tables = GeneTables()
    if options.labels is not None:
        labels = read_labels(options.labels, options.label_columns or None, log10=options.log10)
        for name in labels.names:
            if name == "id" or name in FEATURES or not is_printable(name):
                raise InputError(
                    str(options.labels),
                    record="header",
                    found=f"a label named {name!r}",
                    expected="a name of its own, without control characters",
                )
        ids = cleaned(Side("labels", str(options.labels), labels.ids), clean)
        measured = ~np.isnan(labels.values).all(axis=1)
        tables.labels = labels
        tables.label_rows = {gene: row for row, gene in enumerate(ids)}
        tables.labelled = {gene for gene, present in zip(ids, measured, strict=True) if present}
        tables.unlabelled = len(ids) - len(tables.labelled)
    if options.half_life is not None:
        table = read_half_life(options.half_life)
        ids = cleaned(Side("half-life features", str(options.half_life), table.ids), clean)
        tables.half_life = HalfLifeTable(table.file, ids, table.names, table.values)
        tables.files["half_life"] = str(options.half_life)
    sites: dict[str, Tss] = {}
    if options.tss is not None or options.genbank is not None:
        role, file = ("the GenBank file", options.genbank) if options.genbank else ("the TSSs", options.tss)
        ids = cleaned(Side(role, str(file), [place.id for place in reference.sites]), clean)
        sites = dict(zip(ids, reference.sites, strict=True))
    transcripts = reference.transcripts
    if options.genbank is not None:
        transcripts = [one for one in transcripts or () if clean(one.gene_id) in sites]
    if transcripts is not None and (options.annotation or options.genbank):
        file = options.annotation or options.genbank
        ids = cleaned(Side("the annotation", str(file), [item.gene_id for item in transcripts]), clean)
        tables.transcripts = dict(zip(ids, transcripts, strict=True))
        tables.files["annotation"] = str(file)
        if options.annotation is not None:
            tables.positions = {gene: item.tss for gene, item in tables.transcripts.items()}
        tables.annotated = reference.features(tables.transcripts, sites)
    tables.positions |= sites
    if tables.labels is not None:
        _join_by_symbol(tables)
    return tables


def _join_by_symbol(tables: GeneTables) -> None:
    """Rename labels whose ids are symbols of the annotation to the ids of their genes."""
    by_symbol: dict[str, list[str]] = {}
    for gene, place in tables.positions.items():
        if place.symbol and place.symbol != gene:
            by_symbol.setdefault(place.symbol, []).append(gene)
    joined: dict[str, str] = {}
    ambiguous = 0
    for name in tables.label_rows:
        genes = by_symbol.get(name, [])
        if name in tables.positions or not genes:
            continue
        if len(genes) > 1 or genes[0] in tables.label_rows:
            ambiguous += 1
        else:
            joined[name] = genes[0]
    assert tables.labels is not None
    if joined or ambiguous:
        more = f"; {ambiguous:,} symbols of several genes are left as they are" if ambiguous else ""
        logger.warning(
            "%s: %s ids that are symbols of the annotation are joined by symbol (first: %s)%s",
            *(tables.labels.file, f"{len(joined):,}", next(iter(joined.items()), ("", ""))[0], more),
        )
    tables.label_rows = {joined.get(name, name): row for name, row in tables.label_rows.items()}
    tables.labelled = {joined.get(name, name) for name in tables.labelled or ()}
