"""A small language model: a decoder that tells from each token and those before it the next one.

References
----------
Vaswani et al., "Attention is all you need" (2017), arXiv 1706.03762, §3; pre-norm: Xiong et al., "On layer
normalization in the transformer architecture" (2020), arXiv 2002.04745; initial weights: Radford et al., "Language
models are unsupervised multitask learners" (2019), §2.3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, scaled_dot_product_attention

DEVIATION = 0.02  # of initial weights


class TokenLinear(nn.Linear):
    """A linear layer on every token, [batch, context, features]; on CPUs computed as a 1 × 1 convolution.

    A matrix product is MKL's, which uses narrow vectors where its bits must be those of every processor; a convolution
    is oneDNN's, which has the same bits everywhere in half the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Each token's features to its new ones."""
        if x.device.type != "cpu":
            return super().forward(x)
        context = x.shape[1]
        side = max(side for side in range(1, math.isqrt(context) + 1) if context % side == 0)
        pixels = x.unflatten(1, (-1, side)).permute(0, 3, 1, 2)  # a view in channels_last memory
        return conv2d(pixels, self.weight[:, :, None, None], self.bias).permute(0, 2, 3, 1).flatten(1, 2)


class Attention(nn.Module):
    """Causal self-attention of several heads; [batch, context, width] to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = TokenLinear(width, 3 * width)  # to queries, keys and values
        self.output = TokenLinear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix into each token what it attends to of itself and those before it."""
        # [batch, context, 3 heads, width / heads] to three times [batch, heads, context, width / heads]
        queries, keys, values = self.projection(x).unflatten(2, (3 * self.heads, -1)).transpose(1, 2).chunk(3, dim=1)
        mixed = scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a network of one hidden layer on each token, each added to what is normalised for it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(TokenLinear(width, 4 * width), nn.GELU(), TokenLinear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block; [batch, context, width] to the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """Transformer decoder with learnt positions and no dropout, over at most `context` tokens.

    The output layer has weights of its own: with few tokens they cost little, and a layer that is used twice would
    have a gradient that is the sum of two unlike ones.

    Raises
    ------
    ValueError
        If `width` is no multiple of `heads`.
    """

    def __init__(self, layers: int, heads: int, width: int, context: int, vocabulary: int) -> None:
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = TokenLinear(width, vocabulary, bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() > 1:  # all but the scales of layer norms
                nn.init.normal_(parameter, std=DEVIATION)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [batch, context, vocabulary] of the next token of each of `tokens` [batch, context], integers."""
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))
