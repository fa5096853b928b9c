"""What each letter of a gene's window or protein does to the level that models predict, gene by gene."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from seqexpr.effects.gene_effects import GeneEffects, Region
from seqexpr.effects.letters import BASES, LETTERS, Letters
from seqexpr.errors import UsageError
from seqexpr.models.config import Sequence
from seqexpr.prediction.inputs import InputRecord, ModelNeeds

if TYPE_CHECKING:
    from seqexpr.effects.mutagenesis import KnownSequence, Mutagenesis
    from seqexpr.models.trained import TrainedModel
    from seqexpr.prediction.session import Session

Method = Literal["ism", "gradient"]
"""How effects are found: by predicting every substitution, or by integrated gradients, which estimate them."""

METHODS: tuple[Method, ...] = ("ism", "gradient")

_CHUNK = 384
"""Substitutions between two reports of progress, which go to one thread together."""

_SATURATING = 1000
"""Letters from which on the engine prepares for thousands of substitutions: several times as fast, and off by 1e-5 of
an output's unit at most, usually by 4e-7."""


@dataclass(frozen=True)
class Explained:
    """What of each gene is explained."""

    letters: Letters
    """Of the input whose letters are replaced."""
    region: Region
    """The part of it; of a protein that ends sooner, what there is."""
    output: str
    """Of the models."""
    column: int
    """Its place among the models' outputs."""

    @property
    def length(self) -> int | None:
        """Letters of each gene, where all have as many."""
        return len(self.region) if self.letters is BASES else None


def choose_explained(
    needs: ModelNeeds, *, input: str | None = None, region: Region | None = None, output: str | None = None
) -> Explained:
    """Find what is to be explained of models.

    Args:
        needs: of the models.
        input: "dna" or "protein"; it may be left out where the models read one of them.
        region: the part of the sequence; None: all that the models read.
        output: one of the models'; it may be left out where there is one.

    Raises:
        UsageError: there is no such input or output, or several to choose from, or the region lies outside.
    """
    letters = LETTERS[_chosen_input(needs, input)]
    whole = Region(-needs.upstream, needs.downstream) if letters is BASES else Region(1, needs.protein_length + 1)
    if region is not None and not whole.start <= region.start < region.end <= whole.end:
        what = "the window" if letters is BASES else "the residues"
        raise UsageError(f"--region {region} reaches beyond {what} that the model reads, {whole}")
    column = _chosen_output(needs.outputs, output)
    return Explained(letters, region or whole, needs.outputs[column], column)


def _chosen_input(needs: ModelNeeds, input: str | None) -> Sequence:
    read: dict[Sequence, str] = {}
    if needs.window_length:
        read["dna"] = "DNA"
    if needs.protein_length:
        read["protein"] = "proteins"
    if input is None and len(read) == 1:
        return next(iter(read))
    if input is None:
        raise UsageError(f"the model reads {' and '.join(read.values())}: choose what to explain with --input")
    for name in read:
        if name == input:
            return name
    raise UsageError(f"--input {input}: the model reads {' and '.join(read.values())}; choose {' or '.join(read)}")


def _chosen_output(outputs: tuple[str, ...], output: str | None) -> int:
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
    explained: Explained,
    *,
    method: Method = "ism",
    partial: bool = False,
    advance: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Generator[GeneEffects, None, None]:
    """The effects of each gene of a session, in the order of its input.

    Args:
        session: its records are read; what else a gene has stays as it is while letters of one input are replaced.
        explained: what of each gene; from `choose_explained` with the session's needs.
        method: "ism" predicts every substitution; "gradient" estimates them from integrated gradients.
        partial: whether there are other genes elsewhere, so that these may have nothing in the region.
        advance: is told how many letters are done, as they are.
        say: gets lines about models that read each changed gene again, about genes of which nothing is explained, and
            about how far gradients add up.

    Raises:
        UsageError: gradients of models without sequence flows, when this is called; at the end, a region that no
            protein reaches.
        InputError: a file or a record is not as it should be.
    """
    if method not in METHODS:
        raise UsageError(f"--method {method}: choose among {', '.join(METHODS)}")
    from seqexpr.effects.incremental import fits

    if method == "gradient":
        from seqexpr.effects.gradients import check_differentiable

        for line in check_differentiable([model.metadata for model in _models(session)]):
            say(line)
    elif not all(fits(model.metadata.config) for model in _models(session)):
        say("each substitution is a full pass: the model has no sequence flows with one block of latents")
    return _explained(session, explained, method, partial, advance, say)


