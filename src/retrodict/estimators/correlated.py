r"""Normal entries that depend on each other, with a law for every condition.

.. math::
    \log q(y | c) = \log \mathcal{N}\big((1 + L(c))\, z\big) - \sum_i \log\sigma_i(c),
    \qquad z_i = \frac{y_i - \mu_i(c)}{\sigma_i(c)}

with L strictly lower triangular. Both sides of L are free of units: where entries
scatter by a thousandth or by a thousand it stays what it is, and where the correlation
of two entries does not change with the condition, neither does L.

Source: Williams (1996), Using neural networks to model conditional multivariate
densities, Neural Computation 8, sec. 2 (the factor of the precision); Price, Drovandi,
Lee, Nott (2018), Bayesian synthetic likelihood, JCGS 27, for its use as a likelihood.
Deviations from the source: the factor is split into scales and a unit triangle; means
and covariances are learned for all theta at once, not estimated at one.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Key

from ._base import AbstractDensity, Dense, dense, normal_log_prob
from .whitening import num_factors


class Correlated(AbstractDensity):
    """Normal entries with a location, a scale and a dependence on those before.

    Args:
        key: PRNG key of the initial weights.
        dim: Number of entries.
        cond_dim: Dimension of the condition.
    """

    head: Dense
    dim: int = eqx.field(static=True)
    noise_dim: int = eqx.field(static=True)

    def __init__(self, key: Key[Array, ""], dim: int, cond_dim: int):
        self.dim = dim
        self.noise_dim = dim
        self.head = dense(key, cond_dim, num_factors(dim), 0.0)

    def log_prob(
        self, value: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, ""]:
        """Return the log-density of one value, in nats."""
        location, log_scale, factor = self._law(condition)
        z = (value - location) * jnp.exp(-log_scale)
        return normal_log_prob(factor @ z) - jnp.sum(log_scale)

    def from_base(
        self, noise: Float[Array, " noise_dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map standard normal noise to a value."""
        location, log_scale, factor = self._law(condition)
        z = solve_triangular(factor, noise, lower=True, unit_diagonal=True)
        return location + jnp.exp(log_scale) * z

    def _law(self, condition):
        """Return location, log-scale and the unit triangle.

        The triangle is a matrix, not rows as in :func:`.whiten`: entries of x are many,
        and draws of 32 compile in .3 s instead of 8.
        """
        ends = [self.dim, 2 * self.dim]
        location, log_scale, below = jnp.split(self.head(condition), ends)
        row, column = np.tril_indices(self.dim, -1)
        unit = jnp.eye(self.dim, dtype=below.dtype)
        return location, log_scale, unit.at[row, column].set(below)
