"""What each letter of a gene's window does to the level that models predict, gene by gene."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from seqexpr.errors import UsageError
from seqexpr.prediction.inputs import InputCounts, InputRecord, InputSources, ModelNeeds
from seqexpr.sequences.alphabet import DNA, PAD
from seqexpr.sequences.windows import Interval

if TYPE_CHECKING:
    from seqexpr.effects.mutagenesis import KnownWindow, Mutagenesis
    from seqexpr.models.trained import Output, TrainedModel
    from seqexpr.prediction.session import Session

Method = Literal["ism", "gradient"]
"""How effects are found: by predicting every substitution, or by integrated gradients, which estimate them."""

METHODS: tuple[Method, ...] = ("ism", "gradient")

LETTERS = DNA.letters
"""The order of the rows of `GeneEffects.deltas`."""

SUBSTITUTIONS = len(LETTERS) - 1
"""Other letters at a position."""

_CHUNK = 128
"""Positions between two reports of progress, whose substitutions go to one thread together."""

_SATURATING = 1000
"""Letters of a region from which on the engine prepares for thousands of substitutions: several times as fast, and off
by 1e-5 of an output's unit at most, usually by 4e-7."""

_REGION = re.compile(r"(?P<start>[+-]?[0-9]{1,12}):(?P<end>[+-]?[0-9]{1,12})", re.ASCII)

_OTHERS = np.array([[other for other in range(1, 5) if other != token][:SUBSTITUTIONS] for token in range(5)], np.uint8)
"""The three other tokens, by token."""


@dataclass(frozen=True)
class Region:
    """A part of a window, in letters along the gene: 0 is the first transcribed base, upstream is negative."""

    start: int
    end: int
    """The letter behind the last one."""

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise UsageError(f"--region {self}: its end is not behind its start")

    def __str__(self) -> str:
        return ":".join(f"{place:+d}" if place else "0" for place in (self.start, self.end))

    def __len__(self) -> int:
        return self.end - self.start


def parse_region(text: str | None) -> Region | None:
    """Read the value of --region, such as "-300:+100"; None for the whole window.

    >>> parse_region("-300:+100")
    Region(start=-300, end=100)

    Raises:
        UsageError: it is no region.
    """
    if text is None:
        return None
    match = _REGION.fullmatch(text)
    if match is None:
        raise UsageError(f"--region {text}: not START:END in letters from the TSS, such as -300:+100")
    return Region(int(match["start"]), int(match["end"]))


@dataclass(frozen=True)
class GeneEffects:
    """What substitutions of single letters do to the level of one gene."""

    id: str
    symbol: str
    """"" where it is not known."""
    interval: Interval | None
    """Where the region lies in the genome; None for windows that come as they are. It may go on beyond the ends of
    its contig: on a circular one over the origin, on a linear one as padding."""
    contig_length: int
    """Of the interval's contig; 0 where there is none."""
    first: int
    """Place of the region's first letter along the gene: 0 is the first transcribed base, upstream is negative."""
    tokens: np.ndarray
    """uint8 (length,), 5' to 3' on the gene's strand; 0 is PAD or unknown."""
    level: float
    """What is predicted of the window as it is."""
    deltas: np.ndarray
    """float32 (4, length): the level with A, C, G or T at a position minus `level`; 0 for the letter that is there, NaN
    where no letter is known."""
    output: str
    unit: str
    circular: bool = False
    """Whether the interval's contig is circular."""

    @property
    def support(self) -> np.ndarray:
        """float32 (length,): minus the mean of the three deltas. Letters that hold the level up are positive."""
        return -self.deltas.sum(axis=0) / SUBSTITUTIONS

    @property
    def places(self) -> np.ndarray:
        """int64 (length,): place of each letter along the gene, 0 = first transcribed base."""
        return self.first + np.arange(len(self.tokens))

    @property
    def genomic(self) -> np.ndarray:
        """int64 (length,): 0-based place of each letter on its contig; outside it for padding beyond a linear one.

        Raises:
            ValueError: the window was not cut from a genome.
        """
        if self.interval is None:
            raise ValueError(f"{self.id} was not cut from a genome")
        offsets = np.arange(len(self.tokens), dtype=np.int64)
        plus = self.interval.strand == "+"
        places = self.interval.start + offsets if plus else self.interval.end - 1 - offsets
        return places % self.contig_length if self.circular else places

    @property
    def named(self) -> str:
        """What a person calls the gene: its symbol and id, or the id alone."""
        return f"{self.symbol} ({self.id})" if self.symbol and self.symbol != self.id else self.id


def check_sources(sources: InputSources) -> None:
    """Check that there are windows to explain, and that the options fit together.

    Raises:
        UsageError: they do not; the text names the options.
    """
    if not (sources.has_fasta or sources.genome or sources.tss or sources.genbank):
        example = sources.other_inputs
        raise UsageError(f"no input: give a FASTA of windows, or --genome with --tss, or --genbank{example}")
    sources.check()


def check_explainable(needs: ModelNeeds, region: Region | None, output: str | None) -> None:
    """Check that the models can be explained, and what of them is asked for.

    Raises:
        UsageError: they read something beside DNA, the region is not in their window, or there is no such output.
    """
    more = [("proteins", needs.protein_length), ("coding sequences", needs.coding_length)]
    read = [what for what, length in more if length]
    if read or not needs.window_length:
        raise UsageError(f"explain is for models that read DNA alone; this one reads {' and '.join(read)}")
    whole = Region(-needs.upstream, needs.downstream)
    if region is not None and not whole.start <= region.start < region.end <= whole.end:
        raise UsageError(f"--region {region} reaches beyond the window that the model reads, {whole}")
    chosen_output(needs.outputs, output)


