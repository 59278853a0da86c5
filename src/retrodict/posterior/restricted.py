r"""A posterior of a restricted prior: what lies outside is cut off.

A network trained on a prior cut to a region R leaks a part of its posterior out of it.
That part is cut off, and the rest normalized,

.. math:: q_R(\theta|x) = q(\theta|x)\,1_R(\theta) / \int_R q(\theta'|x)\,d\theta'.

Source: Deistler, Goncalves, Macke (2022), Truncated proposals, arXiv:2210.04815, sec. 3
(truncation and rejection).
"""

from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.errors import DataError, ModelError
from .._core.seeds import stream_key
from ..model import Region
from ..simulations import as_series, take_rows
from .posterior import check_count


NUM_ACCEPTED = 10_000  # draws behind the normalization at one x
ROWS = 64  # of x in one block of them
MAX_ROUNDS = 1000


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
        count = len(next(iter(as_series(xs).values())))
        key, parts = stream_key(0, "acceptance"), []
        for start in range(0, count, ROWS):
            rows = np.arange(start, min(start + ROWS, count))
            draws = self.posterior.sample(
                jr.fold_in(key, start), take_rows(xs, rows), NUM_ACCEPTED
            )
            parts.append(self.region.contains(draws).mean(1))
        return np.concatenate(parts)

    def _too_few(self, outside: int, count: int) -> DataError:
        return DataError(
            "xs: Expected observations whose posterior lies in the "
            f"{self.region.describe()}; got one with {outside} of {count} draws "
            "outside."
        )
