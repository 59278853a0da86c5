"""A normal mean with unit prior and noise: the posterior at x is N(x/2, 1/2)."""

import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from scipy import stats

from retrodict._core.seeds import numpy_generator
from retrodict.model import Model, Prior


def normal_pair(**more):
    """theta ~ N(0, 1), x ~ N(theta, 1); more arguments are those of a model."""
    prior = Prior(theta=dist.Normal(0.0, 1.0))
    return Model(prior, lambda key, t: t["theta"] + jr.normal(key, ()), **more)


class Widened:
    """N(x/2, 1/2), its width multiplied by a function of x."""

    def __init__(self, width):
        self.width = width

    def sample(self, key, xs, num_samples):
        noise = numpy_generator(key).standard_normal((len(xs), num_samples, 1))
        x, sd = self._at(xs)
        return x[..., None] / 2 + sd[..., None] * noise

    def log_prob(self, theta, xs):
        x, sd = self._at(xs)
        return stats.norm(x / 2, sd).logpdf(theta[..., 0])

    def _at(self, xs):
        x = np.asarray(xs, float).reshape(-1, 1)
        return x, self.width(x) * np.sqrt(0.5)


class Gaussian(Widened):
    """The same with one width everywhere; exact if that is 1."""

    def __init__(self, width=1.0):
        super().__init__(lambda x: np.full_like(x, width))
        self.sd = width * np.sqrt(0.5)
