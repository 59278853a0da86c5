"""The part of parameter space to which a prior is restricted: numbers, no code."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._core.quadratic import quadratic_features
from .space import Space


@dataclass(frozen=True)
class Region:
    r"""Where a quadratic score of unconstrained theta is at least a threshold.

    Attributes:
        space: The sampled parameters.
        mean: Center of the unconstrained coordinates.
        scale: Their scales.
        weights: Of :func:`quadratic_features` of the standardized coordinates.
        threshold: Smallest score inside.
        mass: Probability of the region under the prior that is restricted.
    """

    space: Space
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    threshold: float
    mass: float = 1.0

    def contains(self, theta: np.ndarray) -> np.ndarray:
        """Say for each row of theta ``(..., dim)`` whether it lies inside."""
        u = np.asarray(self.space.unconstrain(np.asarray(theta, np.float64)))
        return self._score(u) >= self.threshold

    def inside(self, theta: Mapping[str, Any]) -> Any:
        """Say whether one theta, by name, lies inside; can be compiled."""
        parts = [jnp.ravel(jnp.asarray(theta[f.name])) for f in self.space.fields]
        return self._score(self.space.unconstrain(jnp.concatenate(parts))) >= (
            self.threshold
        )

    def describe(self) -> str:
        """Name the region: equal regions, equal names."""
        numbers = (self.mean, self.scale, self.weights, np.array(self.threshold))
        content = b"".join(np.asarray(n, np.float64).tobytes() for n in numbers)
        return f"region {hashlib.sha256(content).hexdigest()[:12]}"

    def _score(self, u: Any) -> Any:
        return quadratic_features((u - self.mean) / self.scale) @ self.weights
