r"""Simultaneous confidence bands and an exact test for uniform PIT values.

The empirical distribution function (ECDF) of N independent uniform values is compared
with the diagonal at the points :math:`z_k = k/K`. Each count
:math:`N F(z_k)` is binomial; a band of pointwise level :math:`1 - \gamma` everywhere
contains the whole ECDF with a probability that is computed exactly, so bands hold
simultaneously and the smallest pointwise level met gives an exact p-value:

.. math:: \gamma = 2 \min_k \min\{ \mathrm{Bin}(N F(z_k) \mid N, z_k),\;
    1 - \mathrm{Bin}(N F(z_k) - 1 \mid N, z_k) \}

with Bin the cumulative binomial distribution. Small γ is rare under uniformity.

Source: Säilynoja, Bürkner, Vehtari (2022), Graphical test for discrete uniformity and
its applications in goodness-of-fit evaluation and multiple sample comparison,
arXiv:2103.10522, equations 5 to 8 and algorithm 2.
Deviations from the source: the recursion over :math:`z_k` runs on independent Poisson
increments conditioned on their sum N. It is the same probability as with the paper's
binomial increments, but each step is one convolution with one fixed kernel.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import bdtr as binom_cdf
from scipy.stats import poisson


# 100 points: bands are drawn and tested at whole percents, the words people use.
NUM_POINTS = 100


class EcdfBand(NamedTuple):
    """A region that contains the ECDF of uniform values with a stated probability.

    Attributes:
        grid: Points at which the band holds, inside (0, 1).
        low: Lower ends of the ECDF itself (subtract ``grid`` for a difference plot).
        high: Upper ends.
        level: Probability that all points lie inside, at least.
    """

    grid: Float[np.ndarray, " num_points"]
    low: Float[np.ndarray, " num_points"]
    high: Float[np.ndarray, " num_points"]
    level: float


def uniformity_grid(num_points: int = NUM_POINTS) -> Float[np.ndarray, " points"]:
    """Place the evaluation points k / num_points, without the trivial ends 0 and 1."""
    return np.arange(1, num_points) / num_points


def ecdf(
    values: Float[np.ndarray, " num_sims"], grid: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    """Evaluate the share of values at or below each grid point."""
    return np.searchsorted(np.sort(values), grid, side="right") / len(values)


def uniformity_p_value(
    values: Float[np.ndarray, " num_sims"], *, num_points: int = NUM_POINTS
) -> float:
    """Test independent values for uniformity on (0, 1); exact for every sample size.

    Args:
        values: Values in [0, 1], independent if the hypothesis holds.
        num_points: The ECDF is looked at in ``num_points - 1`` equally spaced points.

    Returns:
        The p-value: its distribution under uniformity is never below uniform.

    Raises:
        ValueError: If there is no value, or one lies outside [0, 1].
    """
    if values.size == 0 or not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"Expected values in [0, 1], at least one; got {values.size} values"
            + (f" from {values.min()} to {values.max()}." if values.size else ".")
        )
    num, grid = len(values), uniformity_grid(num_points)
    counts = np.rint(ecdf(values, grid) * num).astype(int)
    lower_tail = binom_cdf(counts, num, grid)
    upper_tail = binom_cdf(num - counts, num, 1 - grid)
    gamma = 2 * float(np.min([lower_tail, upper_tail]))
    if gamma >= 1:
        return 1.0
    p_value = 1 - _stay_probability(num, gamma, num_points)
    # The difference has lost its digits there; gamma is of the same order.
    return p_value if p_value > 1e-12 else min(gamma, 1e-12)


@lru_cache(maxsize=64)
def ecdf_band(
    num_sims: int, level: float = 0.95, num_points: int = NUM_POINTS
) -> EcdfBand:
    """Find the band that holds the ECDF of uniform values with probability ``level``.

    Args:
        num_sims: Number of independent uniform values.
        level: Simultaneous probability, inside (0, 1).
        num_points: The band is given at ``num_points - 1`` equally spaced points.

    Returns:
        The narrowest band of equal pointwise levels that holds at least ``level``.

    Raises:
        ValueError: If ``num_sims`` is not positive or ``level`` not inside (0, 1).
    """
    if num_sims < 1 or not 0 < level < 1:
        raise ValueError(
            "Expected num_sims >= 1 and 0 < level < 1; "
            f"got num_sims={num_sims} and level={level}."
        )
    # Between all points equal (gamma = 1 - level) and all independent (Bonferroni).
    low, high = np.log((1 - level) / (4 * num_points)), np.log(1 - level)
    for _ in range(40):
        middle = (low + high) / 2
        inside = _stay_probability(num_sims, float(np.exp(middle)), num_points) >= level
        low, high = (middle, high) if inside else (low, middle)
    lower, upper = _count_limits(num_sims, float(np.exp(low)), num_points)
    return EcdfBand(
        uniformity_grid(num_points), lower / num_sims, upper / num_sims, level
    )


def _count_limits(
    num: int, gamma: float, num_points: int
) -> tuple[Int[np.ndarray, " points"], Int[np.ndarray, " points"]]:
    """Bound the counts whose two-sided binomial level exceeds gamma, at each point."""
    # The factor keeps a count that defines gamma outside despite rounding.
    grid = uniformity_grid(num_points)
    tail = gamma * (1 + 1e-9) / 2
    # The smallest counts with cdf >= tail, by bisection: scipy's binom.ppf is off by
    # one where cdf and tail nearly agree, and fails for the smallest tails.
    below = np.full(len(grid), -1)
    lower = np.full(len(grid), num)
    while np.any(lower - below > 1):
        middle = (below + lower) // 2
        enough = binom_cdf(middle, num, grid) >= tail
        lower, below = np.where(enough, middle, lower), np.where(enough, below, middle)
    return lower, num - lower[::-1]


def _stay_probability(num: int, gamma: float, num_points: int) -> float:
    """Compute the probability that all counts of uniform values stay in the limits."""
    lower, upper = _count_limits(num, gamma, num_points)
    if np.any(lower > upper):
        return 0.0
    step = num / num_points
    starts = np.concatenate([[0], lower[:-1]])
    kernel = poisson.pmf(np.arange(int(np.max(upper - starts)) + 1), step)
    state = np.ones(1)
    for start, low, high in zip(starts, lower, upper, strict=True):
        reached = np.convolve(state, kernel[: high - start + 1])
        state = reached[low - start : high - start + 1]
    last = poisson.pmf(num - lower[-1] - np.arange(len(state)), step)
    return float(min(1.0, state @ last / poisson.pmf(num, num)))
