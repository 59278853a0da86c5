r"""Residual perceptron on piecewise-linear features: the default embedding of vectors.

Each standardized entry of x enters raw and through a soft one-hot code over quantile
bins, :math:`f_t(z) = \mathrm{clip}((z - e_t)/(e_{t+1} - e_t), 0, 1)`, then residual
blocks with layer normalization compress it.

Source: Gorishniy, Rubachev, Babenko (2022), On embeddings for numerical features in
tabular deep learning, arXiv:2203.05556, eq. 1; blocks as in Gorishniy et al. (2021),
arXiv:2106.11959, sec. 3.2.
Deviations from the source: features are centred; the raw value is kept beside them.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ._base import AbstractEmbedding, Frozen, dense, dropout


class Block(eqx.Module):
    """Residual block: h + W2 silu(W1 norm(h))."""

    norm: eqx.nn.LayerNorm
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    rate: float = eqx.field(static=True)

    def __init__(self, key: Key[Array, ""], width: int, rate: float):
        self.rate = rate
        key_first, key_second = jr.split(key)
        self.norm = eqx.nn.LayerNorm(width)
        self.first = dense(key_first, width, width, 1.0)
        self.second = dense(key_second, width, width, 0.5)

    def __call__(self, hidden, key=None):
        """Apply the block."""
        inner = jax.nn.silu(self.first(self.norm(hidden)))
        return hidden + self.second(dropout(key, inner, self.rate))


class MLP(AbstractEmbedding):
    """Embed all series of x, flattened, by a residual perceptron.

    Args:
        key: PRNG key of the initial weights.
        edges: Quantile edges ``(columns, num_bins + 1)`` of each flattened entry.
        width: Width of the blocks.
        out_dim: Dimension of the result.
        num_blocks: Number of residual blocks.
        dropout_rate: Share of hidden units silenced in training.
    """

    edges: Frozen
    first: eqx.nn.Linear
    blocks: tuple[Block, ...]
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear
    out_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        edges: Float[Array | np.ndarray, "columns edges"],
        *,
        width: int = 128,
        out_dim: int = 64,
        num_blocks: int = 2,
        dropout_rate: float = 0.0,
    ):
        key_first, key_last, *keys = jr.split(key, num_blocks + 2)
        columns, num_edges = edges.shape
        self.edges = Frozen(jnp.asarray(edges))
        self.first = dense(key_first, columns * num_edges, width, 1.0)
        self.blocks = tuple(Block(k, width, dropout_rate) for k in keys)
        self.norm = eqx.nn.LayerNorm(width)
        self.last = dense(key_last, width, out_dim, 1.0)
        self.out_dim = out_dim

    def __call__(
        self, x: Mapping[str, Array], key: Key[Array, ""] | None = None
    ) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        flat = jnp.concatenate([x[name].ravel() for name in sorted(x)])
        hidden = self.first(self.features(flat))
        for number, block in enumerate(self.blocks):
            key_block = None if key is None else jr.fold_in(key, number)
            hidden = block(hidden, key_block)
        return self.last(jax.nn.silu(self.norm(hidden)))

    def features(self, flat: Float[Array, " columns"]) -> Float[Array, " features"]:
        """Return raw entries and their piecewise-linear code."""
        edges = jax.lax.stop_gradient(self.edges.value)
        low, high = edges[:, :-1], edges[:, 1:]
        code = jnp.clip((flat[:, None] - low) / (high - low), 0.0, 1.0) - 0.5
        return jnp.concatenate([jnp.clip(flat, -10.0, 10.0), code.ravel()])


def quantile_edges(columns: np.ndarray, num_bins: int) -> np.ndarray:
    """Return quantile edges ``(columns, num_bins + 1)`` of rows ``(n, columns)``.

    Equal quantiles of discrete columns are spread by a hair, so that no bin is empty.
    """
    levels = np.linspace(0.0, 1.0, num_bins + 1)
    edges = np.quantile(columns.astype(np.float64), levels, axis=0).T
    step = 1e-3 * np.arange(num_bins + 1)
    return (np.maximum.accumulate(edges - step, axis=1) + step).astype(np.float32)
