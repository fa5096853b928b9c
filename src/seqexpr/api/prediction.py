"""Predict from Python: `predict` for one call, `load` for many calls of one model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from seqexpr.api.arguments import Path_, Table, gene_names, path_text, table
from seqexpr.errors import UsageError
from seqexpr.inputs.in_memory import Sequences, given_sequences
from seqexpr.prediction.inputs import InputSources, missing_lines
from seqexpr.prediction.session import Session, load_predictor, open_session, start_session

if TYPE_CHECKING:
    import pandas as pd

    from seqexpr.models.trained import ModelMetadata
    from seqexpr.prediction.predictor import Predictor

logger = logging.getLogger(__name__)


def predict(
    sequences: Sequences | None = None,
    *,
    tss_at: int | Literal["center"] | None = None,
    genome: Path_ | None = None,
    tss: Path_ | None = None,
    genes: str | Sequence[str] | None = None,
    genbank: Path_ | None = None,
    proteins: Sequences | None = None,
    cds: Sequences | None = None,
    half_life: Table | None = None,
    annotation: Path_ | None = None,
    contig_aliases: Path_ | None = None,
    skip_missing_contigs: bool = False,
    allow_unknown_genes: bool = False,
    model: str | Path_ | Sequence[str | Path_] | None = None,
    symbol: bool = False,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    threads: int | None = None,
    allow_partial: bool = False,
    precision: Literal["auto", "fp16", "fp32"] = "auto",
) -> pd.DataFrame:
    """Predict expression levels: one row for each gene, its id and then the levels, in the order of the input.

    >>> windows = {"low": "AT" * 5250, "high": "GC" * 5250}
    >>> table = predict(windows)
    >>> table["id"].tolist()
    ['low', 'high']
    >>> bool(table["mrna"].iloc[0] < table["mrna"].iloc[1])
    True

    Args:
        sequences: DNA windows: a FASTA file; a mapping or Series from id to sequence; a list of sequences, whose ids
            are then 1, 2, ...; one sequence as text; or tokens, uint8 (genes, length). Each has exactly the model's
            length (10,500 for `human-mrna`), or `tss_at` says where its TSS lies.
        tss_at: offset of the TSS in every sequence, or "center".
        genome, tss: cut windows from a genome at each TSS of a BED, GTF or GFF3 file.
        genes: symbols or ids to pick; a file with one on each line.
        genbank: a GenBank or EMBL file instead.
        proteins: as `sequences`, for models that read proteins. Alone they may be given as `sequences` too, where their
            letters tell them from DNA.
        cds: coding sequences as text, as `sequences`, for models that read them; genes may lack theirs.
        half_life: table of half-life features: a file, or a DataFrame whose ids are the index or the first column.
        annotation: GTF or GFF3 to compute them from, and with `genome` to splice coding sequences.
        contig_aliases: table of further names of contigs.
        skip_missing_contigs: leave out genes on contigs that the genome lacks, however many.
        allow_unknown_genes: leave out names in `genes` that are not there.
        model: a name, a weights file or a run folder; several are an ensemble. Default: `human-mrna`, for proteins
            alone `human-prot`.
        symbol: add the gene's symbol as a second column.
        device: "auto", "cpu", "cuda" or "mps".
        batch_size: records in a forward pass.
        threads: that compute on a CPU. Default: the cores that this process may use.
        allow_partial: take the finished folds of a cross-validation that is not finished.
        precision: of products on a CUDA device: "fp16" with sums in float32, which changes a level by about 0.0006 of
            the levels' standard deviation, or "fp32"; "auto" is fp16 on CUDA devices with Triton, else fp32.

    Returns:
        The columns `id`, `symbol` if asked for, one for each output, and its spread or error where the model gives one.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does; the text says what to change.
    """
    sources = sources_of(
        sequences,
        proteins,
        cds,
        half_life,
        tss_at=tss_at,
        genome=path_text(genome, "genome"),
        tss=path_text(tss, "tss"),
        genes=gene_names(genes),
        genbank=path_text(genbank, "genbank"),
        annotation=path_text(annotation, "annotation"),
        contig_aliases=path_text(contig_aliases, "contig_aliases"),
        skip_missing_contigs=skip_missing_contigs,
        allow_unknown_genes=allow_unknown_genes,
    )
    session = open_session(
        sources,
        models_named(model),
        device=device,
        batch_size=batch_size,
        threads=threads,
        allow_partial=allow_partial,
        precision=precision,
    )
    return _frame(session, symbol)


@dataclass(repr=False)
class Model:
    """A model that is loaded once and predicts many times; `load` makes it.

    >>> model = load("human-mrna")
    >>> model.outputs
    ('mrna',)
    >>> model
    Model('human-mrna', outputs=('mrna',), window=(7000, 3500))
    >>> len(model.predict(["ACGT" * 2625, "GGCC" * 2625]))
    2
    """

    name: str
    predictor: Predictor
    """What computes; its `models` hold the networks."""
    metadata: ModelMetadata
    """What the (first) model reads and gives, and how it was trained."""

    def __repr__(self) -> str:
        return f"Model({self.name!r}, outputs={self.outputs}, window={self.window})"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the predicted quantities."""
        return self.predictor.needs.outputs

    @property
    def window(self) -> tuple[int, int]:
        """Bases that the model reads before the TSS and from it on; (0, 0) where it reads no DNA."""
        return self.predictor.needs.upstream, self.predictor.needs.downstream

    def predict(
        self,
        sequences: Sequences | None = None,
        *,
        proteins: Sequences | None = None,
        cds: Sequences | None = None,
        tss_at: int | Literal["center"] | None = None,
        half_life: Table | None = None,
    ) -> pd.DataFrame:
        """Predict for sequences, as `seqexpr.predict` does."""
        sources = sources_of(sequences, proteins, cds, half_life, tss_at=tss_at)
        sources.check_fit(self.predictor.needs)
        return _frame(start_session(sources, self.predictor, self.name, self.metadata), symbol=False)


