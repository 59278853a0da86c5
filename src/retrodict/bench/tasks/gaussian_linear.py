r"""Gaussian linear: the mean of a Gaussian in ten dimensions.

.. math::
    \theta \sim N(0, 0.1\, I_{10}), \qquad x \mid \theta \sim N(\theta, 0.1\, I_{10})

so that :math:`\theta \mid x \sim N(x/2, 0.05\, I)`.

Source: Lueckmann et al. (2021), arXiv:2101.04653, appendix T.1.
Deviation from the words of the source: 0.1 is the variance, as in the code and the
data of sbibm, not the standard deviation.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..._core.seeds import numpy_generator
from ...model import Model, Prior, Study
from ._exact import exact_baseline
from ._study import task_study


DIM, VARIANCE = 10, 0.1
SD = float(np.sqrt(VARIANCE))


def simulator(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "10"]:
    """Draw one point about the mean."""
    mean = theta["theta"]
    return mean + SD * jr.normal(key, (DIM,), mean.dtype)


def exact_draws(
    key: Key[Array, ""], x_obs: Float[np.ndarray, "10"], num_samples: int
) -> Float[np.ndarray, "num_samples 10"]:
    """Draw from the exact posterior at ``x_obs``, in float64."""
    noise = numpy_generator(key).normal(size=(num_samples, DIM))
    return x_obs / 2 + np.sqrt(VARIANCE / 2) * noise


def study() -> Study:
    """Build the study of the task."""
    prior = Prior(theta=dist.Normal(jnp.zeros(DIM), SD))
    return task_study(
        Model(prior, simulator, name="gaussian_linear"),
        "Gaussian linear",
        """A Gaussian mean in ten dimensions, from one draw. The posterior is Gaussian
        too: an easy problem in which a method shows how much it loses to nothing but
        the number of dimensions.""",
        axis=DIM,
        baseline=exact_baseline(exact_draws),
    )
