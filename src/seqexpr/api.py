"""The verbs of the command line for Python: their options are keyword arguments, their results are DataFrames.

>>> import seqexpr
>>> seqexpr.predict({"a": "ACGT" * 2625}).columns.tolist()
['id', 'mrna', 'mrna_sd']
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqexpr.errors import UsageError
from seqexpr.inputs.gene_ids import read_gene_names
from seqexpr.inputs.in_memory import Sequences, given_sequences
from seqexpr.prediction.inputs import InputSources
from seqexpr.prediction.session import Session, load_predictor, open_session, start_session

if TYPE_CHECKING:
    import pandas as pd

    from seqexpr.datasets.dataset import PreparedDataset
    from seqexpr.models.trained import ModelMetadata
    from seqexpr.prediction.predictor import Predictor

logger = logging.getLogger(__name__)

Path_ = str | os.PathLike[str]


def predict(
    sequences: Sequences | None = None,
    *,
    tss_at: int | Literal["center"] | None = None,
    genome: Path_ | None = None,
    tss: Path_ | None = None,
    genes: str | Sequence[str] | None = None,
    genbank: Path_ | None = None,
    proteins: Sequences | None = None,
    half_life: Path_ | None = None,
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
        half_life: table of half-life features.
        annotation: GTF or GFF3 to compute them from.
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

    Returns:
        The columns `id`, `symbol` if asked for, one for each output, and its spread or error where the model gives one.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does; the text says what to change.
    """
    path, records = given_sequences(sequences)
    protein_path, protein_records = given_sequences(proteins, of_proteins=True)
    sources = InputSources(
        fasta=path,
        windows=records,
        tss_at=tss_at,
        genome=_text(genome),
        tss=_text(tss),
        genes=_names(genes),
        genbank=_text(genbank),
        proteins=protein_path,
        protein_records=protein_records,
        half_life=_text(half_life),
        annotation=_text(annotation),
        contig_aliases=_text(contig_aliases),
        skip_missing_contigs=skip_missing_contigs,
        allow_unknown_genes=allow_unknown_genes,
    )
    sources.check()
    session = open_session(
        sources.by_letters(),
        _models(model),
        device=device,
        batch_size=batch_size,
        threads=threads,
        allow_partial=allow_partial,
    )
    return _frame(session, symbol)


@dataclass
class Model:
    """A model that is loaded once and predicts many times; `load` makes it.

    >>> model = load("human-mrna")
    >>> model.outputs
    ('mrna',)
    >>> len(model.predict(["ACGT" * 2625, "GGCC" * 2625]))
    2
    """

    name: str
    predictor: Predictor
    """What computes; its `models` hold the networks."""
    metadata: ModelMetadata
    """What the (first) model reads and gives, and how it was trained."""

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
        tss_at: int | Literal["center"] | None = None,
        half_life: Path_ | None = None,
    ) -> pd.DataFrame:
        """Predict for sequences, as `seqexpr.predict` does."""
        path, records = given_sequences(sequences)
        protein_path, protein_records = given_sequences(proteins, of_proteins=True)
        sources = InputSources(
            fasta=path,
            windows=records,
            tss_at=tss_at,
            proteins=protein_path,
            protein_records=protein_records,
            half_life=_text(half_life),
        )
        sources.check()
        sources = sources.by_letters()
        sources.check_fit(self.predictor.needs)
        return _frame(start_session(sources, self.predictor, self.name, self.metadata), symbol=False)


def load(
    model: str | Path_ | Sequence[str | Path_] = "human-mrna", *, device: str = "auto", threads: int | None = None
) -> Model:
    """Load a model by name, weights file or run folder; several are an ensemble.

    Args:
        model: as for `predict`.
        device: "auto", "cpu", "cuda" or "mps".
        threads: that compute on a CPU. Default: the cores that this process may use.

    Raises:
        MissingDataError: no such model; the text names those that are near.
        InputError: damaged weights.
        DeviceError: the device is absent.
    """
    from seqexpr.models.registry import resolve_models

    names = _models(model)
    predictor = load_predictor(resolve_models(list(names)), device, threads=threads)
    return Model(", ".join(names), predictor, predictor.models[0].metadata)


