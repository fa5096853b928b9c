"""The whole network with the kernels, and who asks for them."""

from __future__ import annotations

import pytest
import torch

from seqexpr.models import kernels
from seqexpr.models.config import PRESETS, PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.sequences.alphabet import ALPHABETS
from tests.models.test_perceiver import randomise

LENGTHS = {"upstream": 240, "downstream": 123, "protein_length": 361}


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_what_it_is_in_torch(launched, device, preset, precision):
    config = PerceiverConfig.from_preset(preset)
    lengths = {name: length for name, length in LENGTHS.items() if getattr(config, name)}
    config = PerceiverConfig.from_preset(preset, latents=16, latent_dim=16, stem_pool=6, tower_pool=3, **lengths)
    network = randomise(Perceiver(config)).eval()
    generator = torch.Generator().manual_seed(0)
    inputs = {
        kind: torch.randint(0, ALPHABETS[kind].size, (3, length), dtype=torch.uint8, generator=generator)
        for kind, length in (("dna", 363), ("protein", 361))
    }
    for tokens in inputs.values():
        tokens[0, 100:] = 0
        tokens[1] = 0
    given = (inputs[config.latent_input], inputs[config.query_input], torch.randn(3, 8, generator=generator))
    with torch.inference_mode():
        with kernels.disabled():
            expected = network(*given)
        assert not launched
        network.to(device).train().eval()  # forgets the features of padding alone
        with kernels.computing_in(precision):
            found = network(*(tensor.to(device) for tensor in given)).cpu()
    assert {name for name, _ in launched} == {"attend_letters", "stem_stage"}
    assert {chosen for _, chosen in launched} == {precision}
    tolerance = {"fp16": 3e-3, "fp32": 1e-4}[precision]
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def test_training_is_torchs(launched, device):
    config = PerceiverConfig.from_preset("dna-perceiver", upstream=240, downstream=120, stem_pool=6, tower_pool=3)
    network = Perceiver(config).to(device)
    dna = torch.ones(2, 360, dtype=torch.uint8, device=device)
    network(dna, dna).sum().backward()
    network.eval()(dna, dna).sum().backward()
    assert not launched and network.tower.stem.linear.weight.grad.abs().sum() > 0