def chosen_output(outputs: tuple[str, ...], output: str | None) -> int:
    """Place of the output asked for among those that there are; the only one where none is named.

    Raises:
        UsageError: no such output, or several to choose from.
    """
    if output is None and len(outputs) == 1:
        return 0
    named = ", ".join(outputs)
    if output is None:
        raise UsageError(f"the model predicts {named}: choose one with --output")
    if output not in outputs:
        raise UsageError(f"--output {output}: the model predicts {named}")
    return outputs.index(output)


def explain_session(
    session: Session,
    *,
    region: Region | None = None,
    method: Method = "ism",
    output: str | None = None,
    advance: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Generator[GeneEffects, None, None]:
    """The effects of each gene of a session, in the order of its input.

    Args:
        session: of models that read DNA alone.
        region: the part of the window; None: all of it.
        method: "ism" predicts every substitution; "gradient" estimates them from integrated gradients.
        output: which of the outputs; it may be left out where there is one.
        advance: is told how many letters are done, as they are.
        say: gets lines about how far gradients add up.

    Raises:
        UsageError: as `check_explainable`, or gradients of models without sequence flows, when this is called.
        InputError: a file or a record is not as it should be.
    """
    if method not in METHODS:
        raise UsageError(f"--method {method}: choose among {', '.join(METHODS)}")
    check_explainable(session.needs, region, output)
    if method == "gradient":
        from seqexpr.effects.gradients import check_differentiable

        for line in check_differentiable([model.metadata for model in _models(session)]):
            say(line)
    return _explained(session, region, method, chosen_output(session.needs.outputs, output), advance, say)


def _explained(
    session: Session,
    region: Region | None,
    method: Method,
    column: int,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> Generator[GeneEffects, None, None]:
    from seqexpr.effects.mutagenesis import Mutagenesis
    from seqexpr.prediction.device import computing_threads, named_shortage

    needs, models = session.needs, _models(session)
    device, workers = session.predictor.device, session.predictor.workers
    region = region or Region(-needs.upstream, needs.downstream)
    kept = slice(needs.upstream + region.start, needs.upstream + region.end)
    output = models[0].metadata.outputs[column]
    many = method == "ism" and len(region) >= _SATURATING
    mutagenesis = Mutagenesis(models, needs.upstream, saturating=many)
    with named_shortage(device, workers), computing_threads(device, workers) as pool:
        for record in session.records:
            assert record.dna is not None
            (window,) = mutagenesis.read(record.dna[None], [record.half_life])
            reference = window.reference[:, column]
            if method == "ism":
                deltas = np.full((len(LETTERS), len(region)), np.nan, np.float32)
                tokens = record.dna[kept]
                deltas[:, tokens != PAD] = 0
                for places, found in _substituted(mutagenesis, window, record.dna, kept, column, pool):
                    changes = (found - reference[:, None]).mean(axis=0).reshape(-1, SUBSTITUTIONS)
                    deltas[_OTHERS[record.dna[places]] - 1, (places - kept.start)[:, None]] = changes
                    advance(len(places))
                if unknown := int((tokens == PAD).sum()):
                    advance(unknown)
            else:
                from seqexpr.effects.gradients import integrated_gradients

                estimate = integrated_gradients(models, needs.upstream, record.dna, record.half_life, column)
                say(f"{record.id}: {estimate.describe(output.unit)}")
                deltas = estimate.deltas[:, kept]
                advance(len(region))
            yield _gene_effects(record, session.counts, region, float(reference.mean()), deltas, kept, output)


def _gene_effects(
    record: InputRecord,
    counts: InputCounts,
    region: Region,
    level: float,
    deltas: np.ndarray,
    kept: slice,
    output: Output,
) -> GeneEffects:
    assert record.dna is not None
    site = counts.sites.get(record.id)
    return GeneEffects(
        id=record.id,
        symbol=counts.symbols.get(record.id, ""),
        interval=None if site is None else site.window(-region.start, region.end),
        contig_length=0 if site is None else counts.contigs[site.chrom],
        first=region.start,
        tokens=record.dna[kept].copy(),
        level=level,
        deltas=deltas,
        output=output.name,
        unit=output.unit,
        circular=site is not None and site.chrom in counts.circular,
    )


def _substituted(
    mutagenesis: Mutagenesis, window: KnownWindow, letters: np.ndarray, kept: slice, column: int, pool: Executor
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Known positions in chunks, each with the levels of their substitutions, float64 (members, 3 x positions)."""
    known = kept.start + np.flatnonzero(letters[kept] != PAD)
    chunks = [known[start : start + _CHUNK] for start in range(0, len(known), _CHUNK)]

    def compute(places: np.ndarray) -> np.ndarray:
        others = _OTHERS[letters[places]].ravel()
        return mutagenesis.substituted([window] * len(others), np.repeat(places, SUBSTITUTIONS), others)[..., column]

    yield from zip(chunks, pool.map(compute, chunks), strict=True)


def _models(session: Session) -> list[TrainedModel]:
    return cast("list[TrainedModel]", session.predictor.models)
