r"""Importance correction: a posterior reweighted by a likelihood, and when it fails.

Where the likelihood is known, or was learned, draws of q are turned into draws of
:math:`p(\theta)\, \ell(x | \theta) / Z(x)` by the weights

.. math:: w_l = \frac{p(\theta_l)\, \ell(x | \theta_l)}{q(\theta_l | x)}, \qquad
    Z(x) \approx \frac1n \sum_l w_l .

The largest weights are replaced by the order statistics of a generalized Pareto
distribution fitted to them (PSIS). Its shape :math:`\hat k` says whether n draws were
enough: above :math:`\min(1 - 1/\log_{10} n,\ 0.7)` they were not, and would not be,
since q misses a part of what it should propose. The correction is then no correction.

Source: Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance
sampling, JMLR 25, arXiv:1507.02646 (the threshold: section 3.2.4); Dax et al. (2023),
arXiv:2210.05686 (an amortized posterior as proposal).
Deviations from the source: none; the smoothing is that of arviz-stats.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.special import logsumexp

from .._core.errors import ModelError
from .._core.resampling import efficiency, resample
from .._core.seeds import numpy_generator, stream_key
from ..model import Model
from ..posterior import Refined
from ..simulations import as_series
from .validate import Posterior


NUM_PROPOSALS = 4000
EQUAL = 1e-4  # nats, above the rounding of single precision
LogJoint = Callable[[np.ndarray, Any], np.ndarray]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Whether importance weights can be relied on, one number per observation.

    Attributes:
        k_hat: Shape of the generalized Pareto distribution of the largest weights.
        threshold: Above this the correction fails.
        ess: Effective number of draws, as a share of all.
    """

    k_hat: Float[np.ndarray, " num_observations"]
    threshold: float
    ess: Float[np.ndarray, " num_observations"]

    @property
    def sentence(self) -> str:
        """Say in plain words how far the correction can be relied on."""
        bad = int(np.sum(self.k_hat > self.threshold))
        size = (
            f"Pareto k̂ {np.median(self.k_hat):.2f} in the median, at most "
            f"{self.k_hat.max():.2f}; effective draws {np.median(self.ess):.1%}"
        )
        if not bad:
            return f"The importance correction is reliable ({size})."
        return (
            f"The importance correction fails at {bad} of {len(self.k_hat)} "
            f"observations, where k̂ exceeds {self.threshold:.2f} ({size}): the "
            "posterior misses a part of what the likelihood allows. Widen it first "
            "(recalibrate), or train on more simulations."
        )


