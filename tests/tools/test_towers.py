from __future__ import annotations

import numpy as np
import torch
from tools.weights.towers import WINDOW, PromoterTowers


def windows(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 5, (count, sum(WINDOW)), np.uint8))


def plain(towers: PromoterTowers, window: np.ndarray, tower: int) -> float:
    """One tower on one window, position by position."""
    state = {name: tensor.double().numpy() for name, tensor in towers.state_dict().items()}
    one_hot = (window[:, None] == np.arange(1, 5)).astype(float)  # (letters, 4)

    def layer(x: np.ndarray, name: str, channels: int, pool: int) -> np.ndarray:
        weight = state[f"{name}.weight"][tower * channels : (tower + 1) * channels]  # (channels, in, width)
        width = weight.shape[2]
        padded = np.pad(x, (((width - 1) // 2, width // 2), (0, 0)))
        columns = np.stack([padded[i : i + len(x)] for i in range(width)], axis=2)  # (positions, in, width)
        made = np.tensordot(columns, weight, axes=((1, 2), (1, 2)))
        made = np.maximum(made + state[f"{name}.bias"][tower * channels : (tower + 1) * channels], 0)
        return made.reshape(-1, pool, channels).max(axis=1)

    x = layer(layer(one_hot, "stem", 128, 30), "second", 32, 10).reshape(-1)
    for number in range(3):
        x = x @ state[f"kernels.{number}"][tower] + state[f"biases.{number}"][tower, 0]
        x = np.maximum(x, 0) if number < 2 else x
    return float(x[0])


def test_towers_compute_what_a_plain_loop_does():
    torch.manual_seed(0)
    towers, given = PromoterTowers(2), windows(2)
    for bias in towers.biases:
        torch.nn.init.uniform_(bias, 0.1, 0.5)
    expected = [[plain(towers, window, tower) for tower in range(2)] for window in given.numpy()]
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(towers(given).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_towers_are_never_trained():
    towers = PromoterTowers(1)
    assert list(towers.parameters()) and not any(part.requires_grad for part in towers.parameters())
    assert not towers(windows(2)).requires_grad


def test_a_window_s_answer_is_the_same_in_every_batch():
    towers, given = PromoterTowers(2).eval(), windows(5)
    together = towers(given)
    for rows in ([3], [4, 0], [4, 3, 2, 1, 0]):
        torch.testing.assert_close(towers(given[rows]), together[rows], rtol=0, atol=1e-6)
