"""Minimization where the negative log-posterior is no sum of squares.

Adam brings the unknowns into the valley, BFGS to its bottom.

Source: Kingma and Ba (2015), arXiv:1412.6980 (optax); Nocedal and Wright (2006),
chapter 6 (scipy).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
from jaxtyping import Array, Float


ADAM_RATE = 1e-2


def descend(
    loss: Callable[[Array], Array], z: Float[Array, " total"], num_steps: int
) -> Float[Array, " total"]:
    """Take Adam steps with a cosine schedule and return the best point on the way."""
    optimizer = optax.adam(optax.cosine_decay_schedule(ADAM_RATE, num_steps))

    def step(carry: Any, _: None) -> tuple[Any, None]:
        z, state, best, lowest = carry
        value, gradient = jax.value_and_grad(loss)(z)
        better = value < lowest
        best, lowest = jnp.where(better, z, best), jnp.where(better, value, lowest)
        updates, state = optimizer.update(jnp.nan_to_num(gradient), state)
        return (z + updates, state, best, lowest), None

    start = (z, optimizer.init(z), z, jnp.asarray(jnp.inf))
    return jax.jit(lambda s: jax.lax.scan(step, s, None, length=num_steps)[0][2])(start)


def bfgs(
    loss: Callable[[Array], Array], z: Float[Array, " total"], max_steps: int
) -> tuple[Float[Array, " total"], bool, int]:
    """Minimize by BFGS; return the point, whether it converged, and the steps taken."""
    value_and_grad = jax.jit(jax.value_and_grad(loss))

    def function(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_grad(jnp.asarray(z))
        return float(value), np.asarray(gradient)

    options = {"maxiter": max_steps, "gtol": 1e-6}
    found = scipy.optimize.minimize(
        function, np.asarray(z), jac=True, method="BFGS", options=options
    )
    # Where rounding hides the decrease, BFGS stops before its gradient is below gtol.
    good = found.success or np.abs(found.jac).max() < 1e-4
    return jnp.asarray(found.x), bool(good), int(found.nit)
