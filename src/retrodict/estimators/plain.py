"""Plain perceptron: smooth functions of a few vector entries.

Layers of ``silu`` units, without the bins and the normalization of :class:`MLP`: it
bends less sharply, and where a curve is to be learned from few points it errs less
between them. The entries themselves follow its last layer.

Source: Hendrycks, Gimpel (2016), Gaussian error linear units, arXiv:1606.08415, sec. 2
(the unit); weights start as in He et al. (2015), arXiv:1502.01852, eq. 10.
Deviations from the source: none.
"""

import math
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import CLIP, AbstractEmbedding, Dense, dense


class Plain(AbstractEmbedding):
    """Embed all series, flattened, by a plain perceptron.

    Args:
        key: PRNG key of the initial weights.
        columns: Entries of all series.
        width: Width of every layer.
        depth: Number of layers.
    """

    layers: tuple[Dense, ...]
    out_dim: int = eqx.field(static=True)
    direct_dim: int = eqx.field(static=True)

    def __init__(self, key: Key[Array, ""], columns: int, *, width: int, depth: int):
        sizes = [columns] + [width] * (depth - 1)
        self.layers = tuple(
            dense(one, size, width, math.sqrt(2))
            for one, size in zip(jr.split(key, depth), sizes, strict=True)
        )
        self.out_dim = width + columns
        self.direct_dim = columns

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        flat = jnp.concatenate([x[name].ravel() for name in sorted(x)])
        direct = hidden = jnp.clip(flat, -CLIP, CLIP)
        for layer in self.layers:
            hidden = jax.nn.silu(layer(hidden))
        return jnp.concatenate([hidden, direct])
