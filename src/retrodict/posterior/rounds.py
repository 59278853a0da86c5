r"""Simulate in rounds, each nearer to where the posterior of one observation lies.

Each round cuts the prior to a few ellipsoids, in unconstrained coordinates, that hold
the posterior of the round before with a margin, and simulates from what is left:
:math:`p(\theta)\,1_R(\theta)/P(R)`. Simulations of earlier rounds that lie inside are
draws from the same, so all are used, and no importance weight is needed: within R the
posterior of the cut prior is that of the whole one. The ellipsoids are of the targets,
sampled or derived; nuisances vary inside as they do among all draws of the prior whose
targets are there, so that they are marginalized as before.

Source: Deistler, Goncalves, Macke (2022), Truncated proposals for scalable and
hassle-free simulation-based inference, arXiv:2210.04815, algorithm 1; cutting the
targets alone, after Miller et al. (2021), Truncated marginal neural ratio estimation,
arXiv:2107.01214.
Deviations from the source: ellipsoids around the draws instead of their highest-density
regions, so that the cut prior is sampled and normalized without rejecting most of it;
rounds end when the region no longer shrinks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from .._core.errors import ModelError
from .._core.progress import say
from .._core.seeds import check_seed, stream_key
from ..model import Model, Region
from ..simulations import Simulations, as_series, concatenated, simulate
from ..training import brief_settings, candidate_settings, default_settings
from .binary import is_binary
from .ellipsoids import ellipsoids
from .fit import fit
from .fits import check_fits
from .posterior import Posterior
from .record import Record
from .refined import NUM_LEARNED, Refined, can_refine, refine_by_likelihood
from .restricted import Restricted
from .synthetic import MAX_COLUMNS, join_columns


NUM_DRAWS = 10_000  # of the posterior, behind a region
SHRINKS = 0.7  # a region that keeps more of the mass is not worth another round
MEMBERS = 3  # networks of a round that only says where to simulate
NUM_JUDGED = 100  # held-out simulations that decide whether a likelihood is better
LIKELIHOOD_LAYERS = 2  # of a density that has more columns than theta
LEAST_MASS = 1e-3  # below, most of the time of a campaign would go to rejection
PARTS = 20  # of a power of ten: few numbers of rows are few programs to compile


@dataclass(frozen=True)
class Rounds:
    """What the rounds leave to the last training.

    Attributes:
        simulations: All simulations inside the last region; their model has the prior
            that is cut to it.
        regions: The region of each round.
        num_simulations: Simulations of these rounds together.
        records: Of the trainings between them.
    """

    simulations: Simulations
    regions: tuple[Region, ...]
    num_simulations: int
    records: tuple[Record, ...]


def simulate_in_rounds(
    posterior: Posterior,
    model: Model,
    x_obs: Any,
    counts: Sequence[int],
    *,
    simulations: Simulations | None = None,
    seed: int = 0,
    out: Path | None = None,
    workers: int | None = None,
) -> Rounds:
    """Spend simulations near the posterior of one observation.

    Args:
        posterior: Of the whole prior.
        model: The model, whose prior is a whole one.
        x_obs: The observation.
        counts: Simulations of each round; what a region that stops shrinking leaves
            over is simulated at once.
        simulations: More of them, from the whole prior.
        seed: Seed of simulations and trainings.
        out: Folder for the campaigns, ``1``, ``2`` and so on.
        workers: Worker processes for a Python simulator.

    Raises:
        ModelError: If the posterior is of other targets, the prior is cut already, or
            Python computes a target; or if the density of the prior of the targets is
            not known and the posterior fills less than a thousandth of the prior.
    """
    check_fits(posterior, model)
    model.check_restricted(model.targets)
    key = stream_key(check_seed(seed), "rounds")
    pool = [] if simulations is None else [simulations]
    answer: Posterior | Restricted = posterior
    regions: list[Region] = []
    records: list[Record] = []
    spent = 0
    for number in range(len(counts)):
        within = regions[-1] if regions else None
        key_round = jr.fold_in(key, number)
        region = _region(key_round, answer, model, x_obs, within)
        before = 1.0 if within is None else within.mass
        if region.balls is None and region.mass < LEAST_MASS:
            region = _larger(region, within)
        last = number == len(counts) - 1 or region.mass > SHRINKS * before
        regions.append(region)
        cut = model.restricted(region)
        count = sum(counts[number:]) if last else counts[number]
        folder = None if out is None else out / str(number + 1)
        stream = f"round {number}"
        fresh = simulate(
            cut, count, seed=seed, stream=stream, out=folder, workers=workers
        )
        spent += count
        pool = [_inside(part, region) for part in (*pool, fresh)]
        data = _rounded(concatenated(pool, cut))
        say(
            f"Round {number + 1}: {len(data)} simulations in {region.mass:.2g} of the "
            "prior."
        )
        if last:
            break
        trained = explore(data, seed + number)
        records.append(trained.record)
        answer = Restricted(trained, region)
    return Rounds(data, tuple(regions), spent, tuple(records))


def refined_in_region(
    posterior: Posterior, simulations: Simulations, x_obs: Any
) -> Posterior | Refined:
    """Weigh draws by a likelihood learned in the last region, where that is better.

    Better is what gives held-out theta more density. In a small region the likelihood
    is simple, and it does not mind if the observation is an odd one.

    Args:
        posterior: Trained on the simulations.
        simulations: Those of the last region.
        x_obs: The observation.
    """
    if not can_weigh(simulations):
        return posterior
    columns = _columns(simulations)
    settings = None  # what x of two values gets is not raced
    if not is_binary(columns):
        count = simulations.num_ok
        default = default_settings(count, columns.shape[1], num_members=NUM_LEARNED)
        _, _, loose, *_ = candidate_settings(default, count)
        settings = replace(loose, num_layers=LIKELIHOOD_LAYERS)
    found = refine_by_likelihood(
        posterior, simulations, settings=settings, num_judged=NUM_JUDGED
    )
    better = found.scores["refined"] > found.scores["q"]
    if not (better and found.usable(one_row(x_obs)).all()):
        return posterior
    return replace(found, weight=1.0)


def can_weigh(simulations: Simulations) -> bool:
    """Say whether x is short and complete enough for a likelihood to be learned."""
    if not can_refine(simulations):
        return False
    columns = _columns(simulations)
    short = columns.shape[1] <= MAX_COLUMNS or is_binary(columns)
    return bool(short and np.isfinite(columns).all())


def explore(simulations: Simulations, seed: int) -> Posterior:
    """Train a posterior that only says where to simulate next.

    Where a likelihood will weigh the draws its base is not widened: regions have a
    margin of their own, and on hare_lynx they were sixteen times as large with it.
    Where the last network is the answer (kids1000), narrower regions made it worse.
    """
    count, dim = simulations.num_ok, simulations.model.targets.unconstrained_dim
    base = default_settings(count, dim, num_members=MEMBERS)
    brief = brief_settings(base, count)
    widened = not can_weigh(simulations)
    return fit(simulations, seed=seed, settings=replace(brief, fit_base_scale=widened))


def _columns(simulations: Simulations) -> np.ndarray:
    series = as_series(simulations.ok().x)
    return join_columns({name: np.asarray(values) for name, values in series.items()})


def one_row(x_obs: Any) -> Any:
    """Return one observation as the only row of many."""
    return jax.tree.map(lambda values: np.asarray(values)[None], x_obs)


def _region(
    key: Key[Array, ""],
    posterior: Posterior | Restricted,
    model: Model,
    x_obs: Any,
    within: Region | None,
) -> Region:
    """Return the part of the prior around the posterior at the observation."""
    key_draws, key_mass = jr.split(key)
    theta = posterior.sample(key_draws, one_row(x_obs), NUM_DRAWS)[0]
    return ellipsoids(key_mass, theta, model, within)


def _inside(simulations: Simulations, region: Region) -> Simulations:
    theta = region.space.flatten({**simulations.theta, **simulations.derived})
    return simulations[np.flatnonzero(region.contains(theta))]


def _larger(region: Region, within: Region | None) -> Region:
    """Return the region before one that is too small to draw from by rejection.

    Raises:
        ModelError: If there is none.
    """
    if within is not None:
        return within
    raise ModelError(
        f"rounds: Expected a posterior that fills at least {LEAST_MASS:g} of the "
        "prior, because the density of the prior of the targets is not known (some are "
        f"derived, or a part of a prior function); it fills {region.mass:.1g}. Infer "
        "sampled parameters, all of those of a function, or narrow the prior."
    )


def _rounded(simulations: Simulations) -> Simulations:
    """Leave out the oldest rows that a rounded number does not need."""
    count = len(simulations)
    step = max(1, 10 ** len(str(count)) // (10 * PARTS))
    return simulations[count % step :]
