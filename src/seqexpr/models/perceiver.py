"""The network: one Perceiver with two sequence inputs (Stefanini et al. 2023, sections 2.3 to 2.5).

Reading order: the query tower (stem, residual, attention pooling, tower), the attention blocks, then
`Perceiver`, which joins them. Everything is channels last, (batch, positions, channels): a convolution is then
one matrix product over a strided view of its windows, and pooling reads whole rows of channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqexpr.models import kernels
from seqexpr.models.channel_norm import ChannelNorm
from seqexpr.models.composition.kernel import KernelFlow
from seqexpr.models.composition.promoter_words import PromoterWords
from seqexpr.models.config import HALF_LIFE_FEATURES, PerceiverConfig
from seqexpr.models.dropout import Dropout, drop
from seqexpr.models.fixed_batch import in_fixed_batches
from seqexpr.sequences.alphabet import ALPHABETS


class Convolution(nn.Module):
    """A one-dimensional convolution with zero padding that keeps the number of positions."""

    def __init__(self, channels: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.linear = nn.Linear(kernel * channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, positions, channels) -> (batch, positions, outputs)."""
        batch, positions, channels = x.shape
        margin = self.kernel // 2
        if x.device.type == "cpu":  # oneDNN convolves channels last as they are, several times faster
            weight = self.linear.weight.view(-1, self.kernel, 1, channels).permute(0, 3, 2, 1).contiguous()
            if batch == 1 and not self.training:  # it adds up in another order for one short sequence than for several
                x = torch.cat([x, x])
            image = x.transpose(1, 2).unsqueeze(2)  # (batch, channels, 1, positions): a view
            convolved = functional.conv2d(image, weight, self.linear.bias, padding=(0, margin))
            return convolved[:batch].squeeze(2).transpose(1, 2)
        padded = functional.pad(x, (0, 0, margin, margin))
        # Neighbouring rows overlap in memory, so a window of `kernel` rows is one longer row: no copy here.
        windows = padded.as_strided(
            (batch, positions, self.kernel * channels),
            ((positions + 2 * margin) * channels, channels, 1),
        )
        return self.linear(windows)


class ResidualConvolution(nn.Module):
    """x + Conv1d of width 1 (GELU (BatchNorm (x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, positions, channels) -> the same shape."""
        return x + self.linear(functional.gelu(self.norm(x)))


class AttentionPool(nn.Module):
    """Each `size` neighbouring positions become one: their mean weighted, channel by channel, by a softmax.

    Enformer's pooling (Avsec et al. 2021): the logits are a linear map of the values, at first twice the values.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.logits = nn.Linear(channels, channels, bias=False)
        with torch.no_grad():
            self.logits.weight.copy_(2 * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, positions, channels) -> (batch, positions // size, channels); a shorter rest is dropped."""
        batch, positions, channels = x.shape
        pooled = positions // self.size
        x = x[:, : pooled * self.size].reshape(batch, pooled, self.size, channels)
        return (self.logits(x).softmax(dim=2) * x).sum(dim=2)