def prepare(
    out: Path_,
    *,
    genes: str | Sequence[str] | None = None,
    label: str | Sequence[str] = (),
    **options: Any,
) -> PreparedDataset:
    """Build a dataset for `train` and `cross_validate`: sequences, labels, half-life features joined by gene id.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "w.fa").write_text(">g1\\nACGTACGT\\n>g2\\nGGGGCCCC\\n")
    >>> _ = (folder / "l.tsv").write_text("id\\tlevel\\ng1\\t1.5\\ng2\\t0.5\\n")
    >>> dataset = prepare(folder / "set", fasta=folder / "w.fa", tss_at=4, labels=folder / "l.tsv")
    >>> dataset.ids, dataset.label_names
    (['g1', 'g2'], ('level',))

    Args:
        out: the folder to make.
        genes: symbols or ids to pick.
        label: label columns to keep.
        options: the options of `seqexpr prepare` by their names: fasta, tss_at, genome, tss, genbank, upstream,
            downstream, proteins, protein_map, translate, codon_table, mito_table, labels, log10, half_life,
            annotation, contig_aliases, skip_missing_contigs, allow_unknown_genes, strip_versions, force.

    Raises:
        UsageError, InputError, OSError: as the command does.
    """
    from dataclasses import fields

    from seqexpr.datasets.dataset import PreparedDataset
    from seqexpr.datasets.options import PrepareOptions
    from seqexpr.datasets.prepare import prepare as build

    known = {field.name: str(field.type) for field in fields(PrepareOptions)}
    if unknown := sorted(set(options) - set(known)):
        raise UsageError(f"prepare has no option {', '.join(unknown)}; it has {', '.join(known)}")
    given: dict[str, Any] = {
        name: Path(value) if value is not None and known[name].startswith(("File", "Path")) else value
        for name, value in options.items()
    }
    labels = (label,) if isinstance(label, str) else tuple(label)
    build(PrepareOptions(out=Path(out), genes=_names(genes), label_columns=labels, **given))
    return PreparedDataset.open(Path(out))


@dataclass(frozen=True)
class Run:
    """A finished run of `train` or `cross_validate`: a folder, which `predict(model=run.folder)` takes as a model."""

    folder: Path
    metrics: pd.DataFrame
    """One row for each model, label and scope: n, five metrics with their 95 % intervals, the lead over the model."""
    predictions: pd.DataFrame
    """Held-out genes: id, chromosome, part or fold, measured and predicted level."""

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.folder / "report.html"


def train(task: str | Path_ | PreparedDataset, *, out: Path_, resume: bool = False, **options: Any) -> Run:
    """Train a network and score it on genes that were held out, next to baselines.

    Args:
        task: a named task, or a dataset or its folder.
        out: folder of the run.
        resume: continue what is there.
        options: label, preset, recipe, epochs, batch_size, seed; split, valid_fraction, test_fraction, groups,
            permute_labels, test_chromosomes, valid_chromosomes; device, threads, observer. As of `seqexpr train`.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does.
    """
    from seqexpr.runs.train_run import train_once

    experiment, settings, device, observer = _run_settings(task, options, folds=False)
    train_once(experiment, settings, Path(out), device, resume=resume, observer=observer)
    return _finished(Path(out))


def cross_validate(
    task: str | Path_ | PreparedDataset,
    *,
    out: Path_,
    folds: int = 10,
    jobs: int = 1,
    resume: bool = False,
    **options: Any,
) -> Run:
    """Predict every gene once by a network that never saw it, next to baselines on the same folds.

    Args:
        task: a named task, or a dataset or its folder.
        out: folder of the run.
        folds: their number.
        jobs: folds at once, each in a process of its own.
        resume: continue what is there.
        options: as for `train`.

    Raises:
        UsageError, InputError, MissingDataError, DeviceError: as the command does.
    """
    from seqexpr.runs.cross_validation import cross_validate as run

    experiment, settings, device, observer = _run_settings(task, {**options, "folds": folds}, folds=True)
    run(experiment, settings, Path(out), device, resume=resume, observer=observer, jobs=jobs)
    return _finished(Path(out))


