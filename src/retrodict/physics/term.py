r"""One named summand of a log-posterior: a numpyro distribution and the value it sees.

.. math::
    \ell_k(\theta, w) = \sum_i \log p_k\bigl(v_i(\theta, w) \mid \theta, w\bigr)

A data misfit, a physics residual or a boundary condition with standard deviation
:math:`\sigma` is the log-density of ``Normal(prediction, sigma)`` at what was observed
(zero, for a residual). The weight that a "loss function" would give it *is*
:math:`1/\sigma^2`, which is why it can be a parameter like any other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, Float


@dataclass(frozen=True, eq=False)
class Term:
    """A named log-density of the composite log-posterior, in nats.

    Attributes:
        name: How tables and reports call it, such as ``"data"`` or ``"residual"``.
        law: ``(theta, weights, row) -> (distribution, value)``; the term is the sum of
            ``distribution.log_prob(value)``. ``theta`` is a dictionary of physical
            parameters, ``weights`` a pytree, ``row`` one row of ``rows``.
        rows: A pytree of arrays with a common leading axis, such as the points at which
            an equation must hold; the law is mapped over them. None: the law is called
            once, as ``law(theta, weights, None)``.
    """

    name: str
    law: Callable[[Any, Any, Any], tuple[dist.Distribution, Any]]
    rows: Any = None

    def log_density(self, theta: Any, weights: Any) -> Float[Array, ""]:
        """Return the term's log-density, in nats, at one ``theta`` and ``weights``."""

        def one(row: Any) -> Array:
            distribution, value = self.law(theta, weights, row)
            return jnp.sum(distribution.log_prob(value))

        return one(None) if self.rows is None else jnp.sum(jax.vmap(one)(self.rows))

    def is_normal(self, theta: Any, weights: Any) -> bool:
        """Say whether the law is normal at ``theta`` and ``weights``: has residuals."""
        found = []

        def look(row: Any) -> Array:
            distribution, value = self.law(theta, weights, row)
            found.append(_as_normal(distribution) is not None)
            return jnp.sum(jnp.asarray(value))

        row = None if self.rows is None else jax.tree.map(lambda a: a[0], self.rows)
        jax.eval_shape(look, row)
        return found[0]


def standardized(law_result: tuple[dist.Distribution, Any]) -> tuple[Array, Array]:
    r"""Split a normal term into :math:`(v - \mu)/\sigma` and :math:`\log \sigma`.

    Returns:
        Both flat and of the same length; the log-density is
        :math:`-\frac12 \sum r^2 - \sum \log\sigma - \frac n2 \log 2\pi`.
    """
    distribution, value = law_result
    normal = _as_normal(distribution)
    assert normal is not None
    loc, scale = jnp.asarray(normal.loc), jnp.asarray(normal.scale)
    residual = (jnp.asarray(value) - loc) / scale
    log_scale = jnp.broadcast_to(jnp.log(scale), residual.shape)
    return residual.reshape(-1), log_scale.reshape(-1)


def _as_normal(distribution: dist.Distribution) -> dist.Normal | None:
    """Return the normal distribution inside ``to_event`` and ``expand``, if any."""
    while isinstance(distribution, dist.Independent | dist.ExpandedDistribution):
        distribution = distribution.base_dist
    return distribution if isinstance(distribution, dist.Normal) else None


def without_unused(function: Callable[[Array], Array], z: Array) -> Array | None:
    """Evaluate a function by those of its steps that its value depends on.

    The scale of a term is asked for without its location: a whole solver must not be
    traced through second derivatives, and compiled, to be thrown away.

    Returns:
        The value; None if it does not depend on ``z`` at all.
    """
    closed = jax.make_jaxpr(function)(z)
    wanted, kept = {id(v) for v in closed.jaxpr.outvars}, []
    for equation in reversed(closed.jaxpr.eqns):
        if any(id(v) in wanted for v in equation.outvars):
            kept.append(equation)
            wanted.update(id(v) for v in equation.invars)
    if not any(id(v) in wanted for v in closed.jaxpr.invars):
        return None
    short = closed.jaxpr.replace(eqns=kept[::-1])
    return jaxpr_as_fun(ClosedJaxpr(short, closed.consts))(z)[0]
