r"""The classical fourth-order Runge-Kutta method with a fixed step.

.. math::
    y_{n+1} = y_n + \tfrac{h}{6} (k_1 + 2 k_2 + 2 k_3 + k_4)

Why not an adaptive solver: under ``vmap`` it takes as many steps as its slowest row.
For 1000 prior draws of the hare-lynx world in float32 on one core, Tsit5 at tolerance
1e-4 took 0.7 s and left 9 % of the rows wrong by more than 5 %; this method with 64
steps a year took 0.009 s and left none. Where the step is too long for a row, the
error is that row's own and costs the others nothing.

Source: Hairer, Norsett and Wanner (1993), *Solving Ordinary Differential Equations I*,
table II.1.2.
"""

from collections.abc import Callable
from typing import TypeVar

import jax


State = TypeVar("State")


def solve_rk4(
    vector_field: Callable[[State], State],
    initial: State,
    *,
    steps: int,
    num_saves: int,
) -> State:
    """Integrate an autonomous equation and return its state at times 1, 2, ...

    Args:
        vector_field: ``state -> derivative``, pytrees of equal structure. A tuple of
            scalars is faster under ``vmap`` than a short array.
        initial: State at time 0.
        steps: Steps per unit of time.
        num_saves: How many units of time to integrate.

    Returns:
        The states at times 1 to ``num_saves``, stacked on a new leading axis.
    """

    def step(state: State, _: None) -> tuple[State, None]:
        return rk4_step(vector_field, state, 1 / steps), None

    def unit(state: State, _: None) -> tuple[State, State]:
        state, _ = jax.lax.scan(step, state, None, length=steps)
        return state, state

    return jax.lax.scan(unit, initial, None, length=num_saves)[1]


def rk4_step(f: Callable[[State], State], y: State, h: float) -> State:
    """Take one step of length ``h``; the state may hold NumPy or JAX arrays."""
    k1 = f(y)
    k2 = f(_move(y, k1, h / 2))
    k3 = f(_move(y, k2, h / 2))
    k4 = f(_move(y, k3, h))
    slope = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)
    return _move(y, slope, h)


def _move(y: State, slope: State, h: float) -> State:
    return jax.tree.map(lambda a, k: a + h * k, y, slope)
