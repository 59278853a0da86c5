r"""Damped Gauss-Newton for a sum of squares and a remainder that few unknowns enter.

.. math::
    (J^\top J + \nabla^2 h + S + \lambda D)\, \delta = -(J^\top r + \nabla h + S w)

with the residuals :math:`r` of all normal terms, the exact Hessian of the remainder
:math:`h` in the physical parameters (indefinite parts removed) and the precision
:math:`S` of the weights. :math:`D_i` is the geometric mean of the diagonal element
:math:`i` of what stands before it and their average: for a network of 640 weights that
solves the heat equation, 60 steps left a relative error of the field of 8e-6; with the
diagonal (Marquardt) 9e-2 and with the average (Levenberg) 5e-4.

A straight step leaves a valley that bends, and is then shortened until nothing moves.
The residuals at its end are therefore brought back to what the line predicted, by a few
chord steps with the same factored matrix (a second-order correction). For the heater's
network of 343 weights 60 steps without it left the readings 17 K away, with it the loss
to the room within 1 % of least squares.

Why our own: Levenberg-Marquardt of a library takes residuals only, and a log-normal or
gamma prior of a parameter, or the :math:`\log\sigma` of an inferred noise, is none; its
Jacobian goes through all rows at once, where here one row is differentiated at a time.

Source: Nocedal and Wright (2006), Numerical Optimization, sections 4.1,
10.3 and 18.3 (second-order correction); Transtrum and Sethna (2012), arXiv:1201.5885.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.progress import Progress
from .problem import Objective


FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-20, 1e12
LEAST_RATIO = 1e-4  # of actual over predicted decrease, for a step to be taken
CORRECTIONS = 3  # of a step that leaves a curved valley
CHUNK = 20  # iterations between two looks from outside


class Task(NamedTuple):
    """What is minimized: values that one compiled program takes.

    Attributes:
        rows: Rows of every term.
        volume: 1 for the density of the unconstrained coordinates, 0 for that of theta.
        tolerance: Predicted decrease of the negative log-posterior, in nats, below
            which the search has converged: half the squared length of the Newton step
            in posterior standard deviations. 1e-10 puts every unknown within 2e-5
            standard deviations of its MAP.
        max_steps: Most iterations.
    """

    rows: Any
    volume: float | Array = 0.0
    tolerance: float | Array = 1e-10
    max_steps: int | Array = 300


class State(NamedTuple):
    """Where a search is.

    Attributes:
        z: The unknowns.
        loss: Negative log-posterior there, but for constants.
        damping: Factor of the damping.
        decrease: Predicted decrease of the last step.
        steps: Iterations done.
    """

    z: Float[Array, " total"]
    loss: Float[Array, ""]
    damping: Float[Array, ""]
    decrease: Float[Array, ""]
    steps: Int[Array, ""]


class Linear(NamedTuple):
    """A problem linearized at a point.

    Attributes:
        residuals: Standardized residuals there.
        jacobian: Their derivatives.
        rest: Curvature of the remainder and precision of the weights.
        gradient: Gradient of the negative log-posterior.
    """

    residuals: Float[Array, " num_residuals"]
    jacobian: Float[Array, "num_residuals total"]
    rest: Float[Array, "total total"]
    gradient: Float[Array, " total"]


class Factor(NamedTuple):
    """Upper triangular R with R^T R the Gauss-Newton matrix, parameters last.

    Found from the residuals' Jacobian itself: with an equation's scale of 1e-5 the
    matrix has condition numbers beyond 1e16, R their square root.

    Attributes:
        root: R, for columns scaled to unit length.
        scale: Their lengths, parameters first.
        dim: Number of parameters.
    """

    root: Float[Array, "total total"]
    scale: Float[Array, " total"]
    dim: int

    @classmethod
    def of(cls, model: Linear, dim: int) -> "Factor":
        """Factor the matrix of a linearized problem."""
        block = _root(model.rest[:dim, :dim])
        precision = jnp.sqrt(jnp.diagonal(model.rest)[dim:])
        rest = jax.scipy.linalg.block_diag(block, jnp.diag(precision))
        rows = jnp.concatenate([model.jacobian, rest])
        scale = jnp.maximum(jnp.linalg.norm(rows, axis=0), 1e-150)
        root = jnp.linalg.qr(jnp.roll(rows / scale, -dim, axis=1), mode="r")
        return cls(root, scale, dim)

    @property
    def metric(self) -> Float[Array, " total"]:
        """Geometric mean of the matrix' diagonal and its average."""
        return self.scale * jnp.sqrt(jnp.mean(self.scale**2))

    def damped(self, damping: Float[Array, " total"]) -> "Factor":
        """Factor the matrix with something added to its diagonal."""
        added = jnp.diag(jnp.roll(jnp.sqrt(damping) / self.scale, -self.dim))
        rows = jnp.concatenate([self.root, added])
        return Factor(jnp.linalg.qr(rows, mode="r"), self.scale, self.dim)

    def solve(self, gradient: Float[Array, " total"]) -> Float[Array, " total"]:
        """Solve R^T R x = gradient."""
        half = self.half(gradient)
        full = jax.scipy.linalg.solve_triangular(self.root, half)
        return jnp.roll(full, self.dim) / self.scale

    def half(self, gradient: Float[Array, " total"]) -> Float[Array, " total"]:
        """Solve R^T y = gradient; y has the parameters last."""
        ordered = jnp.roll(gradient / self.scale, -self.dim)
        return jax.scipy.linalg.solve_triangular(self.root, ordered, trans=1)

    def decrease(self, gradient: Float[Array, " total"]) -> Float[Array, ""]:
        """Return what an undamped step promises to the parameters, in nats.

        That is, with the weights eliminated. A network's weights have directions along
        which nothing changes but their prior; a thousandth of theirs counts.
        """
        squares = self.half(gradient) ** 2
        weights = 1e-3 if self.dim else 1.0
        return 0.5 * (
            jnp.sum(squares[squares.size - self.dim :]) + weights * jnp.sum(squares)
        )


