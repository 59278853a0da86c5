"""``map_fit``: the most probable parameters and functions, and how sure they are."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.compilation import use_compilation_cache
from .._core.errors import ModelError
from .._core.progress import Progress, progress
from .._core.seeds import check_seed, stream_key
from ..model import Space
from .answer import MapAnswer, Search, Waypoint
from .curvature import Curvature, curvature
from .gauss_newton import GaussNewton, Task, search
from .gaussian import NormalInSpace
from .general import bfgs, descend
from .problem import Objective, Problem


Stage = Callable[[Any, Any], Problem]
EARLY = 0.1  # nats, the tolerance of all stages but the last


def map_fit(
    problem: Problem,
    *,
    seed: int = 0,
    adam_steps: int = 0,
    max_steps: int = 300,
    members: int = 0,
    start: Float[np.ndarray, " total"] | None = None,
    tolerance: float = 1e-10,
    stages: Sequence[Stage] = (),
) -> MapAnswer:
    """Maximize a log-posterior over parameters and weights, in float64.

    Where the data terms are normal, by damped Gauss-Newton; otherwise by Adam and BFGS.
    The uncertainty of the parameters is a normal distribution in their unconstrained
    coordinates, about the mode there and with its curvature, weights marginalized
    (Laplace), or that of an ensemble. The MAP is the mode of the density of theta.

    Args:
        problem: What is unknown, and the log-densities.
        seed: Seed of the weights' start and of the ensemble.
        adam_steps: Steps of Adam before Gauss-Newton; BFGS is always preceded by at
            least 1000.
        max_steps: Most iterations of the second method.
        members: Size of an ensemble. Each member starts at other weights and fits data
            and priors with fresh noise added to them, so that for a linear-Gaussian
            problem it is an exact posterior draw. 0: Laplace.
        start: Where to start, flat, as :attr:`MapAnswer.z` of an earlier answer.
        tolerance: Predicted decrease, in nats, at which the search has converged.
        stages: Continuation. ``problem`` is solved first, to a tenth of a nat; each
            stage then makes the next problem from the parameters and weights found,
            which may differ in the rows of its terms only. The last one is answered.

    Returns:
        The answer; whether the search converged is one of its attributes.

    Raises:
        ModelError: If the log-posterior is not finite at the start, or an ensemble is
            asked for and a term is not normal.

    Example:
        >>> def law(theta, weights, row):
        ...     return dist.Normal(theta["rate"], 0.1), row
        >>> terms = [rd.Term("data", law, np.array([1.1, 0.9]))]
        >>> prior = rd.Prior(rate=dist.LogNormal(0.0, 1.0))
        >>> answer = map_fit(rd.Problem(terms, prior=prior))
        >>> round(answer.summary()["rate"]["sd"], 2)
        0.07
    """
    check_seed(seed)
    use_compilation_cache()
    begun = time.perf_counter()
    key = stream_key(seed, "map_fit")
    with jax.enable_x64(True):
        if start is None:
            z = jnp.concatenate([problem.start_theta(), problem.start_weights(key)])
        else:
            z = jnp.asarray(start)
        objective = Objective(problem, z)
        _check_start(objective, z)
        squares = is_least_squares(objective, z)
        if members and not squares:
            raise ModelError(
                f"members: Expected 0 (Laplace) for a problem with terms that are not "
                f"normal; got {members}. Give normal terms, or leave it out."
            )
        if adam_steps or not squares:
            z = descend(objective.loss, z, adam_steps if squares else 1000)
        climb = Climb(GaussNewton(objective), squares)
        task = Task(objective.rows, 0.0, tolerance, max_steps)
        path = []
        for stage in stages:
            found = climb.run(z, task._replace(tolerance=max(EARLY, tolerance)))
            path.append(_waypoint(climb, found, task))
            z = jnp.asarray(found.z)
            task = task._replace(
                rows=[t.rows for t in stage(*objective.split(z)).terms]
            )
        found = climb.run(z, task)
        center, shape = laplace(climb, found, task)
        ensemble = _ensemble(key, climb.solver, found.z, task, members)
        posterior = NormalInSpace(*_moments(problem, center, shape, ensemble))
        path.append(Waypoint(center[: problem.dim], shape.covariance, found.converged))
        values = objective.on(task.rows), found, shape
        answer = _answer(*values, ensemble=ensemble, normal=posterior, path=path)
    return replace(answer, seconds=time.perf_counter() - begun)


@dataclass(frozen=True, eq=False)
class Climb:
    """The way to a maximum: Gauss-Newton for squares, BFGS for anything else.

    Attributes:
        solver: Gauss-Newton, compiled once.
        squares: Whether it serves.
        shown: Whether a bar is shown.
    """

    solver: GaussNewton
    squares: bool
    shown: bool = True

    def run(self, z: Float[Array, " total"], task: Task) -> Search:
        """Search from ``z``."""
        if not self.squares:
            objective = self.solver.objective.on(task.rows)

            def loss(z: Array) -> Array:
                return objective.loss(z, task.volume)

            z, converged, steps = bfgs(loss, z, int(task.max_steps))
            return Search(np.asarray(z), converged, steps)
        bars = progress("Fitting", total=int(task.max_steps))
        with bars if self.shown else nullcontext(Progress()) as bar:
            state = search(self.solver, z, task, bar)
        converged = bool(self.solver.converged(state, task))
        return Search(np.asarray(state.z), converged, int(state.steps))


def _waypoint(climb: Climb, found: Search, task: Task) -> Waypoint:
    shape = curvature(climb.solver, jnp.asarray(found.z), task)
    dim = climb.solver.objective.problem.dim
    return Waypoint(found.z[:dim], shape.covariance, found.converged)


def laplace(
    climb: Climb, found: Search, task: Task
) -> tuple[Float[np.ndarray, " total"], Curvature]:
    """Return the mode in unconstrained coordinates and the curvature there."""
    problem, z = climb.solver.objective.problem, jnp.asarray(found.z)
    fields = problem.prior.space.fields if problem.prior else ()
    if any(field.support.kind != "real" for field in fields):
        z = jnp.asarray(climb.run(z, task._replace(volume=1.0)).z)
    return np.asarray(z), curvature(climb.solver, z, task)


def _moments(
    problem: Problem,
    center: Float[np.ndarray, " total"],
    shape: Curvature,
    ensemble: Float[np.ndarray, "members total"],
) -> tuple[Space, np.ndarray, np.ndarray]:
    """Return the space, mean and covariance of the parameters' coordinates."""
    dim, space = problem.dim, problem.prior.space if problem.prior else Space(())
    if len(ensemble) > dim + 1:
        u = ensemble[:, :dim]
        return space, u.mean(0), np.cov(u, rowvar=False).reshape(dim, dim)
    return space, center[:dim], shape.covariance


