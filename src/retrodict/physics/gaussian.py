"""A normal distribution in unconstrained coordinates, as a density of theta."""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.random as jr
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Key

from ..model import Space, refuse_nan


@dataclass(frozen=True, eq=False)
class NormalInSpace:
    """theta = constrain(u) with u normal: no draw can leave the support.

    Attributes:
        space: The parameters.
        mean: Mean of u.
        covariance: Covariance of u.
    """

    space: Space
    mean: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]

    @cached_property
    def root(self) -> Float[np.ndarray, "dim dim"]:
        """Symmetric square root of the covariance, whatever its rank."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def sample(
        self, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples theta_dim"]:
        """Draw flat theta.

        Raises:
            ValueError: If ``num_samples`` is less than 1.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples: Expected at least 1; got {num_samples}.")
        with jax.enable_x64(True):
            noise = np.asarray(jr.normal(key, (num_samples, len(self.mean)), float))
        return self.space.constrain(self.mean + noise @ self.root)

    def log_prob(
        self, theta: Float[np.ndarray, "num_samples theta_dim"]
    ) -> Float[np.ndarray, " num_samples"]:
        """Return the normalized log-density of flat theta, in nats."""
        refuse_nan(theta)
        inside = self.space.contains(theta)
        safe = np.where(inside[:, None], theta, self.space.constrain(self.mean))
        u = self.space.unconstrain(safe)
        factor = np.linalg.cholesky(self.covariance)
        white = scipy.linalg.solve_triangular(factor, (u - self.mean).T, lower=True)
        constant = np.sum(np.log(np.diag(factor))) + 0.5 * u.shape[1] * np.log(
            2 * np.pi
        )
        density = -0.5 * np.sum(white**2, axis=0) - constant - self.space.log_det(u)
        return np.where(inside, density, -np.inf)
