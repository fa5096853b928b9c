from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from seqexpr.models.kernels import library
from seqexpr.models.kernels.cuda import attention, availability

CUDA = torch.device("cuda")


@pytest.fixture
def card(monkeypatch):
    """A machine with a card and Triton, on which the first launch works."""
    made = SimpleNamespace(capability=(9, 0), launches=0, error=None)

    def attend_letters(*arguments):
        made.launches += 1
        if made.error is not None:
            raise made.error

    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *shape, device, **options: zeros(*shape, **options))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: made.capability)
    monkeypatch.setattr(availability, "find_spec", lambda name: "found")
    monkeypatch.setattr(attention, "attend_letters", attend_letters)
    availability._launches.cache_clear()
    yield made
    availability._launches.cache_clear()


def test_a_card_is_tried_once(card):
    assert availability.computes_on(CUDA) and availability.computes_on(CUDA)
    assert card.launches == 1
    assert not availability.computes_on(torch.device("cpu"))
    assert not availability.computes_on(torch.device("mps"))


def test_the_switch_turns_it_off(card, monkeypatch):
    with library.disabled():
        assert not availability.computes_on(CUDA)
    monkeypatch.setenv("SEQEXPR_KERNELS", "off")
    assert not availability.computes_on(CUDA)
    monkeypatch.setenv("SEQEXPR_KERNELS", "avx2")  # the CPU's matter
    assert availability.computes_on(CUDA)


def test_older_cards_other_makers_and_machines_without_triton_are_torchs(card, monkeypatch):
    card.capability = (7, 5)
    assert not availability.computes_on(CUDA)
    availability._launches.cache_clear()
    card.capability = (8, 0)
    with monkeypatch.context() as patch:
        patch.setattr(availability, "find_spec", lambda name: None)
        assert not availability.computes_on(CUDA)
    availability._launches.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch.version, "cuda", None)
        assert not availability.computes_on(CUDA)
    availability._launches.cache_clear()
    assert availability.computes_on(CUDA)


def test_where_nothing_can_be_launched_torch_computes_and_one_warning_says_why(card, caplog):
    card.error = RuntimeError("Failed to find C compiler.\nPlease specify one")
    with caplog.at_level(logging.WARNING):
        assert not availability.computes_on(CUDA)
        assert not availability.computes_on(CUDA)
    assert caplog.messages == ["Triton cannot launch kernels here (Failed to find C compiler.); torch computes"]


def test_memory_that_is_short_for_a_moment_does_not_decide(card):
    card.error = torch.cuda.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        availability.computes_on(CUDA)
    card.error = None
    assert availability.computes_on(CUDA)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_real_card_with_triton_launches():
    pytest.importorskip("triton")
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("an older card")
    assert availability.computes_on(CUDA)
