r"""Gaussian mixture: the common mean of a wide and a narrow Gaussian.

.. math::
    \theta \sim U[-10, 10]^2, \qquad
    x \mid \theta \sim \tfrac12 N(\theta, I) + \tfrac12 N(\theta, 0.01\, I)

One component is drawn for both coordinates. The posterior is the same mixture about x,
each component weighted with its probability of the square and restricted to it.

Source: Sisson, Fan and Tanaka (2007), Sequential Monte Carlo without likelihoods,
doi:10.1073/pnas.0607208104; Lueckmann et al. (2021), arXiv:2101.04653, appendix T.7.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key
from scipy.special import expit

from ..._core.seeds import numpy_generator
from ...model import Model, Prior, Study
from ._exact import exact_baseline, log_mass, truncated_normal
from ._study import task_study


WIDE, NARROW = 1.0, 0.1
BOUND = 10.0


def simulator(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "2"]:
    """Draw one point about the mean."""
    key_component, key_noise = jr.split(key)
    mean = theta["theta"]
    sd = jnp.where(jr.bernoulli(key_component), WIDE, NARROW).astype(mean.dtype)
    return mean + sd * jr.normal(key_noise, (2,), mean.dtype)


def exact_draws(
    key: Key[Array, ""], x_obs: Float[np.ndarray, "2"], num_samples: int
) -> Float[np.ndarray, "num_samples 2"]:
    """Draw from the exact posterior at ``x_obs``, in float64."""
    generator = numpy_generator(key)
    log_odds = log_mass(x_obs, WIDE, BOUND) - log_mass(x_obs, NARROW, BOUND)
    wide, narrow = (
        truncated_normal(generator, x_obs, sd, BOUND, num_samples)
        for sd in (WIDE, NARROW)
    )
    is_wide = generator.uniform(size=(num_samples, 1)) < expit(log_odds)
    return np.where(is_wide, wide, narrow)


def study() -> Study:
    """Build the study of the task."""
    prior = Prior(theta=dist.Uniform(jnp.full(2, -BOUND), jnp.full(2, BOUND)))
    return task_study(
        Model(prior, simulator, name="gaussian_mixture"),
        "Gaussian mixture",
        """A point drawn from one of two Gaussians with the same mean, one ten times as
        wide as the other. The posterior has both widths at once: a sharp peak on a
        broad ground, each with half of the probability.""",
        axis=2,
        baseline=exact_baseline(exact_draws),
    )
