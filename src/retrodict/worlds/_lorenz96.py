r"""The equations of Lorenz (1996), on one scale and on two.

.. math::
    \dot x_i = (x_{i+1} - x_{i-2})\, x_{i-1} - x_i + F

on a ring; and with fast variables :math:`Y` on a ring of their own, :math:`J` to each
slow one,

.. math::
    \dot X_k = -X_{k-1} (X_{k-2} - X_{k+1}) - X_k + F - h c\, \bar Y_k, \qquad
    \dot Y_j = c\, \big( -b\, Y_{j+1} (Y_{j+2} - Y_{j-1}) - Y_j
        + \tfrac{h}{J} X_{k(j)} \big).

In the long run energy balances, exactly:
:math:`\langle x^2 \rangle = F \langle x \rangle`.

Everything runs on NumPy arrays as on JAX's: an observation made with NumPy, whose sums
and products are the same on every machine, needs no compiler.

Source: Lorenz (1996), Predictability: a problem partly solved; on two scales in the
form of Schneider et al. (2017), doi:10.1002/2017GL076101.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ._ode import rk4_step, solve_rk4


NUM_SITES = 40
STEPS = 50  # per unit of time: dt = .02
SPIN_UP = 10.0
K, J = 36, 10

SUMMARIES = (
    "mean",
    "variance",
    "cov. of neighbours",
    "cov. after .1",
    "cov. with next after .1",
    "cov. with last after .1",
)


class Climate(NamedTuple):
    """Parameters of the two-scale system.

    Attributes:
        F: Forcing.
        h: Coupling of the scales.
        c: How much faster the fast variables are.
        b: How much smaller they are.
    """

    F: Float[Array, ""]
    h: Float[Array, ""]
    c: Float[Array, ""]
    b: Float[Array, ""]


def ring(values: Any, before: int, after: int) -> Any:
    """Extend a ring at both ends by its own values, so that slices are neighbours."""
    xp = jnp if isinstance(values, jax.Array) else np
    return xp.concatenate([values[-before:], values, values[:after]])


def tendency(x: Any, F: Any) -> Any:
    """Return the time derivative of the one-scale system."""
    wide, n = ring(x, 2, 1), len(x)
    return (wide[3 : 3 + n] - wide[:n]) * wide[1 : 1 + n] - x + F


def integrate(
    x0: Float[Array, " sites"], F: Array, *, interval: float, num_saves: int
) -> Float[Array, "saves sites"]:
    """Return the states after 1, 2, ... intervals (units of time)."""
    return solve_rk4(
        lambda x: interval * tendency(x, F),
        x0,
        steps=max(round(STEPS * interval), 1),
        num_saves=num_saves,
    )


def settle(key: Key[Array, ""], F: Array) -> Float[Array, " sites"]:
    """Draw a random state and let it forget where it began."""
    start = F + jr.normal(key, (NUM_SITES,), jnp.result_type(F))
    return integrate(start, F, interval=SPIN_UP, num_saves=1)[-1]


def integrate_numpy(
    x0: Float[np.ndarray, " sites"], F: float, *, interval: float, num_saves: int
) -> Float[np.ndarray, "saves sites"]:
    """The same as :func:`integrate`, in NumPy and float64."""
    steps, states, x = max(round(STEPS * interval), 1), [], x0
    for _ in range(num_saves):
        for _ in range(steps):
            x = rk4_step(lambda x: tendency(x, F), x, interval / steps)
        states.append(x)
    return np.array(states)


def truth_numpy(F: float, seed: int) -> Float[np.ndarray, " sites"]:
    """Return one settled state of the attractor, the same on every machine."""
    start = F + np.random.RandomState(seed).standard_normal(NUM_SITES)
    return integrate_numpy(start, F, interval=SPIN_UP, num_saves=1)[-1]


def summarize(field: Any) -> Any:
    """Return :data:`SUMMARIES` of a field ``(times, sites)``, of JAX or NumPy.

    Moments in time, averaged over the ring.
    """
    xp = jnp if isinstance(field, jax.Array) else np
    mean = field.mean(0)
    centred = field - mean
    after, before = centred[1:], centred[:-1]
    return xp.stack(
        [
            mean.mean(),
            (centred**2).mean(),
            (centred * xp.roll(centred, -1, 1)).mean(),
            (before * after).mean(),
            (before * xp.roll(after, -1, 1)).mean(),
            (before * xp.roll(after, 1, 1)).mean(),
        ]
    )


def tendency_two_scale(
    state: tuple[Array, Array], theta: Climate
) -> tuple[Array, Array]:
    """Return the time derivatives of slow ``(K,)`` and fast ``(K * J,)`` variables."""
    X, Y = state
    slow, fast, n = ring(X, 2, 1), ring(Y, 1, 2), K * J
    advection = -slow[1 : 1 + K] * (slow[:K] - slow[3 : 3 + K])
    dX = advection - X + theta.F - theta.h * theta.c * mean_of_fast(Y)
    advection = -theta.b * fast[2 : 2 + n] * (fast[3 : 3 + n] - fast[:n])
    forced = jnp.broadcast_to(theta.h / J * X[:, None], (K, J)).reshape(n)
    return dX, theta.c * (advection - Y + forced)


def mean_of_fast(Y: Float[Array, " fast"]) -> Float[Array, " slow"]:
    """Average the fast variables that belong to each slow one."""
    return Y.reshape(K, J).mean(1)
