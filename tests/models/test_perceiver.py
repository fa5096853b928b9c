from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import AttentionPool, Convolution, CrossAttention, Perceiver, _sinusoids

from ..small_dataset import fill_kernel


def randomise(network: nn.Module, seed: int = 1) -> nn.Module:
    """Every parameter and running statistic away from its start, so that nothing hides behind a zero or a one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return network


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        # The paper's reference count; the parts are added up by hand in docs/explanation.md.
        ("dna-perceiver", 794_557),
        ("protein-perceiver", 635_709),
        ("protein-dna-perceiver", 606_653),
        ("dna-protein-perceiver", 731_325),
    ],
)
def test_parameter_counts(preset, parameters):
    assert Perceiver(PerceiverConfig.from_preset(preset)).count_parameters() == parameters


def test_second_output_adds_one_row_of_the_last_layer():
    one = Perceiver(PerceiverConfig.from_preset("dna-perceiver"))
    two = Perceiver(PerceiverConfig.from_preset("dna-perceiver", outputs=2))
    assert two.count_parameters() - one.count_parameters() == 128 + 1


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(
    "preset", ["dna-perceiver", "protein-perceiver", "protein-dna-perceiver", "dna-protein-perceiver"]
)
def test_output_shapes(preset, outputs, tokens):
    config = PerceiverConfig.from_preset(preset, outputs=outputs)
    given = {"dna": tokens(2, config.window_length), "protein": tokens(2, 150, letters=22)}
    network = Perceiver(config).eval()
    with torch.inference_mode():
        predicted = network(given[config.latent_input], given[config.query_input], torch.randn(2, 8))
    assert predicted.shape == (2, outputs)
    assert predicted.isfinite().all()


def test_convolution_is_torch_conv1d():
    own, reference = Convolution(4, 8, 15), nn.Conv1d(4, 8, 15, padding=7)
    with torch.no_grad():
        reference.weight.copy_(own.linear.weight.view(8, 15, 4).transpose(1, 2))
        reference.bias.copy_(own.linear.bias)
    x = torch.randn(3, 50, 4)
    torch.testing.assert_close(own(x), reference(x.transpose(1, 2)).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_attention_pool_by_hand():
    pool = AttentionPool(1, 2)  # logits start at twice the values
    x = torch.tensor([[[0.0], [1.0], [5.0]]])  # the third position is left over and dropped
    weight = math.exp(2) / (1 + math.exp(2))
    torch.testing.assert_close(pool(x), torch.tensor([[[weight]]]))


def test_cross_attention_equals_unfolded_projections():
    attention = randomise(CrossAttention(width=20, context_width=12, head_dim=16, dropout=0.0))
    x, context = torch.randn(2, 5, 20), torch.randn(2, 30, 12)
    mask = torch.rand(2, 30) > 0.3
    normalised = attention.norm_context(context)
    query, key = attention.to_query(attention.norm(x)), attention.to_key(normalised)
    logits = (query @ key.transpose(1, 2)) / math.sqrt(16)
    weights = logits.masked_fill(~mask[:, None], -math.inf).softmax(-1)
    expected = attention.to_output(weights @ attention.to_value(normalised))
    torch.testing.assert_close(attention(x, context, mask), expected, atol=1e-5, rtol=1e-5)


def test_sinusoids_by_hand():
    code = _sinusoids(3, 4)
    torch.testing.assert_close(code[0], torch.tensor([0.0, 1.0, 0.0, 1.0]))
    torch.testing.assert_close(code[2], torch.tensor([math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]))


def test_same_answer_at_any_batch_size(small_config, tokens):
    network = randomise(Perceiver(small_config)).eval()
    dna, half_life = tokens(64, 360), torch.randn(64, 8)
    with torch.inference_mode():
        whole = network(dna, dna, half_life)
        for size in (1, 8):
            parts = [network(dna[i : i + size], dna[i : i + size], half_life[i : i + size]) for i in range(0, 64, size)]
            torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 40, 249, 700, 5_500, 5_999])
def test_short_protein_equals_the_padded_one(length, tokens):
    config = PerceiverConfig.from_preset("protein-perceiver")
    network = randomise(Perceiver(config)).eval()
    short = tokens(2, length, letters=22)
    padded = functional.pad(short, (0, 6_000 - length))
    with torch.inference_mode():
        torch.testing.assert_close(network(short, short), network(padded, padded), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("pool", "kernel"), [(2, 5), (3, 7), (6, 3)])
def test_short_protein_equals_the_padded_one_for_other_towers(pool, kernel, tokens):
    config = PerceiverConfig.from_preset(
        "protein-perceiver", protein_length=800, stem_pool=4, tower_pool=pool, tower_kernel=kernel
    )
    network = randomise(Perceiver(config)).eval()
    for length in (3, 100, 333):
        short = tokens(2, length, letters=22)
        padded = functional.pad(short, (0, 800 - length))
        with torch.inference_mode():
            torch.testing.assert_close(network(short, short), network(padded, padded), atol=1e-5, rtol=1e-5)


def test_short_proteins_train_like_padded_ones_but_for_batch_statistics(tokens, monkeypatch):
    """With BatchNorm's running statistics and no dropout, the gradients of both are the same."""
    config = PerceiverConfig.from_preset("protein-perceiver", protein_length=1_500, dropout=0.0)
    network, short = randomise(Perceiver(config)), tokens(3, 200, letters=22)
    monkeypatch.setattr(nn.BatchNorm1d, "train", lambda module, mode=True: module)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.training = False
    gradients = []
    for given in (short, functional.pad(short, (0, 1_300))):
        network.zero_grad()
        network(given, given).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_padding_features_are_forgotten_when_weights_change(tokens):
    config = PerceiverConfig.from_preset("protein-perceiver", protein_length=800)
    network, short = Perceiver(config).eval(), tokens(1, 50, letters=22)
    other = randomise(Perceiver(config)).eval()
    with torch.inference_mode():
        network(short, short)
    network.load_state_dict(other.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(network(short, short), other(short, short))


def test_padding_is_not_attended_to(small_config, tokens):
    network = randomise(Perceiver(small_config)).eval()
    dna = tokens(1, 360)
    dna[:, :100] = 0
    with torch.inference_mode():
        before = network.encode(dna, torch.zeros(1, 8))
        network.positions[:100] += 3.0  # what PAD looks like must not matter
        torch.testing.assert_close(network.encode(dna, torch.zeros(1, 8)), before)


def test_window_without_a_known_base_gives_a_number(small_config, tokens):
    network = Perceiver(small_config).eval()
    dna = torch.stack([torch.zeros(360, dtype=torch.uint8), tokens(1, 360)[0]])
    with torch.inference_mode():
        both, alone = network(dna, dna), network(dna[1:], dna[1:])
    assert both.isfinite().all()
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-5)


