"""The shipped network computes what the plain one does: outputs and gradients, on every preset."""

from __future__ import annotations

import pytest
import torch
from benchmarks.plain_perceiver import PlainPerceiver
from torch import Tensor

from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.models.perceiver import Perceiver


def shipped(preset: str, **changes) -> Perceiver:
    """A network of the preset's full size in which every number counts: biases and running statistics too."""
    torch.manual_seed(7)
    model = Perceiver(PerceiverConfig.from_preset(preset, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.mul_(1 + 0.3 * torch.rand_like(buffer))
    return model


def inputs(config: PerceiverConfig, lengths: dict[str, int], genes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of both inputs, some unknown, proteins of unequal lengths; and half-life z-scores."""
    generator = torch.Generator().manual_seed(3)
    tokens = {}
    for kind, size in (("dna", 5), ("protein", 23)):
        tokens[kind] = torch.randint(0, size, (genes, lengths[kind]), generator=generator, dtype=torch.uint8)
    tokens["protein"][1, lengths["protein"] // 2 :] = 0
    half_life = torch.randn(genes, 8, generator=generator)
    return tokens[config.latent_input], tokens[config.query_input], half_life


def lengths_of(config: PerceiverConfig, protein: int) -> dict[str, int]:
    return {"dna": config.window_length, "protein": protein}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("protein", [401, 6_000])
def test_the_same_outputs(preset: str, protein: int) -> None:
    model = shipped(preset, outputs=2)
    plain = PlainPerceiver.of(model)
    given = inputs(model.config, lengths_of(model.config, protein))
    with torch.no_grad():
        expected, found = plain(*given), model(*given)
    assert expected.std() > 1e-3  # the genes differ
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_gradients(preset: str) -> None:
    """Of every weight, in training mode, without dropout and with BatchNorm's running statistics."""
    model = shipped(preset, dropout=0.0).train()
    plain = PlainPerceiver.of(model)
    given = inputs(model.config, lengths_of(model.config, 401))
    for network in (model, plain):
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.eval()
        network(*given).square().sum().backward()
    for tensor in model.parameters():
        tensor.data = tensor.grad  # so that the same way of naming weights names gradients
    gradients = PlainPerceiver.of(model)
    for (name, expected), found in zip(plain.named_parameters(), gradients.parameters(), strict=True):
        scale = max(1.0, float(expected.grad.abs().max()))
        torch.testing.assert_close(found.data / scale, expected.grad / scale, atol=1e-4, rtol=1e-4, msg=name)


def test_the_plain_network_has_as_many_parameters() -> None:
    model = shipped("dna-perceiver")
    assert sum(parameter.numel() for parameter in PlainPerceiver.of(model).parameters()) == 794_557


def test_a_kernel_flow_is_no_part_of_it() -> None:
    with pytest.raises(ValueError, match="no kernel flow"):
        PlainPerceiver.of(shipped("dna-perceiver", kernel_genes=8))