def _explained(
    session: Session,
    explained: Explained,
    method: Method,
    partial: bool,
    advance: Callable[[int], None],
    say: Callable[[str], None],
) -> Generator[GeneEffects, None, None]:
    from seqexpr.effects.mutagenesis import Mutagenesis
    from seqexpr.prediction.device import computing_threads, named_shortage

    needs, models, letters, column = session.needs, _models(session), explained.letters, explained.column
    device, workers = session.predictor.device, session.predictor.workers
    output = models[0].metadata.outputs[column]
    engines: dict[bool, Mutagenesis] = {}
    done = 0
    with named_shortage(device, workers), computing_threads(device, workers) as pool:
        for record in session.records:
            tokens, kept = _part(record, explained, needs)
            if not len(tokens):
                say(f"{record.id}: its protein ends before residue {explained.region.start}; nothing to explain")
                continue
            done += 1
            many = method == "ism" and len(tokens) >= _SATURATING
            if many not in engines:
                engines[many] = Mutagenesis(models, needs.upstream, changed=letters.input, saturating=many)
            gene = _read(engines[many], record, letters)
            reference = gene.reference[:, column]
            if method == "ism":
                deltas = np.full((len(letters.letters), len(tokens)), np.nan, np.float32)
                known = letters.known(tokens)
                deltas[:, known] = 0
                for places, rows, levels in _substituted(engines[many], gene, tokens, kept.start, explained, pool):
                    deltas[rows, places] = (levels - reference[:, None]).mean(axis=0)
                    advance(len(np.unique(places)))
                if unknown := int((~known).sum()):
                    advance(unknown)
            else:
                from seqexpr.effects.gradients import integrated_gradients

                estimate = integrated_gradients(models, needs.upstream, record, letters, column)
                say(f"{record.id}: {estimate.describe(output.unit)}")
                deltas = estimate.deltas[:, kept]
                advance(len(tokens))
            site = session.counts.sites.get(record.id) if letters is BASES else None
            region = explained.region
            yield GeneEffects(
                id=record.id,
                symbol=session.counts.symbols.get(record.id, ""),
                interval=None if site is None else site.window(-region.start, region.end),
                contig_length=0 if site is None else session.counts.contigs[site.chrom],
                first=region.start,
                tokens=tokens.copy(),
                level=float(reference.mean()),
                deltas=deltas,
                output=output.name,
                unit=output.unit,
                circular=site is not None and site.chrom in session.counts.circular,
                letters=letters,
            )
    if session.counts.records and not (done or partial):
        raise UsageError(f"--region {explained.region}: no protein has so many residues")


def _part(record: InputRecord, explained: Explained, needs: ModelNeeds) -> tuple[np.ndarray, slice]:
    """The letters of a gene that are explained, and where they stand in their sequence."""
    region = explained.region
    if explained.letters is BASES:
        assert record.dna is not None
        kept = slice(needs.upstream + region.start, needs.upstream + region.end)
        return record.dna[kept], kept
    assert record.protein is not None
    kept = slice(region.start - 1, region.end - 1)
    return record.protein[kept], kept


def _read(mutagenesis: Mutagenesis, record: InputRecord, letters: Letters) -> KnownSequence:
    sequences = [record.dna, record.protein] if letters is BASES else [record.protein, record.dna]
    own, beside, coding = (None if one is None else one[None] for one in (*sequences, record.coding))
    assert own is not None
    (gene,) = mutagenesis.read(own, [record.half_life], beside=beside, coding=coding)
    return gene


def _substituted(
    mutagenesis: Mutagenesis, gene: KnownSequence, tokens: np.ndarray, start: int, explained: Explained, pool: Executor
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Known places in chunks: int (n,) offsets among the tokens, int (n,) rows of the letters that are put in there,
    and float64 (members, n) levels."""
    letters = explained.letters
    known = np.flatnonzero(letters.known(tokens))
    size = _CHUNK // (len(letters.letters) - 1)
    chunks = [letters.substitutions(tokens, known[first : first + size]) for first in range(0, len(known), size)]

    def compute(chunk: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        places, new = chunk
        return mutagenesis.substituted([gene] * len(places), start + places, new)[..., explained.column]

    for (places, new), levels in zip(chunks, pool.map(compute, chunks), strict=True):
        yield places, new.astype(int) - 1, levels


def _models(session: Session) -> list[TrainedModel]:
    return cast("list[TrainedModel]", session.predictor.models)