class GaussNewton:
    """A search, as a value that is moved: ``init``, ``advance``, ``finished``.

    Args:
        objective: What to minimize.
        noise: Standard normal numbers subtracted from the residuals, and from the
            weights in units of their prior: the minimum is then a draw from the
            posterior of a linear-Gaussian problem (randomize, then optimize).
    """

    def __init__(self, objective: Objective, noise: tuple[Array, Array] | None = None):
        self.objective = objective
        self.noise = noise
        # Compiled once for all tasks of a problem.
        self.started: Any = jax.jit(self.init)
        self.moved: Any = jax.jit(lambda state, task: self.advance(state, task, CHUNK))
        self.linearized: Any = jax.jit(self.linearize)
        self.bent: Any = jax.jit(self.bend)
        self.sloped: Any = jax.jit(self.slope)

    def init(self, z: Float[Array, " total"], task: Task) -> State:
        """Evaluate the start."""
        infinite, damping = (
            jnp.asarray(jnp.inf, float),
            jnp.asarray(FIRST_DAMPING, float),
        )
        return State(z, self._loss(z, task), damping, infinite, jnp.zeros((), int))

    def finished(self, state: State, task: Task) -> Bool[Array, ""]:
        """Say whether to stop: converged, stuck, or out of steps."""
        return (
            self.converged(state, task)
            | (state.damping > MOST_DAMPING)
            | (state.steps >= task.max_steps)
            | ~jnp.isfinite(state.loss)
        )

    def converged(self, state: State, task: Task) -> Bool[Array, ""]:
        """Say whether another step would change anything that matters."""
        return state.decrease < task.tolerance

    def advance(self, state: State, task: Task, steps: int | Array) -> State:
        """Take up to ``steps`` steps; can be compiled."""
        limit = state.steps + steps
        return jax.lax.while_loop(
            lambda s: ~self.finished(s, task) & (s.steps < limit),
            lambda s: self._step(s, task),
            state,
        )

    def linearize(self, z: Float[Array, " total"], task: Task) -> Linear:
        """Linearize the residuals and expand the rest to second order."""
        objective = self.objective.on(task.rows)
        jacobian, residuals = objective.jacobian(z), self._residuals(z, task)
        rest, slope = _curvature_of_rest(objective, z, residuals, task.volume)
        gradient = jacobian.T @ residuals + slope
        pull = objective.precision * self._pull(z)
        gradient = gradient.at[objective.problem.dim :].add(pull)
        return Linear(residuals, jacobian, rest, gradient)

    def slope(self, z: Float[Array, " total"], task: Task) -> Float[Array, " total"]:
        """Return the gradient of the negative log-posterior, of any terms."""
        objective = self.objective.on(task.rows)
        return jax.jacfwd(lambda z: objective.loss(z, 1.0))(z)

    def bend(self, z: Float[Array, " total"], task: Task) -> Float[Array, "dim total"]:
        """Return the parameters' rows of what the Hessian has beside J^T J.

        That is, the curvature of the residuals times their size, and of the rest, for
        the density of the unconstrained coordinates.
        """
        objective = self.objective.on(task.rows)
        now = objective.residuals(z)

        def beside(z: Array) -> Array:
            return jnp.dot(now, objective.residuals(z)) + objective.rest(z, 1.0)

        directions = jnp.eye(objective.problem.dim, z.size)
        return jax.vmap(lambda d: jax.jvp(jax.grad(beside), (z,), (d,))[1])(directions)

    def _step(self, state: State, task: Task) -> State:
        # Linearized anew after a step that failed, too: the program is half as large
        # and compiling it, not running it, takes the time of most problems.
        model = self.linearize(state.z, task)
        factor = Factor.of(model, self.objective.problem.dim)
        damped = state.damping * factor.metric
        solve = factor.damped(damped).solve
        delta = -solve(model.gradient)
        predicted = 0.5 * jnp.dot(delta, damped * delta - model.gradient)
        z, loss = self._follow(state.z, delta, solve, model, task)
        ratio = (state.loss - loss) / jnp.maximum(predicted, 1e-300)
        # Near the minimum a decrease drowns in rounding: no rise is good enough.
        level = jnp.abs(state.loss - loss) < 1e-14 * (1 + jnp.abs(state.loss))
        good = jnp.isfinite(loss) & ((ratio > LEAST_RATIO) | level)
        relax = jnp.where(ratio > 0.75, 0.1, jnp.where(ratio > 0.25, 0.5, 2.0))
        damping = state.damping * jnp.where(good, relax, 4.0)
        return State(
            z=jnp.where(good, z, state.z),
            loss=jnp.where(good, loss, state.loss),
            damping=jnp.maximum(damping, LEAST_DAMPING),
            decrease=factor.decrease(model.gradient),
            steps=state.steps + 1,
        )

    def _follow(
        self, z: Array, delta: Array, solve: Any, model: Linear, task: Task
    ) -> tuple[Array, Array]:
        """Bend a straight step along a curved valley.

        The residuals at its end are brought back to what the line predicts, by chord
        steps with the matrix at hand; the best point on the way is taken.
        """
        expected = model.residuals + model.jacobian @ delta

        def look(z: Array) -> tuple[Array, Array]:
            residuals = self._residuals(z, task)
            loss = self._loss_of(z, residuals, task)
            return residuals, jnp.where(jnp.isnan(loss), jnp.inf, loss)

        def correct(_: Any, carry: tuple[Array, Array, Array, Array]) -> Any:
            z, residuals, best, lowest = carry
            z = z - solve(model.jacobian.T @ (residuals - expected))
            residuals, loss = look(z)
            better = loss < lowest
            best, lowest = jnp.where(better, z, best), jnp.where(better, loss, lowest)
            return z, residuals, best, lowest

        end = z + delta
        residuals, loss = look(end)
        # Where the equation is solved there is no valley to leave, and looking is dear.
        count = CORRECTIONS if self.objective.num_weights else 0
        start = end, residuals, end, loss
        return jax.lax.fori_loop(0, count, correct, start)[2:]

    def _residuals(self, z: Array, task: Task) -> Array:
        residuals = self.objective.on(task.rows).residuals(z)
        return residuals if self.noise is None else residuals - self.noise[0]

    def _pull(self, z: Array) -> Array:
        """Return the weights, from the anchor of a randomized search."""
        weights = z[self.objective.problem.dim :]
        return weights if self.noise is None else weights - self.noise[1]

    def _loss(self, z: Array, task: Task) -> Array:
        return self._loss_of(z, self._residuals(z, task), task)

    def _loss_of(self, z: Array, residuals: Array, task: Task) -> Array:
        objective = self.objective.on(task.rows)
        squares = jnp.sum(residuals**2)
        squares += jnp.sum(objective.precision * self._pull(z) ** 2)
        return 0.5 * squares + objective.rest(z, task.volume)


