r"""SIR: an epidemic in a million people, sampled every 17 days.

.. math::
    \dot S = -\beta S I / N, \qquad \dot I = \beta S I / N - \gamma I, \qquad
    x_i \sim \text{Binomial}(1000, I(t_i) / N), \quad t_i = 0, 17, \dots, 153

from one infected among :math:`N = 10^6`, with log-normal :math:`\beta` (median 0.4 a
day, log-sd 0.5) and :math:`\gamma` (0.125, 0.2).

Accuracy: see :mod:`._ode`; the largest relative error of I(t) found for 1000 prior
draws is 3e-6. The equations are solved for the logarithms of S and I.

Source: Kermack and McKendrick (1927), doi:10.1098/rspa.1927.0118; Lueckmann et al.
(2021), arXiv:2101.04653, appendix T.9.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ...model import Axis, Model, Prior, Study
from ._ode import solve_rk4
from ._study import task_study


POPULATION, NUM_TESTED = 1_000_000, 1000
INTERVAL, NUM_TIMES = 17.0, 10  # days
STEPS_PER_INTERVAL = 64


def log_infected_fraction(theta: Mapping[str, Array]) -> Float[Array, "10"]:
    """Return log I(t)/N on days 0, 17, ..., 153."""
    beta, gamma = theta["beta"], theta["gamma"]

    def vector_field(state: tuple[Array, Array]) -> tuple[Array, Array]:
        log_s, log_i = state
        # The cap is exact for the true solution and keeps absurd rates finite.
        infection = beta * jnp.exp(jnp.minimum(log_i, 0))
        return -infection, beta * jnp.exp(log_s) - gamma

    start = (
        jnp.full_like(beta, np.log1p(-1 / POPULATION)),
        jnp.full_like(beta, -np.log(POPULATION)),
    )
    _, log_i = solve_rk4(
        vector_field,
        start,
        interval=INTERVAL,
        steps=STEPS_PER_INTERVAL,
        num_saves=NUM_TIMES,
    )
    return jnp.minimum(log_i, 0)


def simulator(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "10"]:
    """Draw how many of 1000 people tested are infected, ten times."""
    fraction = jnp.exp(log_infected_fraction(theta))
    return jr.binomial(key, NUM_TESTED, fraction, dtype=fraction.dtype)


def study() -> Study:
    """Build the study of the task."""
    prior = Prior(
        beta=dist.LogNormal(float(np.log(0.4)), 0.5),
        gamma=dist.LogNormal(float(np.log(0.125)), 0.2),
        units={"beta": "1/day", "gamma": "1/day"},
        labels={"beta": r"$\beta$", "gamma": r"$\gamma$"},
    )
    days = INTERVAL * np.arange(NUM_TIMES)
    return task_study(
        Model(prior, simulator, name="sir"),
        "An epidemic, sampled every 17 days",
        """An infection spreads through a million people. Every 17 days a thousand are
        tested. From how many of them are infected, the rates of contact and of recovery
        are inferred.""",
        axis=Axis(days, "day", "infected of 1000 tested"),
    )
