r"""``recalibrate``: widen a posterior until it covers, and prove it.

The joint posterior is replaced by a bridge between itself and the prior (see `bridge`),
with the power and the share of prior that give the best mean log-density among those
whose coverage, on one set of simulations, is at least nominal plus one standard error
at every level from 40 % to 95 %. Marginal intervals are then adjusted by the ranks of
the truth on the same set: the empirical distribution of PIT values says which quantile
of the draws has to be read for each level.

Whether it worked is measured on simulations used for neither, and told with its price:
how much wider intervals have become, and how much log-density was won or lost.

Source: Hermans et al. (2022), A trust crisis in simulation-based inference?,
arXiv:2110.06581 (conservative posteriors, expected coverage); Rodrigues, Prangle,
Sisson (2018), Recalibration, arXiv:1704.08098 (ranks; here one map for all x).
"""

from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray
from scipy.stats import rankdata

from .._core.errors import DataError
from .._core.progress import progress
from .._core.seeds import check_seed, numpy_generator, stream_key
from ..diagnostics import ecdf
from ..simulations import Simulations, take_rows
from .bridge import (
    Bridge,
    Reference,
    bridge_log_prob,
    log_mean,
    log_weights,
    reference_of,
)
from .proof import Proof, prove


POWERS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2)
SHARES = (0.0, 0.002, 0.01, 0.02, 0.05, 0.1, 0.2)
FIT_LEVELS = np.arange(8, 20) / 20  # lower ones are of no use to anyone
MIN_SIMULATIONS = 100
NUM_DRAWS = 256
NUM_REFERENCE = 128
ROWS = 128


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """A corrected posterior, with the proof that it covers; itself a posterior.

    Attributes:
        bridge: The corrected joint posterior.
        pit: Sorted PIT values of the truth under it, one column per parameter.
        proof: Coverage, log-density and width before and after, on other simulations.
    """

    bridge: Bridge
    pit: Float[np.ndarray, "num_sims theta_dim"]
    proof: Proof

    def sample(
        self, key: PRNGKeyArray, xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw from the corrected posterior of many observations at once.

        Args:
            key: PRNG key.
            xs: Observations, as the first posterior takes them.
            num_samples: Draws for each.
        """
        return self.bridge.sample(key, xs, num_samples)

    def log_prob(
        self,
        theta: Float[np.ndarray, "num_observations num_samples theta_dim"],
        xs: Any,
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return the normalized log-density, in nats.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Observations, as the first posterior takes them.
        """
        return self.bridge.log_prob(theta, xs)

    def quantiles(
        self, key: PRNGKeyArray, xs: Any, levels: Any
    ) -> Float[np.ndarray, "num_observations num_levels theta_dim"]:
        """Return marginal quantiles, adjusted by the ranks of the truth.

        Args:
            key: PRNG key of the draws they are read from.
            xs: Observations.
            levels: Probabilities, inside (0, 1): one array or list.

        Raises:
            ValueError: If a level is not inside (0, 1).
        """
        levels = np.asarray(levels, np.float64)
        if not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"levels: Expected numbers in (0, 1); got {levels}.")
        draws = self.sample(key, xs, 2000)
        read = adjusted_levels(self.pit, levels)
        columns = [
            np.quantile(draws[..., j], read[:, j], axis=1).T for j in range(len(read.T))
        ]
        return np.stack(columns, axis=-1)


def adjusted_levels(
    pit: Float[np.ndarray, "num_sims theta_dim"],
    levels: Float[np.ndarray, " num_levels"],
) -> Float[np.ndarray, "num_levels theta_dim"]:
    """Say which quantile of the draws holds the truth with each probability.

    The k-th of n PIT values stands for level k / (n + 1), as in conformal prediction,
    and levels are moved away from the center by the rounding, never toward it.
    """
    num = len(pit)
    place = levels * (num + 1)
    rank = np.where(levels < 0.5, np.floor(place), np.ceil(place)).astype(int)
    padded = np.concatenate([np.zeros((1, pit.shape[1])), pit, np.ones_like(pit[:1])])
    return padded[np.clip(rank, 0, num + 1)]


def recalibrate(
    posterior: Any,
    simulations: Simulations,
    *,
    proof_fraction: float = 0.5,
    seed: int = 0,
) -> Recalibrated:
    """Widen an over-confident posterior until it covers, and prove it.

    Args:
        posterior: Any object with ``sample(key, xs, num_samples)`` and
            ``log_prob(theta, xs)``.
        simulations: Simulations it was not trained on; 1000 are a good number.
        proof_fraction: Share of them used for the proof and for nothing else.
        seed: Seed of the split and of all draws.

    Returns:
        The corrected posterior, which may be given to `validate` and used in place of
        the first. It errs on the side of caution: an exact posterior is widened too, by
        about a tenth with 1000 simulations.

    Raises:
        DataError: If fewer than 100 simulations can be used for the fit or the proof.
        ValueError: If ``proof_fraction`` is not inside (0, 1).
    """
    good = simulations.ok()
    fit, proof = _split(good, proof_fraction, check_seed(seed))
    reference = reference_of(good.model, fit.targets)
    key_fit, key_proof = jr.split(stream_key(seed, "recalibrate"))
    pools = _pools(key_fit, posterior, reference, fit)
    power, share = _best(pools)
    bridge = Bridge(posterior, reference, power, share, seed)
    proven = prove(key_proof, posterior, bridge, proof)
    theta = fit.targets
    prior_pit = (rankdata(theta, axis=0) - 0.5) / len(theta)
    return Recalibrated(bridge, _sorted_pit(pools, prior_pit, bridge), proven)