def load(
    model: str | Path_ | Sequence[str | Path_] = "human-mrna",
    *,
    device: str = "auto",
    threads: int | None = None,
    precision: Literal["auto", "fp16", "fp32"] = "auto",
) -> Model:
    """Load a model by name, weights file or run folder; several are an ensemble.

    >>> load("human-prot").predict(proteins={"short": "MKVLAAGIVGLCAKAYLEKN"})["id"].tolist()
    ['short']

    Args:
        model: as for `predict`.
        device: "auto", "cpu", "cuda" or "mps".
        threads: that compute on a CPU. Default: the cores that this process may use.
        precision: as for `predict`.

    Raises:
        MissingDataError: no such model; the text names those that are near.
        InputError: damaged weights.
        DeviceError: the device is absent.
    """
    from seqexpr.models.registry import resolve_models

    names = models_named(model)
    predictor = load_predictor(resolve_models(list(names)), device, threads=threads, precision=precision)
    return Model(", ".join(names), predictor, predictor.models[0].metadata)


def sources_of(
    sequences: Sequences | None,
    proteins: Sequences | None,
    cds: Sequences | None,
    half_life: Table | None,
    **options: Any,
) -> InputSources:
    """The checked inputs of `predict` and `explain`; sequences alone are DNA or proteins, as their letters say.

    Raises:
        UsageError: inputs that do not fit together, or sequences of another kind.
        InputError: a file is absent, or its first record is bad.
    """
    path, records = given_sequences(sequences)
    protein_path, protein_records = given_sequences(proteins, of_proteins=True)
    cds_path, cds_records = given_sequences(cds)
    sources = InputSources(
        fasta=path,
        windows=records,
        proteins=protein_path,
        protein_records=protein_records,
        cds=cds_path,
        cds_records=cds_records,
        half_life=table(half_life, "half_life"),
        **options,
    )
    sources.check()
    return sources.by_letters()


def _frame(session: Session, symbol: bool) -> pd.DataFrame:
    import pandas as pd

    rows: list[list[Any]] = []
    with closing(session.stream) as predictions:
        for one in predictions:
            cells: list[Any] = [one.id, session.counts.symbols.get(one.id, "")] if symbol else [one.id]
            for place, value in enumerate(one.values):
                cells.append(float(value))
                if one.sd is not None:
                    cells.append(float(one.sd[place]))
            rows.append(cells)
    for missing in missing_lines(session.counts, session.sources, session.needs):
        logger.info("%s", missing)
    if (warning := session.warning()) is not None:
        logger.warning("%s", warning)
    return pd.DataFrame(rows, columns=["id", *(["symbol"] if symbol else []), *session.columns])


def models_named(model: str | Path_ | Sequence[str | Path_] | None) -> tuple[str, ...]:
    """Names or files of models, as `predict` takes them.

    Raises:
        UsageError: something else.
    """
    if model is None:
        return ()
    if isinstance(model, str | os.PathLike):
        return (os.fspath(model),)
    if not isinstance(model, Iterable) or not all(isinstance(one, str | os.PathLike) for one in model):
        raise UsageError(f"model is a {type(model).__name__}; expected a name, a path, or a list of these")
    return tuple(os.fspath(one) for one in model)
