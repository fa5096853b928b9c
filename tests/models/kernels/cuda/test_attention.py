from __future__ import annotations

import pytest
import torch

from seqexpr.models import kernels
from seqexpr.models.kernels.cuda import attention
from seqexpr.models.perceiver import known_letters

TOLERANCE = {"fp16": 4e-3, "fp32": 1e-5}
"""Of rows that are standard normal."""


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """So that a few hundred letters are several parts."""
    monkeypatch.setattr(attention, "PART", 128)


def inputs(windows, letters, latents=128, width=32, vocabulary=5):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(windows, latents, width, generator=generator)
    table = torch.randn(letters, vocabulary, width, generator=generator)
    tokens = torch.randint(1, vocabulary, (windows, letters), dtype=torch.uint8, generator=generator)
    return query, table, tokens


def reference(query, table, scale, mask, tokens):
    """The same in float64, with all logits in memory."""
    context = table.double()[torch.arange(len(table)), tokens.long()]
    logits = query.double() @ context.mT * scale
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None], -torch.inf)
    return (logits.softmax(-1) @ context).float()


def check(device, precision, query, table, tokens, mask, scale=0.125):
    on_device = [None if tensor is None else tensor.to(device) for tensor in (query, table, mask, tokens)]
    found = attention.attend_letters(on_device[0], on_device[1], scale, *on_device[2:], precision)
    assert found.dtype == torch.float32 and found.device.type == device.type
    expected = reference(query, table, scale, mask, tokens)
    tolerance = TOLERANCE[precision] * max(8 * scale, 1)
    torch.testing.assert_close(found.cpu(), expected, atol=tolerance, rtol=tolerance)
    return found.cpu()


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("letters", [1, 31, 64, 128, 301])
def test_all_letters_take_part(device, precision, letters):
    query, table, tokens = inputs(2, letters)
    check(device, precision, query, table, tokens, None)
    check(device, precision, query, table, tokens, known_letters(tokens))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_unknown_letters_have_no_part_unless_there_are_no_others(device, precision):
    query, table, tokens = inputs(6, 301)
    tokens[0, 190:] = 0  # a tail, and one part of which nothing takes part
    tokens[1] = 0  # no letter is known: it attends to everything
    tokens[2] = 0
    tokens[2, 300] = 3  # one known letter, in the shortest part
    tokens[3] = 0
    tokens[3, 17] = 1
    tokens[4, 5:140:3] = 0  # here and there
    mask = known_letters(tokens)
    found = check(device, precision, query, table, tokens, mask)
    for window, position in ((2, 300), (3, 17)):
        row = table[position, tokens[window, position].long()].expand(128, -1)
        torch.testing.assert_close(found[window], row, atol=1e-3, rtol=1e-3)
    changed = table.clone()
    changed[torch.arange(200, 301), 0] = 1e4  # read by the second window alone
    again = attention.attend_letters(*(tensor.to(device) for tensor in (query, changed)), 0.125, mask.to(device),
                                     tokens.to(device), precision).cpu()  # fmt: skip
    others = [0, 2, 3, 4, 5]
    assert torch.equal(found[others], again[others])
    assert not torch.equal(found[1], again[1])


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_window_does_not_depend_on_the_windows_beside_it(device, precision):
    query, table, tokens = inputs(5, 200)
    tokens[3, 100:] = 0
    mask = known_letters(tokens)
    together = check(device, precision, query, table, tokens, mask)
    for window in range(5):
        alone = slice(window, window + 1)
        found = check(device, precision, query[alone], table, tokens[alone], mask[alone])
        assert torch.equal(found, together[alone])


def test_the_maximum_is_followed_up_and_down(device):
    query, table, tokens = inputs(1, 300)
    query.zero_()[..., 0] = torch.linspace(-1, 1, 128)
    table[:, :, 0] = torch.linspace(-60, 60, 300)[:, None]
    check(device, "fp32", query, table, tokens, None, scale=1.0)
    check(device, "fp32", query, table.flip(0), tokens, None, scale=1.0)


@pytest.mark.parametrize(("latents", "width", "vocabulary"), [(16, 32, 21), (64, 16, 5), (32, 64, 5)])
def test_other_shapes(device, latents, width, vocabulary):
    query, table, tokens = inputs(1, 70, latents, width, vocabulary)
    check(device, "fp16", query, table, tokens, None)


def test_tensors_that_are_views_are_read_as_they_are(device):
    query, table, tokens = inputs(2, 100)
    query = query.mT.contiguous().mT
    table = table.transpose(0, 1).contiguous().transpose(0, 1)
    tokens = tokens.T.contiguous().T
    assert not (query.is_contiguous() or table.is_contiguous() or tokens.is_contiguous())
    check(device, "fp32", query, table, tokens, known_letters(tokens))


def test_what_is_not_a_number_stays_so(device):
    query, table, tokens = inputs(2, 100)
    query[1, 5, 0] = torch.nan
    given = (tensor.to(device) for tensor in (query, table))
    found = attention.attend_letters(*given, 0.125, None, tokens.to(device), "fp16").cpu()
    assert found[1, 5].isnan().all() and found.isnan().sum() == 32


def test_a_letter_outside_the_alphabet_reads_inside_the_table(device):
    query, table, tokens = inputs(1, 100)
    tokens[0, -1] = 255
    found = attention.attend_letters(*(t.to(device) for t in (query, table)), 0.125, None, tokens.to(device), "fp32")
    tokens[0, -1] = 4
    torch.testing.assert_close(found.cpu(), reference(query, table, 0.125, None, tokens), atol=1e-5, rtol=1e-5)


def test_it_is_chosen_for_inference_on_shapes_that_it_was_made_for(launched, device):
    latents, embedding = torch.zeros(1, 128, 40, device=device), torch.zeros(5, 32, device=device)
    tokens = torch.ones(1, 300, dtype=torch.uint8, device=device)
    assert not kernels.reads_letters(tokens, latents, embedding)  # gradients are wanted
    with torch.no_grad():
        assert kernels.reads_letters(tokens, latents, embedding)
        assert not kernels.reads_letters(tokens.int(), latents, embedding)
        assert not kernels.reads_letters(tokens[:0], latents[:0], embedding)
        assert not kernels.reads_letters(tokens, latents[:, :100], embedding)
        assert not kernels.reads_letters(tokens, latents, embedding[:, :20])
