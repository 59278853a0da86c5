r"""A posterior widened toward the prior along a bridge, with an exact density.

.. math::
    q_{\beta,\varepsilon}(\theta|x) = (1-\varepsilon)\,
    \frac{q(\theta|x)^{\beta}\, p(\theta)^{1-\beta}}{Z_\beta(x)}
    + \varepsilon\, p(\theta)

Power :math:`\beta` = 1 and share :math:`\varepsilon` = 0 leave q as it is, power 0 is
the prior. On the way modes and curved ridges stay in their place and widen there,
bounds are kept, and units do not matter. The share of prior gives every parameter that
is possible a density that is not zero: protection against truths that q has excluded.

:math:`Z_\beta(x) = \mathbb E_q (p/q)^{1-\beta}` is a mean over draws of q, the same
for equal x and seed; draws of the bridge are
draws of q, resampled.

Source: Grünwald (2012), The safe Bayesian, Algorithmic Learning Theory (tempering to
mend over-confidence); Owen, Zhou (2000), Safe and effective importance sampling, JASA
95 (the share of prior).
Deviations from the source: what is tempered is the amortized posterior relative to the
prior, not the likelihood.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.special import logsumexp

from .._core.resampling import resample
from .._core.seeds import numpy_generator, stream_key
from ..model import Model, Space


NUM_NORMALIZE = 128
OVERSAMPLE = 2
MAX_LOG = 700.0


@dataclass(frozen=True)
class Reference:
    """The distribution a posterior is widened toward: the prior of the targets.

    Attributes:
        log_prob: Normalized log-density of ``(n, theta_dim)``, nats.
        draw: ``(key, n) -> (n, theta_dim)``.
    """

    log_prob: Callable[[np.ndarray], np.ndarray]
    draw: Callable[[PRNGKeyArray, int], np.ndarray]


def reference_of(model: Model, theta: Float[np.ndarray, "n theta_dim"]) -> Reference:
    """Return the prior of the targets, or a normal fit where it has no density.

    The fit (for derived targets) is made in unconstrained coordinates to simulated
    targets, so that it keeps their support.
    """
    prior = model.target_prior()
    if prior is not None:
        return Reference(
            lambda theta: prior.log_prob(model.unflatten(theta)),
            lambda key, num: model.flatten(prior.sample(key, num)),
        )
    return _normal_reference(model.targets, theta)


def _normal_reference(space: Space, theta: np.ndarray) -> Reference:
    u = space.unconstrain(theta)
    # An outlier in u, from a target near its bound, must not set the width.
    low, center, high = np.quantile(u, [0.05, 0.5, 0.95], axis=0)
    sd = np.maximum((high - low) / 2.0, 1e-12)

    def log_prob(theta: np.ndarray) -> np.ndarray:
        inside = space.contains(theta)
        safe = np.where(inside[:, None], theta, space.constrain(center))
        at = space.unconstrain(safe)
        terms = -0.5 * ((at - center) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
        return np.where(inside, terms.sum(axis=1) - space.log_det(at), -np.inf)

    def draw(key: PRNGKeyArray, num: int) -> np.ndarray:
        noise = numpy_generator(key).standard_normal((num, len(center)))
        return space.constrain(center + sd * noise)

    return Reference(log_prob, draw)


def log_weights(
    power: float, log_q: Float[np.ndarray, "*n"], log_p: Float[np.ndarray, "*n"]
) -> Float[np.ndarray, "*n"]:
    """Return log (p/q)^(1 - power), bounded, for draws of q."""
    with np.errstate(invalid="ignore"):
        ratio = np.nan_to_num(log_p - log_q, nan=-MAX_LOG)
    return (1 - power) * np.clip(ratio, -MAX_LOG, MAX_LOG)


def log_mean(values: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """Return the log of the mean of exponentials over the last axis."""
    return logsumexp(values, axis=-1) - np.log(values.shape[-1])


def bridge_log_prob(
    power: float,
    share: float,
    log_q: Float[np.ndarray, "n m"],
    log_p: Float[np.ndarray, "n m"],
    log_z: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n m"]:
    """Return the density of the bridge from those of its ends, nats."""
    with np.errstate(invalid="ignore"):
        tempered = power * log_q + (1 - power) * log_p - log_z[:, None]
    tempered = np.where(np.isneginf(log_q) & (power > 0), -np.inf, tempered)
    tempered = np.where(np.isneginf(log_p), -np.inf, tempered)
    if share == 0:
        return tempered
    return np.logaddexp(np.log1p(-share) + tempered, np.log(share) + log_p)


@dataclass(frozen=True, eq=False)
class Bridge:
    """A posterior widened toward a reference; itself a posterior.

    Attributes:
        posterior: What is widened.
        reference: Toward what.
        power: Power of the posterior, in [0, 1]; 1 leaves it as it is.
        share: Share of the reference mixed in, in [0, 1).
        seed: Of the draws that normalize the density.
    """

    posterior: Any
    reference: Reference
    power: float = 1.0
    share: float = 0.0
    seed: int = 0

    def sample(
        self, key: PRNGKeyArray, xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw from the corrected posterior of many observations at once.

        Args:
            key: PRNG key.
            xs: Observations, as the first posterior takes them.
            num_samples: Draws for each.
        """
        key_pool, key_pick, key_prior = jr.split(key, 3)
        if self.power == 1:
            drawn = np.asarray(self.posterior.sample(key_pool, xs, num_samples))
        else:
            pool = self.posterior.sample(key_pool, xs, OVERSAMPLE * num_samples)
            drawn = self._resample(key_pick, np.asarray(pool), xs, num_samples)
        if self.share == 0:
            return drawn
        rng = numpy_generator(key_prior)
        replaced = rng.random(drawn.shape[:2]) < self.share
        fresh = self.reference.draw(key_prior, max(int(replaced.sum()), 1))
        out = np.array(drawn, np.float64)
        out[replaced] = fresh[: int(replaced.sum())]
        return out

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
        theta = np.asarray(theta, np.float64)
        log_q = np.asarray(self.posterior.log_prob(theta, xs), np.float64)
        if self.power == 1 and self.share == 0:
            return log_q
        log_p = self._log_reference(theta)
        log_z = self.log_normalizer(xs, len(theta))
        return bridge_log_prob(self.power, self.share, log_q, log_p, log_z)

    def log_normalizer(
        self, xs: Any, num_observations: int
    ) -> Float[np.ndarray, " num_observations"]:
        """Return log Z of each x, from the same draws whenever it is asked."""
        if self.power == 1:
            return np.zeros(num_observations)
        key = stream_key(self.seed, "bridge")
        pool = np.asarray(self.posterior.sample(key, xs, NUM_NORMALIZE), np.float64)
        return log_mean(self._log_weights(pool, xs))

    def _resample(
        self, key: PRNGKeyArray, pool: np.ndarray, xs: Any, num_samples: int
    ) -> np.ndarray:
        rng = numpy_generator(key)
        log_weight = self._log_weights(pool, xs)
        chosen = np.stack([resample(rng, row, num_samples) for row in log_weight])
        return np.take_along_axis(pool, chosen[..., None], axis=1)

    def _log_weights(self, pool: np.ndarray, xs: Any) -> np.ndarray:
        log_q = np.asarray(self.posterior.log_prob(pool, xs), np.float64)
        return log_weights(self.power, log_q, self._log_reference(pool))

    def _log_reference(self, theta: np.ndarray) -> np.ndarray:
        flat = theta.reshape(-1, theta.shape[-1])
        return self.reference.log_prob(flat).reshape(theta.shape[:2])
