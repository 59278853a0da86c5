"""Draws from weighted draws."""

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