def _curvature_of_rest(
    objective: Objective,
    z: Float[Array, " total"],
    residuals: Float[Array, " num_residuals"],
    volume: float | Array,
) -> tuple[Float[Array, "total total"], Float[Array, " total"]]:
    """Return the Hessian of the remainder and of the weights' prior, and its slope.

    The curvature that residuals owe to unknown scales counts too: without it a step
    towards the scale of the noise is twice too long, and the search swings.
    """
    dim = objective.problem.dim
    matrix = jnp.diag(jnp.concatenate([jnp.zeros(dim), objective.precision]))
    slope = jnp.zeros(z.size)

    def rest(u: Array) -> Array:
        return objective.rest(jnp.concatenate([u, z[dim:]]), volume)

    def curved(u: Array) -> Array:
        whole = jnp.concatenate([u, z[dim:]])
        return objective.rest(whole, volume) + objective.of_scales(whole, residuals)

    if dim:
        slope = slope.at[:dim].set(jax.jacfwd(rest)(z[:dim]))
        hessian = jax.jacfwd(jax.jacfwd(curved))(z[:dim])
        matrix = matrix.at[:dim, :dim].set(_positive_part(hessian))
    return matrix, slope


def _positive_part(hessian: Float[Array, "n n"]) -> Float[Array, "n n"]:
    root = _root(hessian)
    return root.T @ root


def _root(hessian: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return A with A^T A the positive part of a matrix."""
    values, vectors = jnp.linalg.eigh(hessian)
    return jnp.sqrt(jnp.maximum(values, 0))[:, None] * vectors.T


def search(
    solver: GaussNewton, z: Float[Array, " total"], task: Task, bar: Progress
) -> State:
    """Run a search to its end, with a look every few iterations."""
    state = solver.started(z, task)
    while not bool(solver.finished(state, task)):
        before = int(state.steps)
        state = solver.moved(state, task)
        bar.advance(int(state.steps) - before, f"loss {float(state.loss):.6g}")
    return state