class TowerBlock(nn.Module):
    """[BatchNorm, GELU, Conv1d], a residual of width 1, attention pooling."""

    def __init__(self, channels: int, outputs: int, kernel: int, pool: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.convolution = Convolution(channels, outputs, kernel)
        self.residual = ResidualConvolution(outputs)
        self.pool = AttentionPool(outputs, pool)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, positions, channels) -> (batch, positions // pool, outputs)."""
        return self.pool(self.before_pool(x))

    def before_pool(self, x: Tensor) -> Tensor:
        """All but the pooling: (batch, positions, channels) -> (batch, positions, outputs)."""
        return self.residual(self.convolution(functional.gelu(self.norm(x))))


class QueryTower(nn.Module):
    """The convolutional flow: tokens -> a few positions of features.

    PAD is a column of zeros, so far beyond a sequence's end every position holds the same numbers. A batch of short
    proteins is therefore computed only a little past its longest member, and what follows is taken from an empty
    sequence: several times sooner, and in evaluation the same result. In training, BatchNorm takes its statistics from
    the positions that are computed, instead of from padding for the most part.
    """

    padding_features: Tensor | None

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.config = config
        self.letters = ALPHABETS[config.query_input].size - 1  # PAD has no channel
        self.stem = Convolution(self.letters, config.stem_channels, config.stem_kernel)
        self.residual = ResidualConvolution(config.stem_channels)
        self.pool = AttentionPool(config.stem_channels, config.stem_pool)
        widths = (config.stem_channels, *config.tower_channels)
        self.blocks = nn.ModuleList(
            TowerBlock(width, outputs, config.tower_kernel, config.tower_pool) for width, outputs in pairwise(widths)
        )
        self.register_buffer("padding_features", None, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """uint8 (batch, up to query_length) -> (batch, query_positions, channels)."""
        length = self.config.query_length
        positions = self._positions_reached(tokens.shape[1])
        if tokens.shape[1] == length or positions + self.spoilt >= self.config.query_positions:
            return self._features(_pad_to(tokens, length))
        computed = self._features(_pad_to(tokens, (positions + self.spoilt) * self.config.query_stride))
        beyond = self._padding_features()[:, positions:].expand(len(tokens), -1, -1)
        return torch.cat([computed[:, :positions], beyond], dim=1)

    def _padding_features(self) -> Tensor:
        """The features of a sequence of padding alone, (1, query_positions, channels)."""
        if self.training:  # with gradients, and anew in every step
            with self._running_statistics():
                return self._compute_padding_features()
        if self.padding_features is None:
            self.padding_features = self._compute_padding_features().detach()
        return self.padding_features

    def _compute_padding_features(self) -> Tensor:
        """Only the ends of an empty sequence differ, so a short one is computed and its middle repeated."""
        positions, ends = self.config.query_positions, 2 * self.spoilt
        computed = min(positions, ends + 1)
        length = self.config.query_length - (positions - computed) * self.config.query_stride
        device = self.pool.logits.weight.device
        features = self._features(torch.zeros(1, length, dtype=torch.uint8, device=device))
        middle = features[:, self.spoilt : self.spoilt + 1].expand(-1, positions - computed, -1)
        return torch.cat([features[:, : self.spoilt], middle, features[:, self.spoilt :]], dim=1)

    @contextmanager
    def _running_statistics(self) -> Iterator[None]:
        """BatchNorm as in evaluation: an empty sequence has no variance of its own to divide by."""
        norms = [module for module in self.modules() if isinstance(module, ChannelNorm)]
        for norm in norms:
            norm.eval()
        try:
            yield
        finally:
            for norm in norms:
                norm.train()

    def train(self, mode: bool = True) -> QueryTower:
        """Switch the mode; the empty sequence's features are forgotten, for the weights may change now."""
        self.padding_features = None
        return super().train(mode)

    def _features(self, tokens: Tensor) -> Tensor:
        return self.later_stages(self.first_stage(tokens))

    def later_stages(self, x: Tensor, done: int = 0) -> Tensor:
        """What `first_stage` gives -> (batch, positions / tower_pool / tower_pool ..., channels).

        Where the first `done` blocks behind it are computed already, x is what they give.
        """
        for block in list(self.blocks)[done:]:
            x = block(x)
        return x

    def first_stage(self, tokens: Tensor) -> Tensor:
        """Convolution, residual and pooling of letters: uint8 (batch, letters) -> (batch, letters // stem_pool, stem
        channels). Beyond both ends of the letters there is nothing."""
        stem, norm, residual = self.stem.linear, self.residual.norm, self.residual.linear
        stage = kernels.StemStage(
            stem.weight, stem.bias, norm.weight, norm.bias, residual.weight, residual.bias, self.pool.logits.weight
        )
        if norm.groups is None and kernels.stems(tokens, stage, norm, self.config.stem_kernel, self.pool.size):
            return kernels.stem_stage(tokens, stage, norm, self.config.stem_kernel, self.pool.size)
        one_hot = functional.one_hot(tokens.long(), self.letters + 1)[..., 1:].to(stage.stem.dtype)
        x = self.stem(one_hot)  # (batch, letters, stem channels)
        return self.pool(self.residual(x))

    def _positions_reached(self, letters: int) -> int:
        """How many positions a sequence's letters can reach: half a kernel to the right at every stage."""
        config = self.config
        reach, stride = config.stem_kernel // 2, config.stem_pool
        for _ in config.tower_channels:
            reach += (config.tower_kernel // 2) * stride
            stride *= config.tower_pool
        return math.ceil((letters + reach) / stride)

    @cached_property
    def spoilt(self) -> int:
        """Positions that a cut behind padding spoils: the convolutions see an end there instead of more padding."""
        spoilt = 0
        for _ in self.config.tower_channels:
            spoilt = math.ceil((spoilt + self.config.tower_kernel // 2) / self.config.tower_pool)
        return spoilt


class FeedForward(nn.Module):
    """LayerNorm, a linear layer gated by GELU, dropout, and back to the width of the input."""

    def __init__(self, width: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * factor * width)
        self.contract = nn.Linear(factor * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        values, gates = self.expand(self.norm(x)).chunk(2, dim=-1)
        return self.contract(self.dropout(values * functional.gelu(gates)))


def attend(
    query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float, mask: Tensor | None = None
) -> Tensor:
    """softmax(query key' x scale) value, the weights dropped out; all (batch, heads, positions, width).

    torch's own attention, but where it would draw slow dropout masks.
    """
    if dropout and query.device.type == "cpu":
        logits = (query * scale) @ key.transpose(-1, -2)
        if mask is not None:
            logits = logits.masked_fill(~mask, -math.inf)
        return drop(logits.softmax(dim=-1), dropout) @ value
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale)


class CrossAttention(nn.Module):
    """One head in which queries attend to a context, PAD left out.

    The key projection is folded into the query and the value projection into the output: the attention itself runs
    straight on the normalised context, which may be 10,500 long and is only 32 wide. Same function, fewer operations.
    """

    def __init__(self, width: int, context_width: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.norm = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(context_width)
        self.to_query = nn.Linear(width, head_dim, bias=False)
        self.to_key = nn.Linear(context_width, head_dim, bias=False)
        self.to_value = nn.Linear(context_width, head_dim, bias=False)
        self.to_output = nn.Linear(head_dim, width)
        self.dropout = dropout

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """x (batch, n, width), context (batch, m, context width), mask bool (batch, m), True = attend -> as x.

        With tokens, uint8 (batch, m), the context is (m, letters, context width): each letter at each position.
        """
        return self.of_means(self.means(x, context, mask, tokens))

    def means(self, x: Tensor, context: Tensor, mask: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Means of the normalised context, weighted by attention, from what `forward` takes: (batch, n, width)."""
        context = self.norm_context(context)
        query = self.folded_query(x)
        scale, dropout = self.head_dim**-0.5, self.dropout if self.training else 0.0
        if tokens is not None or kernels.attends(query, context):
            return kernels.attend_context(query, context, scale, dropout, mask, tokens)
        heads = context.unsqueeze(1)  # (batch, 1 head, m, context width)
        mask = None if mask is None else mask[:, None, None, :]
        return attend(query.unsqueeze(1), heads, heads, scale, dropout, mask).squeeze(1)

    def folded_query(self, x: Tensor) -> Tensor:
        """What is compared with the normalised context: (batch, n, width) -> (batch, n, context width)."""
        return self.to_query(self.norm(x)) @ self.to_key.weight

    def of_means(self, means: Tensor) -> Tensor:
        """What `means` gives -> what is added to x: (batch, n, width)."""
        return self.to_output(self.to_value(means))


class SelfAttention(nn.Module):
    """Several heads in which the latents attend to one another."""

    def __init__(self, width: int, heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.norm = nn.LayerNorm(width)
        self.to_query_key_value = nn.Linear(width, 3 * heads * head_dim, bias=False)
        self.to_output = nn.Linear(heads * head_dim, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(batch, latents, width) -> the same shape."""
        projected = self.to_query_key_value(self.norm(x))
        query, key, value = projected.unflatten(-1, (3, self.heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        attended = attend(query, key, value, self.head_dim**-0.5, dropout)  # (batch, heads, latents, head_dim)
        return self.to_output(attended.transpose(1, 2).flatten(2))


class LatentBlock(nn.Module):
    """Latents attend to the sequence, then to one another; each step has its feed-forward and residuals."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        width, dropout = config.latent_width, config.dropout
        self.cross = CrossAttention(width, config.embedding_dim, config.cross_head_dim, dropout)
        self.cross_feed_forward = FeedForward(width, config.feed_forward_factor, dropout)
        self.attention = SelfAttention(width, config.self_heads, config.self_head_dim, dropout)
        self.feed_forward = FeedForward(width, config.feed_forward_factor, dropout)

    def forward(self, latents: Tensor, context: Tensor, mask: Tensor | None, tokens: Tensor | None) -> Tensor:
        """latents (batch, latents, width), context, mask and tokens as in `CrossAttention` -> as latents."""
        return self.later_steps(latents + self.cross(latents, context, mask, tokens))

    def later_steps(self, latents: Tensor) -> Tensor:
        """What follows the attention to the sequence: (batch, latents, width) -> the same shape."""
        latents = latents + self.cross_feed_forward(latents)
        latents = latents + self.attention(latents)
        return latents + self.feed_forward(latents)


class Perceiver(nn.Module):
    """Expression levels from two sequence inputs, "latent" and "query", which may be the same sequence.

    `dna-perceiver` with one output has 794,557 parameters. The kernel flow, where the config asks for one, adds to what
    the sequence flows say, or stands alone; so do the words that promoters are rich in.
    """

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.config = config
        self.kernel = KernelFlow(config) if config.kernel_genes else None
        self.words = None
        if config.promoter_words:
            self.words = PromoterWords(config.upstream, config.promoter_words, config.outputs)
        if not config.sequence_flows:
            return
        self.embedding = nn.Embedding(ALPHABETS[config.latent_input].size, config.embedding_dim)
        self.positions = nn.Parameter(_sinusoids(config.latent_length, config.embedding_dim))
        self.latents = nn.Parameter(torch.randn(config.latents, config.latent_dim))
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(LatentBlock(config) for _ in range(config.depth))
        self.tower = QueryTower(config)
        self.query = nn.Linear(config.query_features, config.query_dim)
        self.decoder = CrossAttention(config.query_dim, config.latent_width, config.cross_head_dim, config.dropout)
        self.mean_norm = nn.LayerNorm(config.latent_width)
        self.mean = nn.Linear(config.latent_width, config.query_dim)
        self.output = nn.Linear(2 * config.query_dim, config.outputs)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(chain(self.parameters(), self.buffers())).device

    def forward(
        self,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        half_life: Tensor | None = None,
        told: Tensor | None = None,
        coding: Tensor | None = None,
    ) -> Tensor:
        """Predict one row per gene, in the network's own (scaled) units: the mean of `members`.

        Args:
            latent_tokens: uint8 (batch, up to latent_length); positions left out at the end count as PAD.
            query_tokens: uint8 (batch, up to query_length), likewise.
            half_life: float (batch, 8), standardised, NaN = unknown; None = all unknown.
            told: as for `KernelFlow.forward`, in training.
            coding: uint8 (batch, up to coding_length), rows of 0 for genes without a coding sequence; None = no gene
                has one.

        Returns:
            (batch, outputs)
        """
        return self.members(latent_tokens, query_tokens, half_life, told, coding).mean(dim=1)

    def members(
        self,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        half_life: Tensor | None = None,
        told: Tensor | None = None,
        coding: Tensor | None = None,
    ) -> Tensor:
        """What each member makes of it, from the same: (batch, members, outputs)."""
        joined = self.features(latent_tokens, query_tokens, half_life) if self.config.sequence_flows else None
        return self.members_of(joined, latent_tokens, query_tokens, half_life, told, coding)

    def members_of(
        self,
        joined: Tensor | None,
        latent_tokens: Tensor,
        query_tokens: Tensor,
        half_life: Tensor | None = None,
        told: Tensor | None = None,
        coding: Tensor | None = None,
    ) -> Tensor:
        """As `members`, where what `features` gives is known: (batch, members, outputs)."""
        said: list[Tensor] = []
        if joined is not None:
            said.append(in_fixed_batches(self.output, joined, fixed=not self.training).unsqueeze(1))
        if self.kernel is not None:
            said.append(self.kernel(latent_tokens, query_tokens, half_life, coding, joined, told))
        if self.words is not None:
            said.append(self.promoter_words(latent_tokens, query_tokens).unsqueeze(1))
        outputs = said[0]
        for addend in said[1:]:
            outputs = outputs + addend
        return outputs.tanh() if self.config.tanh else outputs

    def promoter_words(self, latent_tokens: Tensor, query_tokens: Tensor) -> Tensor:
        """What words near the TSS add, from what `forward` takes: (batch, outputs)."""
        assert self.words is not None
        return self.words(latent_tokens if self.config.latent_input == "dna" else query_tokens)

    def features(self, latent_tokens: Tensor, query_tokens: Tensor, half_life: Tensor | None = None) -> Tensor:
        """What the output layer reads: the query vector and the latents' mean, from what `forward` takes.

        Returns:
            (batch, 2 x query_dim)
        """
        if self.config.reads_half_life:
            unknown = self.positions.new_zeros(len(latent_tokens), HALF_LIFE_FEATURES)
            half_life = unknown if half_life is None else half_life.nan_to_num()
        latents = self.encode(latent_tokens, half_life)
        queried = self._query_features(query_tokens, half_life)
        return in_fixed_batches(self.join, queried, latents, fixed=not self.training)

    def join(self, queried: Tensor, latents: Tensor) -> Tensor:
        """What both flows make of genes, (batch, query_features), (batch, latents, latent_width) -> as `features`."""
        query = self._to_query(queried)
        decoded = query + self.decoder(query.unsqueeze(1), latents).squeeze(1)  # (batch, query_dim)
        mean = self.mean(self.mean_norm(latents.mean(dim=1)))  # (batch, query_dim)
        return torch.cat([decoded, mean], dim=1)

    def encode(self, tokens: Tensor, half_life: Tensor | None) -> Tensor:
        """The latent flow: uint8 (batch, letters) -> (batch, latents, latent_width)."""
        if not self.training:  # one way of computing for short sequences, whatever stands beside them in the batch
            shortest = min(kernels.SHORTEST_CONTEXT, self.config.latent_length)
            tokens = _pad_to(tokens, max(shortest, tokens.shape[1]))
        latents = self.first_latents(len(tokens), half_life)
        attended = self.attended(tokens, latents)
        for block in self.blocks:
            latents = block(latents, *attended)
        return latents

    def attended(self, tokens: Tensor, latents: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What latents attend to in letters, uint8 (batch, letters): context, mask and tokens of `CrossAttention`."""
        letters, mask = tokens.shape[1], known_letters(tokens)
        if not self.training and kernels.reads_letters(tokens, latents, self.embedding.weight):
            return self.embedding.weight + self.positions[:letters, None], mask, tokens
        return self.dropout(self.embedding(tokens.int()) + self.positions[:letters]), mask, None

    def first_latents(self, genes: int, half_life: Tensor | None) -> Tensor:
        """What attends to a sequence first: (genes, latents, latent_width)."""
        latents = self.latents.expand(genes, -1, -1)
        if not self.config.half_life_latent:
            return latents
        assert half_life is not None
        appended = half_life.unsqueeze(1).expand(-1, self.config.latents, -1)
        return torch.cat([latents, appended.to(latents.dtype)], dim=2)

    def _to_query(self, features: Tensor) -> Tensor:
        return self.dropout(functional.relu(self.query(features)))

    def _query_features(self, tokens: Tensor, half_life: Tensor | None) -> Tensor:
        """uint8 (batch, letters) -> (batch, query_features)."""
        features = self.tower(tokens).flatten(1)
        if self.config.half_life_query:
            assert half_life is not None
            features = torch.cat([features, half_life.to(features.dtype)], dim=1)
        return features

    def count_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """As torch's; the remembered features of an empty sequence are forgotten."""
        if self.config.sequence_flows:
            self.tower.padding_features = None
        return super().load_state_dict(*arguments, **options)


def known_letters(tokens: Tensor) -> Tensor | None:
    """Which letters take part in attention, bool (batch, letters); None when all do.

    A sequence without one known letter attends to its padding: a softmax over nothing has no value.
    """
    mask = tokens != 0
    if tokens.device.type == "cpu" and bool(mask.all()):
        return None
    return mask | ~mask.any(dim=1, keepdim=True)


def _pad_to(tokens: Tensor, length: int) -> Tensor:
    return functional.pad(tokens, (0, length - tokens.shape[1]))


def _sinusoids(positions: int, width: int) -> Tensor:
    """The sinusoidal position code of Vaswani et al. 2017, (positions, width)."""
    angles = torch.arange(positions)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    code = torch.empty(positions, width)
    code[:, 0::2] = angles.sin()
    code[:, 1::2] = angles.cos()
    return code
