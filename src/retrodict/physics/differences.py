r"""A field on a grid, eliminated: finite differences in space, Runge-Kutta in time.

The honest rival of the network: given the parameters, the equation is solved, and only
the parameters remain unknown. An equation in time, in the form :math:`u_t - F = 0`, is
marched by the classical Runge-Kutta method between the times at which there are data,
with differences of fourth order in space; one without time is a boundary-value problem
of first order, solved by the box scheme and Newton's method.

Source: Fornberg (1988), Math. Comp. 51:699 (weights of differences); Keller (1974),
SIAM Journal on Numerical Analysis 11:305 (box scheme).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.runge_kutta import rk4_slope
from .fields import Constrain, Jet, named


Equation = Callable[[Jet, Any], Array]
Theta = Any
STENCIL = 5
NEWTON_STEPS = 4


def difference_matrix(
    nodes: Float[np.ndarray, " n"], order: int
) -> Float[np.ndarray, "n n"]:
    """Return the matrix that differentiates values at nodes, by five-point stencils.

    One point more is used at the ends for the second derivative, which keeps it of
    fourth order there.
    """
    n = len(nodes)
    matrix = np.zeros((n, n))
    for row in range(n):
        inside = 2 <= row < n - 2
        width = min(n, STENCIL if inside or order == 1 else STENCIL + 1)
        start = int(np.clip(row - width // 2, 0, n - width))
        columns = np.arange(start, start + width)
        matrix[row, columns] = _weights(nodes[columns] - nodes[row], order)
    return matrix


def interpolation_matrix(
    nodes: Float[np.ndarray, " n"], points: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "m n"]:
    """Return the matrix of cubic interpolation from nodes to points."""
    n, width = len(nodes), min(4, len(nodes))
    matrix = np.zeros((len(points), n))
    for row, point in enumerate(points):
        start = int(np.clip(np.searchsorted(nodes, point) - 2, 0, n - width))
        columns = np.arange(start, start + width)
        matrix[row, columns] = _weights(nodes[columns] - point, 0)
    return matrix


def _weights(offsets: Float[np.ndarray, " k"], order: int) -> np.ndarray:
    """Solve for the weights that are exact for polynomials about zero."""
    scale = np.abs(offsets).max()
    powers = (offsets / scale) ** np.arange(len(offsets))[:, None]
    target = np.zeros(len(offsets))
    target[order] = (1.0, 1.0, 2.0)[order] / scale**order
    return np.linalg.solve(powers, target)


class March:
    """Solve an equation in time for given parameters.

    Args:
        domain: Ends of each axis; ``"t"`` and at most one axis of space.
        equation: ``(jet, theta) -> u_t - F``, ``(components,)``.
        constrain: Hard constraints; at ``t`` = start they give the initial state, at
            the ends of space the boundary values.
        channels: Size of what the constraints are given, zeros.
        nodes: Nodes in space.
        step: Longest step in time.
    """

    def __init__(
        self,
        domain: Mapping[str, tuple[float, float]],
        equation: Equation,
        constrain: Constrain,
        channels: int,
        *,
        nodes: int,
        step: float,
    ):
        self.axes = tuple(domain)
        self.equation, self.constrain = equation, constrain
        self.step, self.channels = step, channels
        self.start = domain["t"][0]
        space = [name for name in domain if name != "t"]
        self.space = space[0] if space else None
        self.nodes = np.linspace(*domain[space[0]], nodes) if space else np.zeros(1)
        if space:
            self.first = difference_matrix(self.nodes, 1)
            self.second = difference_matrix(self.nodes, 2)

    def __call__(
        self, theta: Theta, times: Float[np.ndarray, " m"]
    ) -> Float[Array, "m n c"]:
        """Return the field at the nodes at the given, increasing times."""
        gaps = np.diff(np.concatenate([[self.start], times]))
        count = max(1, int(np.ceil(np.max(gaps) / self.step - 1e-9)))

        def segment(carry: Any, gap: Array) -> tuple[Any, Array]:
            def one(carry: Any, _: None) -> tuple[Any, None]:
                return self._step(theta, carry, gap / count), None

            (t, u), _ = jax.lax.scan(one, carry, None, length=count)
            return (t, u), self._at_ends(t, u)

        start = jnp.asarray(self.start, float)
        first = self._constrained(start, jnp.zeros(()), self.nodes)
        return jax.lax.scan(segment, (start, first), jnp.asarray(gaps))[1]

    def _step(self, theta: Theta, carry: tuple[Array, Array], h: Array) -> Any:
        t, u = carry
        slope = rk4_slope(lambda part, v: self._rate(theta, t + part * h, v), u, h)
        return t + h, u + h * slope

    def _rate(self, theta: Theta, t: Array, u: Float[Array, "n c"]) -> Array:
        u = self._at_ends(t, u)
        zero = jnp.zeros_like(u)
        entries: dict[str, Any] = {"u": u, "u_t": zero}
        if self.space:
            name = self.space
            entries |= {f"u_{name}": self.first @ u, f"u_{name * 2}": self.second @ u}

        def one(position: Array, values: dict[str, Array]) -> Array:
            point = Jet({**self._point(t, position).entries, **values})
            return -self.equation(point, theta)

        return jax.vmap(one)(jnp.asarray(self.nodes), entries)

    def _point(self, t: Array, position: Array) -> Jet:
        values = jnp.stack([t if axis == "t" else position for axis in self.axes])
        return named(dict.fromkeys(self.axes), values)

    def _at_ends(self, t: Array, u: Float[Array, "n c"]) -> Array:
        """Put the boundary values in place."""
        if self.space is None:
            return u
        ends = self._constrained(t, jnp.zeros(()), self.nodes[[0, -1]])
        return u.at[jnp.array([0, -1])].set(ends)

    def _constrained(self, t: Array, raw: Array, positions: np.ndarray) -> Array:
        raws = jnp.broadcast_to(raw, (self.channels,))
        return jax.vmap(lambda p: self.constrain(self._point(t, p), raws))(
            jnp.asarray(positions, float)
        )


class Boundary:
    """Solve a boundary-value problem of first order for given parameters.

    Args:
        axis: Name of the axis.
        nodes: Position of the nodes.
        equation: ``(jet, theta) -> residual``, with first derivatives only.
        constrain: Hard constraints, which must hold one condition per component.
        components: Components of the field.
    """

    def __init__(
        self,
        axis: str,
        nodes: Float[np.ndarray, " n"],
        equation: Equation,
        constrain: Constrain,
        components: int,
    ):
        self.axis, self.nodes = axis, nodes
        self.equation, self.constrain = equation, constrain
        self.shape = (len(nodes), components)
        # A raw value that a condition makes irrelevant is no unknown.
        ones = np.asarray(self._field(jnp.ones(self.shape)))
        zeros = np.asarray(self._field(jnp.zeros(self.shape)))
        self.active = np.flatnonzero((ones != zeros).reshape(-1))

    def __call__(self, theta: Theta) -> Float[Array, "n c"]:
        """Return the field at the nodes."""

        def residual(unknown: Array) -> Array:
            return self._residual(theta, self._spread(unknown))

        def newton(unknown: Array, _: None) -> tuple[Array, None]:
            matrix = jax.jacfwd(residual)(unknown)
            return unknown - jnp.linalg.solve(matrix, residual(unknown)), None

        start = jnp.zeros(len(self.active))
        unknown, _ = jax.lax.scan(newton, start, None, length=NEWTON_STEPS)
        return self._field(self._spread(unknown))

    def _spread(self, unknown: Array) -> Array:
        raw = jnp.zeros(self.shape).reshape(-1)
        return raw.at[self.active].set(unknown).reshape(self.shape)

    def _field(self, raw: Float[Array, "n c"]) -> Array:
        def one(position: Array, row: Array) -> Array:
            return self.constrain(Jet({self.axis: position}), row)

        return jax.vmap(one)(jnp.asarray(self.nodes), raw)

    def _residual(self, theta: Theta, raw: Float[Array, "n c"]) -> Array:
        u = self._field(raw)
        gaps = np.diff(self.nodes)[:, None]

        def one(position: Array, middle: Array, slope: Array) -> Array:
            jet = {self.axis: position, "u": middle, f"u_{self.axis}": slope}
            return self.equation(Jet(jet), theta)

        middles = (self.nodes[1:] + self.nodes[:-1]) / 2
        rows = jax.vmap(one)(
            jnp.asarray(middles), (u[1:] + u[:-1]) / 2, (u[1:] - u[:-1]) / gaps
        )
        return rows.reshape(-1)


def on_points(
    nodes: Float[np.ndarray, " n"], points: Sequence[float] | np.ndarray
) -> Float[np.ndarray, "m n"]:
    """Return the matrix from nodes to points; a single node is every point."""
    points = np.asarray(points, float)
    if len(nodes) == 1:
        return np.ones((len(points), 1))
    return interpolation_matrix(nodes, points)
