"""Exact posteriors that are products of normals, cut off at the walls of a box."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float, Key
from scipy.special import log_ndtr
from scipy.stats import truncnorm

from ...model import Baseline, Model


NUM_DRAWS = 10_000

ExactDraws = Callable[[Key[Array, ""], np.ndarray, int], np.ndarray]


def exact_baseline(exact_draws: ExactDraws) -> Callable[..., Baseline]:
    """Return the baseline of a task whose parameter is one vector ``theta``.

    Args:
        exact_draws: ``(key, x_obs, num_samples) -> (num_samples, theta_dim)``.
    """

    def baseline(key: Key[Array, ""], model: Model) -> Baseline:
        draws = exact_draws(key, np.asarray(model.observed), NUM_DRAWS)
        return Baseline("exact", {"theta": draws}, {"draws": float(NUM_DRAWS)})

    return baseline


def truncated_normal(
    generator: np.random.Generator,
    mean: Float[np.ndarray, " dim"],
    sd: float,
    bound: float,
    num_samples: int,
) -> Float[np.ndarray, "num_samples dim"]:
    """Draw from N(mean, sd^2 I) restricted to ``[-bound, bound]^dim``."""
    low, high = (-bound - mean) / sd, (bound - mean) / sd
    shape = (num_samples, len(mean))
    draws = truncnorm.rvs(low, high, mean, sd, shape, random_state=generator)
    return np.asarray(draws)


def log_mass(mean: Float[np.ndarray, " dim"], sd: float, bound: float) -> float:
    """Return the log-probability of ``[-bound, bound]^dim`` under N(mean, sd^2 I)."""
    near = (bound - np.abs(mean)) / sd  # the nearer wall, seen from the mean
    far = (-bound - np.abs(mean)) / sd
    ratio = np.exp(log_ndtr(far) - log_ndtr(near))
    return float(np.sum(log_ndtr(near) + np.log1p(-ratio)))
