"""Linear-Gaussian models, whose exact posteriors the tests of trust start from."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearGaussian:
    """theta ~ N(0, I), x ~ N(theta A, noise² I): the posterior is a known normal."""

    design: np.ndarray
    noise: float

    @property
    def covariance(self):
        precision = (
            np.eye(len(self.design)) + self.design @ self.design.T / self.noise**2
        )
        return np.linalg.inv(precision)

    def simulate(self, rng, num):
        theta = rng.standard_normal((num, self.design.shape[0]))
        noise = rng.standard_normal((num, self.design.shape[1]))
        return theta, theta @ self.design + self.noise * noise

    def mean(self, x):
        return x @ self.design.T @ self.covariance / self.noise**2


def normal_draws(rng, mean, covariance, num_samples):
    """Draw from normals of equal covariance around each row of ``mean``."""
    root = np.linalg.cholesky(covariance)
    standard = rng.standard_normal((len(mean), num_samples, mean.shape[1]))
    return mean[:, None] + standard @ root.T


def normal_log_prob(theta, mean, covariance):
    """Evaluate normals around each row of ``mean``, at num_samples points each."""
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    white = (theta - mean[:, None]) @ root.T
    constant = np.log(np.diag(root)).sum() - 0.5 * len(root) * np.log(2 * np.pi)
    return constant - 0.5 * np.sum(white**2, axis=-1)


def informative(dim=3, num_summaries=6, noise=0.7):
    """Build a model whose data tell much of every parameter, with correlations."""
    design = np.random.default_rng(5).standard_normal((dim, num_summaries))
    return LinearGaussian(design / np.sqrt(dim), noise)
