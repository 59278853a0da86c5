r"""Rounds for one observation: simulate again where its posterior lies.

Each round cuts the prior to a few ellipsoids, in unconstrained coordinates, that hold
the posterior of the round before with a margin, and simulates from what is left:
:math:`p(\theta)\,1_R(\theta)/P(R)`. Simulations of earlier rounds that lie inside are
draws from the same, so all are used, and no importance weight is needed: within R the
posterior of the cut prior is that of the whole one.

Source: Deistler, Goncalves, Macke (2022), Truncated proposals for scalable and
hassle-free simulation-based inference, arXiv:2210.04815, algorithm 1.
Deviations from the source: ellipsoids around the draws instead of their highest-density
regions, so that the cut prior is sampled and normalized without rejecting most of it;
rounds end when the region no longer shrinks.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.progress import say
from .._core.seeds import check_seed, stream_key
from ..model import Model, Prior, Region
from ..simulations import Simulations, concatenated, simulate
from .ellipsoids import ellipsoids
from .fit import fit
from .posterior import Posterior
from .refined import all_sampled, can_refine, refine_by_likelihood
from .restricted import Restricted


NUM_DRAWS = 10_000  # of the posterior, behind a region
SHRINKS = 0.7  # a region that keeps more of the mass is not worth another round
MEMBERS = 3  # networks of a round that only says where to simulate
PARTS = 20  # of a power of ten: few numbers of rows are few programs to compile


@dataclass(frozen=True)
class Sequential:
    """What the rounds found: a posterior for one observation.

    Attributes:
        posterior: The posterior; it is zero outside the last region.
        x_obs: The observation.
        simulations: Those that the last training used.
        masses: Prior probability of the region of each round.
        num_simulations: Simulations of these rounds together.
        train_s: Seconds of their trainings, compilation apart.
        compile_s: Seconds of compilation.
    """

    posterior: Restricted
    x_obs: Any
    simulations: Simulations
    masses: tuple[float, ...]
    num_simulations: int
    train_s: float
    compile_s: float

    def sample(
        self, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples theta_dim"]:
        """Draw theta at the observation.

        Args:
            key: PRNG key.
            num_samples: Number of draws.
        """
        return self.posterior.sample(key, one_row(self.x_obs), num_samples)[0]

    def log_prob(self, theta: Any) -> Float[np.ndarray, " num_samples"]:
        """Return the normalized log-density at the observation, in nats.

        Args:
            theta: ``(num_samples, theta_dim)``.
        """
        theta = np.asarray(theta, np.float64)[None]
        return self.posterior.log_prob(theta, one_row(self.x_obs))[0]


def refine_in_rounds(
    posterior: Posterior,
    model: Model,
    x_obs: Any,
    *,
    rounds: int = 4,
    num_simulations: int = 1000,
    simulations: Simulations | None = None,
    seed: int = 0,
    effort: Literal["auto", "fast"] = "auto",
) -> Sequential:
    """Spend simulations on one observation; arguments as :func:`retrodict.refine`."""
    all_sampled(model)
    for name, count in (("rounds", rounds), ("num_simulations", num_simulations)):
        if count < 1:
            raise ValueError(f"{name}: Expected at least 1; got {count}.")
    key = stream_key(check_seed(seed), "rounds")
    pool = [] if simulations is None else [simulations.ok()]
    answer: Any = posterior
    regions: list[Region] = []
    spent: int = 0
    costs: list[Any] = []  # what has seconds
    for number in range(rounds):
        within = regions[-1] if regions else None
        key_round = jr.fold_in(key, number)
        region = _region(key_round, answer, model.prior, x_obs, within)
        before = 1.0 if within is None else within.mass
        last = number == rounds - 1 or region.mass > SHRINKS * before
        regions.append(region)
        cut = model.with_prior(model.prior.restricted(region))
        count = num_simulations * (rounds - number if last else 1)
        fresh = simulate(cut, count, seed=seed, stream=f"round {number}")
        spent += count
        pool = [_inside(part, region) for part in (*pool, fresh.ok())]
        data = _rounded(concatenated(pool, cut))
        say(
            f"Round {number + 1}: {len(data)} simulations in {region.mass:.2g} of the "
            "prior."
        )
        if last:
            break
        trained = fit(data, seed=seed + number, effort="fast", num_members=MEMBERS)
        costs.append(trained.record)
        answer = Restricted(trained, region)
    best = trained = fit(data, seed=seed, effort=effort)
    costs.append(trained.record)
    if can_refine(data):
        best = refine_by_likelihood(trained, data)
        costs.append(best.likelihood)
    return Sequential(
        Restricted(best, regions[-1]),
        x_obs,
        data,
        tuple(region.mass for region in regions),
        spent,
        train_s=sum(cost.train_s for cost in costs),
        compile_s=sum(cost.compile_s for cost in costs),
    )


def one_row(x_obs: Any) -> Any:
    """Return one observation as the only row of many."""
    return jax.tree.map(lambda values: np.asarray(values)[None], x_obs)


def _region(
    key: Key[Array, ""],
    posterior: Posterior | Restricted,
    prior: Prior,
    x_obs: Any,
    within: Region | None,
) -> Region:
    """Return the part of the prior around the posterior at the observation."""
    key_draws, key_mass = jr.split(key)
    theta = posterior.sample(key_draws, one_row(x_obs), NUM_DRAWS)[0]
    return ellipsoids(key_mass, prior.space.unconstrain(theta), prior, within)


def _inside(simulations: Simulations, region: Region) -> Simulations:
    theta = region.space.flatten(simulations.theta)
    return simulations[np.flatnonzero(region.contains(theta))]


def _rounded(simulations: Simulations) -> Simulations:
    """Leave out the oldest rows that a rounded number does not need."""
    count = len(simulations)
    step = max(1, 10 ** len(str(count)) // (10 * PARTS))
    return simulations[count % step :]
