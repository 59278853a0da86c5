r"""Expected coverage of credible regions.

A posterior is calibrated if its regions of credible level c hold the true parameters in
a share c of all simulations. Two families of regions are offered: highest density (one
number per simulation, sees the joint posterior) and central intervals (per parameter).
Each simulation is reduced to the *level* of the smallest region that holds the truth,

.. math:: a_i = \frac1L \#\{l : q(\theta_{l} | x_i) > q(\theta^*_i | x_i)\},
    \qquad \mathrm{EC}(c) = \frac1n \#\{i : a_i \le c\}

which is uniform on (0, 1) for a calibrated posterior. EC(c) < c is over-confidence.

Source: Hermans et al. (2022), A crisis in simulation-based inference?,
arXiv:2110.06581, eq. 3; Deistler, Goncalves, Macke (2022), Truncated proposals for
scalable and hassle-free simulation-based inference, arXiv:2210.04815, algorithm 3.
Deviations from the source: levels are (rank + u) / (L + 1) with ties shared at random,
so that they are exactly uniform for any L.
"""

import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.stats import binom

from .._core.seeds import numpy_generator
from .sbc import rank_among, spread_ranks


def hpd_levels(
    key: PRNGKeyArray,
    log_prob_true: Float[np.ndarray, " num_sims"],
    log_prob_draws: Float[np.ndarray, "num_sims num_samples"],
) -> Float[np.ndarray, " num_sims"]:
    """Find the level of the smallest highest-density region that holds the truth.

    Args:
        key: PRNG key, for ties and for spreading ranks.
        log_prob_true: log q(theta* | x), nats, up to a constant per simulation.
        log_prob_draws: log q(theta_l | x) of draws of q, with the same constant.

    Returns:
        Levels in (0, 1), uniform for a calibrated posterior, near 1 where the truth
        was thought improbable.

    Raises:
        ValueError: If the leading axes differ or a log-density is NaN.
    """
    if log_prob_draws.ndim != 2 or log_prob_true.shape != log_prob_draws.shape[:1]:
        raise ValueError(
            "Expected log_prob_true of shape (num_sims,) and log_prob_draws of shape "
            f"(num_sims, num_samples); got {log_prob_true.shape} and "
            f"{log_prob_draws.shape}."
        )
    num_nan = int(np.isnan(log_prob_true).sum() + np.isnan(log_prob_draws).sum())
    if num_nan:
        raise ValueError(f"Expected log-densities without NaN; got {num_nan} NaN.")
    rng = numpy_generator(key)
    ranks = rank_among(rng, -log_prob_true, -log_prob_draws)
    return spread_ranks(rng, ranks, log_prob_draws.shape[1])


def central_levels(pit: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """Find the level |2 PIT - 1| of the smallest central interval around the truth."""
    return np.abs(2 * pit - 1)


def expected_coverage(
    levels: Float[np.ndarray, " num_sims"],
    credible_levels: Float[np.ndarray, " num_levels"],
) -> Float[np.ndarray, " num_levels"]:
    """Measure how often regions of each credible level hold the truth.

    Args:
        levels: From `hpd_levels` or `central_levels` (one column).
        credible_levels: Nominal levels in [0, 1].

    Returns:
        Empirical coverage in [0, 1], one per nominal level.
    """
    return np.searchsorted(np.sort(levels), credible_levels, side="right") / len(levels)


def coverage_auc(levels: Float[np.ndarray, " num_sims"]) -> float:
    r"""Average the excess of coverage over its nominal level, over all levels.

    .. math:: \int_0^1 (\mathrm{EC}(c) - c)\,dc = \tfrac12 - \overline{a}

    Returns:
        In [-0.5, 0.5]: 0 calibrated, negative over-confident, positive conservative.
    """
    return float(0.5 - np.mean(levels))


def binomial_band(
    num_sims: int,
    credible_levels: Float[np.ndarray, " num_levels"],
    *,
    level: float = 0.95,
) -> tuple[Float[np.ndarray, " num_levels"], Float[np.ndarray, " num_levels"]]:
    """Bound the coverage of a calibrated posterior at each level by itself.

    The band holds pointwise, exactly (binomial); `ecdf.ecdf_band` gives the wider one
    that holds at all levels at once, for uniform levels as for uniform PIT values.

    Args:
        num_sims: Number of test simulations.
        credible_levels: Nominal levels in [0, 1].
        level: Probability of lying inside, at each nominal level.

    Returns:
        Lower and upper ends of the empirical coverage.

    Raises:
        ValueError: If ``num_sims`` is not positive or ``level`` not inside (0, 1).
    """
    if num_sims < 1 or not 0 < level < 1:
        raise ValueError(
            "Expected num_sims >= 1 and 0 < level < 1; "
            f"got num_sims={num_sims} and level={level}."
        )
    tail = (1 - level) / 2
    low = binom.ppf(tail, num_sims, credible_levels) / num_sims
    high = binom.isf(tail, num_sims, credible_levels) / num_sims
    return np.maximum(low, 0.0), high
