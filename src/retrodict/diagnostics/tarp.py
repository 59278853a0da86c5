r"""Tests of accuracy with random points (TARP).

Draw a reference point for each simulation and ask how much posterior mass lies nearer
to it than the truth does. The share is uniform if the posterior is right, for every
choice of references; with references that depend on x the test is also sufficient: a
posterior equal to the prior no longer passes. It needs draws only, no density.

.. math:: f_i = \frac1L \#\{l : d(\theta_l, r_i) < d(\theta^*_i, r_i)\},
    \qquad \mathrm{ECP}(c) = \frac1n \#\{i : f_i \le c\}

Source: Lemos, Coogan, Hezaveh, Perreault-Levasseur (2023), Sampling-based accuracy
testing of posterior estimators for general inference, arXiv:2302.03026, algorithm 2
and theorem 3.
Deviations from the source: f is (rank + u) / (L + 1), exactly uniform for any L;
parameters are scaled by their prior standard deviation rather than by their range,
which one outlier could set.
"""

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._core.seeds import numpy_generator
from ._base import require_finite, require_paired
from .sbc import rank_among, spread_ranks


def tarp_references(
    key: PRNGKeyArray,
    theta: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
) -> Float[np.ndarray, "num_sims theta_dim"]:
    """Place reference points that follow x along one random linear map, plus noise.

    Only the mean and spread of all ``theta`` enter, never a simulation's own value.

    Args:
        key: PRNG key of the map and the noise.
        theta: True parameters, which set centre and scale.
        features: Functions of x, of order one (standardized); none at all gives
            references independent of x.

    Returns:
        One reference per simulation, in the units of ``theta``.
    """
    rng = numpy_generator(key)
    num_features, dim = features.shape[1], theta.shape[1]
    noise = rng.standard_normal(theta.shape)
    weights = rng.standard_normal((num_features, dim)) / np.sqrt(max(num_features, 1))
    # Equal parts of x and noise; total spread about the prior's.
    standard = np.sqrt(0.5) * (features @ weights + noise) if num_features else noise
    return theta.mean(axis=0) + theta.std(axis=0) * standard


def tarp_levels(
    key: PRNGKeyArray,
    theta: Float[np.ndarray, "num_sims theta_dim"],
    posterior_samples: Float[np.ndarray, "num_sims num_samples theta_dim"],
    references: Float[np.ndarray, "num_sims theta_dim"],
    *,
    scale: Float[np.ndarray, " theta_dim"] | None = None,
) -> Float[np.ndarray, " num_sims"]:
    """Measure the posterior mass that lies nearer to the reference than the truth.

    Args:
        key: PRNG key, for ties and for spreading ranks.
        theta: True parameters, one row per simulation.
        posterior_samples: Draws at each simulation's own x.
        references: From `tarp_references`, or any that ignore the row's own theta.
        scale: Unit of length per parameter; by default the spread of ``theta``.

    Returns:
        Levels in (0, 1), uniform for a calibrated posterior.

    Raises:
        ValueError: If shapes do not align or any entry is not finite.
    """
    require_paired(theta, posterior_samples)
    if references.shape != theta.shape:
        raise ValueError(
            f"Expected references of the shape of theta, {theta.shape}; "
            f"got {references.shape}."
        )
    for name, values in (("theta", theta), ("posterior_samples", posterior_samples)):
        require_finite(name, values)
    unit = theta.std(axis=0) if scale is None else scale
    unit = np.where(unit > 0, unit, 1.0)
    truth = np.sum(((theta - references) / unit) ** 2, axis=-1)
    draws = np.sum(((posterior_samples - references[:, None]) / unit) ** 2, axis=-1)
    rng = numpy_generator(key)
    return spread_ranks(rng, rank_among(rng, truth, draws), draws.shape[1])
