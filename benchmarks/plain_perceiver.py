"""The network in its deliberately plain form: the oracle for correctness, and the baseline for speed.

The same mathematics as `seqexpr.models.perceiver` (Stefanini et al. 2023, sections 2.3 to 2.5), as a textbook has it:
one-hot floats, `Conv1d` with channels first, attention by einsum with every softmax materialised (128 x 10,500 for
DNA), keys and values projected, pooling by a softmax over a trailing dimension, and all padding computed. It loads the
weights of the shipped network:

    plain = PlainPerceiver.of(model)          # model: a Perceiver without a kernel flow
    plain(latent_tokens, query_tokens, half_life)
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, einsum, nn
from torch.nn import functional

from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.sequences.alphabet import ALPHABETS


class PlainPool(nn.Module):
    """Attention pooling of each `size` neighbours; the softmax runs over the last dimension."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.logits = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, positions) -> (batch, channels, positions // size)."""
        pooled = x.shape[-1] // self.size
        x = x[..., : pooled * self.size].unflatten(-1, (pooled, self.size))  # (batch, channels, pooled, size)
        return (x * self.logits(x).softmax(dim=-1)).sum(dim=-1)


class PlainResidual(nn.Sequential):
    """x + Conv1d of width 1 (GELU (BatchNorm (x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm1d(channels), nn.GELU(), nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, positions) -> the same shape."""
        return x + super().forward(x)


class PlainCrossAttention(nn.Module):
    """One head; keys, values and the softmax over the whole context are there in memory."""

    def __init__(self, width: int, context_width: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.scale = head_dim**-0.5
        self.norm, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(context_width)
        self.to_query = nn.Linear(width, head_dim, bias=False)
        self.to_key = nn.Linear(context_width, head_dim, bias=False)
        self.to_value = nn.Linear(context_width, head_dim, bias=False)
        self.to_output = nn.Linear(head_dim, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, n, width), context (batch, m, context width), mask bool (batch, m) -> as x."""
        context = self.norm_context(context)
        query, key, value = self.to_query(self.norm(x)), self.to_key(context), self.to_value(context)
        logits = einsum("b i d, b j d -> b i j", query, key) * self.scale
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None], -torch.inf)
        weights = self.dropout(logits.softmax(dim=-1))  # (batch, n, m)
        return self.to_output(einsum("b i j, b j d -> b i d", weights, value))


class PlainSelfAttention(nn.Module):
    """Several heads."""

    def __init__(self, width: int, heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_dim**-0.5
        self.norm = nn.LayerNorm(width)
        self.to_query_key_value = nn.Linear(width, 3 * heads * head_dim, bias=False)
        self.to_output = nn.Linear(heads * head_dim, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, latents, width) -> the same shape."""
        query, key, value = self.to_query_key_value(self.norm(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)) for part in (query, key, value))
        logits = einsum("b i h d, b j h d -> b h i j", query, key) * self.scale
        weights = self.dropout(logits.softmax(dim=-1))
        return self.to_output(einsum("b h i j, b j h d -> b i h d", weights, value).flatten(2))


