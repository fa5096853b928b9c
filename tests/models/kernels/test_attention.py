from __future__ import annotations

import math

import pytest
import torch

from seqexpr.models.kernels import SharedLogits, attend_context


def inputs(windows=2, latents=64, letters=301, width=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(windows, latents, width, generator=generator)
    context = torch.randn(windows, letters, width, generator=generator)
    return query, context


def reference(query, context, scale, mask=None):
    """The same in float64, with all logits in memory."""
    query, context = query.double(), context.double()
    logits = query @ context.transpose(1, 2) * scale
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None], -torch.inf)
    return logits.softmax(-1) @ context


def some_mask(windows, letters):
    mask = torch.rand(windows, letters, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[0, :100] = False  # more than a whole block
    mask[1, 5:] = False
    return mask


@pytest.mark.parametrize("shape", [(1, 64, 256, 32), (2, 128, 301, 32), (3, 64, 1000, 64)])
@pytest.mark.parametrize("scale", [0.125, 3.0])  # the second has logits of a hundred
def test_output_and_gradients_are_those_of_the_formula(instructions, shape, scale):
    query, context = (tensor.requires_grad_() for tensor in inputs(*shape))
    attended = attend_context(query, context, scale, 0.0)
    expected = reference(query, context, scale)
    torch.testing.assert_close(attended, expected.float(), atol=2e-6 * max(scale * 8, 1), rtol=1e-5)
    weights = torch.randn(attended.shape)
    found = torch.autograd.grad((attended * weights).sum(), [query, context])
    wanted = torch.autograd.grad((expected * weights).sum(), [query, context])
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-4 * max(scale, 1), rtol=1e-4)


def test_masked_positions_have_no_part(instructions):
    query, context = inputs()
    mask = some_mask(*context.shape[:2])
    query.requires_grad_()
    context.requires_grad_()
    attended = attend_context(query, context, 0.125, 0.0, mask)
    torch.testing.assert_close(attended, reference(query, context, 0.125, mask).float(), atol=2e-6, rtol=1e-5)
    attended.square().sum().backward()
    assert context.grad[~mask].eq(0).all()
    assert context.grad[mask].ne(0).all()
    changed = torch.where(mask.unsqueeze(2), context.detach(), torch.full_like(context, 1e30))
    assert torch.equal(attend_context(query.detach(), changed, 0.125, 0.0, mask), attended.detach())


def test_a_table_of_letters_is_the_context_that_it_spells(instructions):
    query, _ = inputs()
    table = torch.randn(301, 5, 32)
    tokens = torch.randint(0, 5, (2, 301), dtype=torch.uint8)
    mask = some_mask(2, 301)
    context = table[torch.arange(301), tokens.long()]
    for chosen in (None, mask):
        spelt = attend_context(query, context, 0.125, 0.0, chosen)
        assert torch.equal(attend_context(query, table, 0.125, 0.0, chosen, tokens), spelt)


@pytest.mark.parametrize("windows", [1, 3, 16, 37])
def test_logits_that_windows_share_give_the_same_bits(instructions, windows):
    query, _ = inputs(windows=1, latents=128)
    table = torch.randn(1000, 5, 32) * torch.linspace(0.1, 30, 1000)[:, None, None]  # maxima that rise
    tokens = torch.randint(0, 5, (windows, 1000), dtype=torch.uint8)
    mask = tokens > 0
    mask[-1, 10:700] = False
    shared = SharedLogits(query[0], table, 0.125)
    for chosen in (None, mask):
        expected = attend_context(query.expand(windows, -1, -1), table, 0.125, 0.0, chosen, tokens)
        found, log_sums = shared.attend(tokens, chosen)
        assert torch.equal(found, expected)
        logits = 0.125 * query[0].double() @ table[torch.arange(1000), tokens.long()].double().mT
        if chosen is not None:
            logits = logits.masked_fill(~chosen[:, None], -torch.inf)
        torch.testing.assert_close(log_sums, (logits.logsumexp(dim=2) / math.log(2)).float())


def test_shared_logits_refuse_letters_outside_the_table(instructions):
    shared = SharedLogits(inputs()[0][0], torch.randn(300, 5, 32), 0.125)
    with pytest.raises(IndexError, match="letter 5 in an alphabet of 5"):
        shared.attend(torch.full((2, 300), 5, dtype=torch.uint8))


