r"""The Laplace approximation: a normal distribution with the MAP's curvature.

The covariance of the physical parameters, with the weights marginalized, is the block
of :math:`H^{-1}` that belongs to them, not the inverse of the block of :math:`H`. It is
read off a QR decomposition of the standardized residuals' Jacobian (rows of the priors
appended), whose condition number is the square root of that of :math:`H`.

The residuals' own curvature :math:`\sum_i r_i \nabla^2 r_i` is added to
:math:`J^\top J` where a parameter takes part in it: the residuals of an equation that
holds closely are small but so is their scale, and their ratio stays (it is the
equation's Lagrange multiplier). Without it the beam's softer end was 8 % too uncertain.
Between weights alone it is zero for a field that is linear in them, and left out for
others.

Source: MacKay (1992), Neural Computation 4:448; Gauss-Newton between weights as in
Daxberger et al. (2021), arXiv:2106.14806.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from .gauss_newton import GaussNewton, Linear, Task


EXACT_UP_TO = 64  # unknowns; beyond, Gauss-Newton between weights
# Of the Hessian, in units of the Gauss-Newton matrix: along a bent ridge it can be
# negative, and a standard deviation is then ten times that of the straight one.
LEAST_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Curvature:
    """A factor of the inverse Hessian at the MAP.

    Attributes:
        root: Upper triangular ``R`` with ``R^T R`` the Hessian of the scaled unknowns,
            weights first, parameters last.
        scale: Their scale, in the same order.
        dim: Number of parameters' coordinates.
    """

    root: Float[np.ndarray, "total total"]
    scale: Float[np.ndarray, " total"]
    dim: int

    @property
    def covariance(self) -> Float[np.ndarray, "dim dim"]:
        """Covariance of the parameters' coordinates, weights marginalized."""
        tail = self._inverse_tail()
        return tail @ tail.T

    def sd_of(self, gradients: Float[np.ndarray, "n total"]) -> Float[np.ndarray, " n"]:
        """Propagate to functions with the given gradients, parameters first."""
        ordered = np.roll(gradients, -self.dim, axis=1) * self.scale
        columns = scipy.linalg.solve_triangular(self.root, ordered.T, trans=1)
        return np.sqrt(np.sum(columns**2, axis=0))

    def _inverse_tail(self) -> Float[np.ndarray, "dim dim"]:
        start = len(self.scale) - self.dim
        block = self.root[start:, start:]
        inverse = scipy.linalg.solve_triangular(block, np.eye(self.dim))
        return self.scale[start:, None] * inverse


def curvature(solver: GaussNewton, z: Float[Array, " total"], task: Task) -> Curvature:
    """Measure the curvature at a minimum in unconstrained coordinates.

    Where the Hessian is not positive definite (no minimum, or a direction that nothing
    determines) its eigenvalues are kept above 1e-12 of the largest, or above a
    hundredth of the Gauss-Newton matrix.
    """
    objective = solver.objective.on(task.rows)
    dim = objective.problem.dim
    if z.size <= EXACT_UP_TO or not all(objective.normal):
        return _factor(_square_root(_hessian(solver, z, task)), dim)
    model = solver.linearized(z, task._replace(volume=1.0))
    straight = _factor(_rows(model, dim), dim)
    if not dim:
        return straight
    bend = np.array(solver.bent(z, task))
    bend[:, :dim] -= np.asarray(model.rest)[:dim, :dim]
    return _bent(straight, bend)


def _rows(model: Linear, dim: int) -> Float[np.ndarray, "rows total"]:
    """Return rows whose products with each other are the Gauss-Newton matrix."""
    rest = np.asarray(model.rest)
    head = np.zeros((dim, len(rest)))
    head[:, :dim] = _square_root(rest[:dim, :dim])
    tail = np.diag(np.sqrt(np.diag(rest)))[dim:]
    return np.concatenate([np.asarray(model.jacobian), head, tail])


def _factor(rows: Float[np.ndarray, "rows total"], dim: int) -> Curvature:
    ordered = np.roll(rows, -dim, axis=1)
    scale = 1 / np.maximum(np.linalg.norm(ordered, axis=0), 1e-150)
    root = np.asarray(np.linalg.qr(ordered * scale, mode="r"))
    diagonal = np.diag(root)
    smallest = np.finfo(float).eps * np.abs(diagonal).max()
    weak = np.abs(diagonal) < smallest
    root[weak, weak] = smallest
    return Curvature(root, scale, dim)


def _bent(straight: Curvature, bend: Float[np.ndarray, "dim total"]) -> Curvature:
    r"""Add to :math:`R^\top R` what the parameters' rows of the Hessian have beyond it.

    As :math:`R^\top (1 + R^{-\top} S R^{-1}) R`, whose middle is well conditioned.
    """
    root, dim = straight.root, straight.dim
    added = np.zeros_like(root)
    added[-dim:] = np.roll(bend, -dim, axis=1)
    added[:-dim, -dim:] = added[-dim:, :-dim].T
    added *= straight.scale[:, None] * straight.scale
    half = scipy.linalg.solve_triangular(root, added, trans=1)
    middle = scipy.linalg.solve_triangular(root, half.T, trans=1)
    values, vectors = np.linalg.eigh(np.eye(len(root)) + (middle + middle.T) / 2)
    turned = np.sqrt(np.maximum(values, LEAST_SHARE))[:, None] * vectors.T
    bent = np.asarray(np.linalg.qr(turned @ root, mode="r"))
    return Curvature(bent, straight.scale, dim)


def _hessian(
    solver: GaussNewton, z: Float[Array, " total"], task: Task
) -> Float[np.ndarray, "total total"]:
    """Difference the exact gradient: second derivatives of a solver compile slowly."""
    columns = []
    for index, value in enumerate(np.asarray(z)):
        step = 1e-4 * max(1.0, abs(float(value)))
        ends = [solver.sloped(z.at[index].add(sign * step), task) for sign in (1, -1)]
        columns.append(np.asarray(ends[0] - ends[1]) / (2 * step))
    matrix = np.stack(columns)
    return (matrix + matrix.T) / 2


def _square_root(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return A with A^T A the nearest positive definite matrix, for unit diagonal."""
    if not len(matrix):
        return matrix
    scale = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    values, vectors = np.linalg.eigh(matrix / scale[:, None] / scale)
    values = np.maximum(values, 1e-12 * max(values.max(), 1e-300))
    return np.sqrt(values)[:, None] * vectors.T * scale
