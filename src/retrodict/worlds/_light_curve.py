r"""The light of one transfected cell, and what a fit of its curve tells of a trace.

A trace of 180 values says little to a network that has to learn from a wide prior
which of them matter. Its least-squares fit says nearly all: where the noise is normal
and the curve well determined, the fitted parameters, the size of what is left and the
curvature are sufficient. The fit need not be right. It is a summary that simulations
and data pass through alike, and the network learns what it is worth.

Source: indirect inference, Gouriéroux, Monfort, Renault (1993), J. Appl. Econometrics
8:S85; damping of the diagonal, Marquardt (1963), SIAM J. Appl. Math. 11:431.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


Theta = Mapping[str, Array]
Residual = Callable[[Array], Array]

TIMES = np.arange(1, 181) / 6  # hours
NAMES = ("de", "ga", "k", "t0", "offset", "sigma")
MEANS = (-3.0, -3.0, 5.0, 0.0, 0.0, -1.0)
VARIANCES = (5.0, 5.0, 11.0, 2.0, 6.0, 2.0)

SUMMARIES = (
    *("slow", "fast", "k", "t0", "offset", "noise"),
    *("sd of k", "sd of t0", "sd of offset", "spread", "sd of spread"),
)
LEVEL = 0.1  # noise that the fit weighs the prior against
NUM_STARTS = 64
NUM_STEPS = 15  # of Marquardt, three times
ONSETS = np.linspace(-1.0, 1.0, 61)  # hours about the fitted onset, tried in between
LONGEST_STEP = 2.0  # of a logarithm

CENTRE = np.array(MEANS[:5])
WIDTH = np.sqrt(VARIANCES[:5])


def log_light(theta: Theta) -> Float[Array, "180"]:
    """Return the logarithm of the fluorescence without noise at :data:`TIMES`."""
    de, ga = jnp.exp(theta["de"]), jnp.exp(theta["ga"])
    onset = jnp.exp(theta["t0"]) if "t0" in theta else 0.0
    s = jnp.maximum(TIMES - onset, 0.0)
    slow, gap = jnp.minimum(de, ga), jnp.abs(de - ga)
    # (1 - e^{-gap s}) / gap, which is s where the two rates are equal
    product = gap * s
    near = product < 1e-3
    safe = jnp.where(near, 1.0, product)
    ratio = jnp.where(near, 1 - product / 2, -jnp.expm1(-safe) / safe)
    log_p = theta["k"] - slow * s + jnp.log(jnp.maximum(s * ratio, 1e-30))
    log_p = jnp.where(s > 0, log_p, -jnp.inf)
    return jnp.logaddexp(log_p, theta["offset"])


def fit_trace(y: Float[Array, "180"]) -> Float[Array, "11"]:
    r"""Return the summaries of a trace of log fluorescence, named :data:`SUMMARIES`.

    The maximum of the posterior at noise :data:`LEVEL`, slow and fast rate in this
    order; the log rms of what it leaves; logs of standard errors at that noise. The
    spread of the rates is :math:`\rho = ((\delta - \gamma) / (\delta + \gamma))^2`,
    one Gauss-Newton step from the fit over its standard error, as an asinh: negative
    where the data would rather have rates closer than equal.
    """

    def residual(u: Array) -> Array:
        return jnp.concatenate([(fitted_curve(u) - y) / LEVEL, (u - CENTRE) / WIDTH])

    u = _descend(residual, _start(y))
    for _ in range(2):  # an onset between two measurements is a local minimum
        other = _descend(residual, _other_onset(residual, u))
        better = jnp.sum(residual(other) ** 2) < jnp.sum(residual(u) ** 2)
        u = jnp.where(better, other, u)
    left = y - fitted_curve(u)
    log_noise = jnp.log(jnp.mean(left**2) + 1e-12) / 2
    slow, fast = jnp.minimum(u[0], u[1]), jnp.maximum(u[0], u[1])
    step, sds = _gauss_newton(slow, fast, u[2:], left, log_noise)
    told = jnp.concatenate([jnp.stack([slow, fast]), u[2:], log_noise[None]])
    spread = jnp.stack([jnp.arcsinh(step / sds[1]), jnp.log(sds[1])])
    return jnp.concatenate([told, jnp.log(sds[2:]), spread])


def fitted_curve(u: Float[Array, "5"]) -> Float[Array, "180"]:
    """Return the curve of the first five summaries."""
    return log_light(dict(zip(NAMES, u, strict=False)))


def _start(y: Float[Array, "180"]) -> Float[Array, "5"]:
    """Return the best of many points of the prior, at the height of the trace."""
    drawn = np.random.RandomState(0).normal(size=(NUM_STARTS, 5))
    starts = jnp.asarray(CENTRE + WIDTH * drawn, y.dtype)
    starts = starts.at[:, 4].set(jnp.mean(y[:3]))
    heights = jnp.max(jax.vmap(fitted_curve)(starts.at[:, 4].set(-60.0)), axis=1)
    starts = starts.at[:, 2].add(jnp.max(y) - heights)
    left = (jax.vmap(fitted_curve)(starts) - y) / LEVEL
    far = (starts - CENTRE) / WIDTH
    return starts[jnp.argmin(jnp.sum(left**2, axis=1) + jnp.sum(far**2, axis=1))]


def _other_onset(residual: Residual, u: Float[Array, "5"]) -> Float[Array, "5"]:
    """Return the best of the same curve begun sooner or later."""
    onsets = jnp.log(jnp.maximum(jnp.exp(u[3]) + ONSETS, 0.02))
    moved = jax.vmap(u.at[3].set)(onsets)
    squares = jax.vmap(lambda v: jnp.sum(residual(v) ** 2))(moved)
    return moved[jnp.argmin(squares)]


def _descend(residual: Residual, u: Float[Array, "5"]) -> Float[Array, "5"]:
    """Take a fixed number of damped Gauss-Newton steps, so that all traces cost one."""

    def step(state: tuple, _: None) -> tuple:
        u, damping, square = state
        r, jacobian = residual(u), jax.jacfwd(residual)(u)
        matrix = jacobian.T @ jacobian
        damped = matrix + damping * jnp.diag(jnp.diag(matrix))
        move = -jnp.linalg.solve(damped, jacobian.T @ r)
        tried = u + jnp.clip(move, -LONGEST_STEP, LONGEST_STEP)
        square_tried = jnp.sum(residual(tried) ** 2)
        better = square_tried < square
        state = (
            jnp.where(better, tried, u),
            damping * jnp.where(better, 0.3, 4.0),
            jnp.where(better, square_tried, square),
        )
        return state, None

    state = (u, jnp.ones((), u.dtype), jnp.sum(residual(u) ** 2))
    (u, _, _), _ = jax.lax.scan(step, state, None, length=NUM_STEPS)
    return u


def _gauss_newton(slow, fast, rest, left, log_noise):
    """Return the spread one step further, and standard errors of all coordinates."""
    rates = jnp.exp(jnp.stack([slow, fast]))
    spread = ((rates[1] - rates[0]) / (rates[1] + rates[0])) ** 2
    v = jnp.concatenate([jnp.stack([jnp.log(jnp.mean(rates)), spread]), rest])
    jacobian = jax.jacfwd(_curve_of_spread)(v)
    weak = jnp.concatenate([jnp.array([1 / VARIANCES[0], 1.0]), 1 / WIDTH[2:] ** 2])
    precision = jnp.exp(-2 * log_noise)
    covariance = jnp.linalg.inv(precision * jacobian.T @ jacobian + jnp.diag(weak))
    step = precision * covariance @ (jacobian.T @ left)
    return spread + step[1], jnp.sqrt(jnp.diag(covariance))


def _curve_of_spread(v: Float[Array, "5"]) -> Float[Array, "180"]:
    """Return the curve by mean and spread of the rates, smooth where they are equal."""
    log_mean, spread, k, t0, offset = v
    s = jnp.maximum(TIMES - jnp.exp(t0), 0.0)
    mean = jnp.exp(log_mean)
    square = spread * (mean * s) ** 2
    near = square < 0.01
    root = jnp.sqrt(jnp.where(near, 1.0, square))
    far = root - jnp.log(2 * root) + jnp.log1p(-jnp.exp(-2 * root))
    log_sinhc = jnp.where(near, square / 6 - square**2 / 180, far)
    log_p = k - mean * s + jnp.log(jnp.maximum(s, 1e-30)) + log_sinhc
    return jnp.logaddexp(jnp.where(s > 0, log_p, -jnp.inf), offset)
