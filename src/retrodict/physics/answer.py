"""What ``map_fit`` found: a posterior like any other, and the record of the search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from .._core.seeds import stream_key
from ..model import Space
from ..posterior import PosteriorWarning, summarize
from .curvature import Curvature
from .gaussian import NormalInSpace
from .identify import Identified, identify
from .problem import Problem


SUMMARY_DRAWS = 20_000


@dataclass(frozen=True, eq=False)
class Search:
    """How a search ended.

    Attributes:
        z: The unknowns: the parameters' unconstrained coordinates, then the weights.
        converged: Whether another step would change nothing that matters.
        steps: Iterations of the last method.
    """

    z: Float[np.ndarray, " total"]
    converged: bool
    steps: int


@dataclass(frozen=True, eq=False)
class Waypoint:
    """The parameters at one stage of a continuation.

    Attributes:
        u: Most probable unconstrained coordinates.
        covariance: Their covariance, weights marginalized.
        converged: Whether the search of this stage converged.
    """

    u: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]
    converged: bool


@dataclass(frozen=True, eq=False)
class MapAnswer:
    """The MAP of a problem and the uncertainty of its parameters.

    Attributes:
        problem: What was asked.
        search: The point found, and whether the search converged.
        theta: The most probable parameters, by name.
        weights: The most probable weights, as a pytree; None if there are none.
        terms: Every log-density at the MAP, in nats, by name.
        curvature: The inverse Hessian there.
        ensemble: Flat unknowns of the ensemble's members, ``(members, total)``.
        normal: The posterior of the parameters: normal in unconstrained coordinates.
        path: The parameters at every stage of a continuation, the last included.
        seconds: Wall-clock time of the fit.
    """

    problem: Problem
    search: Search
    theta: Mapping[str, np.ndarray]
    weights: Any
    terms: Mapping[str, float]
    curvature: Curvature
    ensemble: Float[np.ndarray, "members total"]
    normal: NormalInSpace
    path: tuple[Waypoint, ...]
    seconds: float

    @property
    def z(self) -> Float[np.ndarray, " total"]:
        """All unknowns, flat: the start of a further fit."""
        return self.search.z

    @property
    def converged(self) -> bool:
        """Whether the search converged."""
        return self.search.converged

    @property
    def log_density(self) -> float:
        """Log-posterior at the MAP up to the evidence, in nats: the sum of terms."""
        return sum(self.terms.values())

    @property
    def space(self) -> Space:
        """The parameters' names and supports."""
        return self.problem.prior.space if self.problem.prior else Space(())

    @cached_property
    def warnings(self) -> tuple[PosteriorWarning, ...]:
        """What is wrong with this answer, each with a code and a remedy."""
        found = []
        if not self.converged:
            found.append(
                PosteriorWarning(
                    "not-converged",
                    f"The search stopped after {self.search.steps} steps before it "
                    "converged.",
                    "Raise `max_steps`, start elsewhere, or scale the problem.",
                )
            )
        found += [
            PosteriorWarning(
                "unidentified",
                f"The data do not determine {name}: its posterior is "
                f"{1 - share:.0%} as wide as its prior.",
                "Report the combinations that are determined, or measure more.",
            )
            for name, share in self.identified.contraction.items()
            if name in self.identified.unidentified
        ]
        return tuple(found)

    @cached_property
    def identified(self) -> Identified:
        """Which parameters the data determine, which not, and the ridges."""
        return identify(self.problem.prior, self.normal)

    def sample(self, key: Key[Array, ""], num_samples: int) -> dict[str, np.ndarray]:
        """Draw named parameters.

        Args:
            key: PRNG key.
            num_samples: Number of draws.

        Returns:
            One float64 array ``(num_samples, *shape)`` per parameter.

        Raises:
            ValueError: If ``num_samples`` is less than 1.
        """
        return self.space.unflatten(self.normal.sample(key, num_samples))

    def log_prob(self, theta: Any) -> Float[np.ndarray, " num_samples"]:
        """Return the normalized log-density of rows of ``theta``, in nats."""
        named = isinstance(theta, Mapping)
        flat = self.space.flatten(theta) if named else np.asarray(theta, np.float64)
        return self.normal.log_prob(flat)

    def map(self) -> dict[str, np.ndarray]:
        """Return the most probable parameters."""
        return dict(self.theta)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Summarize every component of theta by 20 000 draws, as any posterior does."""
        draws = self.normal.sample(stream_key(0, "summary"), SUMMARY_DRAWS)
        units = [f.unit for f in self.space.fields for _ in f.components]
        return {
            name: summarize(draws[:, i], units[i])
            for i, name in enumerate(self.space.names)
        }

    def to_datatree(self, num_samples: int = 4000, *, seed: int = 0) -> Any:
        """Return draws as an ArviZ ``DataTree``: ``num_samples`` from ``seed``."""
        import arviz_base

        draws = self.sample(stream_key(seed, "datatree"), num_samples)
        return arviz_base.from_dict(
            {"posterior": {k: v[None] for k, v in draws.items()}}
        )

    def unflatten(self, z: Float[np.ndarray, " total"]) -> tuple[dict[str, Array], Any]:
        """Split flat unknowns ``z``, such as a member's: parameters, weights."""
        with jax.enable_x64(True):
            dim = self.problem.dim
            weights = ravel_pytree(self.weights)[1](jnp.asarray(z[dim:]))
            return self.problem.theta(jnp.asarray(z[:dim])), weights

    def propagate(
        self, function: Callable[[Any, Any], Array]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return value and standard deviation of a function of the unknowns.

        By the ensemble if there is one, else linearized at the MAP with its curvature.

        Args:
            function: ``(theta, weights) -> array``, such as a field at some points.
        """
        with jax.enable_x64(True):
            unravel = ravel_pytree(self.weights)[1]
            dim = self.problem.dim

            def of(z: Array) -> Array:
                return jnp.asarray(
                    function(self.problem.theta(z[:dim]), unravel(z[dim:]))
                )

            value = np.asarray(jax.jit(of)(jnp.asarray(self.z)))
            if len(self.ensemble) > 1:
                every = np.stack([jax.jit(of)(jnp.asarray(z)) for z in self.ensemble])
                return every.mean(0), every.std(0, ddof=1)
            gradients = np.asarray(jax.jit(jax.jacrev(of))(jnp.asarray(self.z)))
            sd = self.curvature.sd_of(gradients.reshape(-1, len(self.z)))
            return value, sd.reshape(value.shape)
