r"""Test whether x still predicts where the truth falls in its posterior.

A posterior is right for *each* x only if the PIT value of the truth is independent of
x. A posterior equal to the prior has uniform PIT values over all simulations, but x
predicts them; so does one that is too narrow for some x and too wide for others. Normal
scores z of PIT values are regressed on features f(x),

.. math:: z_i = a + b^\top f(x_i) + \varepsilon_i, \qquad H_0 : b = 0

and because z is exactly standard normal and independent of x for a calibrated
posterior, the F test of the regression is exact, whatever the features.

Source: Zhao, Dalmasso, Izbicki, Lee (2021), Diagnostics for conditional density models
and Bayesian inference algorithms, arXiv:2102.10473 (PIT regressed on x).
Deviations from the source: a linear regression on given features with an exact F test
in place of a learned regression with a simulated null.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import f as f_distribution

from .features import orthonormal_columns


class Dependence(NamedTuple):
    """How strongly features predict each score.

    Attributes:
        p_value: Exact p-value of "not at all", one per column of scores.
        strength: Root of the adjusted share of variance explained, in [0, 1]. For
            normal scores of PIT values: the rms local shift in posterior sds.
    """

    p_value: Float[np.ndarray, " theta_dim"]
    strength: Float[np.ndarray, " theta_dim"]


def dependence_test(
    scores: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
) -> Dependence:
    """Regress normal scores on features and test for any linear dependence.

    Args:
        scores: Independent standard normal under the hypothesis, column by column.
        features: Anything that is independent of the scores under the hypothesis.

    Returns:
        P-values and strengths; p = 1 and strength 0 where there are no features or
        too few simulations for them.

    Raises:
        ValueError: If the leading axes differ.
    """
    num, dim = scores.shape
    if len(features) != num:
        raise ValueError(
            "Expected scores and features with equally many rows; got shapes "
            f"{scores.shape} and {features.shape}."
        )
    basis = orthonormal_columns(features, features.shape[1])
    rank = basis.shape[1]
    if rank == 0 or num - rank - 1 < 1:
        return Dependence(np.ones(dim), np.zeros(dim))
    residual = scores - scores.mean(axis=0)
    total = np.sum(residual**2, axis=0)
    explained = np.sum((basis.T @ residual) ** 2, axis=0)
    freedom = num - rank - 1
    ratio = (explained / rank) / ((total - explained) / freedom)
    adjusted = 1 - ((total - explained) / freedom) / (total / (num - 1))
    return Dependence(
        f_distribution.sf(ratio, rank, freedom), np.sqrt(np.maximum(adjusted, 0.0))
    )