def test_a_rising_maximum_is_followed(instructions):
    # Logits grow along the sequence from -500 to 500: every block's maximum is far above the last.
    query = torch.zeros(1, 64, 32)
    query[..., 0] = torch.linspace(-1, 1, 64)
    context = torch.randn(1, 1000, 32)
    context[0, :, 0] = torch.linspace(-500, 500, 1000)
    for order in (context, context.flip(1)):
        expected = reference(query, order, 1.0).float()
        torch.testing.assert_close(attend_context(query, order, 1.0, 0.0), expected, atol=1e-4, rtol=1e-4)


def test_dropout_drops_the_share_it_says_and_keeps_the_mean(instructions):
    # All weights are equal, and a position's row is a unit vector: the output counts the kept positions of each kind.
    letters, width = 3200, 32
    context = torch.eye(width).repeat(letters // width, 1).unsqueeze(0)
    torch.manual_seed(3)
    attended = attend_context(torch.zeros(1, 128, width), context, 1.0, 0.2)
    kept = attended * letters * (256 - 51) / 256  # of 100 for each latent and kind
    assert torch.allclose(kept, kept.round(), atol=2e-2)
    assert kept.mean() / 100 == pytest.approx(205 / 256, abs=0.002)  # 409,600 draws: sd 0.0006
    assert kept.var() / 100 == pytest.approx(205 / 256 * 51 / 256, rel=0.1)
    by_latent = kept.mean(dim=2).flatten() / 100
    assert by_latent.std() == pytest.approx((205 / 256 * 51 / 256 / letters) ** 0.5, rel=0.4)


def test_dropout_follows_torchs_seed_and_nothing_else(instructions, monkeypatch):
    query, context = inputs(windows=5)

    def drawn(seed):
        torch.manual_seed(seed)
        return attend_context(query, context, 0.125, 0.3)

    first = drawn(7)
    assert not torch.equal(first, drawn(8))
    assert not torch.allclose(first[0], attend_context(query[:1], context[:1], 0.125, 0.0)[0], atol=1e-3)
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert torch.equal(first, drawn(7))


def test_instruction_sets_draw_the_same_masks(instructions, monkeypatch):
    query, context = inputs()
    torch.manual_seed(0)
    here = attend_context(query, context, 0.125, 0.3)
    monkeypatch.delenv("SEQEXPR_KERNELS")
    torch.manual_seed(0)
    torch.testing.assert_close(here, attend_context(query, context, 0.125, 0.3), atol=1e-6, rtol=1e-5)


def test_windows_draw_different_masks(instructions):
    query, context = inputs(windows=1)
    torch.manual_seed(0)
    attended = attend_context(query.repeat(2, 1, 1), context.repeat(2, 1, 1), 0.125, 0.3)
    assert not torch.allclose(attended[0], attended[1], atol=1e-3)


def test_gradients_with_dropout_are_slopes_of_the_same_masks(instructions):
    query, context = inputs(windows=2, letters=260)
    mask = some_mask(2, 260)
    weights = torch.randn(query.shape, generator=torch.Generator().manual_seed(2))

    def loss(query, context):
        torch.manual_seed(5)
        return (attend_context(query, context, 0.5, 0.25, mask) * weights).double().sum()

    parts = [query.clone().requires_grad_(), context.clone().requires_grad_()]
    gradients = torch.autograd.grad(loss(*parts), parts)
    step = 1e-2
    for place, gradient in enumerate(gradients):
        direction = gradient / gradient.norm()
        moved = [[query, context], [query, context]]
        moved[0][place] = moved[0][place] + step * direction
        moved[1][place] = moved[1][place] - step * direction
        slope = (loss(*moved[0]) - loss(*moved[1])) / (2 * step)
        assert slope.item() == pytest.approx(gradient.norm().item(), rel=1e-3)


def test_what_is_not_a_number_stays_so(instructions):
    query, context = inputs()
    context[1, 7, 3] = torch.nan
    attended = attend_context(query, context, 0.125, 0.0)
    assert not attended[0].isnan().any()
    assert attended[1, :, 3].isnan().all()
    query[0, 5, 0] = torch.nan
    assert attend_context(query, context, 0.125, 0.0)[0, 5].isnan().all()


def test_a_letter_outside_the_table_is_an_error(instructions):
    tokens = torch.full((2, 301), 5, dtype=torch.uint8)
    with pytest.raises(IndexError, match=r"^letter 5 in an alphabet of 5$"):
        attend_context(inputs()[0], torch.randn(301, 5, 32), 0.125, 0.0, None, tokens)


def test_the_largest_dropout_still_keeps_something(instructions):
    torch.manual_seed(0)
    attended = attend_context(*inputs(letters=5000), 0.125, 0.999)
    assert attended.isfinite().all() and attended.ne(0).any()