@dataclass(frozen=True, eq=False)
class Reweighted:
    """A posterior corrected by a likelihood; itself a posterior.

    Attributes:
        posterior: The proposal.
        log_joint: ``(theta, xs) -> log p(theta) + log l(x|theta)``, up to a constant
            per x, for theta ``(num_observations, num_samples, theta_dim)``.
        num_proposals: Draws of the proposal for each x.
        seed: Of the draws behind Z, so that the density is the same whenever asked.
    """

    posterior: Posterior
    log_joint: LogJoint
    num_proposals: int = NUM_PROPOSALS
    seed: int = 0

    def sample(
        self, key: PRNGKeyArray, xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw from the corrected posterior of many observations at once.

        Args:
            key: PRNG key.
            xs: Observations, as the proposal takes them.
            num_samples: Draws for each.
        """
        key_pool, key_pick = jr.split(key)
        pool, log_weight, _ = self._weighted(key_pool, xs)
        rng = numpy_generator(key_pick)
        chosen = np.stack([resample(rng, row, num_samples) for row in log_weight])
        return np.take_along_axis(pool, chosen[..., None], axis=1)

    def log_prob(
        self,
        theta: Float[np.ndarray, "num_observations num_samples theta_dim"],
        xs: Any,
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return the log-density in nats, normalized by the estimate of Z.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Observations, as the proposal takes them.
        """
        pool, log_raw = self._raw(stream_key(self.seed, "reweighted"), xs)
        log_z = logsumexp(log_raw, axis=1) - np.log(pool.shape[1])
        return self.log_joint(np.asarray(theta, np.float64), xs) - log_z[:, None]

    def reliability(self, xs: Any, *, seed: int = 0) -> Reliability:
        """Report Pareto k̂ and the effective number of draws at each observation.

        Args:
            xs: Observations, as the proposal takes them.
            seed: Seed of the draws.
        """
        pool, log_weight, k_hat = self._weighted(stream_key(seed, "reliability"), xs)
        num = pool.shape[1]
        return Reliability(
            k_hat=k_hat,
            threshold=float(min(1 - 1 / np.log10(num), 0.7)),
            ess=efficiency(log_weight),
        )

    def _raw(self, key: PRNGKeyArray, xs: Any) -> tuple[np.ndarray, np.ndarray]:
        pool = np.asarray(
            self.posterior.sample(key, xs, self.num_proposals), np.float64
        )
        log_q = np.asarray(self.posterior.log_prob(pool, xs), np.float64)
        return pool, self.log_joint(pool, xs) - log_q

    def _weighted(
        self, key: PRNGKeyArray, xs: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return draws, smoothed log-weights and k̂."""
        pool, raw = self._raw(key, xs)
        found = [_smooth(row) for row in raw]
        return (
            pool,
            np.stack([row for row, _ in found]),
            np.array([k for _, k in found]),
        )


def _smooth(log_weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Return Pareto-smoothed log-weights of one observation and their k̂."""
    # Deferred: arviz-stats takes a second to import.
    from arviz_stats.base.array import array_stats

    num = len(log_weight)
    tail = np.sort(log_weight)[-int(min(0.2 * num, 3 * np.sqrt(num))) :]
    # Equal weights have no tail to fit; nothing is more reliable.
    if np.ptp(tail) < EQUAL:
        return log_weight, 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        smoothed, k_hat = array_stats.psislw(-log_weight)  # minus: see its source
    return np.asarray(smoothed), float(np.nan_to_num(k_hat, nan=np.inf))


def reweighted(
    posterior: Posterior,
    likelihood: Refined | Callable[[Mapping[str, Any], Any], Any],
    *,
    model: Model | None = None,
    num_proposals: int = NUM_PROPOSALS,
    seed: int = 0,
) -> Reweighted:
    """Correct a posterior by importance weights, with an exact or learned likelihood.

    Args:
        posterior: Any object with ``sample(key, xs, num_samples)`` and
            ``log_prob(theta, xs)``.
        likelihood: A JAX function ``(theta, x) -> log p(x|theta)`` of one simulation's
            named parameters and x; or what `retrodict.refine` learned.
        model: The model, for the prior; not needed for a learned likelihood.
        num_proposals: Draws of the posterior for each x.
        seed: Seed of the draws that normalize the density.

    Raises:
        ModelError: If the density of the prior of the targets is not known, or some
            parameter is no target, so that its likelihood is not known either.

    Example:
        >>> from retrodict.trust import reweighted
        >>> def likelihood(theta, x):
        ...     return -0.5 * (((x - theta["mu"]) / 0.5) ** 2).sum()
        >>> corrected = reweighted(posterior, likelihood, model=model)
        >>> bool(corrected.reliability(x[:5]).k_hat.max() < 0.7)
        True
    """
    if isinstance(likelihood, Refined):
        return Reweighted(posterior, likelihood.log_joint, num_proposals, seed)
    return Reweighted(posterior, _exact(model, likelihood), num_proposals, seed)


def _exact(model: Model | None, likelihood: Callable[..., Any]) -> LogJoint:
    prior = None if model is None else model.target_prior()
    if model is None or prior is None or prior.names != model.prior.names:
        raise ModelError(
            "model: Expected one whose sampled parameters are all targets, and nothing "
            "else, so that prior and likelihood are known; got "
            f"{None if model is None else list(model.target_names)}. With nuisances, "
            "name all parameters in `infer`."
        )
    each = jax.vmap(jax.vmap(likelihood, (0, None)), (0, 0))

    def log_joint(theta: np.ndarray, xs: Any) -> np.ndarray:
        flat = theta.reshape(-1, theta.shape[-1])
        named = {
            name: value.reshape(*theta.shape[:2], *value.shape[1:])
            for name, value in model.unflatten(flat).items()
        }
        series = as_series(xs)
        x = series["x"] if set(series) == {"x"} else series
        with jax.enable_x64(True):
            found = np.asarray(each(named, x), np.float64)
        return found + prior.log_prob(model.unflatten(flat)).reshape(theta.shape[:2])

    return log_joint
