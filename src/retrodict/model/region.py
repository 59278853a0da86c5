"""The part of parameter space to which a prior is restricted: numbers, no code."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.quadratic import quadratic_features
from .space import Space


@dataclass(frozen=True)
class Balls:
    """How to draw inside a region that the prior seldom hits: from its ellipsoids.

    Attributes:
        centers: ``(num, dim)`` centers, in unconstrained coordinates.
        factors: ``(num, dim, dim)`` matrices from the unit ball, less the center.
        log_bound: Largest log-density of the prior in them, in these coordinates.
    """

    centers: np.ndarray
    factors: np.ndarray
    log_bound: float = 0.0

    def draw(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        """Draw unconstrained coordinates: an ellipsoid by volume, uniform in it."""
        key_which, key_direction, key_radius = jr.split(key, 3)
        which = jr.categorical(key_which, jnp.asarray(self._log_volumes))
        dim = self.centers.shape[1]
        direction = jr.normal(key_direction, (dim,))
        direction = direction / jnp.linalg.norm(direction)
        radius = jr.uniform(key_radius) ** (1 / dim)
        factor = jnp.asarray(self.factors)[which]
        return jnp.asarray(self.centers)[which] + factor @ (radius * direction)

    @property
    def log_volume(self) -> float:
        """Log of the sum of their volumes."""
        half = self.centers.shape[1] / 2
        unit = half * math.log(math.pi) - math.lgamma(half + 1)
        return unit + float(np.logaddexp.reduce(self._log_volumes))

    @property
    def _log_volumes(self) -> np.ndarray:
        return np.linalg.slogdet(self.factors)[1]


@dataclass(frozen=True)
class Region:
    r"""Where one of some quadratic scores of unconstrained theta is positive.

    Attributes:
        space: The quantities it is of: sampled parameters, derived ones or both.
        mean: Center of the unconstrained coordinates.
        scale: Their scales.
        weights: ``(columns, num)`` weights of :func:`quadratic_features` of the
            standardized coordinates: ``num`` scores.
        mass: Probability of the region under the prior that is restricted.
        within: Another region that it is a part of.
        balls: How to draw inside; by default the prior is drawn from until it is.
    """

    space: Space
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    mass: float = 1.0
    within: "Region | None" = None
    balls: Balls | None = None

    def contains(self, theta: np.ndarray) -> np.ndarray:
        """Say for each row of theta ``(..., dim)`` whether it lies inside."""
        u = self.space.unconstrain(np.asarray(theta, np.float64))
        return np.asarray(self.count(u)) > 0

    def inside(self, theta: Mapping[str, Any]) -> Any:
        """Say whether one theta, by name, lies inside; can be compiled."""
        parts = [jnp.ravel(jnp.asarray(theta[f.name])) for f in self.space.fields]
        return self.count(self.space.unconstrain(jnp.concatenate(parts))) > 0

    def describe(self) -> str:
        """Name the region: equal regions, equal names."""
        numbers = (self.mean, self.scale, self.weights)
        content = b"".join(np.asarray(n, np.float64).tobytes() for n in numbers)
        if self.within is not None:
            content += self.within.describe().encode()
        return f"region {hashlib.sha256(content).hexdigest()[:12]}"

    def count(self, u: Any) -> Any:
        """Return how many scores are positive at unconstrained coordinates.

        None is, outside the region that this one is a part of.

        Args:
            u: ``(..., dim)``, NumPy or JAX.
        """
        scores = quadratic_features((u - self.mean) / self.scale) @ self.weights
        number = (scores >= 0).sum(-1)
        return number if self.within is None else number * (self.within.count(u) > 0)
