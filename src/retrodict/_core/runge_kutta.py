r"""The slope of one step of the classical fourth-order Runge-Kutta method.

.. math::
    y_{n+1} = y_n + \tfrac{h}{6} (k_1 + 2 k_2 + 2 k_3 + k_4)

Source: Hairer, Norsett and Wanner (1993), *Solving Ordinary Differential Equations I*,
table II.1.2.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax


State = TypeVar("State")


def rk4_slope(
    rate: Callable[[float, State], State], y: State, h: Any, first: State | None = None
) -> State:
    """Return the slope that leads from ``y`` to the state one step later.

    Args:
        rate: ``(part, state) -> derivative`` at a part 0, 1/2 or 1 of the step; states
            are pytrees of NumPy or JAX arrays.
        y: State before the step.
        h: Length of the step.
        first: ``rate(0, y)``, if it is known.
    """
    k1 = rate(0.0, y) if first is None else first
    k2 = rate(0.5, along(y, k1, h / 2))
    k3 = rate(0.5, along(y, k2, h / 2))
    k4 = rate(1.0, along(y, k3, h))
    return jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)


def along(y: State, slope: State, h: Any) -> State:
    """Return ``y + h * slope``, leaf by leaf."""
    return jax.tree.map(lambda a, k: a + h * k, y, slope)
