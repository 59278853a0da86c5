r"""A posterior over physical parameters and functions, as a sum of named log-densities.

.. math::
    \log p(\theta, w \mid \text{data}) = \sum_k \ell_k(\theta, w)
        + \log p(\theta) + \log p(w) + \text{const}

:math:`w` are the weights of a function (a network) that is inferred along with the
parameters; weight decay is their Gaussian prior: minimizing :math:`\frac1N \sum r_i^2 +
\lambda |w|^2` with residuals in units of the data is the MAP for :math:`\lambda =
\sigma^2 / (N s_w^2)`, or :math:`\sigma^2 / (2 N s_w^2)` if the misfit is halved.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from .._core.errors import ModelError
from ..model import Prior
from .term import Term, standardized, without_unused


PRIOR, WEIGHT_PRIOR = "parameter prior", "weight prior"


@dataclass(frozen=True, eq=False)
class Problem:
    r"""Named terms, the prior of the parameters and the prior of the weights.

    All computations with a problem run in float64, inside ``jax.enable_x64(True)``;
    give constants as NumPy arrays, which keep their precision on the way in.

    Attributes:
        terms: The log-densities beside the priors.
        prior: Physical parameters and their prior; None if there are none.
        init: ``key -> weights``, the start of the function's weights; None if there is
            no function.
        weight_scale: Standard deviation :math:`s_w` of the normal prior of each weight;
            a pytree prefix of the weights.
        start: Where the search for some parameters starts; the prior's median if a
            parameter is not named.

    Raises:
        ModelError: If names repeat, nothing is unknown, or ``start`` is unknown.
    """

    terms: Sequence[Term]
    prior: Prior | None = None
    init: Callable[[Key[Array, ""]], Any] | None = None
    weight_scale: Any = 1.0
    start: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        twice = [n for n in names if names.count(n) > 1 or n in (PRIOR, WEIGHT_PRIOR)]
        if twice:
            raise ModelError(
                f"terms: Expected every name once, and not {PRIOR!r} or "
                f"{WEIGHT_PRIOR!r}; got {twice[0]!r} again."
            )
        if self.prior is None and self.init is None:
            raise ModelError(
                "Problem: Expected something unknown; got neither `prior` nor `init`. "
                "Give the parameters' prior, or a function that makes weights."
            )
        unknown = [n for n in self.start or {} if n not in self.names]
        if unknown:
            raise ModelError(
                f"start: Expected names among {list(self.names)}; got {unknown[0]!r}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.prior.names if self.prior else ()

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates of the parameters."""
        return self.prior.space.unconstrained_dim if self.prior else 0

    def theta(self, u: Float[Array, " dim"]) -> dict[str, Array]:
        """Return named parameters at coordinates ``u``; can be compiled."""
        if self.prior is None:
            return {}
        space = self.prior.space
        flat = space.constrain(u)
        ends = np.cumsum([field.size for field in space.fields])[:-1]
        parts = jnp.split(flat, ends)
        return {
            f.name: p.reshape(f.shape) for f, p in zip(space.fields, parts, strict=True)
        }

    def log_densities(self, theta: Mapping[str, Any], weights: Any) -> dict[str, Array]:
        """Return every term of the log-posterior by name, in nats.

        Args:
            theta: The parameters by name.
            weights: The function's weights; None if there is no function.
        """
        values = {t.name: t.log_density(theta, weights) for t in self.terms}
        if self.prior is not None:
            arrays = {k: jnp.asarray(v) for k, v in theta.items()}
            values[PRIOR] = self.prior.log_density(arrays)
        if self.init is not None:
            values[WEIGHT_PRIOR] = log_weight_prior(weights, self.weight_scale)
        return values

    def start_theta(self) -> Float[Array, " dim"]:
        """Return the parameters' coordinates at which a search starts."""
        if self.prior is None:
            return jnp.zeros(0)
        draws = self.prior.sample(jax.random.key(0), 2001)
        medians = {k: np.median(v, axis=0) for k, v in draws.items()}
        chosen = medians | {k: np.asarray(v) for k, v in (self.start or {}).items()}
        flat = self.prior.space.flatten({k: v[None] for k, v in chosen.items()})
        return jnp.asarray(self.prior.space.unconstrain(flat)[0])

    def start_weights(self, key: Key[Array, ""]) -> Float[Array, " num_weights"]:
        """Return the flat weights at which a search starts, drawn with ``key``."""
        if self.init is None:
            return jnp.zeros(0)
        return jnp.asarray(ravel_pytree(self.init(key))[0], float)


def log_weight_prior(weights: Any, scale: Any) -> Float[Array, ""]:
    """Return the log-density of independent normal weights with mean 0, in nats."""
    scales = weight_scales(weights, scale)
    flat = ravel_pytree(weights)[0]
    return jnp.sum(dist.Normal(0.0, scales).log_prob(flat))


def weight_scales(weights: Any, scale: Any) -> Float[Array, " num_weights"]:
    """Spread a scale, or a pytree prefix of scales, over all weights, flat."""
    full = jax.tree.map(
        lambda s, part: jax.tree.map(lambda w: jnp.full(jnp.shape(w), s), part),
        scale,
        weights,
    )
    return ravel_pytree(full)[0]


