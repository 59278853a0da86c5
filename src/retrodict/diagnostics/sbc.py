r"""Simulation-based calibration (SBC).

For parameters drawn from the prior and data simulated from them, the rank of each true
parameter among draws of its own posterior is uniform if the posterior is right. It is
the right test of every marginal at once, over the whole prior; it says nothing about
one particular observation, and a posterior equal to the prior passes it.

.. math:: r_j = \sum_{l=1}^{L} 1[\theta_{l,j} < \theta^*_j]
    \sim \mathrm{Uniform}\{0, \dots, L\}

with :math:`\theta^*` the true parameters and :math:`\theta_l` the L posterior draws.

Source: Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian
inference algorithms with simulation-based calibration, arXiv:1804.06788, algorithm 1;
randomized ties and general test quantities: Modrák et al. (2023), arXiv:2211.02383.
Deviations from the source: ranks are turned into PIT values (below) before any test, so
that no histogram bins are chosen.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from scipy.special import ndtri

from .._core.seeds import numpy_generator
from ._base import require_finite, require_paired


def sbc_ranks(
    key: PRNGKeyArray,
    theta: Float[np.ndarray, "num_sims theta_dim"],
    posterior_samples: Float[np.ndarray, "num_sims num_samples theta_dim"],
    *,
    ties: Literal["random", "below"] = "random",
) -> Int[np.ndarray, "num_sims theta_dim"]:
    r"""Rank each true parameter among posterior draws for its own simulation.

    Under a correct posterior the rank of :math:`\theta^*` among :math:`L` exchangeable
    draws is uniform on :math:`\{0, \dots, L\}`, per component.

    Args:
        key: PRNG key, used only to break ties.
        theta: Parameters drawn from the prior, one row per simulation. Any quantity
            computed alike from parameters and draws may stand in their place.
        posterior_samples: Draws from the approximate posterior at each simulation's own
            ``x``; rows must align with ``theta``.
        ties: How equal values count. ``"random"`` keeps uniformity for discrete or
            rounded parameters; ``"below"`` counts only draws strictly below.

    Returns:
        Integer ranks in ``[0, num_samples]``.

    Raises:
        ValueError: If leading axes differ (the message names both shapes), or any entry
            is not finite (the message gives the count and the first index).

    Example:
        >>> import jax.random as jr, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> ranks = sbc_ranks(jr.key(0), rng.normal(size=(500, 2)),
        ...                   rng.normal(size=(500, 99, 2)))
        >>> ranks.shape
        (500, 2)

    Source: Talts et al. (2018), arXiv:1804.06788, algorithm 1. Deviation: ties are
        randomized, the paper assumes a continuous posterior.
    """
    if ties not in ("random", "below"):
        raise ValueError(f"Expected ties to be 'random' or 'below'; got {ties!r}.")
    require_paired(theta, posterior_samples)
    require_finite("theta", theta)
    require_finite("posterior_samples", posterior_samples)
    return rank_among(
        numpy_generator(key) if ties == "random" else None,
        theta,
        np.moveaxis(posterior_samples, 1, -1),
    )


def rank_among(
    rng: np.random.Generator | None,
    value: Float[np.ndarray, "*batch"],
    draws: Float[np.ndarray, "*batch num_samples"],
) -> Int[np.ndarray, "*batch"]:
    """Count the draws below each value; share ties at random if a generator is given.

    Infinite values are ordered as usual (a log-density may be minus infinity).
    """
    below = np.sum(draws < value[..., None], axis=-1)
    if rng is None:
        return below
    equal = np.sum(draws == value[..., None], axis=-1)
    return below + rng.integers(0, equal + 1) if equal.any() else below


def pit_values(
    key: PRNGKeyArray, ranks: Int[np.ndarray, "*batch"], num_samples: int
) -> Float[np.ndarray, "*batch"]:
    r"""Spread integer ranks evenly over the unit interval: (rank + u) / (L + 1).

    With u uniform on [0, 1) the values of a calibrated posterior are *exactly* uniform
    for any number of draws L. These, not the ranks, belong in plots and tests.

    Args:
        key: PRNG key for u.
        ranks: Ranks in ``[0, num_samples]``.
        num_samples: Number of draws L that each rank was taken among.

    Returns:
        Probability integral transform (PIT) values, inside (0, 1).

    Raises:
        ValueError: If a rank lies outside ``[0, num_samples]``.
    """
    if ranks.size and (ranks.min() < 0 or ranks.max() > num_samples):
        raise ValueError(
            f"Expected ranks in [0, num_samples={num_samples}]; got values from "
            f"{ranks.min()} to {ranks.max()}. Pass the number of draws ranked among."
        )
    return spread_ranks(numpy_generator(key), ranks, num_samples)


def spread_ranks(
    rng: np.random.Generator, ranks: Int[np.ndarray, "*batch"], num_samples: int
) -> Float[np.ndarray, "*batch"]:
    """Spread ranks over (0, 1) with a generator already at hand; see `pit_values`."""
    # A uniform draw can be exactly 0, whose normal score is minus infinity.
    uniform = np.maximum(rng.random(ranks.shape), 1e-12)
    return (ranks + uniform) / (num_samples + 1)


def normal_scores(pit: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """Map PIT values to normal scores: exactly N(0, 1) under a calibrated posterior.

    For a Gaussian posterior the score is the true parameter's distance from the
    posterior mean in posterior standard deviations.
    """
    return ndtri(np.clip(pit, 1e-15, 1 - 1e-15))
