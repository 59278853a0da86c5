r"""Lotka-Volterra: predator and prey, counted ten times.

.. math::
    \dot X = \alpha X - \beta X Y, \quad \dot Y = -\gamma Y + \delta X Y, \quad
    x_i \sim \text{LogNormal}(\log z(t_i), 0.1), \quad t_i = 0, 2.1, \dots, 18.9

from 30 prey and one predator; first the ten counts of prey, then those of predators.
:math:`\alpha, \gamma` are log-normal about :math:`e^{-0.125}`, :math:`\beta, \delta`
about :math:`e^{-3}`, all with log-sd 0.5. Populations are clipped to [1e-10, 1e4]
before the noise, as in the source.

Accuracy: see :mod:`._ode`; the largest relative error of a population found for 300
prior draws is 7e-5, a thousandth of the noise. The equations are solved for the
logarithms of X and Y.

Source: Lotka (1920), doi:10.1073/pnas.6.7.410; Lueckmann et al. (2021),
arXiv:2101.04653, appendix T.10.
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


INITIAL_PREY, INITIAL_PREDATORS = 30.0, 1.0
INTERVAL, NUM_TIMES = 2.1, 10
STEPS_PER_INTERVAL = 128
NOISE_SD = 0.1
FEWEST, MOST = 1e-10, 1e4
LARGEST_LOG = 50.0  # against overflow within a step; solutions stay far below


def log_populations(theta: Mapping[str, Array]) -> Float[Array, "20"]:
    """Return the log populations: ten of prey, then ten of predators."""
    alpha, beta, gamma, delta = (theta[k] for k in ("alpha", "beta", "gamma", "delta"))

    def vector_field(state: tuple[Array, Array]) -> tuple[Array, Array]:
        prey, predators = (jnp.exp(jnp.minimum(log, LARGEST_LOG)) for log in state)
        return alpha - beta * predators, delta * prey - gamma

    start = (
        jnp.full_like(alpha, np.log(INITIAL_PREY)),
        jnp.full_like(alpha, np.log(INITIAL_PREDATORS)),
    )
    solution = solve_rk4(
        vector_field,
        start,
        interval=INTERVAL,
        steps=STEPS_PER_INTERVAL,
        num_saves=NUM_TIMES,
    )
    low, high = float(np.log(FEWEST)), float(np.log(MOST))
    return jnp.clip(jnp.concatenate(solution), low, high)


def simulator(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "20"]:
    """Draw ten counts of prey and ten of predators."""
    logs = log_populations(theta)
    return jnp.exp(logs + NOISE_SD * jr.normal(key, logs.shape, logs.dtype))


def study() -> Study:
    """Build the study of the task."""
    prior = Prior(
        alpha=dist.LogNormal(-0.125, 0.5),
        beta=dist.LogNormal(-3.0, 0.5),
        gamma=dist.LogNormal(-0.125, 0.5),
        delta=dist.LogNormal(-3.0, 0.5),
        labels={k: rf"$\{k}$" for k in ("alpha", "beta", "gamma", "delta")},
    )
    counts = np.arange(1, 2 * NUM_TIMES + 1)
    return task_study(
        Model(prior, simulator, name="lotka_volterra"),
        "Predator and prey, counted ten times",
        """Prey multiply and are eaten, predators multiply by eating and starve. From
        ten counts of each, the four rates of this cycle are inferred.""",
        axis=Axis(counts, "count (1 to 10 prey, 11 to 20 predators)", "population"),
    )
