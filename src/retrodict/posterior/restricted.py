r"""Leave a region where simulations fail out of the prior, knowingly.

Failed simulations are dropped from training. Where failure depends on theta, a network
then learns the posterior of the prior *given success*,
:math:`p(\theta)\,P(\text{success}|\theta)`, which nobody wrote down. Here the region is
written down: a quadratic score of theta that most of what succeeds exceeds. The
restricted prior :math:`p(\theta)\,1_R(\theta) / P(R)` is sampled and has a density; of
a posterior trained on it the part outside R is cut off and the rest normalized,

.. math:: q_R(\theta|x) = q(\theta|x)\,1_R(\theta) / \int_R q(\theta'|x)\,d\theta'.

Source: Deistler, Goncalves, Macke (2022), Truncated proposals, arXiv:2210.04815, sec. 3
(truncation and rejection); the restriction to valid simulations is that of Lueckmann et
al. (2017), arXiv:1711.01861, sec. 2.3.
Deviations from the source: a logistic regression on quadratic features instead of a
network; the region is a part of the prior, not a proposal.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.errors import DataError, ModelError
from .._core.quadratic import quadratic_features
from .._core.seeds import stream_key
from ..diagnostics import logistic_regression
from ..model import Model, Region
from ..simulations import Simulations, as_series, take_rows
from .posterior import check_count
from .provenance import DEPENDS_LEVEL, failure_facts


NUM_MASS = 200_000  # prior draws behind the mass of the region
NUM_ACCEPTED = 10_000  # draws behind the normalization at one x
LEAST_MASS = 0.01
MAX_ROUNDS = 1000


def restrict(simulations: Simulations, *, kept: float = 0.99) -> Model:
    """Return the model with its prior restricted to where simulations succeed.

    Args:
        simulations: Simulations of which some failed.
        kept: Fraction of what succeeds that the region must hold, judged on
            simulations that the region was not fitted to.

    Returns:
        The same model with another prior, whose ``region`` says what it is and how much
        of the prior it holds. Simulate it anew.

    Raises:
        DataError: If failure does not depend on theta, so that there is no region to
            leave out, or too few failed; or if less than 1 % of the prior is left.
        ValueError: If ``kept`` is not in (0, 1).
    """
    if not 0 < kept < 1:
        raise ValueError(f"kept: Expected a fraction in (0, 1); got {kept}.")
    facts = failure_facts(simulations)
    if facts.get("p_value", 1.0) >= DEPENDS_LEVEL:
        raise DataError(
            "simulations: Expected failures that depend on theta; got "
            f"{facts}. There is no region to leave out: mend the simulator."
        )
    model = simulations.model
    space = model.prior.space
    theta = space.flatten(simulations.theta)
    u, success = space.unconstrain(theta), simulations.status == 0
    fitted = np.arange(len(u)) % 2 == 0
    mean, scale = u.mean(0), np.where(u.std(0) > 0, u.std(0), 1.0)
    features = quadratic_features((u - mean) / scale)
    weights = logistic_regression(features[fitted], success[fitted])
    scores = features[~fitted & success] @ weights
    weights[0] -= np.quantile(scores, 1 - kept)  # the feature that is constant
    region = Region(space, mean, scale, weights[:, None])
    draws = model.prior.sample(stream_key(simulations.seed, "region"), NUM_MASS)
    mass = float(region.contains(space.flatten(draws)).mean())
    if mass < LEAST_MASS:
        raise DataError(
            f"simulations: Expected a region that holds at least {LEAST_MASS:.0%} of "
            f"the prior; got {mass:.2%}. Narrow the prior by hand."
        )
    return model.restricted(replace(region, mass=mass))


@dataclass(frozen=True)
class Restricted:
    """A posterior of which what lies outside the region of its prior is cut off.

    Attributes:
        posterior: A posterior trained on simulations of the restricted prior, or of one
            that it is a part of.
        region: The region, ``model.prior.region``.

    Raises:
        ModelError: If the region is not one of the targets, so that a point of the
            posterior does not tell whether it is inside.
    """

    posterior: Any
    region: Region

    def __post_init__(self) -> None:
        names = getattr(self.posterior, "names", self.region.space.names)
        if names != self.region.space.names:
            raise ModelError(
                f"region: Expected one of the posterior's targets {list(names)}; got "
                f"one of {list(self.region.space.names)}. Infer all of these."
            )

    def sample(
        self, key: Key[Array, ""], xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw theta for every observation, inside the region.

        Args:
            key: PRNG key.
            xs: Observations, as for :meth:`Posterior.sample`.
            num_samples: Draws per observation.

        Raises:
            DataError: If almost no draw at some observation lies inside.
            ValueError: If ``num_samples`` is less than 1.
        """
        check_count(num_samples)
        count = len(next(iter(as_series(xs).values())))
        kept = [[np.empty((0, self.region.space.dim))] for _ in range(count)]
        lacking = np.arange(count)
        for number in range(MAX_ROUNDS):
            some = xs if len(lacking) == count else take_rows(xs, lacking)
            draws = self.posterior.sample(jr.fold_in(key, number), some, num_samples)
            inside = self.region.contains(draws)
            for row, theta, chosen in zip(lacking, draws, inside, strict=True):
                kept[row].append(theta[chosen])
            enough = [sum(map(len, kept[row])) >= num_samples for row in lacking]
            lacking = lacking[~np.array(enough)]
            if not len(lacking):
                return np.stack([np.concatenate(k)[:num_samples] for k in kept])
        found = min(sum(map(len, kept[row])) for row in lacking)
        raise self._too_few(MAX_ROUNDS * num_samples - found, MAX_ROUNDS * num_samples)

    def log_prob(
        self, theta: Any, xs: Any
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return the normalized log-density, in nats; minus infinity outside.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Observations, as in :meth:`sample`.

        Raises:
            DataError: If no draw of the uncut posterior at some observation is inside.
        """
        log_q = self.posterior.log_prob(theta, xs)
        inside = self.region.contains(np.asarray(theta, np.float64))
        accepted = self.acceptance(xs)
        if not accepted.all():
            raise self._too_few(NUM_ACCEPTED, NUM_ACCEPTED)
        return np.where(inside, log_q - np.log(accepted)[:, None], -np.inf)

    def acceptance(self, xs: Any) -> Float[np.ndarray, " num_observations"]:
        """Return the part of the uncut posterior inside, estimated with a fixed seed.

        Args:
            xs: Observations, as in :meth:`sample`.
        """
        draws = self.posterior.sample(stream_key(0, "acceptance"), xs, NUM_ACCEPTED)
        return self.region.contains(draws).mean(1)

    def _too_few(self, outside: int, count: int) -> DataError:
        return DataError(
            "xs: Expected observations whose posterior lies in the "
            f"{self.region.describe()}; got one with {outside} of {count} draws "
            "outside."
        )
