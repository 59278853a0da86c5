"""Proof that a correction holds: coverage, log-density, width on fresh simulations."""

from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.stats import binom

from ..diagnostics import ecdf, hpd_levels
from ..simulations import Simulations, take_rows


LEVELS = np.arange(10, 20) / 20  # .5 to .95
NUM_DRAWS = 128
ROWS = 128
# Probability that a posterior that covers exactly falls below the bound at some level.
FALSE_ALARM = 0.01


@dataclass(frozen=True, eq=False)
class Proof:
    """What was measured before and after a correction, on simulations used for nothing.

    Attributes:
        num_simulations: How many.
        credible_levels: Nominal levels, .5 to .95.
        before: Share of truths inside the highest-density region of each level.
        after: The same for the corrected posterior.
        least: Smallest share that Monte-Carlo error explains, at all levels together.
        log_score_before: Mean log q(theta* | x), nats.
        log_score_after: The same for the corrected posterior.
        log_score_prior: The same for the prior.
        width_ratio: Geometric mean of sd after over sd before, per parameter.
        power: Power of the posterior in the correction.
        share: Share of prior in the correction.
    """

    num_simulations: int
    credible_levels: Float[np.ndarray, " num_levels"]
    before: Float[np.ndarray, " num_levels"]
    after: Float[np.ndarray, " num_levels"]
    least: Float[np.ndarray, " num_levels"]
    log_score_before: float
    log_score_after: float
    log_score_prior: float
    width_ratio: Float[np.ndarray, " theta_dim"]
    power: float
    share: float

    @property
    def covers(self) -> bool:
        """Whether coverage is nominal or above, within Monte-Carlo error."""
        return bool((self.after >= self.least).all())

    @property
    def headline(self) -> str:
        """Say in one sentence what was won and what it cost."""
        worst = int(np.argmin(self.before - self.credible_levels))
        level = self.credible_levels[worst]
        return (
            f"On {self.num_simulations} simulations used for nothing else, {level:.0%} "
            f"regions hold the truth in {self.after[worst]:.1%}, before "
            f"{self.before[worst]:.1%}; intervals are "
            f"{np.exp(np.mean(np.log(self.width_ratio))):.2f} times as wide, and the "
            "log-density of the truth changes by "
            f"{self.log_score_after - self.log_score_before:+.2f} nats."
        )

    def to_dict(self) -> dict[str, Any]:
        """Give all numbers as plain values for JSON."""
        values = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }
        return {"covers": self.covers, "headline": self.headline, **values}


def prove(
    key: PRNGKeyArray, before: Any, after: Any, simulations: Simulations
) -> Proof:
    """Compare a posterior and its correction, a `Bridge`, on given simulations."""
    keys = jr.split(key, 2)
    first = _measure(keys[0], before, simulations)
    second = _measure(keys[1], after, simulations)
    prior = after.reference.log_prob(simulations.targets)
    return Proof(
        num_simulations=len(simulations),
        credible_levels=LEVELS,
        before=ecdf(first[0], LEVELS),
        after=ecdf(second[0], LEVELS),
        least=least_coverage(len(simulations)),
        log_score_before=float(np.mean(first[1])),
        log_score_after=float(np.mean(second[1])),
        log_score_prior=float(np.mean(prior)),
        width_ratio=np.exp(np.mean(np.log(second[2] / first[2]), axis=0)),
        power=after.power,
        share=after.share,
    )


def least_coverage(num_simulations: int) -> Float[np.ndarray, " num_levels"]:
    """Return the smallest coverage that chance explains, at all levels together."""
    level = FALSE_ALARM / len(LEVELS)
    return binom.ppf(level, num_simulations, LEVELS) / num_simulations


def _measure(
    key: PRNGKeyArray, posterior: Any, simulations: Simulations
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return levels, log-densities of the truth and sds of the draws, row by row."""
    theta, parts = simulations.targets, []
    for start in range(0, len(theta), ROWS):
        rows = np.arange(start, min(start + ROWS, len(theta)))
        key_draws, key_levels = jr.split(jr.fold_in(key, start))
        xs = take_rows(simulations.x, rows)
        draws = np.asarray(posterior.sample(key_draws, xs, NUM_DRAWS), np.float64)
        points = np.concatenate([theta[rows, None], draws], axis=1)
        log_prob = np.asarray(posterior.log_prob(points, xs), np.float64)
        levels = hpd_levels(key_levels, log_prob[:, 0], log_prob[:, 1:])
        parts.append((levels, log_prob[:, 0], draws.std(axis=1)))
    levels, log_prob, sd = (np.concatenate(p) for p in zip(*parts, strict=True))
    return levels, log_prob, np.maximum(sd, 1e-300)
