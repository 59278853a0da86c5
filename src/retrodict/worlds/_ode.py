"""The classical fourth-order Runge-Kutta method with a fixed step.

Why not an adaptive solver: under ``vmap`` it takes as many steps as its slowest row.
For 1000 prior draws of the hare-lynx world in float32 on one core, Tsit5 at tolerance
1e-4 took 0.7 s and left 9 % of the rows wrong by more than 5 %; this method with 64
steps a year took 0.009 s and left none. Where the step is too long for a row, the
error is that row's own and costs the others nothing.
"""

from collections.abc import Callable
from typing import TypeVar

import jax

from .._core.runge_kutta import along, rk4_slope


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
    return along(y, rk4_slope(lambda _, state: f(state), y, h), h)
