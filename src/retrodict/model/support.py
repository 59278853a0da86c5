r"""Where a parameter may lie, and the bijection from the real line onto it.

A network works on unconstrained coordinates ``u``; the bijection :math:`\theta = b(u)`
of a support makes it impossible for a posterior sample to leave the prior's support.

=================  =====================================================
kind               :math:`\theta = b(u)`
=================  =====================================================
``real``           :math:`u`
``lower``          :math:`a + e^u`
``upper``          :math:`b - e^u`
``half_line``      :math:`a - s \log\Phi(-u)`, for priors with light tails
``interval``       :math:`a + (b-a)\,\Phi(u)`
``log_interval``   :math:`a\,(b/a)^{\Phi(u)}`
``simplex``        stick breaking (numpyro's convention; one coordinate fewer)
``ordered``        :math:`\theta_1 = u_1`, :math:`\theta_i = \theta_{i-1} + e^{u_i}`
=================  =====================================================

Deviation from ``numpyro.distributions.biject_to``: intervals use the normal
distribution function where numpyro uses the logistic one. A uniform prior is then
exactly normal in ``u``, which is the base distribution of every estimator here; with
the logistic function it would have exponential tails that a flow must learn. Likewise
an exponential prior of scale s is exactly normal in the ``u`` of a half-line. There
theta grows as :math:`u^2`: with :math:`e^u` the rare far draws of a network would be
further off than any draw of a prior with light tails.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import scipy.special
from jax.core import Tracer
from numpyro.distributions import constraints

from .._core.errors import ModelError


Kind = Literal[
    "real",
    "lower",
    "upper",
    "half_line",
    "interval",
    "log_interval",
    "simplex",
    "ordered",
]
KINDS = get_args(Kind)
# Beyond +-MAX_PROBIT the distribution function of a float32 draw is 0 or 1: a draw that
# rounds to the bound itself must still have finite coordinates.
MAX_PROBIT = 6.0
LOG_2 = math.log(2.0)


def _namespace(array: Any) -> tuple[Any, Any]:
    """Return the array and special-function modules that fit ``array``."""
    if isinstance(array, jax.Array):
        return jnp, jax.scipy.special
    return np, scipy.special


@dataclass(frozen=True)
class Support:
    """The support of one field of shape ``shape``.

    Attributes:
        kind: One of :data:`KINDS`.
        shape: Shape of the field; simplex and ordered act on the last axis.
        lower: Lower bounds, broadcast to ``shape`` and flattened (kinds with one).
        upper: Upper bounds, likewise.
        scale: Scales of half-lines, in the unit of theta, likewise.
    """

    kind: str
    shape: tuple[int, ...]
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of components of theta."""
        return math.prod(self.shape)

    @property
    def unconstrained_size(self) -> int:
        """Number of unconstrained coordinates."""
        if self.kind == "simplex":
            return self.size // self.shape[-1] * (self.shape[-1] - 1)
        return self.size

    def constrain(self, u: Any) -> Any:
        """Map coordinates ``(..., unconstrained_size)`` to theta ``(..., size)``.

        The result lies inside the support in the precision of ``u``: strictly between
        bounds; far from the origin, entries of a simplex may round to 0 and neighbours
        of an ordered vector to equal values.
        """
        xp, special = _namespace(u)
        lower, upper = self._bounds(xp, u.dtype)
        if self.kind == "real":
            return u
        if self.kind == "lower":
            return xp.maximum(lower + _exp(u), xp.nextafter(lower, np.inf * upper))
        if self.kind == "upper":
            return xp.minimum(upper - _exp(u), xp.nextafter(upper, -np.inf * lower))
        if self.kind == "half_line":
            theta = lower + self._scale(xp, u.dtype) * _log_survival(u)
            return xp.maximum(theta, xp.nextafter(lower, np.inf * upper))
        if self.kind in ("interval", "log_interval"):
            theta = self._from_unit(xp, special, u, lower, upper)
            inner = xp.nextafter(lower, upper), xp.nextafter(upper, lower)
            return xp.clip(theta, *inner)
        if self.kind == "simplex":
            return self._rows(_stick_breaking, u, xp)
        return self._rows(_ordered, u, xp)

    def unconstrain(self, theta: Any) -> Any:
        """Map theta ``(..., size)`` to finite coordinates; undo :meth:`constrain`.

        Values on the edge of the support are moved inside by about rounding error.
        """
        xp, special = _namespace(theta)
        lower, upper = self._bounds(xp, theta.dtype)
        tiny = np.finfo(theta.dtype).tiny
        if self.kind == "real":
            return theta
        if self.kind == "lower":
            return xp.log(xp.maximum(theta - lower, tiny))
        if self.kind == "upper":
            return xp.log(xp.maximum(upper - theta, tiny))
        if self.kind == "half_line":
            return _undo_log_survival((theta - lower) / self._scale(xp, theta.dtype))
        if self.kind in ("interval", "log_interval"):
            return self._to_normal(xp, special, theta, lower, upper)
        if self.kind == "simplex":
            return self._rows(_stick_breaking_inverse, theta, xp)
        return self._rows(_ordered_inverse, theta, xp)

    def log_det(self, u: Any) -> Any:
        r"""Return :math:`\log|\det\partial\theta/\partial u|`, of shape ``(...)``.

        For a simplex the density is with respect to all but the last component.
        """
        xp, special = _namespace(u)
        lower, upper = self._bounds(xp, u.dtype)
        if self.kind == "real":
            return xp.zeros(u.shape[:-1], u.dtype)
        if self.kind in ("lower", "upper"):
            return u.sum(-1)
        log_phi = -0.5 * u**2 - 0.5 * math.log(2 * math.pi)
        if self.kind == "half_line":
            log_scale = xp.log(self._scale(xp, u.dtype))
            return (log_scale + log_phi - special.log_ndtr(-u)).sum(-1)
        if self.kind in ("interval", "log_interval"):
            if self.kind == "interval":
                return (log_phi + xp.log(upper - lower)).sum(-1)
            theta = self._from_unit(xp, special, u, lower, upper)
            return (log_phi + xp.log(theta) + xp.log(xp.log(upper / lower))).sum(-1)
        grid = u.reshape(*u.shape[:-1], *self._row_shape(u))
        if self.kind == "ordered":
            return grid[..., 1:].sum((-1, -2))
        return _stick_breaking_log_det(grid, xp).sum(-1)

    def contains(self, theta: np.ndarray) -> np.ndarray | np.bool:
        """Say for each row of ``(..., size)`` whether it lies in the support."""
        lower, upper = self._bounds(np, theta.dtype)
        good = np.isfinite(theta).all(-1)
        if self.kind == "real":
            return good
        if self.kind in ("lower", "half_line"):
            return good & (theta >= lower).all(-1)
        if self.kind == "upper":
            return good & (theta <= upper).all(-1)
        if self.kind in ("interval", "log_interval"):
            return good & ((theta >= lower) & (theta <= upper)).all(-1)
        rows = theta.reshape(*theta.shape[:-1], -1, self.shape[-1])
        if self.kind == "ordered":
            return good & (np.diff(rows, axis=-1) >= 0).all((-1, -2))
        total = np.abs(rows.sum(-1) - 1) < 1e-5
        return good & (total & (rows >= 0).all(-1)).all(-1)

    def _bounds(self, xp: Any, dtype: Any) -> tuple[Any, Any]:
        """Return both bounds; a missing one is 1, a dummy with the right sign."""
        lower = xp.asarray(self.lower or (1.0,), dtype=dtype)
        upper = xp.asarray(self.upper or (1.0,), dtype=dtype)
        return lower, upper

    def _scale(self, xp: Any, dtype: Any) -> Any:
        return xp.asarray(self.scale, dtype=dtype)

    def _from_unit(self, xp, special, u, lower, upper):
        if self.kind == "interval":
            # From the nearer bound: no cancellation.
            away = (upper - lower) * special.ndtr(xp.where(u < 0, u, -u))
            return xp.where(u < 0, lower + away, upper - away)
        return xp.exp(xp.log(lower) + (xp.log(upper) - xp.log(lower)) * special.ndtr(u))

    def _to_normal(self, xp, special, theta, lower, upper):
        if self.kind == "log_interval":
            theta, lower, upper = (xp.log(v) for v in (theta, lower, upper))
        width = upper - lower
        tail = xp.minimum(theta - lower, upper - theta) / width
        floor = scipy.special.ndtr(-MAX_PROBIT)
        distance = -special.ndtri(xp.clip(tail, floor, 0.5))
        return xp.where(theta - lower < upper - theta, -distance, distance)

    def _row_shape(self, array: Any) -> tuple[int, int]:
        rows = self.size // self.shape[-1]
        return rows, array.shape[-1] // rows

    def _rows(self, function, array, xp):
        grid = array.reshape(*array.shape[:-1], *self._row_shape(array))
        return function(grid, xp).reshape(*array.shape[:-1], -1)


