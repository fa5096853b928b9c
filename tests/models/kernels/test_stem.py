from __future__ import annotations

import pytest
import torch

from seqexpr.models import kernels
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import QueryTower
from tests.models.test_perceiver import randomise

# Kernel, pool, letters: the presets' and shapes that leave a rest, a short block or a single pool.
SHAPES = [(15, 12, 10_500), (15, 12, 8_000), (15, 10, 997), (3, 1, 100), (1, 7, 8), (63, 48, 200), (5, 31, 64)]


def tower(query_input="dna", **changes):
    preset = "dna-perceiver" if query_input == "dna" else "protein-perceiver"
    torch.manual_seed(0)
    return randomise(QueryTower(PerceiverConfig.from_preset(preset, **changes)))


def letters(network, windows, length):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, network.letters + 1, (windows, length), generator=generator, dtype=torch.uint8)


def stage(network, tokens, *, double=False):
    """Outputs, parameter gradients and running statistics of the first stage."""
    network.load_state_dict(state := {name: value.clone() for name, value in network.state_dict().items()})
    if double:
        network.double()
    network.zero_grad()
    pooled = network.first_stage(tokens)
    weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float32)
    (pooled * weights.to(pooled.dtype)).sum().backward()
    gradients = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    statistics = {name: value.clone() for name, value in network.residual.norm.named_buffers()}
    if double:
        network.float()
    network.load_state_dict(state)
    return pooled.detach(), gradients, statistics


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("kernel", "pool", "length"), SHAPES)
@pytest.mark.parametrize("query_input", ["dna", "protein"])
def test_output_gradients_and_statistics_are_torchs(instructions, query_input, kernel, pool, length, training):
    network = tower(query_input, stem_kernel=kernel, stem_pool=pool, tower_pool=1).train(training)
    tokens = letters(network, 2, length)
    pooled, gradients, statistics = stage(network, tokens)
    with kernels.disabled():
        expected, wanted, other_statistics = stage(network, tokens, double=True)
    torch.testing.assert_close(pooled, expected.float(), atol=5e-6, rtol=1e-5)
    assert gradients.keys() == wanted.keys() and len(gradients) == 7
    for name, gradient in gradients.items():
        size = wanted[name].abs().max().item()
        assert (gradient - wanted[name]).abs().max().item() <= 1e-4 * max(size, 1), name
    for name, value in statistics.items():
        torch.testing.assert_close(value.double(), other_statistics[name].double(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("channels", [64, 128])
def test_more_channels(instructions, channels):
    network = tower(stem_channels=channels)
    tokens = letters(network, 3, 500)
    with kernels.disabled():
        expected = network.first_stage(tokens)
    torch.testing.assert_close(network.first_stage(tokens), expected, atol=5e-6, rtol=1e-5)


def test_threads_do_not_matter(instructions, monkeypatch):
    network = tower().train()
    tokens = letters(network, 3, 500)
    pooled, gradients, _ = stage(network, tokens)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    again, others, _ = stage(network, tokens)
    assert torch.equal(pooled, again)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], atol=1e-4, rtol=1e-5)


def test_what_it_does_not_do_is_left_to_torch(instructions):
    def does(tokens, **changes):
        network = tower(**changes)
        linear, residual = network.stem.linear, network.residual
        stage = kernels.StemStage(
            linear.weight,
            linear.bias,
            *residual.norm.parameters(),
            *residual.linear.parameters(),
            network.pool.logits.weight,
        )
        return kernels.stems(tokens, stage, residual.norm, network.config.stem_kernel, network.pool.size)

    tokens = torch.ones(1, 500, dtype=torch.uint8)
    assert does(tokens)
    assert not does(tokens[:, :11])  # shorter than a pool
    assert not does(tokens[:0])
    assert not does(tokens, stem_channels=48)
    assert not does(tokens, stem_kernel=65)
    assert not does(tokens, stem_pool=49)


def test_what_is_not_a_number_stays_so(instructions):
    network = tower().eval()
    with torch.no_grad():
        network.residual.linear.bias[3] = torch.nan
    pooled = network.first_stage(letters(network, 1, 500))
    assert pooled[..., 3].isnan().all()


def test_a_letter_outside_the_alphabet_is_an_error(instructions):
    with pytest.raises(IndexError, match=r"^letter 5 in an alphabet of 5$"):
        tower().first_stage(torch.tensor([[1, 5, 2] * 10], dtype=torch.uint8))


def test_weights_that_are_views_are_read_as_they_are(instructions):
    network = tower().train()
    tokens = letters(network, 2, 500)
    with kernels.disabled():
        expected, wanted, _ = stage(network, tokens)
    linear = network.residual.linear
    linear.weight = torch.nn.Parameter(linear.weight.detach().t().contiguous().t())
    assert not linear.weight.is_contiguous()
    pooled, gradients, _ = stage(network, tokens)
    torch.testing.assert_close(pooled, expected, atol=5e-6, rtol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("mean", [10.0, 1000.0])
def test_a_large_mean_leaves_the_variance_as_it_is(instructions, mean):
    network = tower().train()
    tokens = letters(network, 4, 500)
    with torch.no_grad():
        network.stem.linear.bias += mean
        network.stem.linear.weight[5] = 0  # a channel without any variance
    with kernels.disabled():
        expected, _, wanted = stage(network, tokens, double=True)
    pooled, gradients, statistics = stage(network, tokens)
    torch.testing.assert_close(statistics["running_var"].double(), wanted["running_var"], atol=1e-5, rtol=1e-4)
    assert pooled.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients.values())
    others = [channel for channel in range(64) if channel != 5]  # of that one, 1 / sd is rounding
    torch.testing.assert_close(pooled[..., others], expected[..., others].float(), atol=2e-5 * mean, rtol=1e-4)


def test_other_types_of_letters_are_left_to_torch(instructions):
    network = tower().eval()
    tokens = letters(network, 2, 500)
    torch.testing.assert_close(network.first_stage(tokens.long()), network.first_stage(tokens), atol=5e-6, rtol=1e-5)


def test_the_processes_default_type_does_not_matter(instructions):
    network = tower().train()
    tokens = letters(network, 2, 500)
    pooled, gradients, _ = stage(network, tokens)
    torch.set_default_dtype(torch.float64)
    try:
        again, others, _ = stage(network, tokens)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(pooled, again)
    assert all(torch.equal(gradient, others[name]) for name, gradient in gradients.items())


def test_weights_that_change_before_the_backward_pass_are_noticed(instructions):
    network = tower().train()
    pooled = network.first_stage(letters(network, 2, 500))
    with torch.no_grad():
        network.residual.linear.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pooled.sum().backward()
