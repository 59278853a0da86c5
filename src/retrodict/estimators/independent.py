r"""Normal entries, independent given the condition, known exactly or to a cell.

.. math::
    \log q(y | c) = \sum_i \log\left[\Phi\left(\frac{b_i - \mu_i(c)}{\sigma_i(c)}\right)
    - \Phi\left(\frac{a_i - \mu_i(c)}{\sigma_i(c)}\right)\right]

for an entry that lies between :math:`a_i` and :math:`b_i`; the density itself where it
is known exactly. It is how measurements often scatter about what a model predicts, and
counts are cells: no noise has to be added to make them continuous.

Source: Nix, Weigend (1994), Estimating the mean and variance of the target probability
distribution, IEEE ICNN 1, 55 (location and scale); Heitjan (1989), Inference from
grouped continuous data, Statistical Science 4, 164 (cells).
Deviations from the source: none.
"""

import math

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float, Key

from ._base import AbstractDensity, Dense, dense


NARROW = 0.02  # half-widths, in sd, below which mass is density times width
LEAST = 1e-6  # log-ratio of the two tails, below which their difference is lost
BELOW = -1.0  # half-width of a cell without a lower edge


class Independent(AbstractDensity):
    """Normal entries with a location and a scale each.

    A value has two numbers for each entry: first the middles of all cells, then half
    their widths. A half-width of 0 is an entry that is known exactly; one of -1 a cell
    without a lower edge, whose upper edge stands in place of the middle.

    Args:
        key: PRNG key of the initial weights.
        dim: Two for each entry.
        cond_dim: Dimension of the condition.
    """

    head: Dense
    dim: int = eqx.field(static=True)
    noise_dim: int = eqx.field(static=True)

    def __init__(self, key: Key[Array, ""], dim: int, cond_dim: int):
        self.dim = dim
        self.noise_dim = dim // 2
        self.head = dense(key, cond_dim, dim, 0.0)

    def log_prob(
        self, value: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, ""]:
        """Return the log of the mass of the cells, or of the density, in nats."""
        location, log_scale = jnp.split(self.head(condition), 2)
        middle, half = jnp.split(value, 2)
        z = (middle - location) * jnp.exp(-log_scale)
        width = half * jnp.exp(-log_scale)
        density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
        exact, below = half == 0, half == BELOW
        log_width = jnp.log(2 * _safe(width, exact | below))
        thin = density + jnp.where(exact, -log_scale, log_width)
        narrow = (width < NARROW) & ~below
        mass = _log_mass(_safe(z, narrow), _safe(width, narrow | below), below)
        return jnp.sum(jnp.where(narrow, thin, mass))

    def from_base(
        self, noise: Float[Array, " noise_dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map standard normal noise to entries that are known exactly."""
        location, log_scale = jnp.split(self.head(condition), 2)
        middle = location + jnp.exp(log_scale) * noise
        return jnp.concatenate([middle, jnp.zeros_like(middle)])


def _safe(values: Array, unused: Array) -> Array:
    """Put a harmless number where a branch is not used: its gradient must be finite."""
    return jnp.where(unused, 1.0, values)


def _log_mass(z: Array, width: Array, below: Array) -> Array:
    """Return the log of the mass from z - width to z + width, or of all below z."""
    upper, lower = jnp.where(below, z, z + width), z - width
    right = (lower > 0) & ~below  # there both tails are read from the other side
    far, near = jnp.where(right, -lower, upper), jnp.where(right, -upper, lower)
    log_far = log_ndtr(far)
    ratio = jnp.minimum(log_ndtr(near) - log_far, -LEAST)
    return log_far + jnp.where(below, 0.0, jnp.log(-jnp.expm1(ratio)))
