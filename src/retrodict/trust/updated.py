r"""Calibration for data like one observation, of a posterior that holds only there.

A posterior made in rounds knows simulations near its observation x_o alone; how it does
on average over the prior says nothing. So the posterior at x_o takes the place of the
prior: draw :math:`\theta \sim q(\cdot | x_o)`, simulate :math:`y \sim p(y | \theta)`,
and judge what the network makes of both,

.. math:: q(\theta | x_o, y) \propto q(\theta | x_o)\, q(\theta | y) / p(\theta).

If :math:`q(\cdot | y)` is right, this is the posterior of a model whose prior is
:math:`q(\cdot | x_o)`, and every check of calibration applies. Draws and truths come
from one pool of draws at x_o: given y and the pool, each is the truth with probability
equal to its weight, so that ranks are exactly uniform for a pool of any size.

Where :math:`p(\theta)` is not known, because a target is derived or a part of a prior
function, the prior cut to where nearly all draws at x_o lie takes its place: truths are
draws of that, and the posterior is cut off outside and normalized. Data that leave
nearly none of it inside are left out, which they say themselves: among the others it is
as right as among all. An exact posterior leaves few out, so that many are a warning.

Source: Säilynoja, Schmitt, Bürkner, Vehtari (2025), Posterior SBC, arXiv:2502.03279.
Deviations from the source: weights update the posterior at x_o; a network is not asked
about both observations at once; the cut prior.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.special import logsumexp

from .._core.errors import DataError, ModelError
from .._core.seeds import numpy_generator, stream_key
from ..model import Model, Prior, Region
from ..posterior import Refined, Restricted, check_fits, ellipsoids, one_row
from ..simulations import Simulations, as_series, simulate, simulations_at
from . import soundness
from .validate import Posterior, validate
from .verdict import Verdict, word_for


NUM_POOL = 1024
LEVEL = 0.99  # of the draws at x_obs, that the cut prior holds: no margin around them
LEAST_MASS = 1e-4  # of a region that only rejection draws from
LEAST_ASKED = 20
LEAST_INSIDE = 0.02  # of a posterior, for its data to be asked about


@dataclass(frozen=True, eq=False)
class Updated:
    """A posterior at one observation, updated by another; itself a posterior.

    Attributes:
        posterior: What is judged.
        prior: Prior of the targets.
        x_obs: The first observation.
        pool: ``(n, theta_dim)`` draws at it.
    """

    posterior: Posterior
    prior: Prior
    x_obs: Any
    pool: Float[np.ndarray, "n theta_dim"]
    _last: dict[str, Any] = field(default_factory=dict, repr=False)

    def sample(
        self, key: PRNGKeyArray, xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw from the pool by weight, for every further observation.

        Args:
            key: PRNG key.
            xs: Further observations, as the posterior takes them.
            num_samples: Draws for each.
        """
        rng = numpy_generator(key)
        log_weight = self._log_weight(xs)
        weight = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
        count = len(self.pool)
        rows = [rng.choice(count, num_samples, p=row / row.sum()) for row in weight]
        return self.pool[np.stack(rows)]

    def log_prob(
        self, theta: Float[np.ndarray, "num_observations num_samples theta_dim"], xs
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return the log-density in nats, normalized by the mean weight of the pool.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Further observations, as the posterior takes them.
        """
        log_z = logsumexp(self._log_weight(xs), axis=1) - np.log(len(self.pool))
        flat = np.asarray(theta, np.float64).reshape(-1, theta.shape[-1])
        once, where = np.unique(flat, axis=0, return_inverse=True)  # all of the pool
        here = self.posterior.log_prob(once[None], one_row(self.x_obs))[0]
        density = np.asarray(here, np.float64)[where.ravel()].reshape(theta.shape[:2])
        return density + self._log_ratio(theta, xs) - log_z[:, None]

    def _log_weight(self, xs: Any) -> Float[np.ndarray, "num_observations n"]:
        """Return the weights of the pool; those of the last question are kept."""
        if self._last.get("xs") is not xs:
            count = len(next(iter(as_series(xs).values())))
            pool = np.tile(self.pool, (count, 1, 1))
            self._last.update(xs=xs, weight=self._log_ratio(pool, xs))
        return self._last["weight"]

    def _log_ratio(
        self, theta: Float[np.ndarray, "num_observations n theta_dim"], xs: Any
    ) -> Float[np.ndarray, "num_observations n"]:
        """Return log q(theta | y) - log p(theta), up to a constant for each y."""
        flat = np.asarray(theta, np.float64).reshape(-1, theta.shape[-1])
        log_prior = self.prior.log_prob(self.prior.space.unflatten(flat))
        asked = self.posterior
        if isinstance(asked, Refined) and asked.weight == 1:
            log_q = asked.log_joint(theta, xs)  # without its constant, at less cost
        else:
            log_q = asked.log_prob(theta, xs)
        return np.asarray(log_q, np.float64) - log_prior.reshape(theta.shape[:2])


def replicates(
    posterior: Posterior, model: Model, x_obs: Any, num: int, *, seed: int = 0
) -> tuple[Updated | Restricted, Simulations]:
    """Simulate data like an observation, at draws of the posterior there.

    Args:
        posterior: Any object with ``sample(key, xs, num_samples)`` and
            ``log_prob(theta, xs)``.
        model: The model.
        x_obs: The observation.
        num: Number of simulations.
        seed: Seed of draws and simulations.

    Returns:
        The posterior of each given x_obs too, and the simulations. Where the density of
        the prior of the targets is not known, that of each in the cut prior, and those
        whose posterior reaches into it: fewer than ``num``.

    Raises:
        ModelError: If the posterior is of other targets; or if that density is not
            known and the prior is cut already, Python computes a target, or draws at
            x_obs fill less than a ten-thousandth of the prior.
        DataError: If too many simulations fail, or the posterior lies elsewhere for
            nearly all of them.
    """
    check_fits(posterior, model)
    key_pool, key_rest, key_x = jr.split(stream_key(seed, "replicates"), 3)
    draws = posterior.sample(key_pool, one_row(x_obs), max(NUM_POOL, num))[0]
    pool = np.asarray(draws, np.float64)
    prior = model.target_prior()
    if prior is None:
        region = _region(key_rest, pool, model)
        cut = Restricted(posterior, region)
        found = simulate(model.restricted(region), num, seed=seed, stream="cut prior")
        return cut, _asked(cut, found)
    theta = model.prior.sample(key_rest, num) | model.unflatten(pool[:num])
    found = simulations_at(key_x, model, theta, seed=seed)
    return Updated(posterior, prior, x_obs, pool), found


def _region(key: PRNGKeyArray, pool: np.ndarray, model: Model) -> Region:
    """Return the part of the prior that the cut prior keeps."""
    model.check_restricted(model.targets)
    region = ellipsoids(key, pool, model, level=LEVEL, margin=1.0)
    if region.mass < LEAST_MASS:
        raise ModelError(
            "x_obs: Expected a posterior whose draws there fill at least "
            f"{LEAST_MASS:g} of the prior, because the density of the prior of the "
            f"targets is not known; they fill {region.mass:.1g}. Infer sampled "
            "parameters, or narrow the prior."
        )
    return region


def _asked(cut: Restricted, found: Simulations) -> Simulations:
    """Leave out simulations whose posterior lies outside; those that failed stay."""
    kept = found.status != 0
    good = found.ok()
    kept[~kept] = cut.acceptance(good.x) >= LEAST_INSIDE
    asked = found[np.flatnonzero(kept)]
    if asked.num_ok < LEAST_ASKED <= len(good):
        raise DataError(
            f"posterior: Expected one that reaches the truth of at least {LEAST_ASKED} "
            f"of {len(good)} simulations like x_obs; for all but {asked.num_ok} nearly "
            "all of it lies where no truth does. It is wrong there, or has too many "
            "targets to judge it so: train it on more simulations, or infer fewer."
        )
    return asked


def validate_at(
    posterior: Posterior,
    model: Model,
    x_obs: Any,
    *,
    num_simulations: int = 1000,
    num_samples: int = 256,
    seed: int = 0,
) -> Verdict:
    """Judge whether a posterior can be trusted for data like one observation.

    As :func:`validate`, with the posterior at the observation in place of the prior.

    Args:
        posterior: Any object with ``sample(key, xs, num_samples)`` and
            ``log_prob(theta, xs)``.
        model: The model whose posterior it claims to be.
        x_obs: The observation.
        num_simulations: Test simulations.
        num_samples: Posterior draws per test simulation.
        seed: Seed of the test simulations.

    Raises:
        DataError: If fewer than 20 test simulations succeed, or as :func:`replicates`.
        ModelError: As :func:`replicates`.
    """
    updated, found = replicates(posterior, model, x_obs, num_simulations, seed=seed)
    verdict = validate(
        updated, model, num_samples=num_samples, seed=seed, simulations=found
    )
    if not isinstance(updated, Restricted):
        return verdict
    left_out = num_simulations - len(found)
    checks = (*verdict.checks, soundness.reach_check(left_out, num_simulations))
    return replace(verdict, checks=checks, verdict=word_for(checks))
