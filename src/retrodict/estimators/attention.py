r"""Masked attention between rows, and the block made of it.

.. math:: A(Q, R) = \mathrm{softmax}\big(Q W_q (R W_k)^\top / \sqrt{d}\big)\, R W_v

Rows that are absent get no weight, unless none is there at all. A block adds attention,
then a perceptron, each to what it reads after normalization by row.

Source: Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762, eq. 1 and
sec. 3.2.2; Xiong et al. (2020), arXiv:2002.04745, sec. 3 (normalization first).
Deviations from the source: no dropout.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ._base import Dense, dense


NUM_HEADS = 4


def attention(key: Key[Array, ""], width: int) -> eqx.nn.MultiheadAttention:
    """Return multi-head attention between rows, without its dropout."""
    bias = {f"use_{name}_bias": True for name in ("query", "key", "value", "output")}
    layer = eqx.nn.MultiheadAttention(NUM_HEADS, width, key=key, **bias)
    return eqx.tree_at(lambda attention: attention.dropout, layer, None)


def attend(
    layer: eqx.nn.MultiheadAttention,
    queries: Float[Array, "queries width"],
    rows: Float[Array, "rows width"],
    present: Float[Array, " rows"],
) -> Float[Array, "queries width"]:
    """Gather what each query asks for from the rows that are present."""
    mask = jnp.broadcast_to(present > 0, (len(queries), len(rows)))
    return layer(queries, rows, rows, mask=mask)


class AttentionBlock(eqx.Module):
    """Attention and a perceptron, each added to its input."""

    norm_attention: eqx.nn.LayerNorm
    norm_hidden: eqx.nn.LayerNorm
    attention: eqx.nn.MultiheadAttention
    first: Dense
    second: Dense

    def __init__(self, key: Key[Array, ""], width: int):
        keys = jr.split(key, 3)
        self.norm_attention = eqx.nn.LayerNorm(width)
        self.norm_hidden = eqx.nn.LayerNorm(width)
        self.attention = attention(keys[0], width)
        self.first = dense(keys[1], width, 2 * width, 1.0)
        self.second = dense(keys[2], 2 * width, width, 0.5)

    def __call__(
        self, hidden: Float[Array, "rows width"], present: Float[Array, " rows"]
    ) -> Float[Array, "rows width"]:
        """Let every row attend to those present."""
        read = jax.vmap(self.norm_attention)(hidden)
        hidden = hidden + attend(self.attention, read, read, present)

        def perceptron(row: Array) -> Array:
            return self.second(jax.nn.silu(self.first(self.norm_hidden(row))))

        return hidden + jax.vmap(perceptron)(hidden)


class Encoder(eqx.Module):
    """Rows to tokens, which then attend to each other.

    Attributes:
        first: Brings a row to the width of the tokens.
        blocks: Blocks of self-attention.
        norm: Normalization of what comes out.
    """

    first: Dense
    blocks: tuple[AttentionBlock, ...]
    norm: eqx.nn.LayerNorm

    def __init__(
        self, key: Key[Array, ""], num_channels: int, width: int, num_blocks: int
    ):
        key_first, *keys = jr.split(key, num_blocks + 1)
        self.first = dense(key_first, num_channels, width, 1.0)
        self.blocks = tuple(AttentionBlock(k, width) for k in keys)
        self.norm = eqx.nn.LayerNorm(width)

    def __call__(
        self,
        rows: Float[Array, "rows channels"],
        present: Float[Array, " rows"],
        marks: Float[Array | np.ndarray, "rows width"] | float = 0.0,
    ) -> Float[Array, "rows width"]:
        """Return the tokens; ``marks`` are added to them first."""
        hidden = jax.vmap(self.first)(rows) + marks
        for block in self.blocks:
            hidden = block(hidden, present)
        return jax.vmap(self.norm)(hidden)
