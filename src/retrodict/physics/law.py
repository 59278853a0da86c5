r"""A law of motion, known in part, learned in part, with or without memory.

.. math::
    \dot x(t) = f_{\theta, w}\bigl(x(t),\; x(t - h), \dots, x(t - Kh),\; u(t)\bigr)

:math:`f` may be a network alone (neural), known physics plus a network (universal), act
on more components than are observed (augmented), or look at the past (delayed). It is
solved by the classical Runge-Kutta method with a fixed step :math:`h`; the past between
steps is interpolated linearly (method of steps), before the start it is the initial
state.

Source: Chen et al. (2018), arXiv:1806.07366; Rackauckas et al. (2020),
arXiv:2001.04385; Bellen and Zennaro (2003), Numerical Methods for Delay Differential
Equations, chapter 3.
Deviation: no adjoint equation. A law has few weights and the search is Gauss-Newton,
for which forward-mode derivatives of the discretized law are exact and cheaper.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.runge_kutta import rk4_slope


@dataclass(frozen=True, eq=False)
class Law:
    """The right-hand side of a differential equation, and its step.

    Attributes:
        rate: ``(theta, weights, past, u) -> derivative`` of the state. ``past`` is
            ``(lags + 1, dim)``: the state now, one step ago, two steps ago, ...
        step: Step of the integration.
        lags: How many past states the law looks at.
    """

    rate: Callable[[Any, Any, Array, Array], Array]
    step: float
    lags: int = 0

    def solve(
        self,
        theta: Any,
        weights: Any,
        start: Float[Array, " dim"],
        inputs: Float[Array, "num_steps num_inputs"],
    ) -> Float[Array, "num_steps+1 dim"]:
        """Integrate from ``start``, with inputs that are constant within each step.

        Args:
            theta: Parameters of the known part.
            weights: Weights of the learned part.
            start: Initial state, also the state at all times before.
            inputs: One row per step; a law without inputs still takes rows.

        Returns:
            The states at the start and after each step.
        """
        h = self.step

        def step(past: Array, u: Array) -> tuple[Array, Array]:
            now, at_start = past[0], past[1:]
            at_end = past[:-1]

            def rate(part: float, state: Array) -> Array:
                earlier = at_start + part * (at_end - at_start)
                both = jnp.concatenate([state[None], earlier])
                return self.rate(theta, weights, both, u)

            new = now + h * rk4_slope(rate, now, h)
            return jnp.concatenate([new[None], at_end]), new

        past = jnp.broadcast_to(start, (self.lags + 1, *start.shape))
        states = jax.lax.scan(step, past, inputs)[1]
        return jnp.concatenate([start[None], states])
