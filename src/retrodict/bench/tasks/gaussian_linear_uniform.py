r"""Gaussian linear uniform: the mean of a Gaussian in ten dimensions, within a box.

.. math::
    \theta \sim U[-1, 1]^{10}, \qquad x \mid \theta \sim N(\theta, 0.1\, I_{10})

so that the posterior is :math:`N(x, 0.1\, I)` restricted to the box.

Source: Lueckmann et al. (2021), arXiv:2101.04653, appendix T.2.
Deviation from the words of the source: 0.1 is the variance, as in the code and the
data of sbibm, not the standard deviation.
"""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..._core.seeds import numpy_generator
from ...model import Model, Prior, Study
from ._exact import exact_baseline, truncated_normal
from ._study import task_study
from .gaussian_linear import DIM, SD, simulator


BOUND = 1.0


def exact_draws(
    key: Key[Array, ""], x_obs: Float[np.ndarray, "10"], num_samples: int
) -> Float[np.ndarray, "num_samples 10"]:
    """Draw from the exact posterior at ``x_obs``, in float64."""
    return truncated_normal(numpy_generator(key), x_obs, SD, BOUND, num_samples)


def study() -> Study:
    """Build the study of the task."""
    prior = Prior(theta=dist.Uniform(jnp.full(DIM, -BOUND), jnp.full(DIM, BOUND)))
    return task_study(
        Model(prior, simulator, name="gaussian_linear_uniform"),
        "Gaussian linear, uniform prior",
        """A Gaussian mean in ten dimensions, from one draw, known to lie in a box. The
        walls cut the posterior off: a method that puts draws outside, or none near the
        walls, is found out.""",
        axis=DIM,
        baseline=exact_baseline(exact_draws),
    )
