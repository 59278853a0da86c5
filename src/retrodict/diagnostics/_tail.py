r"""P-values of a statistic from a held-out sample, beyond its largest value.

Inside the sample a p-value is a share of ranks. Beyond a high quantile t with a share
:math:`\tau` above it, exceedances are taken to follow a generalized Pareto distribution

.. math:: p(s) = \tau \, (1 + \xi (s - t) / \sigma)^{-1/\xi}

(exponential for :math:`\xi = 0`), fitted by probability-weighted moments.

Source: Hosking, Wallis (1987), Parameter and quantile estimation for the generalized
Pareto distribution, Technometrics 29, eq. 8 (their k is minus our ξ).
Deviations from the source: ξ is kept in [0, 1/2]. A negative estimate would claim that
larger values are impossible, which no finite sample can say.
"""

import numpy as np
from jaxtyping import Float


def tail_p_values(
    held_out: Float[np.ndarray, " num_held_out"],
    values: Float[np.ndarray, " num_values"],
) -> Float[np.ndarray, " num_values"]:
    """Compute how rarely a held-out value is at least as large as each given value.

    Args:
        held_out: Sorted statistics of held-out simulations, ascending.
        values: Statistics to judge; large means unusual.

    Returns:
        P-values in (0, 1], decreasing in ``values``.
    """
    num = len(held_out)
    above = num - np.searchsorted(held_out, values, side="left")
    by_rank = (1 + above) / (num + 1)
    # 100 exceedances where the sample allows: enough for a fit, few enough to be tail.
    share = min(max(100 / num, 0.02), 0.2)
    count = max(int(share * num), 1)
    threshold = held_out[-count - 1] if count < num else held_out[0]
    excess = held_out[-count:] - threshold
    shape, scale = _fit_pareto(excess)
    beyond = np.maximum(values - threshold, 0.0) / scale
    if shape < 1e-6:
        survival = np.exp(-np.minimum(beyond, 700.0))
    else:
        survival = (1 + shape * beyond) ** (-1 / shape)
    by_fit = (count + 1) / (num + 1) * np.maximum(survival, 1e-300)
    return np.where(values > threshold, by_fit, by_rank)


def _fit_pareto(excess: Float[np.ndarray, " count"]) -> tuple[float, float]:
    """Fit shape and scale of a generalized Pareto distribution, sorted ascending."""
    count = len(excess)
    mean = float(excess.mean())
    # All exceedances equal to the threshold: any larger value is out of the ordinary.
    floor = 1e-9 * max(float(np.abs(excess).max()), 1e-9)
    if mean <= floor:
        return 0.0, floor
    weights = 1 - (np.arange(1, count + 1) - 0.35) / count
    weighted = float(np.mean(weights * excess))
    gap = mean - 2 * weighted
    shape = 0.0 if gap <= 0 else float(np.clip(2 - mean / gap, 0.0, 0.5))
    return shape, mean * (1 - shape)