class Objective:
    r"""The negative log-posterior of a problem as one function of one flat vector.

    Split for Gauss-Newton into :math:`\frac12 |r(z)|^2 + h(z)`: standardized residuals
    of all normal terms, and the rest: their :math:`\log\sigma`, every other density,
    the prior. Densities are those of theta, not of its unconstrained coordinates: no
    Jacobian enters, so the minimum is the MAP of theta itself.

    With ``volume=1`` it is the density of the unconstrained coordinates, which a normal
    distribution about the mode approximates better.

    Args:
        problem: What it is made of.
        start: A point, to learn shapes from.

    Attributes:
        problem: What it is made of.
        unravel: Flat weights to their pytree.
        num_weights: Number of weights.
        normal: For each term, whether it is normal.
        precision: :math:`1/s_w^2` of each weight.
    """

    def __init__(self, problem: Problem, start: Float[Array, " total"]):
        self.problem = problem
        weights = problem.init(jax.random.key(0)) if problem.init else None
        flat, self.unravel = ravel_pytree(weights)
        self.num_weights = flat.size
        theta = problem.theta(start[: problem.dim])
        self.normal = tuple(t.is_normal(theta, weights) for t in problem.terms)
        self.precision = (
            1 / weight_scales(weights, problem.weight_scale) ** 2
            if problem.init
            else jnp.zeros(0)
        )

    @property
    def rows(self) -> list[Any]:
        """Rows of every term."""
        return [term.rows for term in self.problem.terms]

    def on(self, rows: Sequence[Any]) -> "Objective":
        """Return the same objective with other rows of the same shapes."""
        pairs = zip(self.problem.terms, rows, strict=True)
        other = copy.copy(self)
        terms = [replace(term, rows=those) for term, those in pairs]
        other.problem = replace(self.problem, terms=terms)
        return other

    def split(self, z: Float[Array, " total"]) -> tuple[dict[str, Array], Any]:
        """Return named parameters and weights at a flat vector."""
        dim = self.problem.dim
        weights = self.unravel(z[dim:]) if self.num_weights else None
        return self.problem.theta(z[:dim]), weights

    def loss(self, z: Float[Array, " total"], volume: Any = 0.0) -> Float[Array, ""]:
        """Return the negative log-posterior, in nats (up to the evidence)."""
        theta, weights = self.split(z)
        total = sum(self.problem.log_densities(theta, weights).values())
        return -total - volume * self._log_volume(z)

    def rest(self, z: Float[Array, " total"], volume: Any = 0.0) -> Float[Array, ""]:
        """Return what is neither a squared residual nor the prior of the weights."""
        theta, weights = self.split(z)
        total = jnp.zeros(())
        for term, normal in zip(self.problem.terms, self.normal, strict=True):
            if normal:
                total += self._log_scales(term, z)
            else:
                total -= term.log_density(theta, weights)
        if self.problem.prior is not None:
            total -= self.problem.prior.log_density(theta)
        return total - volume * self._log_volume(z)

    def residuals(self, z: Float[Array, " total"]) -> Float[Array, " num_residuals"]:
        """Return the standardized residuals of all normal terms."""
        parts = [self._over_rows(t, z)[0].reshape(-1) for t in self._normal_terms]
        return jnp.concatenate([*parts, jnp.zeros(0)])

    def jacobian(
        self, z: Float[Array, " total"]
    ) -> Float[Array, "num_residuals total"]:
        """Differentiate the residuals, row by row where a term has rows."""
        parts = [self._term_jacobian(term, z) for term in self._normal_terms]
        return jnp.concatenate([*parts, jnp.zeros((0, z.size))])

    @property
    def _normal_terms(self) -> list[Term]:
        pairs = zip(self.problem.terms, self.normal, strict=True)
        return [term for term, normal in pairs if normal]

    def _log_scales(self, term: Term, z: Array) -> Array:
        """Sum the log of a normal term's scales: a number, unless one is unknown."""
        found = without_unused(lambda z: jnp.sum(self._over_rows(term, z)[1]), z)
        return jnp.zeros(()) if found is None else found  # a constant of the loss

    def of_scales(
        self, z: Float[Array, " total"], residuals: Float[Array, " num_residuals"]
    ) -> Float[Array, ""]:
        r"""Return a function whose Hessian is what unknown scales add to J^T J.

        :math:`\sum_i r_i^2 (d_i^2/2 - d_i)` with :math:`d_i` the change of
        :math:`\log\sigma_i` from its value at ``z``: zero, but its second derivatives
        are not.
        """
        total, done = jnp.zeros(()), 0
        for term in self._normal_terms:
            size = jax.eval_shape(lambda z, t=term: self._over_rows(t, z)[1], z).size
            squares, done = residuals[done : done + size] ** 2, done + size

            def summed(z: Array, term: Term = term, squares: Array = squares) -> Array:
                scales = self._over_rows(term, z)[1].reshape(-1)
                change = scales - jax.lax.stop_gradient(scales)
                return jnp.dot(squares, change**2 / 2 - change)

            found = without_unused(summed, z)
            total += jnp.zeros(()) if found is None else found
        return total

    def _log_volume(self, z: Array) -> Array:
        if self.problem.prior is None:
            return jnp.zeros(())
        return self.problem.prior.space.log_det(z[: self.problem.dim])

    def _over_rows(self, term: Term, z: Array) -> tuple[Array, Array]:
        theta, weights = self.split(z)
        if term.rows is None:
            return standardized(term.law(theta, weights, None))
        return jax.vmap(lambda row: standardized(term.law(theta, weights, row)))(
            term.rows
        )

    def _term_jacobian(self, term: Term, z: Array) -> Array:
        def one(z: Array, row: Any) -> Array:
            return standardized(term.law(*self.split(z), row))[0]

        if term.rows is None:
            return jax.jacfwd(one)(z, None)
        # A point has few residuals and many unknowns, a trajectory the reverse.
        row = jax.tree.map(lambda a: a[0], term.rows)
        many = jax.eval_shape(one, z, row).size > z.size // 2
        differentiate = jax.jacfwd if many else jax.jacrev
        jacobian = jax.vmap(differentiate(one), (None, 0))(z, term.rows)
        return jacobian.reshape(-1, z.size)
