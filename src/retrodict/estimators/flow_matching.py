r"""Conditional flow matching: a velocity field that carries noise to the posterior.

A network learns the mean velocity of straight lines from noise :math:`z \sim N(0, I)`
to whitened values v,

.. math::
    L = E\big\| u(t, (1 - t) z + t v; c) - (v - z) \big\|^2 , \qquad t \sim U[0, 1] ;

the flow of the ordinary differential equation :math:`\dot y = u(t, y; c)` carries
:math:`N(0, I)` at t = 0 to the density of v at t = 1. Its log-density is

.. math:: \log q(v) = \log N(y(0)) - \int_0^1 \mathrm{tr}\, \partial_y u \, dt

with the exact trace, integrated with the path by Runge-Kutta steps of order four.
Training never solves the equation and the network may have any shape; log-densities and
draws cost some hundred passes of it.

The field is that of a Gaussian and a learned rest,
:math:`u = y\,(2t - 1) / s^2 + r(t, y/s; c)` with :math:`s^2 = t^2 + (1 - t)^2`: without
the rest the flow is the identity. The whitening is learned by the log-density of its
own Gaussian, which is added to L, and L does not move it.

Source: Lipman et al. (2023), Flow matching for generative modeling, arXiv:2210.02747,
eqs. 20 to 23; Wildberger et al. (2023), Flow matching for scalable simulation-based
inference, arXiv:2305.17161, eq. 8.
Deviations from the source: no smallest width of the lines (it is 0); times are uniform;
the whitening and the Gaussian part of the field.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .._core.runge_kutta import along, rk4_slope
from ._base import AbstractFlow, Dense, dense, normal_log_prob
from .whitening import Whitening


NUM_LINES = 8  # lines drawn for one value in one step: what is dear is the embedding
NUM_STEPS = 24  # of the integration
NUM_WAVES = 3  # of the time
FAR = 6.0  # standard deviations


class FlowMatching(AbstractFlow):
    """Density at the end of a learned flow.

    Args:
        key: PRNG key of the initial weights.
        dim: Dimension of the value.
        cond_dim: Dimension of the condition.
        num_layers: Residual layers of the velocity.
        width: Their width.
        direct_dim: How many trailing entries of the condition are entries of x.
    """

    whitening: Whitening
    from_condition: Dense
    layers: tuple[Dense, ...]
    dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        dim: int,
        cond_dim: int,
        *,
        num_layers: int = 4,
        width: int = 64,
        direct_dim: int = 0,
    ):
        keys = jr.split(key, num_layers + 4)
        context_dim = cond_dim - direct_dim
        self.dim = dim
        self.whitening = Whitening(keys[0], dim, context_dim, direct_dim)
        self.from_condition = dense(keys[1], context_dim, width, 1.0)
        self.layers = (
            dense(keys[2], dim + 1 + 2 * NUM_WAVES, width, 1.0),
            *(dense(keys[i + 4], width, width, 0.5) for i in range(num_layers)),
            dense(keys[3], width, dim, 0.0),
        )

    def loss_rows(
        self,
        key: Key[Array, ""],
        values: Float[Array, "n dim"],
        conditions: Float[Array, "n cond_dim"],
    ) -> Float[Array, " n"]:
        """Return the loss of many values, each with times and noise of its own."""
        return jax.vmap(self._loss)(jr.split(key, len(values)), values, conditions)

    def _loss(
        self,
        key: Key[Array, ""],
        value: Float[Array, " dim"],
        condition: Float[Array, " cond_dim"],
    ) -> Float[Array, ""]:
        """Return the squared error of the velocity and -log of the Gaussian's density.

        Only the second term is in nats.
        """
        white, log_det = self.whitening.to_base(value, condition)
        target = jax.lax.stop_gradient(white)
        key_time, key_noise = jr.split(key)
        # spread evenly over the unit interval: less noise than independent times
        times = (jnp.arange(NUM_LINES) + jr.uniform(key_time)) / NUM_LINES
        noise = jr.normal(key_noise, (NUM_LINES, self.dim))
        points = (1 - times[:, None]) * noise + times[:, None] * target
        hidden = self.from_condition(self.whitening.context(condition))
        found = jax.vmap(lambda t, y: self._velocity(t, y, hidden))(times, points)
        errors = jnp.sum((found - (target - noise)) ** 2, axis=1)
        return jnp.mean(errors) - normal_log_prob(white) - log_det

    def to_base(
        self, value: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """Map a value to base noise; also return log |det dnoise/dvalue|."""
        white, log_det = self.whitening.to_base(value, condition)
        hidden = self.from_condition(self.whitening.context(condition))

        def rates(t, state):
            slope, jacobian = _with_jacobian(
                lambda y: self._velocity(t, y, hidden), state[0]
            )
            return slope, jnp.trace(jacobian)

        noise, more = _integrate(rates, (white, jnp.zeros_like(log_det)), 1.0, 0.0)
        return noise, log_det + more

    def from_base(
        self, noise: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map base noise to a value."""
        hidden = self.from_condition(self.whitening.context(condition))
        white = _integrate(lambda t, y: self._velocity(t, y, hidden), noise, 0.0, 1.0)
        return self.whitening.from_base(white, condition)

    def _velocity(self, t, y, hidden):
        """Return the velocity at one time and place."""
        variance = t**2 + (1 - t) ** 2
        waves = jnp.pi * t * jnp.arange(1, NUM_WAVES + 1)
        # the learned rest sees no place further off than noise reaches: beyond, the
        # flow is that of the Gaussian, and the map stays finite and invertible
        place = FAR * jnp.tanh(y / jnp.sqrt(variance) / FAR)
        inputs = [place, t[None] - 0.5, jnp.sin(waves), jnp.cos(waves)]
        first, *middle, last = self.layers
        hidden = hidden + first(jnp.concatenate(inputs))
        for layer in middle:
            hidden = hidden + layer(jax.nn.silu(hidden))
        return y * (2 * t - 1) / variance + last(jax.nn.silu(hidden))


def _with_jacobian(function, y):
    """Return a function's value and Jacobian from one pass in every direction."""
    basis = jnp.eye(y.size, dtype=y.dtype)
    values, columns = jax.vmap(lambda e: jax.jvp(function, (y,), (e,)))(basis)
    return values[0], columns.T


def _integrate(rates, state, begin, end):
    """Take fixed steps of order four from one time to another."""
    h = (end - begin) / NUM_STEPS

    def step(state, number):
        def rate(part, y):
            return rates(begin + h * (number + part), y)

        return along(state, rk4_slope(rate, state, h), h), None

    numbers = jnp.arange(NUM_STEPS, dtype=jax.tree.leaves(state)[0].dtype)
    return jax.lax.scan(step, state, numbers)[0]
