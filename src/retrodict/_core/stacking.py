"""Mix densities by the weights under which held-out points are likeliest.

Source: Smyth, Wolpert (1999), Linearly combining density estimators via stacking,
Machine Learning 36, 59.
Deviations from the source: one held-out part instead of cross-validation.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import softmax


NUM_STEPS = 300
LOWEST = -1e9  # nats, in place of what is not finite


def best_weights(
    log_prob: Float[np.ndarray, "parts n"],
) -> Float[np.ndarray, " parts"]:
    """Return the weights of any number of densities whose mixture is likeliest.

    By expectation maximization, which climbs to the only maximum.

    Args:
        log_prob: Log-density of held-out points under every one.
    """
    log_prob = np.nan_to_num(log_prob, nan=LOWEST, neginf=LOWEST)
    weights = np.full(len(log_prob), 1 / len(log_prob))
    for _ in range(NUM_STEPS):
        with np.errstate(divide="ignore"):  # a part whose weight has gone
            weights = softmax(log_prob + np.log(weights)[:, None], axis=0).mean(1)
    return weights


def best_weight(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]
) -> float:
    """Return the weight of the second density whose mixture is likeliest.

    Exactly 0 or 1 where nothing between is better.

    Args:
        first: Log-density of held-out points under the first.
        second: Under the second.
    """

    def loss(weight: float) -> float:
        return -float(log_mixture(first, second, weight).mean())

    inside = float(best_weights(np.array([first, second]))[1])
    return min((0.0, 1.0, inside), key=loss)


def log_mixture(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """Return the log-density of the mixture that gives the second this weight."""
    with np.errstate(divide="ignore"):  # a part without weight
        return np.logaddexp(first + np.log1p(-weight), second + np.log(weight))