def _ensemble(
    key: Key[Array, ""],
    solver: GaussNewton,
    z: Float[np.ndarray, " total"],
    task: Task,
    members: int,
) -> Float[np.ndarray, "members total"]:
    """Fit once more per member, to data and priors with noise added."""
    found: list[np.ndarray] = []
    objective = solver.objective
    theta = jnp.asarray(z[: objective.problem.dim])
    num_rows = jax.eval_shape(objective.residuals, jnp.asarray(z)).size

    @jax.jit
    def solve(key: Key[Array, ""]) -> Array:
        key_start, key_rows, key_weights = jr.split(key, 3)
        anchor = jr.normal(key_weights, (objective.num_weights,), float)
        anchor /= jnp.sqrt(objective.precision)
        noise = jr.normal(key_rows, (num_rows,), float), anchor
        noisy = GaussNewton(objective, noise)
        weights = objective.problem.start_weights(key_start)
        start = noisy.init(jnp.concatenate([theta, weights]), task)
        return noisy.advance(start, task, task.max_steps).z

    with progress("Ensemble", total=members) as bar:
        for member in range(members):
            found.append(np.asarray(solve(jr.fold_in(key, member + 1))))
            bar.advance()
    return np.stack(found) if found else np.zeros((0, len(z)))


def _answer(
    objective: Objective,
    found: Search,
    shape: Curvature,
    *,
    ensemble: Float[np.ndarray, "members total"],
    normal: NormalInSpace,
    path: Sequence[Waypoint],
) -> MapAnswer:
    theta, weights = objective.split(jnp.asarray(found.z))
    values = objective.problem.log_densities(theta, weights)
    return MapAnswer(
        problem=objective.problem,
        search=found,
        theta={k: np.asarray(v) for k, v in theta.items()},
        weights=jax.tree.map(np.asarray, weights),
        terms={k: float(v) for k, v in values.items()},
        curvature=shape,
        ensemble=ensemble,
        normal=normal,
        path=tuple(path),
        seconds=0.0,
    )


def is_least_squares(objective: Objective, z: Float[Array, " total"]) -> bool:
    """Say whether nothing but squared residuals depends on the weights."""
    if not any(objective.normal):
        return False
    if all(objective.normal) and not objective.num_weights:
        return True
    gradient = jax.jit(jax.grad(objective.rest))(z)[objective.problem.dim :]
    return bool(jnp.all(gradient == 0))


def _check_start(objective: Objective, z: Float[Array, " total"]) -> None:
    theta, weights = objective.split(z)
    values = jax.jit(objective.problem.log_densities)(theta, weights)
    bad = [name for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise ModelError(
            f"problem: Expected a finite log-posterior at the start; the term "
            f"{bad[0]!r} is {float(values[bad[0]])} there. Give other values to "
            "Problem(start=...), or mend the term's law."
        )
