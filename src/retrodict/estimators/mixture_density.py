r"""Mixture density network: a mixture of Gaussians with full covariance.

.. math::
    q(\theta | c) = \sum_k \pi_k(c)\, \mathcal{N}\big(T(c)(\theta - \mu(c));\,
    m_k(c), (T_k(c)^\top T_k(c))^{-1}\big)\, |\det T(c)|

The value is whitened first, so that components start near a regression and only share
out what is left of it. It is the right choice where a posterior has a few separate
modes of simple shape, and the cheapest of the densities; thin curved posteriors need
more components than there are simulations to train them.

Source: Bishop (1994), Mixture density networks, Aston University NCRG/94/004, eqs. 22
to 29.
Deviations from the source: full covariances instead of isotropic ones; the conditional
whitening; log-scales of components are kept within +-4 by a hyperbolic tangent, because
a component that shrinks onto one simulation has unbounded likelihood.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jax.scipy.special import logsumexp, ndtr
from jaxtyping import Array, Float, Key

from .._core.seeds import numpy_generator
from ._base import AbstractDensity, Dense, dense, normal_log_prob
from .whitening import Whitening, num_factors, split_factors, unwhiten, whiten


MAX_LOG_SCALE = 4.0
SPREAD = 0.5  # of the means at the start, so that components learn different things


class MixtureDensity(AbstractDensity):
    """Conditional mixture of Gaussians.

    Args:
        key: PRNG key of the initial weights.
        dim: Dimension of the value.
        cond_dim: Dimension of the condition.
        num_components: Number of Gaussians.
        width: Width of the network between condition and components.
        direct_dim: How many trailing entries of the condition are entries of x.
    """

    whitening: Whitening
    from_condition: Dense
    layers: tuple[Dense, ...]
    dim: int = eqx.field(static=True)
    noise_dim: int = eqx.field(static=True)
    num_components: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        dim: int,
        cond_dim: int,
        *,
        num_components: int = 8,
        width: int = 64,
        direct_dim: int = 0,
    ):
        keys = jr.split(key, 5)
        context_dim = cond_dim - direct_dim
        self.dim = dim
        self.noise_dim = dim + 1
        self.num_components = num_components
        self.whitening = Whitening(keys[0], dim, context_dim, direct_dim)
        self.from_condition = dense(keys[1], context_dim, width, 1.0)
        size = 1 + num_factors(dim)
        out = dense(keys[3], width, num_components * size, 0.0)
        start = _spread_means(keys[4], num_components, size, dim)
        self.layers = (
            dense(keys[2], width, width, 1.0),
            eqx.tree_at(lambda layer: layer.bias, out, start),
        )

    def log_prob(
        self, value: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, ""]:
        """Return the normalized log-density of one value, in nats."""
        white, log_det = self.whitening.to_base(value, condition)
        logits, factors = self._components(condition)

        def one(mean: Array, log_diagonal: Array, lower: Any) -> Array:
            noise = whiten(white - mean, log_diagonal, lower)
            return normal_log_prob(noise) + jnp.sum(log_diagonal)

        return logsumexp(jax.nn.log_softmax(logits) + jax.vmap(one)(*factors)) + log_det

    def from_base(
        self, noise: Float[Array, " noise_dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map noise to a draw: the last number picks the component."""
        logits, factors = self._components(condition)
        edges = jnp.cumsum(jax.nn.softmax(logits))[:-1]
        chosen = jnp.sum(ndtr(noise[-1]) > edges)
        mean, log_diagonal, lower = jax.tree.map(lambda part: part[chosen], factors)
        white = unwhiten(noise[:-1], log_diagonal, lower) + mean
        return self.whitening.from_base(white, condition)

    def _components(self, condition):
        """Return the logits, and mean, log-diagonal and lower part of each factor."""
        hidden = jax.nn.silu(self.from_condition(self.whitening.context(condition)))
        first, out = self.layers
        numbers = out(jax.nn.silu(first(hidden))).reshape(self.num_components, -1)
        means, log_diagonals, lowers = jax.vmap(
            lambda row: split_factors(row, self.dim)
        )(numbers[:, 1:])
        bounded = MAX_LOG_SCALE * jnp.tanh(log_diagonals / MAX_LOG_SCALE)
        return numbers[:, 0], (means, bounded, lowers)


def _spread_means(key, num_components, size, dim):
    """Return the first bias: equal weights, unit scales, means a little apart."""
    start = np.zeros((num_components, size), np.float32)
    if num_components > 1 and not isinstance(key, Tracer):
        means = numpy_generator(key).standard_normal((num_components, dim))
        start[:, 1 : 1 + dim] = SPREAD * means
    return jnp.asarray(start.ravel())
