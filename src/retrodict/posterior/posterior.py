"""The amortized posterior: one trained network for every observation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Key

from .._core.compilation import use_compilation_cache
from ..model import refuse_nan
from .artifact import Parts, write_artifact
from .conditioned import ConditionedPosterior
from .network import Network
from .record import Record
from .typical import Typical


class Posterior:
    """q(theta | x) for any x of the model it was trained on.

    The density is exact and normalized; a sample cannot leave the prior's support.
    Theta is one flat array here: targets in declared order, components in C order, as
    in :attr:`names`. For one observation with named parameters use :meth:`at`.

    Attributes:
        network: The trained ensemble.
        reference: What simulated x look like, to notice an observation that differs.
        record: How it was made.
        preview: A few simulations, series and theta, that a saved posterior is tested
            on when it is loaded.
    """

    def __init__(
        self,
        network: Network,
        reference: Typical,
        record: Record,
        preview: tuple[Mapping[str, np.ndarray], np.ndarray],
    ):
        self.network = network
        self.reference = reference
        self.record = record
        self.preview = preview

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components of theta, in flat order."""
        return self.network.space.names

    @property
    def units(self) -> dict[str, str]:
        """Unit of every target."""
        return {f.name: f.unit for f in self.network.space.fields}

    @property
    def labels(self) -> dict[str, str]:
        """Figure label of every target."""
        return {f.name: f.label for f in self.network.space.fields}

    def at(self, x_obs: Any) -> ConditionedPosterior:
        """Condition on one observation.

        Args:
            x_obs: An array, or a dictionary of series, shaped like one simulation.

        Returns:
            The posterior at ``x_obs``, with warnings where it is unlike the
            simulations.

        Raises:
            DataError: If it has another shape or holds values that are not finite.
        """
        use_compilation_cache()
        series = self.network.x_spec.one(x_obs)
        return ConditionedPosterior(self.network, self.reference, self.record, series)

    def sample(
        self, key: Key[Array, ""], xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw from the posterior of many observations at once.

        Args:
            key: PRNG key.
            xs: Observations: an array ``(num_observations, *x_shape)``, or a dictionary
                of such.
            num_samples: Draws for each.

        Returns:
            Float64 draws, in the units of the prior.

        Raises:
            DataError: If ``xs`` has another shape or holds values that are not finite.
            ValueError: If ``num_samples`` is less than 1.
        """
        check_count(num_samples)
        use_compilation_cache()
        context = self.network.embed(self.network.x_spec.rows(xs))
        return self.network.sample(key, context, num_samples)

    def log_prob(
        self, theta: Any, xs: Any
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return the normalized log-density q(theta | x), in nats.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Observations, as in :meth:`sample`.

        Returns:
            Float64; minus infinity outside the prior's support.

        Raises:
            DataError: If ``xs`` has another shape or holds values that are not finite.
            ValueError: If ``theta`` has another shape or holds NaN.
        """
        use_compilation_cache()
        series = self.network.x_spec.rows(xs)
        count = len(next(iter(series.values())))
        theta = np.asarray(theta, np.float64)
        wanted = (count, theta.shape[1] if theta.ndim == 3 else "n", len(self.names))
        if theta.ndim != 3 or theta.shape != wanted:
            raise ValueError(f"theta: Expected shape {wanted}; got {theta.shape}.")
        return self.network.log_prob(refuse_nan(theta), self.network.embed(series))

    def save(self, path: str | Path) -> None:
        """Write the posterior to one file, which holds no code.

        Args:
            path: Where; an existing file is replaced only when the new one is complete.

        Raises:
            StorageError: If the file cannot be written.
        """
        parts = Parts(self.network, self.reference, self.record, self.preview)
        write_artifact(Path(path), parts)


def check_count(num_samples: int) -> None:
    """Refuse a number of draws below 1."""
    if num_samples < 1:
        raise ValueError(f"num_samples: Expected at least 1; got {num_samples}.")
