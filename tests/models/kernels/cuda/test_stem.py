from __future__ import annotations

import pytest
import torch

from seqexpr.models import kernels
from tests.models.kernels.test_stem import letters, tower

TOLERANCE = {"fp16": 4e-3, "fp32": 2e-5}


def check(launched, device, precision, network, tokens):
    """The stage by the kernel and by torch in float64."""
    network = network.eval().to(device)
    with torch.inference_mode():
        with kernels.computing_in(precision):
            found = network.first_stage(tokens.to(device)).cpu()
        with kernels.disabled():
            expected = network.double().cpu().first_stage(tokens).float()
    assert launched == [("stem_stage", precision)]
    network.float()
    torch.testing.assert_close(found, expected, atol=TOLERANCE[precision], rtol=TOLERANCE[precision])
    return found


# Kernel, pool, letters: the presets' pools, and shapes that leave a rest, or have a single group.
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize(("kernel", "pool", "length"), [(15, 12, 12), (15, 12, 409), (15, 10, 100), (3, 1, 33)])
def test_output_is_torchs(launched, device, precision, kernel, pool, length):
    network = tower(stem_kernel=kernel, stem_pool=pool, tower_pool=1)
    tokens = letters(network, 2, length)
    assert tokens.eq(0).any()
    check(launched, device, precision, network, tokens)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_proteins(launched, device, precision):
    network = tower("protein")
    check(launched, device, precision, network, letters(network, 1, 51))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_padding(launched, device, precision):
    network = tower()
    tokens = letters(network, 3, 200).clamp_(min=1)
    tokens[0, 77:] = 0
    tokens[1] = 0
    tokens[2] = 0
    tokens[2, 198] = 2  # in the rest, which is not pooled, but the last pooled letter sees it
    found = check(launched, device, precision, network, tokens)
    assert not torch.equal(found[1, -1], found[2, -1])
    assert torch.equal(found[1, 5], found[1, 6])


def test_a_window_does_not_depend_on_the_windows_beside_it(launched, device):
    network = tower().eval().to(device)
    tokens = letters(network, 3, 130).to(device)
    with torch.inference_mode():
        together = network.first_stage(tokens)
        for window in range(3):
            assert torch.equal(network.first_stage(tokens[window : window + 1])[0], together[window])
    assert len(launched) == 4


def test_what_is_not_a_number_stays_so(launched, device):
    network = tower().eval().to(device)
    with torch.inference_mode():
        network.residual.linear.bias[3] = torch.nan
        pooled = network.first_stage(letters(network, 1, 50).to(device))
    assert launched and pooled[..., 3].isnan().all()


def test_it_is_chosen_for_inference_on_shapes_that_it_was_made_for(launched, device):
    tokens = torch.ones(1, 50, dtype=torch.uint8, device=device)

    def does(tokens, **changes):
        launched.clear()
        tower(**changes).eval().to(device).first_stage(tokens)
        return bool(launched)

    assert not does(tokens)  # gradients are wanted
    with torch.no_grad():
        assert does(tokens)
        assert not does(tokens.int())
        assert not does(tokens, stem_channels=32)
        assert not does(tokens, stem_kernel=131)
        tower().train().to(device).first_stage(tokens)
    assert not launched
