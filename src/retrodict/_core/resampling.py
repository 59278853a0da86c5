"""Draws from weighted draws, and how many of them count."""

import numpy as np
from jaxtyping import Float, Int


def resample(
    rng: np.random.Generator, log_weights: Float[np.ndarray, " pool"], num_samples: int
) -> Int[np.ndarray, " num_samples"]:
    """Return indices of a pool, each as often as its weight says, in random order.

    Systematic resampling: a draw is taken within one of its expected number of times.

    Args:
        rng: Source of randomness.
        log_weights: Logarithms of the weights, up to a constant.
        num_samples: Number of indices.

    Source: Kitagawa (1996), Journal of Computational and Graphical Statistics 5,
    appendix.
    """
    ends = np.cumsum(np.exp(log_weights - log_weights.max()))
    steps = (np.arange(num_samples) + rng.random()) / num_samples * ends[-1]
    chosen = np.minimum(np.searchsorted(ends, steps), len(ends) - 1)
    return rng.permutation(chosen)


def efficiency(
    log_weights: Float[np.ndarray, "... pool"],
) -> Float[np.ndarray, "..."]:
    """Return the effective number of weighted draws, as a share of all.

    One where all weights are equal, the reciprocal of their number where one is all.

    Args:
        log_weights: Logarithms of the weights, up to a constant.

    Source: Kong (1992), A note on importance sampling using standardized weights.
    """
    weights = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    total, square = weights.sum(axis=-1), (weights**2).sum(axis=-1)
    return np.asarray(total**2 / square / weights.shape[-1])
