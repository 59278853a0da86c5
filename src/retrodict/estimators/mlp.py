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

from ._base import CLIP, AbstractEmbedding, Dense, Frozen, dense


class Block(eqx.Module):
    """Residual block: h + W2 silu(W1 norm(h))."""

    norm: eqx.nn.LayerNorm
    first: Dense
    second: Dense

    def __init__(self, key: Key[Array, ""], width: int):
        key_first, key_second = jr.split(key)
        self.norm = eqx.nn.LayerNorm(width)
        self.first = dense(key_first, width, width, 1.0)
        self.second = dense(key_second, width, width, 0.5)

    def __call__(self, hidden):
        """Apply the block."""
        return hidden + self.second(jax.nn.silu(self.first(self.norm(hidden))))


class MLP(AbstractEmbedding):
    """Embed all series of x, flattened, by a residual perceptron.

    The entries themselves, clipped, follow the learned context.

    Args:
        key: PRNG key of the initial weights.
        edges: Quantile edges ``(columns, num_bins + 1)`` of each flattened entry.
        width: Width of the blocks.
        context_dim: Dimension of the learned part of the result.
        num_blocks: Number of residual blocks.
    """

    edges: Frozen
    first: Dense
    blocks: tuple[Block, ...]
    norm: eqx.nn.LayerNorm
    last: Dense
    out_dim: int = eqx.field(static=True)
    direct_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        edges: Float[Array | np.ndarray, "columns edges"],
        *,
        width: int = 128,
        context_dim: int = 64,
        num_blocks: int = 2,
    ):
        key_first, key_last, *keys = jr.split(key, num_blocks + 2)
        columns, num_edges = edges.shape
        self.edges = Frozen(jnp.asarray(edges))
        self.first = dense(key_first, columns * num_edges, width, 1.0)
        self.blocks = tuple(Block(k, width) for k in keys)
        self.norm = eqx.nn.LayerNorm(width)
        self.last = dense(key_last, width, context_dim, 1.0)
        self.out_dim = context_dim + columns
        self.direct_dim = columns

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        flat = jnp.concatenate([x[name].ravel() for name in sorted(x)])
        direct = jnp.clip(flat, -CLIP, CLIP)
        hidden = self.first(jnp.concatenate([direct, self.code(flat)]))
        for block in self.blocks:
            hidden = block(hidden)
        return jnp.concatenate([self.last(jax.nn.silu(self.norm(hidden))), direct])

    def code(self, flat: Float[Array, " columns"]) -> Float[Array, " codes"]:
        """Return the piecewise-linear code of the entries."""
        edges = jax.lax.stop_gradient(self.edges.value)
        low, high = edges[:, :-1], edges[:, 1:]
        code = jnp.clip((flat[:, None] - low) / (high - low), 0.0, 1.0) - 0.5
        return code.ravel()


def quantile_edges(columns: np.ndarray, num_bins: int) -> np.ndarray:
    """Return quantile edges ``(columns, num_bins + 1)`` of rows ``(n, columns)``.

    Equal quantiles of discrete columns are spread by a hair, so that no bin is empty.
    """
    levels = np.linspace(0.0, 1.0, num_bins + 1)
    edges = np.quantile(columns.astype(np.float64), levels, axis=0).T
    step = 1e-3 * np.arange(num_bins + 1)
    return (np.maximum.accumulate(edges - step, axis=1) + step).astype(np.float32)
