r"""Damped Gauss-Newton for a sum of squares and a remainder that few unknowns enter.

.. math::
    (J^\top J + \nabla^2 h + S + \lambda D)\, \delta = -(J^\top r + \nabla h + S w)

with the residuals :math:`r` of all normal terms, the exact Hessian of the remainder
:math:`h` in the physical parameters (indefinite parts removed) and the precision
:math:`S` of the weights. :math:`D_i` is the geometric mean of the diagonal element
:math:`i` of what stands before it and their average: for a network of 640 weights that
solves the heat equation, 60 steps left a relative error of the field of 8e-6; with the
diagonal (Marquardt) 9e-2 and with the average (Levenberg) 5e-4.

Why our own: Levenberg-Marquardt of a library takes residuals only, and a log-normal or
gamma prior of a parameter, or the :math:`\log\sigma` of an inferred noise, is none; its
Jacobian goes through all rows at once, where here one row is differentiated at a time.

Source: Nocedal and Wright (2006), Numerical Optimization, sections 4.1 and 10.3.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.progress import Progress
from .problem import Objective


FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-15, 1e12
LEAST_RATIO = 1e-4  # of actual over predicted decrease, for a step to be taken
CHUNK = 20  # iterations between two looks from outside


@dataclass(frozen=True)
class Tolerance:
    """When to stop.

    Attributes:
        gradient: Predicted decrease of the negative log-posterior, in nats, below
            which the search has converged: half the squared length of the Newton step
            in posterior standard deviations. 1e-10 puts every unknown within 2e-5
            standard deviations of its MAP.
        max_steps: Most iterations.
    """

    gradient: float = 1e-10
    max_steps: int = 300


class State(NamedTuple):
    """Where a search is.

    Attributes:
        z: The unknowns.
        loss: Negative log-posterior there, but for constants.
        volume: 1 for the density of the unconstrained coordinates, 0 for that of theta.
        damping: Factor of the damping.
        decrease: Predicted decrease of the last step.
        steps: Iterations done.
    """

    z: Float[Array, " total"]
    loss: Float[Array, ""]
    volume: Float[Array, ""]
    damping: Float[Array, ""]
    decrease: Float[Array, ""]
    steps: Int[Array, ""]


class GaussNewton:
    """A search, as a value that is moved: ``init``, ``advance``, ``finished``.

    Args:
        objective: What to minimize.
        noise: Standard normal numbers subtracted from the residuals, and from the
            weights in units of their prior: the minimum is then a draw from the
            posterior of a linear-Gaussian problem (randomize, then optimize).
        tolerance: When to stop.
    """

    def __init__(
        self,
        objective: Objective,
        noise: tuple[Array, Array] | None = None,
        tolerance: Tolerance | None = None,
    ):
        self.objective = objective
        self.noise = noise
        self.tolerance = tolerance or Tolerance()
        # Compiled once for both densities of a problem, theta's and its coordinates'.
        self.compiled: Any = jax.jit(lambda state: self.advance(state, CHUNK))

    def init(self, z: Float[Array, " total"], volume: Any = 0.0) -> State:
        """Evaluate the start."""
        factor, infinite = jnp.asarray(volume, float), jnp.asarray(jnp.inf)
        damping = jnp.asarray(FIRST_DAMPING)
        loss = self._loss(z, factor)
        return State(z, loss, factor, damping, infinite, jnp.zeros((), int))

    def finished(self, state: State) -> Bool[Array, ""]:
        """Say whether to stop: converged, stuck, or out of steps."""
        return (
            self.converged(state)
            | (state.damping > MOST_DAMPING)
            | (state.steps >= self.tolerance.max_steps)
            | ~jnp.isfinite(state.loss)
        )

    def converged(self, state: State) -> Bool[Array, ""]:
        """Say whether another step would change anything that matters."""
        return state.decrease < self.tolerance.gradient

    def advance(self, state: State, steps: int) -> State:
        """Take up to ``steps`` steps; can be compiled."""
        limit = state.steps + steps
        return jax.lax.while_loop(
            lambda s: ~self.finished(s) & (s.steps < limit), self._step, state
        )

    def _step(self, state: State) -> State:
        # Linearized anew after a step that failed, too: the program is half as large
        # and compiling it, not running it, takes the time of most problems.
        matrix, gradient = self._linearize(state.z, state.volume)
        diagonal = jnp.diagonal(matrix)
        damped = state.damping * jnp.sqrt(diagonal * jnp.mean(diagonal))
        delta = _solve(matrix, gradient, damped)
        predicted = 0.5 * jnp.dot(delta, damped * delta - gradient)
        z = state.z + delta
        loss = self._loss(z, state.volume)
        ratio = (state.loss - loss) / jnp.maximum(predicted, 1e-300)
        # Near the minimum a decrease drowns in rounding: no rise is good enough.
        level = jnp.abs(state.loss - loss) < 1e-14 * (1 + jnp.abs(state.loss))
        good = jnp.isfinite(loss) & ((ratio > LEAST_RATIO) | level)
        relax = jnp.where(ratio > 0.75, 0.1, jnp.where(ratio > 0.25, 0.5, 2.0))
        damping = state.damping * jnp.where(good, relax, 4.0)
        return State(
            z=jnp.where(good, z, state.z),
            loss=jnp.where(good, loss, state.loss),
            volume=state.volume,
            damping=jnp.maximum(damping, LEAST_DAMPING),
            # A heavily damped step is short for another reason than convergence.
            decrease=jnp.where(good, predicted * (1 + state.damping), jnp.inf),
            steps=state.steps + 1,
        )

    def _residuals(self, z: Array) -> Array:
        residuals = self.objective.residuals(z)
        return residuals if self.noise is None else residuals - self.noise[0]

    def _pull(self, z: Array) -> Array:
        """Return the weights, from the anchor of a randomized search."""
        weights = z[self.objective.problem.dim :]
        return weights if self.noise is None else weights - self.noise[1]

    def _loss(self, z: Array, volume: Array) -> Array:
        squares = jnp.sum(self._residuals(z) ** 2)
        squares += jnp.sum(self.objective.precision * self._pull(z) ** 2)
        return 0.5 * squares + self.objective.rest(z, volume)

    def _linearize(self, z: Array, volume: Array) -> tuple[Array, Array]:
        jacobian, residuals = self.objective.jacobian(z), self._residuals(z)
        start = jacobian.T @ jacobian, jacobian.T @ residuals
        matrix, gradient = add_rest(self.objective, z, start, volume)
        dim, precision = self.objective.problem.dim, self.objective.precision
        gradient = gradient.at[dim:].add(precision * self._pull(z))
        return matrix, gradient


def add_rest(
    objective: Objective,
    z: Float[Array, " total"],
    start: tuple[Float[Array, "total total"], Float[Array, " total"]],
    volume: Float[Array, ""],
) -> tuple[Array, Array]:
    """Add the curvature of the remainder and the precision of the weights."""
    dim, (matrix, gradient) = objective.problem.dim, start

    def rest(u: Array) -> Array:
        return objective.rest(jnp.concatenate([u, z[dim:]]), volume)

    if dim:
        slope = jax.jacfwd(rest)(z[:dim])
        hessian = jax.jacfwd(jax.jacfwd(rest))(z[:dim])
        matrix = matrix.at[:dim, :dim].add(_positive_part(hessian))
        gradient = gradient.at[:dim].add(slope)
    index = jnp.arange(dim, z.size)
    return matrix.at[index, index].add(objective.precision), gradient


def _positive_part(hessian: Float[Array, "n n"]) -> Float[Array, "n n"]:
    values, vectors = jnp.linalg.eigh(hessian)
    return (vectors * jnp.maximum(values, 0)) @ vectors.T


def _solve(matrix: Array, gradient: Array, damping: Array) -> Array:
    """Solve the damped system, scaled to a unit diagonal against bad units."""
    damped = matrix + jnp.diag(damping)
    scale = 1 / jnp.sqrt(jnp.diagonal(damped))
    factor = jax.scipy.linalg.cho_factor(damped * scale[:, None] * scale)
    return -scale * jax.scipy.linalg.cho_solve(factor, scale * gradient)


def search(
    solver: GaussNewton,
    z: Float[Array, " total"],
    bar: Progress | None = None,
    *,
    volume: float = 0.0,
) -> State:
    """Run a search to its end, with a look (and a bar) every few iterations.

    Args:
        solver: The search.
        z: Start.
        bar: Moved by the iterations done.
        volume: 1 for the density of the unconstrained coordinates.
    """
    state = jax.jit(solver.init)(z, volume)
    while not bool(solver.finished(state)):
        before = int(state.steps)
        state = solver.compiled(state)
        if bar is not None:
            note = f"loss {float(state.loss):.6g}"
            bar.advance(int(state.steps) - before, note)
    return state
