r"""A classifier of truths against draws, with exact error rates: joint, and at one x.

If the posterior is right, the truth and its draws are exchangeable given x: nothing
computed from all of them alike can tell which one is the truth. A classifier that can
tell has found an error, of any kind. Here the classifier is linear in features
:math:`\phi(\theta, x)` (moments, waves, log-density, and their products with x), fitted
by least squares, so that :math:`g = w^\top (\phi - \bar\phi)` estimates

.. math:: g(\theta, x) \approx \frac{p(\theta | x)}{q(\theta | x)} - 1, \qquad
    w = A^{-1} \sum_i (\phi_{i, k_i} - \bar\phi_i)

with :math:`k_i` the place of the truth among the candidates of simulation i and A the
scatter of all candidates about their mean. Relabelling, that is choosing other
:math:`k_i`, changes neither A nor the candidates, so that thousands of relabelled
classifiers cost one matrix product, and the permutation null of both tests is exact.

- *Joint*: fit on one half of the simulations, rank the truth's g on the other half.
- *Local* (L-C2ST): :math:`T = \mathbb E_{q(\theta|x_o)} g^2`, the local chi-square
  divergence, against the same statistic of relabelled classifiers.

Source: Lopez-Paz, Oquab (2017), arXiv:1610.06545 (classifier tests); Linhart, Gramfort,
Rodrigues (2023), L-C2ST, arXiv:2306.03580; least-squares density ratios: Kanamori,
Hido, Sugiyama (2009), JMLR 10.
Deviations from the source: least squares in place of a network, which makes the null
exact and fast; classifiers see the relation of truth and draws of the *same* x.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from scipy.stats import norm

from .._core.seeds import numpy_generator
from .sbc import normal_scores, rank_among, spread_ranks


NUM_WAVES = 32
NUM_CONTEXT = 5
RIDGE = 0.01
NUM_RELABELS = 2000
MAX_LOG_PROB = 30.0  # nats from the mean of the candidates: beyond, the sign counts

Candidates = Float[np.ndarray, "num_sims num_candidates num_features"]


class LocalRatio(NamedTuple):
    """What a classifier finds at one observation.

    Attributes:
        p_value: Exact p-value of "the posterior is right here".
        error: Root mean square of p/q - 1 under q, with the share of noise taken off.
        shift: Estimated mean of the truth, in sds of the draws, per parameter.
        log_width: Estimated log of the ratio of the truth's sd to that of the draws.
    """

    p_value: float
    error: float
    shift: Float[np.ndarray, " theta_dim"]
    log_width: Float[np.ndarray, " theta_dim"]


def num_context(
    context: Float[np.ndarray, "num_sims num_context"], theta_dim: int
) -> int:
    """Choose how many features of x enter: ten simulations for each product with x."""
    return min(NUM_CONTEXT, context.shape[1], len(context) // (20 * theta_dim))


def candidate_features(
    key: PRNGKeyArray,
    standard: Float[np.ndarray, "num_sims num_candidates theta_dim"],
    log_prob: Float[np.ndarray, "num_sims num_candidates"],
    context: Float[np.ndarray, "num_sims num_context"],
    *,
    num_context: int,
) -> Candidates:
    """Compute the features a classifier sees of every candidate.

    Args:
        key: PRNG key of the waves; equal keys give equal features.
        standard: Truth (first) and draws, less their common mean, over their common sd.
        log_prob: Log-density of each under the posterior, nats, up to a constant.
        context: Features of x, of order one.
        num_context: How many of the leading ones enter, from `num_context`.
    """
    rng = numpy_generator(key)
    dim = standard.shape[2]
    theta = np.clip(standard, -8.0, 8.0).astype(np.float32)
    first, second = np.triu_indices(dim)
    if len(first) > 66:  # as many pairs as are tested one by one elsewhere
        kept = np.sort(rng.choice(len(first), 66, replace=False))
        first, second = first[kept], second[kept]
    products = theta[..., first] * theta[..., second]
    waves = rng.standard_normal((dim, NUM_WAVES)) * rng.choice([0.7, 1.5], NUM_WAVES)
    phase = rng.uniform(0, 2 * np.pi, NUM_WAVES)
    periodic = np.cos(theta @ waves.astype(np.float32) + phase.astype(np.float32))
    parts = [theta, products, periodic, _centered(log_prob)[..., None]]
    for column in context[:, :num_context].T.astype(np.float32):
        parts += [theta * column[:, None, None], theta**2 * column[:, None, None]]
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def nearness(
    context: Float[np.ndarray, "num_sims num_context"],
    observed: Float[np.ndarray, " num_context"],
) -> Float[np.ndarray, " num_sims"]:
    """Weigh simulations by the distance of x from the observation, in few features.

    A normal kernel as wide as the distance of the nearest third.
    """
    square = np.sum((context - observed)[:, :NUM_CONTEXT] ** 2, axis=1)
    if not square.any():
        return np.ones(len(context))
    width = max(float(np.quantile(square, 1 / 3)), 1e-12)
    return np.exp(-0.5 * square / width)


def joint_ratio_test(key: PRNGKeyArray, phi: Candidates) -> tuple[float, float]:
    """Test whether truths can be told from draws on simulations not fitted to.

    Args:
        key: PRNG key that splits the simulations and breaks ties.
        phi: Features, truth first.

    Returns:
        The p-value, and the shift of the truth's score in standard deviations.
    """
    rng = numpy_generator(key)
    halves = np.array_split(rng.permutation(len(phi)), 2)
    found = []
    for fitted, tested in (halves, halves[::-1]):
        score = phi[tested] @ _weights(phi[fitted])
        ranks = rank_among(rng, score[:, 0], score[:, 1:])
        found.append(normal_scores(spread_ranks(rng, ranks, score.shape[1] - 1)))
    # Two tests that are exact each; whether they depend on each other does not matter.
    p_values = [float(norm.sf(z.mean() * np.sqrt(len(z)))) for z in found]
    shift = float(np.concatenate(found).mean())
    return min(1.0, 2 * min(p_values)), max(shift, 0.0)


def local_ratio_test(
    key: PRNGKeyArray,
    phi: Candidates,
    observed: Float[np.ndarray, "num_draws num_features"],
    standard: Float[np.ndarray, "num_draws theta_dim"],
    *,
    nearness: Float[np.ndarray, " num_sims"],
    num_relabels: int = NUM_RELABELS,
) -> LocalRatio:
    """Test the posterior at one observation, with a permutation null.

    Args:
        key: PRNG key of the relabelling.
        phi: Features of the test simulations, truth first.
        observed: The same features of draws at the observation.
        standard: These draws, less their mean, over their sd.
        nearness: Weight of each simulation, from its x alone: near ones count more.
        num_relabels: Relabelled classifiers; the p-value is at least 1 / (1 + this).
    """
    rng = numpy_generator(key)
    root = np.sqrt(nearness)[:, None, None].astype(np.float32)
    centered, solve = _scatter(root * phi)
    centered *= root
    here = observed - observed.mean(axis=0)
    sums = np.empty((num_relabels + 1, phi.shape[2]))
    rows = np.arange(len(phi))
    for relabel in range(num_relabels + 1):
        places: Int[np.ndarray, " num_sims"] = rng.integers(0, phi.shape[1], len(phi))
        sums[relabel] = centered[rows, places if relabel else 0].sum(axis=0)
    found = (sums @ solve) @ here.T.astype(np.float64)
    statistic = np.mean(found**2, axis=1)
    null = statistic[1:]
    ratio = found[0]
    mean = ratio @ standard / len(standard)
    square = ratio @ (standard**2 - 1) / len(standard)
    return LocalRatio(
        p_value=float((1 + np.sum(null >= statistic[0])) / (1 + num_relabels)),
        error=float(np.sqrt(max(statistic[0] - null.mean(), 0.0))),
        shift=mean,
        log_width=0.5 * np.log(np.maximum(1 + square - mean**2, 0.05)),
    )


def _scatter(phi: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Return centered features and the inverse of their shrunk scatter."""
    centered = phi - phi.mean(axis=1, keepdims=True)
    flat = centered.reshape(-1, centered.shape[-1])
    scatter = (flat.T @ flat).astype(np.float64) / phi.shape[1]
    floor = RIDGE * np.maximum(np.diag(scatter), 1e-6 * np.trace(scatter))
    return centered, np.linalg.inv(scatter + np.diag(floor))


def _weights(phi: Candidates) -> np.ndarray:
    centered, solve = _scatter(phi)
    return (solve @ centered[:, 0].sum(axis=0)).astype(np.float32)


def _centered(log_prob: np.ndarray) -> np.ndarray:
    finite = np.isfinite(log_prob)
    total = np.where(finite, log_prob, 0.0).sum(axis=1, keepdims=True)
    mean = total / np.maximum(finite.sum(axis=1, keepdims=True), 1)
    centered = np.where(finite, log_prob - mean, -MAX_LOG_PROB)
    return np.clip(centered, -MAX_LOG_PROB, MAX_LOG_PROB)