def _exp(u):
    """Return e^u, at most about 1/150 of the largest number: theta stays finite."""
    xp, _ = _namespace(u)
    return xp.exp(xp.minimum(u, math.log(np.finfo(u.dtype).max) - 5.0))


def _log_survival(u):
    """Return -log Phi(-u); at most about a hundredth of the largest number."""
    xp, special = _namespace(u)
    limit = 0.1 * math.sqrt(float(np.finfo(u.dtype).max))
    return -special.log_ndtr(-xp.clip(u, -limit, limit))


def _undo_log_survival(value):
    """Return the u with -log Phi(-u) = value, within +-MAX_PROBIT near zero."""
    xp, special = _namespace(value)
    floor = scipy.special.ndtr(-MAX_PROBIT)
    tiny = np.finfo(value.dtype).tiny
    above = -special.ndtri(xp.exp(-xp.clip(value, LOG_2, -math.log(tiny))))
    below = special.ndtri(-xp.expm1(-xp.clip(value, floor, LOG_2)))
    return xp.where(value > LOG_2, above, below)


def _offsets(count: int, xp: Any, dtype: Any) -> Any:
    """Shift that makes ``u = 0`` the centre of the simplex."""
    return xp.log(xp.asarray(np.arange(count, 0, -1), dtype=dtype))


