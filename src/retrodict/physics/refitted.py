"""A fit as an amortized posterior: the problem is solved anew for every observation.

So a fit is judged as any posterior is: by simulations whose truth is known. The Laplace
approximation and the model's assumptions are what is tested.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.errors import ModelError
from .gauss_newton import GaussNewton, Task
from .gaussian import NormalInSpace
from .map_fit import Climb, is_least_squares, laplace
from .problem import Objective, Problem


@dataclass(frozen=True, eq=False)
class Refitted:
    """The Laplace approximation of every observation's own fit.

    Where the search does not converge, draws and log-densities are NaN, which the
    verdict counts: ``rd.validate(Refitted(build), model)`` judges it as any posterior.

    Attributes:
        build: ``x -> Problem``, with the same terms for all x, of which ``rows`` alone
            may differ, so that one program serves all.
        tolerance: As of :func:`map_fit`; 1e-6 puts every parameter within .0014
            posterior standard deviations.
        max_steps: Most iterations per observation.
    """

    build: Callable[[Any], Problem]
    tolerance: float = 1e-6
    max_steps: int = 100
    _search: list[tuple[Climb, Any]] = field(default_factory=list, repr=False)
    _known: dict[bytes, NormalInSpace | None] = field(default_factory=dict, repr=False)

    def sample(
        self, key: Key[Array, ""], xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw ``num_samples`` flat theta for each x.

        Raises:
            ModelError: If the problems have no parameters.
        """
        fits = self._fits(xs)
        size = next((len(f.space.names) for f in fits if f), 0)
        draws = np.full((len(fits), num_samples, size), np.nan)
        for index, fit in enumerate(fits):
            if fit:
                draws[index] = fit.sample(jr.fold_in(key, index), num_samples)
        return draws

    def log_prob(
        self, theta: Float[np.ndarray, "num_observations n theta_dim"], xs: Any
    ) -> Float[np.ndarray, "num_observations n"]:
        """Evaluate the normalized log-density in nats."""
        values = np.full(theta.shape[:2], np.nan)
        for index, fit in enumerate(self._fits(xs)):
            if fit:
                values[index] = fit.log_prob(np.asarray(theta[index], np.float64))
        return values

    def _fits(self, xs: Any) -> list[NormalInSpace | None]:
        count = len(next(iter(xs.values()))) if isinstance(xs, Mapping) else len(xs)
        fits = []
        for index in range(count):
            x = jax.tree.map(lambda a, i=index: np.asarray(a)[i], xs)
            parts = [np.ascontiguousarray(a).tobytes() for a in jax.tree.leaves(x)]
            name = b"".join(parts)
            if name not in self._known:
                self._known[name] = self._fit(self.build(x))
            fits.append(self._known[name])
        return fits

    def _fit(self, problem: Problem) -> NormalInSpace | None:
        if problem.prior is None:
            raise ModelError(
                "build: Expected a problem with parameters; got one of weights alone. "
                "Give Problem(prior=...)."
            )
        with jax.enable_x64(True):
            if not self._search:
                self._search.append(_prepare(problem))
            climb, z = self._search[0]
            rows = [term.rows for term in problem.terms]
            task = Task(rows, 0.0, self.tolerance, self.max_steps)
            found = climb.run(z, task)
            if not found.converged:
                return None
            center, shape = laplace(climb, found, task)
        dim = problem.dim
        return NormalInSpace(problem.prior.space, center[:dim], shape.covariance)


def _prepare(problem: Problem) -> tuple[Climb, Float[Array, " total"]]:
    """Return the search that serves all observations, and where it starts."""
    weights = problem.start_weights(jr.key(0))
    z = jnp.concatenate([problem.start_theta(), weights])
    objective = Objective(problem, z)
    squares = is_least_squares(objective, z)
    return Climb(GaussNewton(objective), squares, shown=False), z
