r"""The classical baseline of a world whose chains mix slowly: population Monte Carlo.

Draws from a proposal are weighed by prior and exact likelihood, and the next proposal
is made from them; the first one is the prior, so that no part of it is left out. For
the few parameters that the data tell much about, a proposal has kernels around some
draws; for all others, a linear regression on those. The last weighted draws are
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

from collections.abc import Callable, Mapping, Sequence
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
ENOUGH = 200  # effective draws of a round before the last
BATCH = 100  # likelihoods side by side


@dataclass(frozen=True)
class Population:
    """How many draws there are.

    Attributes:
        num_rounds: Rounds that adapt the proposal.
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

    Kernels for the coordinates ``told``; given those, a linear regression with Student
    errors for the rest; and a share of the prior. Without rows, the prior alone.

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
        u: Float[np.ndarray, "n dim"] | None = None,
        weights: Float[np.ndarray, " n"] | None = None,
    ):
        self.prior, self.told, self._kernels = prior, told, None
        if u is None or weights is None:
            return
        near, rest = u[:, told], u[:, ~told]
        root = WIDTH * _root(near, weights)
        picked = numpy_generator(key).choice(len(u), NUM_KERNELS, p=weights)
        self._kernels = _student(near[picked], root)
        inputs = np.column_stack([np.ones(len(u)), near])
        weighted = inputs.T * weights
        self._slopes = np.linalg.solve(weighted @ inputs, weighted @ rest)
        self._root = _root(rest - inputs @ self._slopes, weights)

    def draw(self, key: Key[Array, ""], count: int) -> Float[np.ndarray, "count dim"]:
        """Draw unconstrained coordinates."""
        keys = jr.split(key, 5)
        space = self.prior.space
        theta = space.flatten(self.prior.sample(keys[0], count))
        u = np.asarray(space.unconstrain(jnp.asarray(theta)))
        if self._kernels is None:
            return u
        which = jr.randint(keys[1], (count,), 0, NUM_KERNELS)
        kernels = _student(self._kernels.loc[which], self._kernels.scale_tril[0])
        near, drawn = kernels.sample(keys[2]), np.empty_like(u)
        drawn[:, self.told] = near
        drawn[:, ~self.told] = self._rest(near).sample(keys[3])
        return np.where(jr.uniform(keys[4], (count, 1)) < PRIOR_SHARE, u, drawn)

    def log_ratio(self, u: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, " n"]:
        """Return the log-density of the prior less that of this proposal."""
        kernels = self._kernels
        if kernels is None:
            return np.zeros(len(u))

        def one(u: Array) -> Array:
            prior = self.prior.unconstrained_log_density(u)
            near = jnp.asarray(u[self.told])
            told = jax.nn.logsumexp(kernels.log_prob(near)) - jnp.log(NUM_KERNELS)
            drawn = told + self._rest(near).log_prob(u[~self.told])
            mixed = jnp.stack([prior, drawn]), jnp.array([PRIOR_SHARE, 1 - PRIOR_SHARE])
            return prior - jax.nn.logsumexp(mixed[0], b=mixed[1])

        rows = jax.jit(lambda u: jax.lax.map(one, u, batch_size=1000))
        return np.asarray(rows(jnp.asarray(u)))

    def _rest(self, near: Float[Array, "... told"]) -> dist.MultivariateStudentT:
        return _student(self._slopes[0] + near @ self._slopes[1:], self._root)


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
    budget = budget or Population()
    keys = jr.split(key, budget.num_rounds + 3)
    # As in `_nuts`: what was traced in single precision must not be used here.
    jax.clear_caches()
    with jax.enable_x64(True):
        fields = model.prior.space.fields
        sizes = [field.support.unconstrained_size for field in fields]
        mask = np.repeat([field.name in told for field in fields], sizes)
        likelihoods = jax.jit(
            lambda rows: jax.lax.map(log_likelihood, rows, batch_size=BATCH)
        )
        proposal = Proposal(keys[-1], model.prior, mask)
        for round_key in keys[: budget.num_rounds]:
            u, log_weights = _weigh(round_key, proposal, likelihoods, budget.num_adapt)
            weights = _temper(log_weights)
            proposal = Proposal(round_key, model.prior, mask, u, weights)
        u, log_weights = _weigh(keys[-3], proposal, likelihoods, budget.num_final)
        chosen = resample(numpy_generator(keys[-2]), log_weights, budget.num_samples)
        log_density = make_log_density(model, log_likelihood)
        moved, accepted = _move(keys[-1], log_density, u[chosen], budget.num_moves)
        draws = np.asarray(model.prior.space.constrain(moved), dtype=np.float64)
    told_by = {
        "weighted draws": float(budget.num_final),
        "effective draws": float(budget.num_final * efficiency(log_weights)),
        "Pareto shape": float(array_stats.psislw(-log_weights)[1]),  # minus: its source
        "moves accepted": accepted,
    }
    return Baseline(METHOD, model.prior.space.unflatten(draws), told_by)


def _weigh(
    key: Key[Array, ""],
    proposal: Proposal,
    likelihoods: Callable[[Mapping[str, Array]], Array],
    count: int,
) -> tuple[Float[np.ndarray, "count dim"], Float[np.ndarray, " count"]]:
    """Return proposed rows of unconstrained coordinates and their log-weights."""
    u, space = proposal.draw(key, count), proposal.prior.space
    theta = space.unflatten(np.asarray(space.constrain(jnp.asarray(u))))
    found = likelihoods({name: jnp.asarray(rows) for name, rows in theta.items()})
    return u, np.asarray(found) + proposal.log_ratio(u)


def _temper(log_weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return weights of which enough count, raised to a power below one if need be."""
    power = 1.0
    while len(log_weights) * efficiency(power * log_weights) < ENOUGH:
        power *= 0.9
    weights = np.exp(power * (log_weights - log_weights.max()))
    return weights / weights.sum()


def _move(
    key: Key[Array, ""],
    log_density: Callable[[Array], Array],
    u: Float[np.ndarray, "n dim"],
    num_moves: int,
) -> tuple[Array, float]:
    """Move every row by Metropolis steps; return rows and the share accepted.

    Steps are Gaussian with the covariance of the rows, of the size that is best for
    Gaussian posteriors (Roberts, Gelman and Gilks 1997, doi:10.1214/aoap/1034625254).
    """
    root = jnp.asarray(2.38 / np.sqrt(u.shape[1]) * _root(u))

    @jax.jit
    def run(key: Key[Array, ""], u: Array) -> tuple[Array, Array]:
        densities = lambda u: jax.lax.map(log_density, u, batch_size=BATCH)  # noqa: E731

        def step(state: tuple[Array, Array], key: Key[Array, ""]) -> Any:
            u, now = state
            key_step, key_accept = jr.split(key)
            there = u + jr.normal(key_step, u.shape) @ root.T
            then = densities(there)
            accept = jnp.log(jr.uniform(key_accept, now.shape)) < then - now
            state = jnp.where(accept[:, None], there, u), jnp.where(accept, then, now)
            return state, accept.mean()

        (u, _), accepted = jax.lax.scan(
            step, (u, densities(u)), jr.split(key, num_moves)
        )
        return u, accepted.mean()

    moved, accepted = run(key, jnp.asarray(u))
    return moved, float(accepted)
