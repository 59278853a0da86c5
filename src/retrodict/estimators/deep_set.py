r"""Deep sets: one network for every row of a set, and one for their average.

.. math:: h(X) = \rho\Big(\frac1n \sum_i \phi(x_i),\; \max_i \phi(x_i),\; \log(1+n)\Big)

The result is the same for every order of the rows, whatever the weights. It suits rows
that are independent given theta, whose likelihood is a sum over them.

Source: Zaheer et al. (2017), Deep sets, arXiv:1703.06114, theorem 2.
Deviations from the source: the average and the maximum beside the number of rows
instead of the sum, so that sets of any size keep the same scale.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import AbstractSeriesEmbedding, Dense, dense
from .rows import log_count, masked_max, masked_mean, read_rows


class DeepSet(AbstractSeriesEmbedding):
    """Embed one set ``(rows, channels)``, whatever the order of its rows.

    Args:
        key: PRNG key of the initial weights.
        name: Which series of x.
        shape: Its standardized shape.
        missing: Whether the second half of the channels tells which values are there.
        width: Width of both networks.
        out_dim: Dimension of the result.
    """

    each: tuple[Dense, ...]
    after: tuple[Dense, ...]
    name: str = eqx.field(static=True)
    missing: bool = eqx.field(static=True)
    out_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        name: str,
        shape: tuple[int, ...],
        *,
        missing: bool = False,
        width: int = 64,
        out_dim: int = 64,
    ):
        keys = jr.split(key, 5)
        self.each = (
            dense(keys[0], shape[-1], width, 1.0),
            dense(keys[1], width, width, 1.0),
            dense(keys[2], width, width, 1.0),
        )
        self.after = (
            dense(keys[3], 2 * width + 1, width, 1.0),
            dense(keys[4], width, out_dim, 1.0),
        )
        self.name = name
        self.missing = missing
        self.out_dim = out_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        inputs, present = read_rows(x[self.name], self.missing)
        hidden = jax.vmap(self._row)(inputs)
        pooled = [masked_mean(hidden, present), masked_max(hidden, present)]
        first, last = self.after
        return last(jax.nn.silu(first(jnp.concatenate([*pooled, log_count(present)]))))

    def _row(self, row):
        first, second, third = self.each
        return third(jax.nn.silu(second(jax.nn.silu(first(row)))))
