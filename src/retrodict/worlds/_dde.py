r"""Delay differential equations by the method of steps; the delay may be inferred.

.. math::
    \dot y(t) = f\big(t, y(t), y(t - \tau)\big), \qquad y(t) = 0 \text{ for } t \le 0.

The classical Runge-Kutta method on a fixed grid keeps states and slopes; the past is
read off them by cubic Hermite interpolation, so that the delay is an ordinary traced
number which may differ from row to row and be differentiated. A delay shorter than a
step reads beyond the newest grid point along its tangent.

Source: Bellen and Zennaro (2003), *Numerical Methods for Delay Differential Equations*,
chapters 3 and 6.
Deviation from the source: the grid does not follow the points where the solution is not
smooth (multiples of the delay); the error there is of second order in the step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.runge_kutta import rk4_slope


def solve_delay(
    vector_field: Callable[[Array, Array, Array], Array],
    dim: int,
    delay: Float[Array, ""],
    *,
    step: float,
    num_steps: int,
) -> Float[Array, "times dim"]:
    """Integrate from rest and return the states after 1, 2, ... steps.

    Args:
        vector_field: ``(t, y(t), y(t - delay)) -> derivative``.
        dim: Length of y.
        delay: The delay, not negative, in units of time.
        step: Length of a step.
        num_steps: Number of steps.
    """
    delay = jnp.asarray(delay)
    # Split once: whole steps and a fraction that rounded apart would name two places.
    whole = jnp.floor(delay / step).astype(int)
    fraction = delay / step - whole
    empty = jnp.zeros((num_steps + 1, dim), delay.dtype)

    def advance(carry: tuple[Array, Array], index: Array) -> tuple:
        states, slopes = carry
        t, y = index * step, states[index]

        def field(part: float, y: Array) -> Array:
            back = part - fraction
            down = jnp.floor(back)
            place = index - whole + down.astype(int), back - down
            past = _interpolate(states, slopes, index, place, step)
            return vector_field(t + part * step, y, past)

        k1 = field(0.0, y)
        # The slope must be known before the past is read off the newest point.
        slopes = slopes.at[index].set(k1)
        new = y + step * rk4_slope(field, y, step, first=k1)
        return (states.at[index + 1].set(new), slopes), None

    (states, _), _ = jax.lax.scan(advance, (empty, empty), jnp.arange(num_steps))
    return states[1:]


def _interpolate(
    states: Float[Array, "grid dim"],
    slopes: Float[Array, "grid dim"],
    newest: Array,
    place: tuple[Array, Array],
    step: float,
) -> Float[Array, " dim"]:
    """Read the state at a cell of the grid and a place in [0, 1) within it."""
    cell, within = place
    left = jnp.clip(cell, 0, jnp.maximum(newest - 1, 0))
    s = within + (cell - left)
    y0, y1 = states[left], states[left + 1]
    f0, f1 = step * slopes[left], step * slopes[left + 1]
    inside = (
        (1 + 2 * s) * (1 - s) ** 2 * y0
        + s * (1 - s) ** 2 * f0
        + s**2 * (3 - 2 * s) * y1
        + s**2 * (s - 1) * f1
    )
    ahead = (cell - newest) + within
    beyond = states[newest] + ahead * step * slopes[newest]
    value = jnp.where(ahead > 0, beyond, inside)
    return jnp.where(cell >= 0, value, 0.0)
