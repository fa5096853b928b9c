from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from seqexpr.effects.gradients import _Given, _of_mixtures, check_differentiable, integrated_gradients
from seqexpr.effects.letters import BASES, RESIDUES
from seqexpr.errors import UsageError
from seqexpr.prediction.inputs import InputRecord
from seqexpr.sequences.alphabet import DNA, PROTEIN

Make = Callable[..., Any]

LETTERS = "".join(np.random.default_rng(3).choice(list("ACGT"), 216))
WINDOW = DNA.encode((LETTERS[:100] + "NNN" + LETTERS[103:]).encode())
HALF_LIFE = np.array([100.0, 900.0, np.nan, 700.0, 0.6, 0.5, 0.4, 9.0])
GENE = InputRecord("g", WINDOW, None, HALF_LIFE)

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tanh": {"tanh": True},
    "half-life in both flows": {"half_life_latent": True},
    "kernel of features": {"kernel_genes": 12, "kernel_features": True, "kernel_words": False},
    "kernel of words too": {"kernel_genes": 12, "kernel_features": True, "promoter_words": 0.1},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_of_one_letter_each_is_the_window(kind: str, network: Make) -> None:
    model = network(**KINDS[kind])
    tokens = torch.from_numpy(WINDOW)[None]
    one_hot = torch.nn.functional.one_hot(tokens.long(), 5)[..., 1:].float()
    half_life = torch.from_numpy(model.metadata.half_life.standardise(HALF_LIFE[None]))
    with torch.no_grad():
        found = _of_mixtures(model.network, one_hot, "dna", _Given({"dna": tokens}, half_life))
    wanted = model.predict(WINDOW[None], None, HALF_LIFE[None])
    np.testing.assert_allclose(found.numpy() * 2.0 + 1.5, wanted, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_attributions_add_up_to_the_difference(kind: str, network: Make) -> None:
    model = network(**KINDS[kind])
    found = integrated_gradients([model], 144, GENE, BASES, 0)
    assert abs(found.difference) > 1e-4
    assert found.sum == pytest.approx(found.difference, rel=0.03, abs=1e-4)
    there = found.deltas[WINDOW[WINDOW > 0] - 1, np.flatnonzero(WINDOW)]
    assert (there == 0).all() and np.isnan(found.deltas[:, 100:103]).all()
    # Three quarters of a position's support is its attribution.
    assert 0.75 * np.nansum(-found.deltas.sum(axis=0) / 3) == pytest.approx(found.sum, abs=1e-5)


@pytest.mark.parametrize("preset", ["protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver"])
def test_attributions_of_residues_add_up_too(preset: str, network: Make) -> None:
    read = {} if "dna" in preset else {"upstream": 0, "downstream": 0}
    model = network(preset=preset, protein_length=300, **read)
    tokens = PROTEIN.encode(b"MKVLAAGIVGXCAKAYULEKN" * 4)
    gene = InputRecord("g", WINDOW if "dna" in preset else None, tokens, HALF_LIFE if "dna" in preset else None)
    found = integrated_gradients([model], 144, gene, RESIDUES, 0)
    assert found.deltas.shape == (20, 84)
    assert np.isnan(found.deltas[:, 10]).all() and not np.isnan(found.deltas[:, 16]).any()
    assert abs(found.difference) > 1e-4
    assert found.sum == pytest.approx(found.difference, rel=0.05, abs=1e-4)


def test_codons_behind_what_a_model_reads_count_for_nothing(network: Make) -> None:
    flow = {"kernel_genes": 12, "kernel_features": True, "kernel_words": False, "coding_length": 30}
    model = network(**flow)
    coding = np.random.default_rng(4).integers(1, 65, 60).astype(np.uint8)
    long, cut = (
        integrated_gradients([model], 144, InputRecord("g", WINDOW, None, HALF_LIFE, codons), BASES, 0)
        for codons in (coding, coding[:30])
    )
    np.testing.assert_array_equal(long.deltas, cut.deltas)
    none = integrated_gradients([model], 144, GENE, BASES, 0)
    assert not np.array_equal(none.deltas, cut.deltas, equal_nan=True)


def test_an_ensemble_is_the_mean_over_its_members(network: Make) -> None:
    models = [network(0, kernel_genes=12, kernel_features=True, kernel_words=False, kernel_members=4), network(1)]
    both = integrated_gradients(models, 144, GENE, BASES, 0)
    one, two = (integrated_gradients([model], 144, GENE, BASES, 0) for model in models)
    np.testing.assert_allclose(both.deltas, (4 * one.deltas + two.deltas) / 5, atol=1e-6)
    assert both.difference == pytest.approx((4 * one.difference + two.difference) / 5, abs=1e-6)


def test_how_far_they_add_up_is_said_in_a_line(network: Make) -> None:
    said = integrated_gradients([network()], 144, GENE, BASES, 0).describe("log10(x)")
    assert said.startswith("integrated gradients add up to ") and said.endswith("[log10(x)]") and "off by " in said


def test_what_gradients_cannot_see_is_said(network: Make) -> None:
    words = "words that promoters are rich in"
    assert check_differentiable([network().metadata, network(**KINDS["kernel of features"]).metadata]) == []
    assert check_differentiable([network(promoter_words=0.1).metadata] * 2) == [
        f"gradients cannot see a part of the prediction: {words}"
    ]
    assert check_differentiable([network(**KINDS["kernel of words too"]).metadata]) == [
        f"gradients cannot see a part of the prediction: {words} and word counts of the kernel flow"
    ]
    with pytest.raises(UsageError, match="the model counts words, which have no gradient; use --method ism"):
        check_differentiable([network(kernel_genes=12, sequence_flows=False).metadata])


class NoDoubles(TorchDispatchMode):
    """As MPS is: an operation that makes a float64 tensor is an error."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, torch.Tensor) and one.dtype == torch.float64:
                raise TypeError(f"{function} made a float64 tensor")
        return found


def test_gradients_need_no_double_precision_where_the_device_has_none(
    network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(**KINDS["kernel of words too"])
    wanted = integrated_gradients([model], 144, GENE, BASES, 0)
    with pytest.raises(TypeError, match="made a float64 tensor"), NoDoubles():
        integrated_gradients([model], 144, GENE, BASES, 0)
    for module in ("effects.gradients", "models.composition.kernel", "models.composition.row_sums"):
        monkeypatch.setattr(f"seqexpr.{module}.widest_float", lambda _: torch.float32)
    with NoDoubles():
        found = integrated_gradients([model], 144, GENE, BASES, 0)
    np.testing.assert_allclose(found.deltas, wanted.deltas, atol=1e-4)
    assert found.difference == pytest.approx(wanted.difference, abs=1e-4)
