r"""Averages of learned local features, for fields on a ring that keep their law.

A series ``(times, sites)`` or ``(times, sites, channels)`` is read in patches of ``2 r
+ 1`` neighbouring sites at two successive times. Every patch gives the same features
(see ``local_features``), products of two learned linear forms and nonlinear ones, whose
average over all sites and times goes through a small perceptron. Products make
every covariance between neighbours, at one time or at two, an average of features. Use
it where all sites and times follow one law, so that only averages can matter: it is a
periodic convolution of one layer, pooled over the whole field.

Source: a bilinear variant of Lin et al. (2014), Network in network, arXiv:1312.4400;
averages over parts that can be exchanged as in Zaheer et al. (2017), Deep sets,
arXiv:1703.06114.
Deviations from the source: one layer before the average, because it is the layer on
the whole field that costs the time.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import AbstractSeriesEmbedding, Dense, dense
from .local_features import mean_features


class LocalAverage(AbstractSeriesEmbedding):
    """Embed one field ``(times, sites)``, with or without channels, on a ring.

    Args:
        key: PRNG key of the initial weights.
        name: Which series of x.
        shape: Its shape.
        width: Number of features of each of the two kinds.
        radius: How many neighbours on each side a patch has; fewer on a small ring.
        out_dim: Dimension of the result.
    """

    local: Dense
    hidden: Dense
    last: Dense
    name: str = eqx.field(static=True)
    radius: int = eqx.field(static=True)
    out_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        name: str,
        shape: tuple[int, ...],
        *,
        width: int = 16,
        radius: int = 2,
        out_dim: int = 64,
    ):
        if len(shape) not in (2, 3) or shape[0] < 2:
            raise ValueError(
                "shape: Expected (times, sites) or (times, sites, channels) with two "
                f"times or more for the series {name!r}; got {shape}."
            )
        radius = min(radius, (shape[1] - 1) // 2)
        key_local, key_hidden, key_last = jr.split(key, 3)
        patch = 2 * (2 * radius + 1) * (shape[2] if len(shape) == 3 else 1)
        self.local = dense(key_local, patch, 3 * width, 1.0)
        self.hidden = dense(key_hidden, 2 * width, 2 * out_dim, 1.0)
        self.last = dense(key_last, 2 * out_dim, out_dim, 1.0)
        self.name = name
        self.radius = radius
        self.out_dim = out_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        field = jnp.clip(x[self.name], -10.0, 10.0)
        field = field.reshape(*field.shape[:2], -1)
        shifts = range(-self.radius, self.radius + 1)
        near = jnp.concatenate([jnp.roll(field, shift, axis=1) for shift in shifts], -1)
        patches = jnp.concatenate([near[:-1], near[1:]], axis=-1)
        features = mean_features(self.local, patches)
        return self.last(jax.nn.silu(self.hidden(features)))
