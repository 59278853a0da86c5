r"""Simple likelihood, complex posterior (SLCP): four points of a Gaussian in the plane.

.. math::
    x_i \sim N(m, S), \; i = 1 \dots 4, \qquad m = (\theta_1, \theta_2), \quad
    S = \begin{pmatrix} s_1^2 & \rho s_1 s_2 \\ \rho s_1 s_2 & s_2^2 \end{pmatrix}
        + 10^{-6} I

with :math:`s_1 = \theta_3^2`, :math:`s_2 = \theta_4^2`, :math:`\rho = \tanh\theta_5`
and :math:`\theta \sim U[-3, 3]^5`. x holds the points one after the other.

Source: Papamakarios, Sterratt and Murray (2019), Sequential neural likelihood,
arXiv:1805.07226; Lueckmann et al. (2021), arXiv:2101.04653, appendix T.3.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import jax.random as jr
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ...model import Model, Prior, Study
from ._study import task_study


BOUND, JITTER, NUM_POINTS = 3.0, 1e-6, 4
NAMES = tuple(f"theta_{i}" for i in range(1, 6))


def cholesky(theta: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """Return the entries 11, 21 and 22 of the lower Cholesky factor of S.

    The textbook's ``sqrt(S_22 - L_21^2)`` cancels when rho is near 1; with
    ``1 - rho^2 = sech^2(theta_5)`` every term is positive.
    """
    s_1, s_2 = theta["theta_3"] ** 2, theta["theta_4"] ** 2
    rho, rest = jnp.tanh(theta["theta_5"]), 1 / jnp.cosh(theta["theta_5"]) ** 2
    first = s_1**2 + JITTER
    l_11 = jnp.sqrt(first)
    l_21 = rho * s_1 * s_2 / l_11
    l_22 = jnp.sqrt(s_2**2 * (s_1**2 * rest + JITTER) / first + JITTER)
    return l_11, l_21, l_22


def simulator(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "8"]:
    """Draw four points."""
    l_11, l_21, l_22 = cholesky(theta)
    first, second = jr.normal(key, (2, NUM_POINTS), l_11.dtype)
    points = [theta["theta_1"] + l_11 * first]
    points += [theta["theta_2"] + l_21 * first + l_22 * second]
    return jnp.stack(points, axis=1).ravel()


def prior() -> Prior:
    """Return the uniform prior, which the task with distractors shares."""
    return Prior(
        labels={name: rf"$\theta_{name[-1]}$" for name in NAMES},
        **{name: dist.Uniform(-BOUND, BOUND) for name in NAMES},
    )


def study() -> Study:
    """Build the study of the task."""
    return task_study(
        Model(prior(), simulator, name="slcp"),
        "Simple likelihood, complex posterior",
        """Four points of a Gaussian in the plane, whose mean, widths and correlation
        are unknown. The widths enter as squares, so that the posterior has four equal
        modes, curved where little is known of the correlation.""",
        axis=2 * NUM_POINTS,
    )
