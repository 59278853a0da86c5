r"""The classical baseline of a world whose chains mix slowly: population Monte Carlo.

Draws from a proposal are weighed by prior and exact likelihood, and the next proposal
is made from them; the first draws are from the prior, so that no part of it is left
out. For the few parameters that the data tell much about, a proposal has kernels around
some draws; for all others, a quadratic regression on those. The last weighted draws are
resampled, and each of them is moved by Metropolis steps in all parameters, which drive
apart what was drawn more than once.

A proposal that held too little of a tail would show in the Pareto shape of the weights.
A tenth of the proposal is the prior, so that weights are bounded where likelihoods are.

Source: Cappé, Guillin, Marin and Robert (2004), Population Monte Carlo,
doi:10.1198/106186004X12803; for cosmology Wraith et al. (2009), arXiv:0903.0837; the
moves of Gilks and Berzuini (2001), Following a moving target,
doi:10.1111/1467-9868.00280.
Deviation from the source: in the rounds before the last, weights are tempered until
enough draws count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from arviz_stats.base.array import array_stats
from jaxtyping import Array, Bool, Float, Key

from .._core.resampling import efficiency, resample
from .._core.seeds import numpy_generator
from ..model import Baseline, Model, Prior
from ._nuts import LogLikelihood, make_log_density


METHOD = "population Monte Carlo"
PRIOR_SHARE = 0.1  # of the proposal
NUM_KERNELS = 2000
DEGREES = 5.0  # of freedom of the kernels
WIDTH = 0.5  # of the kernels, in sds of the weighted draws
ENOUGH = 200  # effective draws that a proposal is made from
BATCH = 100  # rows side by side

LogDensities = Callable[[Float[np.ndarray, "n dim"]], Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Population:
    """How many draws there are.

    Attributes:
        num_rounds: Rounds before the last; the first draws from the prior.
        num_adapt: Draws of each of them.
        num_final: Draws of the last round.
        num_samples: Draws of the answer.
        num_moves: Metropolis steps of each of those.
    """

    num_rounds: int = 3
    num_adapt: int = 10_000
    num_final: int = 60_000
    num_samples: int = 4000
    num_moves: int = 10


class Proposal:
    """A density made from weighted rows of unconstrained coordinates.

    Kernels for the coordinates ``told``; given those, a quadratic regression with
    Student errors for the rest; and a share of the prior.

    Args:
        key: Picks the centres of the kernels.
        prior: Of all parameters.
        told: Mask of the coordinates.
        u: Rows.
        weights: Of the rows, summing to one.
    """

    def __init__(
        self,
        key: Key[Array, ""],
        prior: Prior,
        told: Bool[np.ndarray, " dim"],
        u: Float[np.ndarray, "n dim"],
        weights: Float[np.ndarray, " n"],
    ):
        self.prior, self.told = prior, told
        near, rest = u[:, told], u[:, ~told]
        picked = numpy_generator(key).choice(len(u), NUM_KERNELS, p=weights)
        self._centres, self._width = near[picked], WIDTH * _root(near, weights)
        inputs = np.asarray(_inputs(near))
        weighted = inputs.T * weights
        self._slopes = np.linalg.solve(weighted @ inputs, weighted @ rest)
        self._root = _root(rest - inputs @ self._slopes, weights)

    def draw(self, key: Key[Array, ""], count: int) -> Float[np.ndarray, "count dim"]:
        """Draw unconstrained coordinates."""
        keys = jr.split(key, 5)
        which = np.asarray(jr.randint(keys[0], (count,), 0, NUM_KERNELS))
        near = _student(self._centres[which], self._width).sample(keys[1])
        drawn = np.empty((count, len(self.told)))
        drawn[:, self.told] = near
        drawn[:, ~self.told] = self._rest(near).sample(keys[2])
        from_prior = jr.uniform(keys[3], (count, 1)) < PRIOR_SHARE
        return np.where(from_prior, _from_prior(keys[4], self.prior, count), drawn)

    def log_prob(self, u: Float[Array, " dim"]) -> Float[Array, ""]:
        """Return the log-density of one row."""
        near, rest = u[self.told], u[~self.told]
        kernels = _student(self._centres, self._width).log_prob(near)
        told = jax.nn.logsumexp(kernels) - jnp.log(NUM_KERNELS)
        parts = [
            jnp.log(PRIOR_SHARE) + self.prior.unconstrained_log_density(u),
            jnp.log1p(-PRIOR_SHARE) + told + self._rest(near).log_prob(rest),
        ]
        return jax.nn.logsumexp(jnp.stack(parts))

    def _rest(self, near: Float[Array, "... told"]) -> dist.MultivariateStudentT:
        return _student(_inputs(near) @ self._slopes, self._root)


def _inputs(near: Any) -> Float[Array, "... inputs"]:
    """Return what the regression on the told coordinates sees: them and their squares.

    For the posterior of kids1000 the squares raise effective draws by half.
    """
    near = jnp.asarray(near)
    return jnp.concatenate([jnp.ones_like(near[..., :1]), near, near**2], axis=-1)


def _from_prior(
    key: Key[Array, ""], prior: Prior, count: int
) -> Float[np.ndarray, "count dim"]:
    theta = prior.space.flatten(prior.sample(key, count))
    return np.asarray(prior.space.unconstrain(jnp.asarray(theta)))


def _root(rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the Cholesky factor of the covariance of weighted rows."""
    return np.linalg.cholesky(np.atleast_2d(np.cov(rows.T, aweights=weights)))


