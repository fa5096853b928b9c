"""Rows of variant effects as tables and in VCF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from seqexpr import __version__
from seqexpr.effects.bgzf import END, BgzfWriter
from seqexpr.effects.vcf_output import KEY, VcfOutput
from seqexpr.errors import UsageError
from seqexpr.prediction.writers import (
    Cell,
    Column,
    TableWriter,
    binary_output,
    choose_format,
    is_special,
    named_errors,
    open_table,
)

if TYPE_CHECKING:
    from seqexpr.effects.background import Background
    from seqexpr.effects.variant_records import VariantRecord, VcfReader
    from seqexpr.effects.variants import Effect
    from seqexpr.models.trained import Output
    from seqexpr.prediction.shard_files import ShardFile

FORMATS = ("tsv", "csv", "jsonl", "parquet", "vcf")

COLUMNS = (
    *(Column("chrom", "text"), Column("pos", "whole"), Column("id", "text"), Column("ref", "text")),
    *(Column("alt", "text"), Column("gene_id", "text"), Column("gene", "text"), Column("strand", "text")),
    *(Column("tss_distance", "whole"), Column("ref_level"), Column("alt_level"), Column("delta")),
    *(Column("fold_change"), Column("delta_sd"), Column("percentile"), Column("flag", "text")),
)
"""Of a row; models of several outputs have `output` before the levels."""

_BASES = {"log10": 10.0, "log2": 2.0, "ln": 2.718281828459045}
_PARTS = "ALLELE|GENE|GENE_ID|STRAND|TSS_DIST|REF_LEVEL|ALT_LEVEL|DELTA|SD|PERCENTILE|FLAG"


def with_output(columns: Sequence[Column], outputs: Sequence[Output]) -> list[Column]:
    """Columns of rows of a model with these outputs: `output` before the levels where there are several."""
    found = list(columns)
    if len(outputs) > 1:
        found.insert([column.name for column in found].index("ref_level"), Column("output", "text"))
    return found


def rows_of(effect: Effect, outputs: Sequence[Output], background: Background | None) -> list[list[Cell]]:
    """The cells of an effect, a row for each output; one without values where there are none."""
    record, gene = effect.record, effect.gene
    identifier = None if record.id == "." else record.id
    first: list[Cell] = [record.chrom, record.position, identifier, record.ref, effect.alt]
    first += [None] * 4 if gene is None else [gene.id, gene.symbol or gene.id, gene.strand, effect.tss_distance]
    flag = "&".join(effect.flags) or None
    several = len(outputs) > 1
    deltas = effect.deltas
    if effect.reference is None or effect.changed is None or deltas is None:
        return [[*first, *([None] * (7 if several else 6)), flag]]
    rows = []
    for place, output in enumerate(outputs):
        delta = float(deltas[place])
        rows.append(
            [
                *first,
                *([output.name] if several else []),
                float(effect.reference[place]),
                float(effect.changed[place]),
                delta,
                fold_change(delta, output.unit),
                None if effect.sd is None else float(effect.sd[place]),
                None if background is None else background.percentile(output.name, delta),
                flag,
            ]
        )
    return rows


def fold_change(delta: float, unit: str) -> float | None:
    """By what the level itself is multiplied, where the unit is a logarithm; None for other units."""
    for name, base in _BASES.items():
        if unit.lower().startswith(name):
            return float(base**delta)
    return None


class EffectWriter(Protocol):
    """Where effects go; a context manager, and only when it ends well does a file appear."""

    def __enter__(self) -> EffectWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def write(self, record: VariantRecord, effects: Sequence[Effect]) -> None:
        """Add a record with its rows."""
        ...

    def end_block(self) -> None:
        """End a block of a shard."""
        ...


def choose_effect_format(out: str | None, format: str | None) -> str:
    """The format asked for, else the one that the file's suffix stands for; TSV for standard output and pipes.

    Raises:
        UsageError: they disagree, the suffix stands for none, or the format cannot be written there.
    """
    plain = (out or "").lower().removesuffix(".gz")
    if plain.endswith(".bgz"):
        raise UsageError(f"--out {out}: name it .vcf.gz; it is written as BGZF")
    suffixes = tuple(f".{one}" for one in FORMATS)
    if format is None and out not in (None, "-") and not plain.endswith(suffixes) and not is_special(out):
        raise UsageError(f"--out {out}: its suffix is none of {', '.join(suffixes)}; or say which with --format")
    says_vcf = plain.endswith(".vcf")
    if format != "vcf" and not says_vcf:
        return choose_format(out, format)
    other = next((one for one in FORMATS if plain.endswith(f".{one}") and one != "vcf"), None)
    if (says_vcf and format not in (None, "vcf")) or other:
        raise UsageError(f"--out {out} says {other or 'vcf'} and --format {format}: leave one of them out")
    return "vcf"


def open_effects(
    out: str | None,
    format: str,
    outputs: Sequence[Output],
    background: Background | None,
    *,
    reader: VcfReader | None,
    contigs: Mapping[str, int],
    models: Sequence[tuple[str, str]],
    shard: ShardFile | None = None,
) -> EffectWriter:
    """A writer of effects.

    Args:
        out: file name; None or "-" is standard output.
        format: of `choose_effect_format`.
        outputs: of the model.
        background: for percentiles.
        reader: the VCF file that the records are from.
        contigs: of the genome, for a VCF file where there was none.
        models: name and SHA-256 of each weights file, for the header of a VCF file.
        shard: the shard that the file is, if it is one.

    Raises:
        UsageError, MissingDataError, OSError: as `open_table`.
    """
    if format == "vcf":
        return _VcfWriter(out, outputs, background, reader, contigs, models, shard)
    return _TableWriter(open_table(out, format, with_output(COLUMNS, outputs), shard), outputs, background)


class _TableWriter:
    def __init__(self, table: TableWriter, outputs: Sequence[Output], background: Background | None) -> None:
        self._table, self._outputs, self._background = table, outputs, background

    def __enter__(self) -> _TableWriter:
        self._table.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, traceback)

    def write(self, record: VariantRecord, effects: Sequence[Effect]) -> None:
        for effect in effects:
            for cells in rows_of(effect, self._outputs, self._background):
                self._table.write(cells)

    def end_block(self) -> None:
        self._table.end_block()


class _VcfWriter:
    """All records back in order, with one more INFO entry."""

    def __init__(
        self,
        out: str | None,
        outputs: Sequence[Output],
        background: Background | None,
        reader: VcfReader | None,
        contigs: Mapping[str, int],
        models: Sequence[tuple[str, str]],
        shard: ShardFile | None,
    ) -> None:
        self._shard = shard
        self._out = None if out in (None, "-") else out
        self._name = self._out or "standard output"
        self._outputs, self._background = outputs, background
        self._reader, self._contigs = reader, contigs
        self._columns = [column.name for column in with_output(COLUMNS, outputs)]
        parts = _PARTS + ("|OUTPUT" if len(outputs) > 1 else "")
        described = f"Effects on expression levels predicted by seqexpr: {parts}"
        self._header = [f'##INFO=<ID={KEY},Number=.,Type=String,Description="{described}">'.encode()]
        for name, digest in models:
            units = "; ".join(f"{output.name} [{output.unit}]" for output in outputs)
            said = f'##{KEY}=<Version={__version__},Model="{_quoted(name)}",SHA256={digest},Unit="{_quoted(units)}">'
            self._header.append(said.encode("utf-8", "surrogateescape"))
        self._vcf: VcfOutput | None = None
        self._stack = ExitStack()

    def __enter__(self) -> _VcfWriter:
        with named_errors(self._name):
            if self._shard is None:
                opened: AbstractContextManager[Any] = binary_output(self._out, BgzfWriter)
            else:
                opened = self._shard.opened(partial(BgzfWriter, end=False), END)
            self._stream = self._stack.enter_context(opened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with named_errors(self._name):
            if kind is not None:
                self._stack.__exit__(kind, error, traceback)
                return
            with self._stack:
                self._begun()
                if self._out is None:
                    self._stream.flush()

    def write(self, record: VariantRecord, effects: Sequence[Effect]) -> None:
        entries = [
            self._entry(cells) for effect in effects for cells in rows_of(effect, self._outputs, self._background)
        ]
        with named_errors(self._name):
            self._begun().write(record, entries)

    def end_block(self) -> None:
        with named_errors(self._name):
            self._begun()
            self._stream.end_segment()

    def _begun(self) -> VcfOutput:
        """The output; its header is held back to the first record: input that is bad from the start leaves nothing."""
        if self._vcf is None:
            self._vcf = VcfOutput(self._stream, self._reader, info_lines=self._header, contigs=self._contigs)
            if self._shard is not None:
                self._stream.end_segment()
        return self._vcf

    def _entry(self, cells: Sequence[Cell]) -> list[str]:
        named = dict(zip(self._columns, cells, strict=True))
        order = ("alt", "gene", "gene_id", "strand", "tss_distance", "ref_level", "alt_level", "delta", "delta_sd")
        values = [named[name] for name in (*order, "percentile", "flag")]
        if "output" in named:
            values.append(named["output"])
        return [
            "" if value is None else format(value, ".6g") if isinstance(value, float) else str(value)
            for value in values
        ]


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