def compare(
    first: Path_,
    *others: Path_,
    label: str | None = None,
    metrics: Sequence[str] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare runs or tables of predictions on the genes that both tested, by paired bootstrap.

    Args:
        first: a run folder, or a table with the columns id, label and prediction.
        others: what it is compared with; none: the run's own baselines.
        label: the label that is compared, where there are several.
        metrics: names of metrics; default: all five.
        resamples, seed: of the bootstrap.

    Returns:
        One row for each other, label and metric: both values, `difference` (the first's minus the other's) with its
        95 % interval, and `first_better`, the share of resamples in which the first is better.

    Raises:
        UsageError, InputError, MissingDataError: as the command does.
    """
    import pandas as pd

    from seqexpr.evaluation.compare import compare as compare_two
    from seqexpr.evaluation.compare import read_baselines, read_held_out
    from seqexpr.evaluation.metrics import METRICS

    one = read_held_out(Path(first))
    rows = []
    for other in [read_held_out(Path(path)) for path in others] or read_baselines(Path(first)):
        names = tuple(metrics) or METRICS
        for found in compare_two(one, other, names=names, output=label, resamples=resamples, seed=seed):
            for name, paired in found.metrics.items():
                difference = paired.difference
                rows.append(
                    {
                        "other": found.other,
                        "label": found.output,
                        "n": found.n,
                        "metric": name,
                        "first_value": paired.first,
                        "other_value": paired.other,
                        "difference": difference.value,
                        "low": difference.low,
                        "high": difference.high,
                        "first_better": paired.first_better,
                    }
                )
    return pd.DataFrame(rows)


_LEARNT = ("label", "preset", "recipe", "epochs", "batch_size", "seed")
_DIVIDED = ("split", "folds", "valid_fraction", "test_fraction", "permute_labels", "resamples")
_CHROMOSOMES = ("test_chromosomes", "valid_chromosomes")
_COMPUTED = ("device", "threads", "observer", "groups")


def _run_settings(task: Any, options: dict[str, Any], *, folds: bool) -> tuple[Any, Any, Any, Any]:
    """What is learnt, how genes are divided, the device and the observer."""
    from seqexpr.prediction.device import begin_training
    from seqexpr.runs.observers import SilentObserver
    from seqexpr.runs.setup import RunOptions, resolve_experiment
    from seqexpr.tasks.catalogue import named_task

    known = (*_LEARNT, *_DIVIDED, *_CHROMOSOMES, *_COMPUTED)
    if unknown := sorted(set(options) - set(known)):
        raise UsageError(f"there is no option {', '.join(unknown)}; there are {', '.join(known)}")
    name = str(getattr(task, "folder", task))
    device = begin_training(options.get("device", "auto"), options.get("threads"))
    learnt = {key: options[key] for key in _LEARNT if options.get(key) is not None}
    label = learnt.pop("label", ())
    experiment = resolve_experiment(name, labels=(label,) if isinstance(label, str) else tuple(label), **learnt)
    divided: dict[str, Any] = {key: options[key] for key in _DIVIDED if options.get(key) is not None}
    chromosomes: dict[str, Any] = {key: _chromosomes(options[key]) for key in _CHROMOSOMES if options.get(key)}
    if "split" not in divided:
        named = named_task(name)
        usual = named.split if named is not None and not folds else "random"
        divided["split"] = "chromosome" if chromosomes else usual
    groups = options.get("groups")
    settings = RunOptions(groups_file=None if groups is None else Path(groups), **divided, **chromosomes)
    return experiment, settings, device, options.get("observer") or SilentObserver()


def _chromosomes(given: Any) -> tuple[tuple[str, ...], ...]:
    """ "chr1,chr2", or a list of such texts or of lists, one for each fold."""
    lists = [given] if isinstance(given, str) else list(given)
    return tuple(tuple(one.split(",")) if isinstance(one, str) else tuple(one) for one in lists)


def _finished(folder: Path) -> Run:
    import json

    from seqexpr.evaluation.tables import metrics_table, read_table

    rows = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return Run(folder, metrics_table(rows), read_table(folder / "predictions.tsv"))


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
    if (warning := session.warning()) is not None:
        logger.warning("%s", warning)
    return pd.DataFrame(rows, columns=["id", *(["symbol"] if symbol else []), *session.columns])


def _text(path: Path_ | None) -> str | None:
    return None if path is None else os.fspath(path)


def _names(genes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return read_gene_names(genes) if isinstance(genes, str) or genes is None else tuple(genes)


def _models(model: str | Path_ | Sequence[str | Path_] | None) -> tuple[str, ...]:
    if model is None:
        return ()
    if isinstance(model, str | os.PathLike):
        return (os.fspath(model),)
    return tuple(os.fspath(one) for one in model)
