r"""Masked attention between rows, and the block made of it.

.. math:: A(Q, R) = \mathrm{softmax}\big(Q W_q (R W_k)^\top / \sqrt{d}\big)\, R W_v

Rows that are absent get no weight. A block adds attention, then a perceptron, each to
what it reads after normalization by row.

Source: Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762, eq. 1 and
sec. 3.2.2; Xiong et al. (2020), arXiv:2002.04745, sec. 3 (normalization first).
Deviations from the source: no dropout.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import Dense, dense


class Attention(eqx.Module):
    """Multi-head attention of queries to rows.

    Attributes:
        query: Of the queries.
        key_value: Of the rows: keys, then values.
        out: After the heads are joined.
        num_heads: Number of heads.
    """

    query: Dense
    key_value: Dense
    out: Dense
    num_heads: int = eqx.field(static=True)

    def __init__(self, key: Key[Array, ""], width: int, num_heads: int):
        keys = jr.split(key, 3)
        self.query = dense(keys[0], width, width, 1.0)
        self.key_value = dense(keys[1], width, 2 * width, 1.0)
        self.out = dense(keys[2], width, width, 0.5)
        self.num_heads = num_heads

    def __call__(
        self,
        queries: Float[Array, "queries width"],
        rows: Float[Array, "rows width"],
        present: Float[Array, " rows"],
    ) -> Float[Array, "queries width"]:
        """Gather what each query asks for from the rows that are present."""
        count, width = queries.shape
        heads = width // self.num_heads
        q = jax.vmap(self.query)(queries).reshape(count, self.num_heads, heads)
        both = jax.vmap(self.key_value)(rows).reshape(len(rows), 2, self.num_heads, -1)
        k, v = both[:, 0], both[:, 1]
        scores = jnp.einsum("qhd,rhd->hqr", q, k) / jnp.sqrt(
            jnp.asarray(heads, q.dtype)
        )
        # a set without any row: equal weights of nothing, not 0/0
        masked = jnp.where(present > 0, scores, -1e9)
        weights = jax.nn.softmax(masked, axis=-1) * present
        gathered = jnp.einsum("hqr,rhd->qhd", weights, v).reshape(count, width)
        return jax.vmap(self.out)(gathered)


class AttentionBlock(eqx.Module):
    """Attention and a perceptron, each added to its input."""

    norm_attention: eqx.nn.LayerNorm
    norm_hidden: eqx.nn.LayerNorm
    attention: Attention
    first: Dense
    second: Dense

    def __init__(self, key: Key[Array, ""], width: int, num_heads: int):
        keys = jr.split(key, 3)
        self.norm_attention = eqx.nn.LayerNorm(width)
        self.norm_hidden = eqx.nn.LayerNorm(width)
        self.attention = Attention(keys[0], width, num_heads)
        self.first = dense(keys[1], width, 2 * width, 1.0)
        self.second = dense(keys[2], 2 * width, width, 0.5)

    def __call__(
        self, hidden: Float[Array, "rows width"], present: Float[Array, " rows"]
    ) -> Float[Array, "rows width"]:
        """Let every row attend to those present."""
        read = jax.vmap(self.norm_attention)(hidden)
        hidden = hidden + self.attention(read, read, present)

        def perceptron(row: Array) -> Array:
            return self.second(jax.nn.silu(self.first(self.norm_hidden(row))))

        return hidden + jax.vmap(perceptron)(hidden)