class PlainFeedForward(nn.Module):
    """LayerNorm, a linear layer gated by GELU, dropout, and back."""

    def __init__(self, width: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * factor * width)
        self.contract = nn.Linear(factor * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        values, gates = self.expand(self.norm(x)).chunk(2, dim=-1)
        return self.contract(self.dropout(values * functional.gelu(gates)))


class PlainBlock(nn.Module):
    """Latents attend to the sequence, then to one another."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        width, dropout = config.latent_width, config.dropout
        self.cross = PlainCrossAttention(width, config.embedding_dim, config.cross_head_dim, dropout)
        self.cross_feed_forward = PlainFeedForward(width, config.feed_forward_factor, dropout)
        self.attention = PlainSelfAttention(width, config.self_heads, config.self_head_dim, dropout)
        self.feed_forward = PlainFeedForward(width, config.feed_forward_factor, dropout)

    def forward(self, latents: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """(batch, latents, width) -> the same shape."""
        latents = latents + self.cross(latents, context, mask)
        latents = latents + self.cross_feed_forward(latents)
        latents = latents + self.attention(latents)
        return latents + self.feed_forward(latents)


class PlainPerceiver(nn.Module):
    """The whole network. Tokens shorter than the config's lengths are padded to them, and the padding is computed.

    Raises:
        ValueError: the config has a kernel flow, which is no part of the paper's network.
    """

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        if config.kernel_genes or config.promoter_words:
            raise ValueError("the plain network has no kernel flow")
        self.config = config
        self.letters = ALPHABETS[config.query_input].size
        self.embedding = nn.Embedding(ALPHABETS[config.latent_input].size, config.embedding_dim)
        self.positions = nn.Parameter(torch.empty(config.latent_length, config.embedding_dim))
        self.latents = nn.Parameter(torch.empty(config.latents, config.latent_dim))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(PlainBlock(config) for _ in range(config.depth))
        widths = (config.stem_channels, *config.tower_channels)
        layers: list[nn.Module] = [
            nn.Conv1d(self.letters - 1, widths[0], config.stem_kernel, padding="same"),
            PlainResidual(widths[0]),
            PlainPool(widths[0], config.stem_pool),
        ]
        for width, outputs in pairwise(widths):
            convolution = nn.Conv1d(width, outputs, config.tower_kernel, padding="same")
            layers += [nn.BatchNorm1d(width), nn.GELU(), convolution]
            layers += [PlainResidual(outputs), PlainPool(outputs, config.tower_pool)]
        self.tower = nn.Sequential(*layers)
        self.query = nn.Linear(config.query_features, config.query_dim)
        self.decoder = PlainCrossAttention(config.query_dim, config.latent_width, config.cross_head_dim, config.dropout)
        self.mean_norm = nn.LayerNorm(config.latent_width)
        self.mean = nn.Linear(config.latent_width, config.query_dim)
        self.output = nn.Linear(2 * config.query_dim, config.outputs)

    @classmethod
    def of(cls, model: Perceiver) -> PlainPerceiver:
        """The plain form of a network, with its weights, in its mode and on its device."""
        plain = cls(model.config).to(model.positions)
        plain.load_state_dict(dict(zip(plain.state_dict(), _in_plain_order(model), strict=True)))
        return plain.train(model.training)

    def forward(self, latent_tokens: Tensor, query_tokens: Tensor, half_life: Tensor | None = None) -> Tensor:
        """uint8 (batch, letters) twice, half-life float (batch, 8) or None -> (batch, outputs)."""
        config = self.config
        latent_tokens = functional.pad(latent_tokens, (0, config.latent_length - latent_tokens.shape[1])).long()
        query_tokens = functional.pad(query_tokens, (0, config.query_length - query_tokens.shape[1])).long()
        if half_life is None:
            half_life = self.positions.new_zeros(len(latent_tokens), 8)
        context = self.dropout(self.embedding(latent_tokens) + self.positions)
        latents = self.latents.expand(len(latent_tokens), -1, -1)
        if config.half_life_latent:
            latents = torch.cat([latents, half_life[:, None].expand(-1, config.latents, -1)], dim=2)
        mask = latent_tokens != 0
        mask = mask | ~mask.any(dim=1, keepdim=True)  # a sequence of padding alone attends to it
        for block in self.blocks:
            latents = block(latents, context, mask)
        one_hot = functional.one_hot(query_tokens, self.letters)[..., 1:].to(self.positions.dtype)
        features = self.tower(one_hot.transpose(1, 2)).transpose(1, 2).flatten(1)
        if config.half_life_query:
            features = torch.cat([features, half_life], dim=1)
        query = self.dropout(functional.relu(self.query(features)))
        decoded = query + self.decoder(query[:, None], latents)[:, 0]
        mean = self.mean(self.mean_norm(latents.mean(dim=1)))
        outputs = self.output(torch.cat([decoded, mean], dim=1))
        return outputs.tanh() if config.tanh else outputs


def _in_plain_order(model: Perceiver) -> list[Tensor]:
    """The network's tensors in the order and the shapes of the plain one's."""
    state = model.state_dict()
    order = [name for name in state if not name.startswith("tower.")]
    first = order.index("query.weight")
    tower = [_plain_shape(name, state[name], model.config) for name in state if name.startswith("tower.")]
    before = [state[name] for name in order[:first]]
    return [*before, *tower, *(state[name] for name in order[first:])]


def _plain_shape(name: str, tensor: Tensor, config: PerceiverConfig) -> Tensor:
    """A tower's tensor as convolutions have it: outputs, channels, kernel."""
    if name.endswith("logits.weight"):
        return tensor[:, :, None, None]
    if not name.endswith("linear.weight"):
        return tensor
    kernel = 1
    if name == "tower.stem.linear.weight":
        kernel = config.stem_kernel
    elif ".convolution." in name:
        kernel = config.tower_kernel
    return tensor.unflatten(1, (kernel, -1)).transpose(1, 2)