def _stick_breaking(u, xp):
    _, special = _namespace(u)
    fraction = special.expit(u - _offsets(u.shape[-1], xp, u.dtype))
    left = xp.cumprod(1 - fraction, axis=-1)
    one = xp.ones_like(left[..., :1])
    before = xp.concatenate([one, left[..., :-1]], -1)
    return xp.concatenate([fraction * before, left[..., -1:]], -1)


def _stick_breaking_inverse(theta, xp):
    tiny = np.finfo(theta.dtype).tiny
    head = theta[..., :-1]
    after = xp.cumsum(theta[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    ratio = xp.log(xp.maximum(head, tiny)) - xp.log(xp.maximum(after, tiny))
    return ratio + _offsets(head.shape[-1], xp, theta.dtype)


def _stick_breaking_log_det(u, xp):
    shifted = u - _offsets(u.shape[-1], xp, u.dtype)
    log_taken = -xp.logaddexp(0.0, -shifted)
    log_left = -xp.logaddexp(0.0, shifted)
    before = xp.cumsum(log_left, axis=-1) - log_left
    return (log_taken + log_left + before).sum(-1)


def _ordered(u, xp):
    return xp.cumsum(xp.concatenate([u[..., :1], _exp(u[..., 1:])], -1), axis=-1)


def _ordered_inverse(theta, xp):
    steps = theta[..., 1:] - theta[..., :-1]
    tiny = np.finfo(theta.dtype).tiny
    return xp.concatenate([theta[..., :1], xp.log(xp.maximum(steps, tiny))], -1)


def from_constraint(
    constraint: Any,
    shape: tuple[int, ...],
    name: str,
    *,
    log_scale: bool = False,
    scale: Any = None,
) -> Support:
    """Translate a numpyro constraint into a :class:`Support`.

    Args:
        constraint: A constraint of ``numpyro.distributions.constraints``.
        shape: Shape of the field.
        name: The parameter's name, for messages.
        log_scale: Measure an interval on a logarithmic scale (log-uniform priors).
        scale: Scale of a half-line bounded below whose prior has light tails.

    Raises:
        ModelError: If the constraint is discrete or not one of those supported.
    """
    if constraint.is_discrete:
        raise ModelError(
            f"Prior: parameter {name!r} is discrete ({constraint}). Expected a "
            "continuous distribution; relax it (for example a Uniform rounded inside "
            "the simulator) or run one model per value."
        )
    while isinstance(constraint, constraints._IndependentConstraint):
        constraint = constraint.base_constraint
    lower = _flat_bound(getattr(constraint, "lower_bound", None), shape, name)
    upper = _flat_bound(getattr(constraint, "upper_bound", None), shape, name)
    kinds = {(True, True): "interval", (True, False): "lower", (False, True): "upper"}
    if type(constraint).__name__ in ("_Real", "_RealVector", "_RealMatrix"):
        return Support("real", shape)
    if isinstance(constraint, type(constraints.simplex)):
        return Support("simplex", shape)
    if isinstance(constraint, type(constraints.ordered_vector)):
        return Support("ordered", shape)
    kind = kinds.get((bool(lower), bool(upper)))
    if kind is None:
        raise ModelError(
            f"Prior: parameter {name!r} has the support {constraint}, which has no "
            f"bijection here. Expected one of: {', '.join(KINDS)}."
        )
    if kind == "interval":
        _check_width(lower, upper, name)
        kind = "log_interval" if log_scale else "interval"
    if kind == "lower" and scale is not None:
        scales = np.broadcast_to(np.asarray(scale, np.float64), shape).ravel()
        return Support("half_line", shape, lower, upper, tuple(scales.tolist()))
    return Support(kind, shape, lower, upper)


def _flat_bound(bound: Any, shape: tuple[int, ...], name: str) -> tuple[float, ...]:
    if bound is None:
        return ()
    if isinstance(bound, Tracer):
        raise ModelError(
            f"Prior: the support of {name!r} depends on other parameters. Expected "
            "bounds that are constants; rewrite it as a constant-support parameter "
            "and compute the dependent one in the simulator or in `derive`."
        )
    values = np.broadcast_to(np.asarray(bound, dtype=np.float64), shape)
    if np.isinf(values).all():
        return ()  # no bound at all, as in TruncatedNormal(low=-inf)
    if not np.isfinite(values).all():
        raise ModelError(
            f"Prior: parameter {name!r}: Expected finite bounds, or none for all its "
            f"components; got {values.tolist()}. Split it into two parameters."
        )
    return tuple(float(value) for value in values.ravel())


def _check_width(lower: tuple[float, ...], upper: tuple[float, ...], name: str) -> None:
    for low, high in zip(lower, upper, strict=True):
        if not low < high:
            raise ModelError(
                f"Prior: parameter {name!r}: Expected a lower bound below the upper "
                f"one; got lower {low} and upper {high}. Write the smaller one first."
            )
