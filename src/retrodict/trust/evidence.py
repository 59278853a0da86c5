"""What each test simulation contributes, reduced to a few numbers per row.

All draws of all test simulations need not be in memory at once: `measure` works on any
block of rows, and blocks are joined. What must be the same for all blocks (reference
points, scales, pairs) is planned beforehand, from the true parameters' mean and spread
and from x alone.
"""

from dataclasses import dataclass, fields
from itertools import combinations

import jax.random as jr
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from .._core.seeds import numpy_generator
from ..diagnostics import (
    hpd_levels,
    pit_values,
    sbc_ranks,
    tarp_levels,
    tarp_references,
)


# Candidates of each simulation that a classifier is shown, the truth among them.
MAX_CANDIDATES = 17
# Of more than 12 parameters so many pairs are chosen at random.
MAX_PAIRS = 66


@dataclass(frozen=True, eq=False)
class Plan:
    """Choices shared by all rows.

    Attributes:
        references: TARP reference points, one row per test simulation.
        scale: Prior sd of each parameter.
        pairs: Pairs of parameters whose dependence is tested.
    """

    references: Float[np.ndarray, "num_sims theta_dim"]
    scale: Float[np.ndarray, " theta_dim"]
    pairs: Int[np.ndarray, "num_pairs 2"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Per-row numbers; all in [0, 1] are uniform for a calibrated posterior.

    Attributes:
        ranks: Rank of the truth among the draws, per parameter.
        pit: The ranks spread over (0, 1).
        hpd: Level of the highest-density region that reaches the truth.
        tarp: Level of the TARP region that reaches the truth.
        direction: PIT of the angle in which the truth lies, per pair.
        mean: Mean of truth and draws together.
        log_sd: Log sd of truth and draws together.
        variance: Variance of the draws.
        z_scores: Mean of the draws minus truth, in their sds.
        log_prob: log q(theta* | x), nats.
        candidates: Truth and some draws, standardized by those of their own row.
        candidate_log_prob: Their log-densities, nats.
    """

    ranks: Int[np.ndarray, "num_sims theta_dim"]
    pit: Float[np.ndarray, "num_sims theta_dim"]
    hpd: Float[np.ndarray, " num_sims"]
    tarp: Float[np.ndarray, " num_sims"]
    direction: Float[np.ndarray, "num_sims num_pairs"]
    mean: Float[np.ndarray, "num_sims theta_dim"]
    log_sd: Float[np.ndarray, "num_sims theta_dim"]
    variance: Float[np.ndarray, "num_sims theta_dim"]
    z_scores: Float[np.ndarray, "num_sims theta_dim"]
    log_prob: Float[np.ndarray, " num_sims"]
    candidates: Float[np.ndarray, "num_sims num_candidates theta_dim"]
    candidate_log_prob: Float[np.ndarray, "num_sims num_candidates"]

    def __len__(self) -> int:
        return len(self.ranks)


def make_plan(
    key: PRNGKeyArray,
    theta: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
) -> Plan:
    """Choose reference points and pairs for all test simulations."""
    key_references, key_pairs = jr.split(key)
    pairs = np.array(list(combinations(range(theta.shape[1]), 2)), dtype=np.int64)
    pairs = pairs.reshape(-1, 2)
    if len(pairs) > MAX_PAIRS:
        chosen = numpy_generator(key_pairs).choice(len(pairs), MAX_PAIRS, replace=False)
        pairs = pairs[np.sort(chosen)]
    scale = theta.std(axis=0)
    return Plan(
        references=tarp_references(key_references, theta, features),
        scale=np.where(scale > 0, scale, 1.0),
        pairs=pairs,
    )


def usable_rows(
    draws: Float[np.ndarray, "num_sims num_samples theta_dim"],
    log_prob_true: Float[np.ndarray, " num_sims"],
    log_prob_draws: Float[np.ndarray, "num_sims num_samples"],
) -> np.ndarray:
    """Find the rows whose draws are finite and whose log-densities are not NaN."""
    finite = np.isfinite(draws).all(axis=(1, 2))
    return finite & ~np.isnan(log_prob_true) & ~np.isnan(log_prob_draws).any(axis=1)


def measure(
    key: PRNGKeyArray,
    theta: Float[np.ndarray, "num_sims theta_dim"],
    draws: Float[np.ndarray, "num_sims num_samples theta_dim"],
    log_probs: tuple[
        Float[np.ndarray, " num_sims"], Float[np.ndarray, "num_sims num_samples"]
    ],
    plan: Plan,
) -> Evidence:
    """Reduce the draws of a block of test simulations to evidence.

    Args:
        key: PRNG key for ties and spreading.
        theta: True parameters of the rows.
        draws: Posterior draws at each row's own x.
        log_probs: Log-densities of the truth and of the draws, nats.
        plan: The plan, cut to these rows.
    """
    keys = jr.split(key, 5)
    num_samples = draws.shape[1]
    ranks = sbc_ranks(keys[0], theta, draws)
    # Centering on truth and draws *together* keeps them exchangeable, hence exact.
    pooled = np.concatenate([theta[:, None], draws], axis=1)
    mean, sd = pooled.mean(axis=1), pooled.std(axis=1)
    safe = np.where(sd > 0, sd, 1.0)
    variance = draws.var(axis=1)
    z_scores = (draws.mean(axis=1) - theta) / np.where(
        variance > 0, np.sqrt(variance), safe
    )
    standard = (pooled - mean[:, None]) / safe[:, None]
    kept = np.s_[:, : MAX_CANDIDATES - 1]
    return Evidence(
        ranks=ranks,
        pit=pit_values(keys[1], ranks, num_samples),
        hpd=hpd_levels(keys[2], *log_probs),
        tarp=tarp_levels(keys[3], theta, draws, plan.references, scale=plan.scale),
        direction=_direction(keys[4], standard, plan),
        mean=mean,
        log_sd=np.log(safe),
        variance=variance,
        z_scores=z_scores,
        log_prob=log_probs[0],
        candidates=standard[:, :MAX_CANDIDATES],
        candidate_log_prob=np.concatenate(
            [log_probs[0][:, None], log_probs[1][kept]], axis=1
        ),
    )


def _direction(
    key: PRNGKeyArray,
    standard: Float[np.ndarray, "num_sims num_pooled theta_dim"],
    plan: Plan,
) -> Float[np.ndarray, "num_sims num_pairs"]:
    r"""Rank the truth's angle in each pair: ab / (a² + b²), blind to common width.

    A rank statistic with a test quantity of its own (Modrák et al. 2023): it is higher
    than uniform if true parameters rise together more than the draws do.
    """
    first, second = standard[..., plan.pairs[:, 0]], standard[..., plan.pairs[:, 1]]
    angle = first * second / np.maximum(first**2 + second**2, 1e-300)
    key_ties, key_spread = jr.split(key)
    if not len(plan.pairs):
        return angle[:, 0]
    ranks = sbc_ranks(key_ties, angle[:, 0], angle[:, 1:])
    return pit_values(key_spread, ranks, angle.shape[1] - 1)


def join(blocks: list[Evidence]) -> Evidence:
    """Put blocks of rows together again."""
    if len(blocks) == 1:
        return blocks[0]
    return Evidence(
        **{
            f.name: np.concatenate([getattr(block, f.name) for block in blocks])
            for f in fields(Evidence)
        }
    )


def rows_of(plan: Plan, rows: np.ndarray) -> Plan:
    """Cut a plan to some rows."""
    return Plan(plan.references[rows], plan.scale, plan.pairs)
