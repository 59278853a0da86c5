r"""Bernoulli generalized linear model: a neuron's filter from its spikes.

A white-noise stimulus :math:`I_t` is filtered and makes a neuron spike or not in each
of 100 bins,

.. math::
    y_t \sim \text{Bernoulli}(\sigma((X \theta)_t)), \qquad
    X_{t, 0} = 1, \; X_{t, 1+j} = I_{t-j}, \; j = 0 \dots 8

with :math:`\theta = (\beta, f_1, \dots, f_9)`: an offset and the filter. The prior is
Gaussian with the precision :math:`\text{diag}(\tfrac12, F^\top F)`, :math:`F = D^2 +
\text{diag}(\sqrt{i/9})`, D the matrix of first differences: filters are smooth. The
data are the sufficient statistics :math:`x = X^\top y`.

Source: Gonçalves et al. (2020), Training deep neural density estimators,
doi:10.7554/eLife.56261; Lueckmann et al. (2021), arXiv:2101.04653, appendix T.5. The
stimulus was drawn by the authors with a published seed and is drawn again here.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ...model import Model, Prior, Study
from ._study import task_study


NUM_BINS, NUM_LAGS = 100, 9
DIM = 1 + NUM_LAGS
OFFSET_VARIANCE = 2.0
SEED = 42  # of sbibm


@functools.cache
def design() -> Float[np.ndarray, "100 10"]:
    """Return the design matrix X, of a stimulus drawn as sbibm did."""
    stimulus = np.random.RandomState(SEED).randn(NUM_BINS).astype(np.float32)
    lagged = [np.append(np.zeros(j), stimulus[: NUM_BINS - j]) for j in range(NUM_LAGS)]
    return np.stack([np.ones(NUM_BINS), *lagged], axis=1)


def prior_covariance() -> Float[np.ndarray, "10 10"]:
    """Return the covariance of the prior."""
    difference = np.eye(NUM_LAGS) - np.eye(NUM_LAGS, k=-1)
    ramp = np.diag(np.sqrt(np.arange(NUM_LAGS) / NUM_LAGS))
    smooth = difference @ difference + ramp
    covariance = np.zeros((DIM, DIM))
    covariance[0, 0] = OFFSET_VARIANCE
    covariance[1:, 1:] = np.linalg.inv(smooth.T @ smooth)
    return covariance


def spikes(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "100"]:
    """Draw the spikes of one experiment, 0 or 1 in each bin."""
    coefficients = theta["theta"]
    logits = jnp.asarray(design(), coefficients.dtype) @ coefficients
    fires = jr.bernoulli(key, jax.nn.sigmoid(logits))
    return fires.astype(coefficients.dtype)


def simulator(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "10"]:
    """Draw the sufficient statistics of one experiment."""
    y = spikes(key, theta)
    return jnp.asarray(design(), y.dtype).T @ y


def prior() -> Prior:
    """Return the prior, which the task of raw spikes shares."""
    # The factor is found in float64: JAX would take the root of the matrix in float32.
    factor = jnp.asarray(np.linalg.cholesky(prior_covariance()))
    return Prior(theta=dist.MultivariateNormal(jnp.zeros(DIM), scale_tril=factor))


def study() -> Study:
    """Build the study of the task."""
    return task_study(
        Model(prior(), simulator, name="bernoulli_glm"),
        "Bernoulli generalized linear model",
        """A neuron spikes or not in each of 100 bins, driven by a filtered stimulus.
        From the number of spikes and their correlations with the stimulus, the filter
        is inferred under a prior that makes it smooth.""",
        axis=DIM,
    )
