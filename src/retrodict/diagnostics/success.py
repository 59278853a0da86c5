r"""Does it depend on theta whether a simulation succeeds?

A logistic regression of success on the coordinates of theta, their squares and products
is fitted on one half of the rows and scores the other. The area under the ROC curve
(AUC) is the probability that a row that succeeded has a higher score than one that
failed: 0.5 if nothing depends on theta, 1 if theta decides. The score is independent of
the half it is applied to, so that under independence of success and theta the rank sum
has exactly the distribution of Wilcoxon's statistic.

Source: Mann, Whitney (1947), Annals of Mathematical Statistics 18 (mean and variance of
U); Hanley, McNeil (1982), Radiology 143 (U over the number of pairs is the AUC).
Deviations from the source: none. Cross-validation, which would use all rows, makes the
scores of its folds depend on each other: its p-values came out too small.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.special import expit
from scipy.stats import norm, rankdata

from .._core.quadratic import quadratic_features
from .._core.seeds import numpy_generator
from ._base import require_finite


MIN_OF_EACH = 10  # fewer failures, or successes, tell nothing
MAX_OF_EACH = 5000  # the AUC does not depend on how many of each there are
PENALTY = 1.0
NEWTON_STEPS = 20


class SuccessTest(NamedTuple):
    """Whether success depends on theta.

    Attributes:
        auc: Probability that a success scores higher than a failure.
        p_value: Of a larger AUC where success does not depend on theta.
    """

    auc: float
    p_value: float


def success_test(
    key: Key[Array, ""],
    coordinates: Float[np.ndarray, "n dim"],
    success: Bool[np.ndarray, " n"],
) -> SuccessTest | None:
    """Test whether success depends on the parameters.

    Args:
        key: PRNG key of the halves.
        coordinates: Unconstrained theta, one row per simulation.
        success: Which simulations succeeded.

    Returns:
        The result; ``None`` when fewer than ten succeeded, or failed.

    Raises:
        ValueError: If a coordinate is not finite.
    """
    require_finite("coordinates", coordinates)
    rng = numpy_generator(key)
    each = [rng.permutation(np.flatnonzero(success == s)) for s in (False, True)]
    if min(map(len, each)) < MIN_OF_EACH:
        return None
    chosen = [rows[:MAX_OF_EACH] for rows in each]
    rows = np.concatenate(chosen)
    tested = np.concatenate([np.arange(len(c)) % 2 == 1 for c in chosen])
    inputs, labels = _features(coordinates[rows]), success[rows]
    weights = logistic_regression(inputs[~tested], labels[~tested])
    labels = labels[tested]
    good, bad = int(labels.sum()), int((~labels).sum())
    ranks = rankdata(inputs[tested] @ weights)
    u = ranks[labels].sum() - good * (good + 1) / 2
    spread = np.sqrt(good * bad * (good + bad + 1) / 12)
    p_value = norm.sf((u - good * bad / 2) / spread)
    return SuccessTest(float(u / (good * bad)), float(p_value))


def logistic_regression(
    inputs: Float[np.ndarray, "n columns"], labels: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " columns"]:
    """Return the weights of a ridge logistic regression, by Newton's method.

    Args:
        inputs: One row per label; the first column is the constant.
        labels: What is predicted.
    """
    weights = np.zeros(inputs.shape[1])
    penalty = np.full(len(weights), PENALTY)
    penalty[0] = 1e-6
    for _ in range(NEWTON_STEPS):
        chance = expit(inputs @ weights)
        gradient = inputs.T @ (chance - labels) + penalty * weights
        curvature = inputs.T * np.maximum(chance * (1 - chance), 1e-6)
        step = np.linalg.solve(curvature @ inputs + np.diag(penalty), gradient)
        weights = weights - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _features(coordinates: np.ndarray) -> np.ndarray:
    """Return constant, coordinates, squares and products, each standardized."""
    columns = quadratic_features(_standardized(coordinates))
    return np.concatenate([columns[:, :1], _standardized(columns[:, 1:])], axis=1)


def _standardized(values: np.ndarray) -> np.ndarray:
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)
