r"""The climate of Lorenz 96 on two scales: statistics, and what its balances say.

Averages over the ring and over a window of length :math:`T` obey four balances, of
momentum and of energy of the slow and of the fast variables, without closing anything:

.. math::
    \Delta \langle X \rangle / T &= \langle X_k X_{k+2} \rangle
        - \langle X_k X_{k+1} \rangle - \langle X \rangle
        + F - hc \langle \bar Y \rangle \\
    \Delta \langle X^2 \rangle / 2T &= - \langle X^2 \rangle + F \langle X \rangle
        - hc \langle X \bar Y \rangle \\
    \Delta \langle Y \rangle / T &= cb\, \big( \langle Y_j Y_{j+2} \rangle
        - \langle Y_j Y_{j+1} \rangle \big) - c \langle Y \rangle
        + \tfrac{hc}{J} \langle X \rangle \\
    \Delta \langle Y^2 \rangle / 2T &= - c \langle Y^2 \rangle
        + \tfrac{hc}{J} \langle X \bar Y \rangle

where :math:`\Delta` is the change over the window. They are linear in :math:`F, hc, c,
cb`, so that least squares over a few windows solves them. Where all comes to rest the
long windows say one thing twice, and the first half unit of time, in which a random
state settles, says the rest.

Source: the balances of energy are those of Schneider et al. (2017),
doi:10.1002/2017GL076101; those of momentum follow from the equations in the same way.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._lorenz96 import Climate, J, K, mean_of_fast, tendency_two_scale
from ._ode import rk4_step


FAST_STEPS = 500  # per unit of time: dt = .002
SAMPLE_STEPS = 5  # statistics are taken every .01
FINE_STEPS = 2500  # while a random state settles, up to 40 times a unit of time
SETTLING, SPIN_UP = 0.5, 9.5  # units of time

State = tuple[Float[Array, " slow"], Float[Array, " fast"]]


class Moments(NamedTuple):
    """Averages over the ring.

    Attributes:
        X: Slow variables.
        Y: Fast variables.
        X2: Squares of slow variables.
        XY: Slow variables times the mean of their fast ones.
        Y2: Squares of fast variables.
        slow_transport: Products of neighbours less those of second neighbours.
        fast_transport: The same of fast variables.
    """

    X: Array
    Y: Array
    X2: Array
    XY: Array
    Y2: Array
    slow_transport: Array
    fast_transport: Array

    def plus(self, other: "Moments", weight: float) -> "Moments":
        """Add others, times a weight."""
        return jax.tree.map(lambda mine, more: mine + weight * more, self, other)


class Window(NamedTuple):
    """What was seen of one window.

    Attributes:
        statistics: Time means, then time variances, of X, mean Y, X^2, X mean Y and
            mean Y^2, averaged over the ring.
        mean: Moments averaged over the window.
        rate: Their change over it, per unit of time.
    """

    statistics: Float[Array, "10"]
    mean: Moments
    rate: Moments


def moments(state: State) -> Moments:
    """Average a state over the ring."""
    X, Y = state
    return Moments(
        X.mean(),
        Y.mean(),
        (X**2).mean(),
        (X * mean_of_fast(Y)).mean(),
        (Y**2).mean(),
        _transport(X),
        _transport(Y),
    )


def _transport(values: Array) -> Array:
    return jnp.mean(values * (jnp.roll(values, -1) - jnp.roll(values, -2)))


def random_state(key: Key[Array, ""]) -> State:
    """Draw a state of unit size, without regard to theta."""
    key_slow, key_fast = jr.split(key)
    return jr.normal(key_slow, (K,)), jr.normal(key_fast, (K * J,))


def watch(
    state: State, theta: Climate, duration: float, steps: int
) -> tuple[State, Window]:
    """Follow the system for some units of time, each of so many steps."""
    count = round(duration * steps / SAMPLE_STEPS)

    def step(_: Any, carry: tuple[State, Moments]) -> tuple[State, Moments]:
        state, total = carry
        state = rk4_step(lambda s: tendency_two_scale(s, theta), state, 1 / steps)
        return state, total.plus(moments(state), 1 / (count * SAMPLE_STEPS))

    def sample(_: Any, carry: tuple) -> tuple:
        state, total, mean, square = carry
        state, total = jax.lax.fori_loop(0, SAMPLE_STEPS, step, (state, total))
        X, Y = state
        mean_Y = mean_of_fast(Y)
        now = jnp.stack([X, mean_Y, X**2, X * mean_Y, mean_of_fast(Y**2)])
        return state, total, mean + now / count, square + now**2 / count

    first = moments(state)
    zero = jnp.zeros((5, K), state[0].dtype)
    start = state, jax.tree.map(jnp.zeros_like, first), zero, zero
    state, total, mean, square = jax.lax.fori_loop(0, count, sample, start)
    change = moments(state).plus(first, -1.0)
    total = total.plus(change, -0.5 / (count * SAMPLE_STEPS))  # the rule of trapezoids
    statistics = jnp.concatenate([mean.mean(1), (square - mean**2).mean(1)])
    rate = jax.tree.map(lambda c: c / duration, change)
    return state, Window(statistics, total, rate)


def climate(
    key: Key[Array, ""], theta: Climate, duration: float
) -> tuple[Float[Array, "10"], Float[Array, "4"]]:
    """Return the statistics after the spin-up, and F, h, c, b by the balances."""
    state, windows = random_state(key), []
    plan = (SETTLING, FINE_STEPS), (SPIN_UP, FAST_STEPS), (duration, FAST_STEPS)
    for length, steps in plan:
        state, window = watch(state, theta, length, steps)
        windows.append(window)
    return windows[-1].statistics, solve_balances(windows)


def solve_balances(windows: list[Window]) -> Float[Array, "4"]:
    """Return F, h, c, b by least squares of balances, each relative to its terms."""
    rows, right = zip(*map(balances, windows), strict=True)
    A, r = jnp.concatenate(rows), jnp.concatenate(right)
    scale = jnp.maximum(jnp.abs(A).max(1), jnp.abs(r)) + 1e-12
    F, hc, c, cb = jnp.linalg.lstsq(A / scale[:, None], r / scale)[0]
    return jnp.stack([F, hc / c, c, cb / c])


def balances(window: Window) -> tuple[Float[Array, "4 4"], Float[Array, "4"]]:
    """Return the four balances of a window, as equations for F, h c, c and c b."""
    mean, rate = window.mean, window.rate
    one, none = jnp.ones_like(mean.X), jnp.zeros_like(mean.X)
    left = (
        (one, -mean.Y, none, none),
        (mean.X, -mean.XY, none, none),
        (none, mean.X / J, -mean.Y, -mean.fast_transport),
        (none, mean.XY / J, -mean.Y2, none),
    )
    right = (
        rate.X + mean.X + mean.slow_transport,
        rate.X2 / 2 + mean.X2,
        rate.Y,
        rate.Y2 / 2,
    )
    return jnp.stack([jnp.stack(row) for row in left]), jnp.stack(right)