def _student(loc: Any, root: Any) -> dist.MultivariateStudentT:
    loc = jnp.asarray(loc)
    # With one number for many rows numpyro draws one chi-squared for all of them.
    degrees = jnp.full(loc.shape[:-1], DEGREES)
    return dist.MultivariateStudentT(degrees, loc, jnp.asarray(root))


def population(
    key: Key[Array, ""],
    model: Model,
    log_likelihood: LogLikelihood,
    told: Sequence[str],
    budget: Population | None = None,
) -> Baseline:
    """Sample the posterior of all parameters of ``model`` under ``log_likelihood``.

    Args:
        key: PRNG key.
        model: Gives the prior and its unconstrained coordinates.
        log_likelihood: Log-density of the data, in nats, for the dictionary of one
            theta; compiled in float64.
        told: Names of the parameters that the data tell much about; all of them, or
            some.
        budget: Numbers of draws.

    Returns:
        Draws of every sampled parameter, and as diagnostics how many of the weighted
        draws count (Kong's effective number), the Pareto shape of the weights (below
        .7 they can be trusted) and the share of moves that were accepted.
    """
    budget, prior = budget or Population(), model.prior
    key_first, key_rounds, key_draws, key_moves = jr.split(key, 4)
    sizes = [field.support.unconstrained_size for field in prior.space.fields]
    mask = np.repeat([field.name in told for field in prior.space.fields], sizes)
    # As in `_nuts`: what was traced in single precision must not be used here.
    jax.clear_caches()
    with jax.enable_x64(True):
        density = _rows(make_log_density(model, log_likelihood))
        u = _from_prior(key_first, prior, budget.num_adapt)
        log_weights = density(u) - _rows(prior.unconstrained_log_density)(u)
        counts = [budget.num_adapt] * (budget.num_rounds - 1) + [budget.num_final]
        for number, count in enumerate(counts):
            key_centres, key_u = jr.split(jr.fold_in(key_rounds, number))
            proposal = Proposal(key_centres, prior, mask, u, _temper(log_weights))
            u = proposal.draw(key_u, count)
            log_weights = density(u) - _rows(proposal.log_prob)(u)
        chosen = resample(numpy_generator(key_draws), log_weights, budget.num_samples)
        moved, accepted = _move(key_moves, density, u[chosen], budget.num_moves)
        draws = np.asarray(prior.space.constrain(moved))
    told_by = {
        "weighted draws": float(budget.num_final),
        "effective draws": float(budget.num_final * efficiency(log_weights)),
        "Pareto shape": float(array_stats.psislw(-log_weights)[1]),  # minus: its source
        "moves accepted": accepted,
    }
    return Baseline(METHOD, prior.space.unflatten(draws), told_by)


def _rows(log_density: Callable[[Array], Array]) -> LogDensities:
    """Return a log-density of one row as one of many, compiled."""
    compiled = jax.jit(lambda u: jax.lax.map(log_density, u, batch_size=BATCH))
    return lambda u: np.asarray(compiled(jnp.asarray(u)))


def _temper(log_weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return weights of which enough count, raised to a power below one if need be."""
    power, enough = 1.0, min(ENOUGH, len(log_weights) / 2)
    while len(log_weights) * efficiency(power * log_weights) < enough:
        power *= 0.9
    weights = np.exp(power * (log_weights - log_weights.max()))
    return weights / weights.sum()


def _move(
    key: Key[Array, ""],
    density: LogDensities,
    u: Float[np.ndarray, "n dim"],
    num_moves: int,
) -> tuple[Float[np.ndarray, "n dim"], float]:
    """Move every row by Metropolis steps; return rows and the share accepted.

    Steps are Gaussian with the covariance of the rows, of the size that is best for
    Gaussian posteriors (Roberts, Gelman and Gilks 1997, doi:10.1214/aoap/1034625254).
    """
    root = 2.38 / np.sqrt(u.shape[1]) * _root(u)
    rng, now, accepted = numpy_generator(key), density(u), []
    for _ in range(num_moves):
        there = u + rng.standard_normal(u.shape) @ root.T
        then = density(there)
        accept = np.log(rng.random(len(u))) < then - now
        u, now = np.where(accept[:, None], there, u), np.where(accept, then, now)
        accepted.append(accept.mean())
    return u, float(np.mean(accepted))