def test_half_life_reaches_the_output_through_each_flow(small_config, tokens):
    dna = tokens(1, 360)
    for flow in ("half_life_latent", "half_life_query"):
        flows = {"half_life_latent": False, "half_life_query": False, flow: True}
        network = Perceiver(PerceiverConfig.from_dict({**small_config.to_dict(), **flows})).eval()
        with torch.inference_mode():
            one, other = network(dna, dna, torch.ones(1, 8)), network(dna, dna, -torch.ones(1, 8))
            absent, average = network(dna, dna, None), network(dna, dna, torch.zeros(1, 8))
        assert not torch.allclose(one, other)
        torch.testing.assert_close(absent, average)


def test_tanh_bounds_the_outputs(small_config, tokens):
    config = PerceiverConfig.from_dict({**small_config.to_dict(), "tanh": True})
    network = Perceiver(config).eval()
    with torch.no_grad():
        network.output.bias.fill_(50.0)
        assert network(tokens(1, 360), tokens(1, 360)).item() == pytest.approx(1.0)


def test_every_parameter_gets_a_gradient(small_config, tokens):
    network = Perceiver(small_config)
    dna = tokens(4, 360)
    network(dna, dna, torch.randn(4, 8)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Keys see the queries only through a softmax; all others must move.
    assert without == []


@pytest.mark.cuda
def test_cuda_equals_cpu(tokens):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    config = PerceiverConfig.from_preset("dna-perceiver")
    network, dna, half_life = randomise(Perceiver(config)).eval(), tokens(4, 10_500), torch.randn(4, 8)
    dna[0, :2_000] = 0
    with torch.inference_mode():
        expected = network(dna, dna, half_life)
        network.cuda()
        found = network(dna.cuda(), dna.cuda(), half_life.cuda()).cpu()
        with torch.autocast("cuda", torch.bfloat16):
            halved = network(dna.cuda(), dna.cuda(), half_life.cuda()).float().cpu()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(halved, expected, atol=3e-2, rtol=3e-2)


@pytest.mark.parametrize("windows", [4, 8])
def test_dropout_in_training_mode_does_not_depend_on_gradients_or_the_number_of_windows(windows):
    """Monte Carlo dropout: the context is dropped out too, however many windows there are."""
    network = Perceiver(PerceiverConfig.from_preset("dna-perceiver", upstream=288, downstream=144, dropout=0.5)).train()
    calls = []
    network.dropout.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        tokens = torch.ones(windows, 432, dtype=torch.uint8)
        network(tokens, tokens)
    assert len(calls) == 2  # the context and the query


@pytest.fixture
def flows(tokens):
    """A network with both kinds of flows, and one of the same kernel flow alone."""
    config = PerceiverConfig.from_preset(
        "dna-protein-perceiver", upstream=240, downstream=120, protein_length=432, stem_pool=6, tower_pool=3,
        outputs=2, kernel_genes=10, kernel_members=4, coding_length=70,
    )  # fmt: skip
    beside, alone = Perceiver(config), Perceiver(replace(config, sequence_flows=False))
    fill_kernel(randomise(beside))
    fill_kernel(alone)
    given = (tokens(3, 360), tokens(3, 90, letters=20), torch.randn(3, 8))
    return beside.eval(), alone.eval(), given, tokens(3, 70, letters=64, seed=2)


def test_without_sequence_flows_the_network_is_the_kernel_flow_and_has_no_other_tensor(flows):
    beside, alone, given, coding = flows
    assert list(alone.state_dict()) == [f"kernel.{key}" for key in alone.kernel.state_dict()]
    assert len(alone.state_dict()) == 9 and alone.count_parameters() == 0 < beside.count_parameters()
    with torch.inference_mode():
        said = alone.kernel(*given, coding)
        assert torch.equal(alone.members(*given, coding=coding), said)
        assert torch.equal(alone(*given, coding=coding), said.mean(dim=1))
        both = beside.members(*given, coding=coding)
        output = beside.output(beside.features(*given)).unsqueeze(1)
    torch.testing.assert_close(both, said + output, rtol=1e-4, atol=1e-4)
    assert said.shape == (3, 4, 2) and said.std(dim=0).min() > 0.01 and output.abs().max() > 0.01


def test_a_network_knows_where_it_computes(flows):
    beside, alone, *_ = flows
    for network in (beside, alone, Perceiver(beside.config.without_kernel())):
        assert network.device == torch.device("cpu")
        assert network.to("meta").device == torch.device("meta")