def _split(
    good: Simulations, proof_fraction: float, seed: int
) -> tuple[Simulations, Simulations]:
    if not 0 < proof_fraction < 1:
        raise ValueError(
            f"proof_fraction: Expected a number in (0, 1); got {proof_fraction}."
        )
    order = numpy_generator(stream_key(seed, "split")).permutation(len(good))
    num_proof = round(proof_fraction * len(good))
    if min(num_proof, len(good) - num_proof) < MIN_SIMULATIONS:
        raise DataError(
            f"simulations: Expected {MIN_SIMULATIONS} or more for the fit and for the "
            f"proof; got {len(good) - num_proof} and {num_proof}. Simulate more."
        )
    return good[np.sort(order[num_proof:])], good[np.sort(order[:num_proof])]


@dataclass(frozen=True, eq=False)
class _Pools:
    """Log-densities of q and of the prior at the truth, draws of q and of the prior."""

    log_q: Float[np.ndarray, "n m"]  # truth, draws of q, draws of the prior
    log_p: Float[np.ndarray, "n m"]
    below: Bool[np.ndarray, "n num_draws theta_dim"]  # is the draw below the truth


def _pools(
    key: PRNGKeyArray, posterior: Any, reference: Reference, simulations: Simulations
) -> _Pools:
    theta = simulations.targets
    key_prior, key_draws = jr.split(key)
    prior_draws = reference.draw(key_prior, NUM_REFERENCE)
    log_q, log_p, below = [], [], []
    with progress("Recalibrating", total=len(theta)) as bar:
        for start in range(0, len(theta), ROWS):
            rows = np.arange(start, min(start + ROWS, len(theta)))
            xs = take_rows(simulations.x, rows)
            draws = posterior.sample(jr.fold_in(key_draws, start), xs, NUM_DRAWS)
            below.append(draws < theta[rows, None])
            everywhere = np.broadcast_to(prior_draws, (len(rows), *prior_draws.shape))
            points = np.concatenate([theta[rows, None], draws, everywhere], axis=1)
            log_q.append(np.asarray(posterior.log_prob(points, xs), np.float64))
            flat = points.reshape(-1, theta.shape[1])
            log_p.append(reference.log_prob(flat).reshape(points.shape[:2]))
            bar.advance(len(rows))
    return _Pools(*map(np.concatenate, (log_q, log_p, below)))


def _best(pools: _Pools) -> tuple[float, float]:
    """Choose power and share: the best log-density of those that cover."""
    num = len(pools.log_q)
    margin = np.sqrt(FIT_LEVELS * (1 - FIT_LEVELS) / num)
    found = []
    for power in POWERS:
        for share in SHARES:
            levels, score = _evaluate(pools, power, share)
            slack = float(np.min(ecdf(levels, FIT_LEVELS) - FIT_LEVELS - margin))
            found.append((slack >= 0, score if slack >= 0 else slack, power, share))
    return max(found)[2:]


def _evaluate(
    pools: _Pools, power: float, share: float
) -> tuple[Float[np.ndarray, " n"], float]:
    """Return the level of the region that reaches each truth, and the log score."""
    own = np.s_[:, 1 : 1 + NUM_DRAWS]
    log_weight = log_weights(power, pools.log_q[own], pools.log_p[own])
    log_z = log_mean(log_weight)
    density = bridge_log_prob(power, share, pools.log_q, pools.log_p, log_z)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight = (1 - share) * weight / weight.sum(axis=1, keepdims=True)
    above = density[:, 1:] > density[:, :1]
    levels = np.sum(weight * above[:, :NUM_DRAWS], axis=1)
    levels += share * above[:, NUM_DRAWS:].mean(axis=1)
    return np.clip(levels, 0.0, 1.0), float(np.mean(density[:, 0]))


def _sorted_pit(
    pools: _Pools, prior_pit: Float[np.ndarray, "n theta_dim"], bridge: Bridge
) -> Float[np.ndarray, "n theta_dim"]:
    """Return the truth's place in each marginal of the bridge, from weighted draws."""
    own = np.s_[:, 1 : 1 + NUM_DRAWS]
    log_weight = log_weights(bridge.power, pools.log_q[own], pools.log_p[own])
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    pit = np.einsum("nm,nmd->nd", weight, pools.below)
    return np.sort((1 - bridge.share) * pit + bridge.share * prior_pit, axis=0)
