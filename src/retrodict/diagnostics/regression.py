r"""What a regression on x knows of the truth that the posterior does not.

A posterior may be calibrated and still far wider than the data allow: the prior is. So
normal scores z of the truth's PIT values are predicted from features of x by a learned
regression, of which the posterior should leave nothing to predict. It is fitted on one
half of the simulations and tried on the other, as a bet against the posterior:

.. math:: e = \prod_i \frac{N(z_i; m(x_i), s^2)}{N(z_i; 0, 1)}, \qquad
    P(e \ge 1/\alpha) \le \alpha

because z is standard normal and independent of x under a right posterior, whatever m
and s are. The mean of the e of both halves is an e-value again, and min(1, 1/e) a valid
p-value for *any* regression, however it was fitted.

The regression is linear in the features and in random cosines of them (kernel ridge
with a normal kernel, approximately); width of the kernel and ridge are chosen by
leaving rows out one by one.

Source: Vovk, Wang (2021), E-values: calibration, combination and applications, Annals
of Statistics 49, proposition 3.1 (means of e-values); Wasserman, Ramdas, Balakrishnan
(2020), Universal inference, PNAS 117 (a fitted numerator on held-out data); Rahimi,
Recht (2007), Random features for large-scale kernel machines, NIPS.
Deviations from the source: none.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._core.seeds import numpy_generator
from .features import standardize


NUM_COSINES = 120
WIDTHS = (0.5, 1.0, 2.5)  # of the kernel, in root mean square distances of two rows
RIDGES = np.geomspace(1e-2, 1e4, 13)
MIN_ROWS = 40
MIN_SD = 0.05  # of what is left: a bet that is too sure loses everything at once


class Prediction(NamedTuple):
    """How much better a regression predicts each truth.

    Attributes:
        p_value: Valid p-value of "not at all", one per column of scores.
        remaining: Root mean square error of the regression over that of the posterior,
            on simulations it was not fitted to; 1 if it knows nothing.
    """

    p_value: Float[np.ndarray, " theta_dim"]
    remaining: Float[np.ndarray, " theta_dim"]


def prediction_test(
    key: PRNGKeyArray,
    scores: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
) -> Prediction:
    """Predict normal scores from features on halves that were not fitted to.

    Args:
        key: PRNG key of halves and cosines.
        scores: Independent standard normal under the hypothesis, column by column.
        features: Anything that is independent of the scores under the hypothesis.

    Returns:
        P-values and remaining errors; p = 1 and 1 where there are no features or fewer
        than 40 simulations.
    """
    num, dim = scores.shape
    columns = standardize(features)
    if num < MIN_ROWS or columns.shape[1] == 0:
        return Prediction(np.ones(dim), np.ones(dim))
    rng = numpy_generator(key)
    designs = [_design(rng, columns, width) for width in WIDTHS]
    halves = np.array_split(rng.permutation(num), 2)
    log_e, square = np.empty((2, dim)), np.zeros(dim)
    for half, (fitted, tried) in enumerate((halves, halves[::-1])):
        mean, sd = _best_fit(designs, scores, fitted, tried)
        gap = scores[tried] - mean
        log_ratio = 0.5 * (scores[tried] ** 2 - (gap / sd) ** 2) - np.log(sd)
        log_e[half] = log_ratio.sum(axis=0)
        square += np.sum(gap**2, axis=0)
    log_mean = np.logaddexp(*log_e) - np.log(2)
    total = np.maximum(np.sum(scores**2, axis=0), 1e-300)
    return Prediction(np.exp(-np.maximum(log_mean, 0.0)), np.sqrt(square / total))


def _design(
    rng: np.random.Generator, columns: np.ndarray, width: float
) -> Float[np.ndarray, "num_sims num_columns"]:
    dim = columns.shape[1]
    waves = rng.standard_normal((dim, NUM_COSINES)) / (width * np.sqrt(2 * dim))
    phase = rng.uniform(0, 2 * np.pi, NUM_COSINES)
    cosines = np.sqrt(2 / NUM_COSINES) * np.cos(columns @ waves + phase)
    return np.concatenate([columns / np.sqrt(dim), cosines], axis=1)


def _best_fit(
    designs: list[np.ndarray],
    scores: np.ndarray,
    fitted: np.ndarray,
    tried: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions for the rows tried, and the error to expect, per column."""
    best = np.full(scores.shape[1], np.inf)
    chosen = np.zeros((len(tried), scores.shape[1]))
    for design in designs:
        center = design[fitted].mean(axis=0)
        inputs, offset = design[fitted] - center, scores[fitted].mean(axis=0)
        squares, vectors = np.linalg.eigh(inputs.T @ inputs)
        inputs, beyond = inputs @ vectors, (design[tried] - center) @ vectors
        inside = inputs.T @ (scores[fitted] - offset)
        for ridge in RIDGES:
            inverse = 1 / (np.maximum(squares, 0.0) + ridge)
            weights = inverse[:, None] * inside
            residual = scores[fitted] - offset - inputs @ weights
            leverage = inputs**2 @ inverse + 1 / len(fitted)
            error = np.mean((residual / (1 - leverage)[:, None]) ** 2, axis=0)
            better = error < best
            chosen = np.where(better, offset + beyond @ weights, chosen)
            best = np.where(better, error, best)
    return chosen, np.maximum(np.sqrt(best), MIN_SD)
