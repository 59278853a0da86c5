"""The posterior at one observation, with named parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from .._core.seeds import stream_key
from ..estimators import apply_scalers
from ..model import refuse_nan
from .network import Network
from .record import Record
from .typical import Typical
from .warnings import PosteriorWarning, observation_warnings


NUM_CLIMBS = 8
SUMMARY_DRAWS = 20_000
QUANTILES = {"q05": 0.05, "q16": 0.16, "median": 0.5, "q84": 0.84, "q95": 0.95}


@dataclass(frozen=True)
class ConditionedPosterior:
    """q(theta | x_obs); made by :meth:`Posterior.at`.

    Attributes:
        network: The trained ensemble.
        reference: What simulated x look like.
        record: How it was made.
        series: The observation, as series ``(1, *shape)``.
    """

    network: Network
    reference: Typical
    record: Record
    series: Mapping[str, np.ndarray]

    @cached_property
    def _context(self) -> np.ndarray:
        return self.network.embed(self.series)

    @cached_property
    def warnings(self) -> tuple[PosteriorWarning, ...]:
        """What is wrong with this observation, each with a code and a remedy."""
        oddity = self.reference.check(self.network, self.series)
        z = apply_scalers(self.network.scalers, self.series)
        return observation_warnings(oddity, z, self.network.x_spec, self.record)

    def sample(self, key: Key[Array, ""], num_samples: int) -> dict[str, np.ndarray]:
        """Draw named parameters.

        Args:
            key: PRNG key.
            num_samples: Number of draws.

        Returns:
            One float64 array ``(num_samples, *shape)`` per target.

        Raises:
            ValueError: If ``num_samples`` is less than 1.
        """
        return self.network.space.unflatten(self.sample_flat(key, num_samples))

    def sample_flat(
        self, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples theta_dim"]:
        """Draw parameters as one array, components in flat order.

        Args:
            key: PRNG key.
            num_samples: Number of draws.

        Raises:
            ValueError: If ``num_samples`` is less than 1.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples: Expected at least 1; got {num_samples}.")
        return self.network.sample(key, self._context, num_samples)[0]

    def log_prob(self, theta: Any) -> Float[np.ndarray, " num_samples"]:
        """Return the normalized log-density of parameters, in nats.

        Args:
            theta: A dictionary of arrays ``(num_samples, *shape)``, or one array
                ``(num_samples, theta_dim)``.

        Returns:
            ``(num_samples,)``; minus infinity outside the prior's support.

        Raises:
            ValueError: If a target is missing, shapes do not fit or a value is NaN.
        """
        space = self.network.space
        named = isinstance(theta, Mapping)
        flat = space.flatten(theta) if named else np.asarray(theta, np.float64)
        if flat.ndim != 2 or flat.shape[1] != space.dim:
            raise ValueError(
                f"theta: Expected shape (num_samples, {space.dim}); got {flat.shape}."
            )
        return self.network.log_prob(refuse_nan(flat)[None], self._context)[0]

    def map(self) -> dict[str, np.ndarray]:
        """Return the most probable parameters: the mode of q(theta | x_obs).

        The best of a thousand draws are improved by gradient ascent on the log-density
        with respect to theta.

        Returns:
            One array per target.
        """
        return self.network.space.unflatten(find_mode(self, self._context))

    def summary(self) -> dict[str, dict[str, Any]]:
        """Summarize every component of theta by 20 000 draws.

        Returns:
            Per component its mean, sd, the quantiles q05, q16, median, q84 and q95,
            and its unit.
        """
        draws = self.sample_flat(stream_key(self.record.seed, "summary"), SUMMARY_DRAWS)
        units = {
            name: field.unit
            for field in self.network.space.fields
            for name in field.components
        }
        return {
            name: summarize(draws[:, column], units[name])
            for column, name in enumerate(self.network.space.names)
        }

    def to_datatree(self, num_samples: int = 4000, *, seed: int = 0) -> Any:
        """Return draws and the observation as an ArviZ ``DataTree``.

        Args:
            num_samples: Number of draws, in one chain.
            seed: Seed of the draws.
        """
        import arviz_base

        draws = self.sample(stream_key(seed, "datatree"), num_samples)
        return arviz_base.from_dict(
            {
                "posterior": {k: v[None] for k, v in draws.items()},
                "observed_data": {k: v[0] for k, v in self.series.items()},
            },
            attrs={"posterior": {"inference_library": "retrodict"}},
        )


def summarize(draws: Float[np.ndarray, " num_samples"], unit: str) -> dict[str, Any]:
    """Return mean, sd and quantiles of draws of one component, with its unit."""
    numbers = {"mean": float(np.mean(draws)), "sd": float(np.std(draws))}
    levels = np.quantile(draws, list(QUANTILES.values()))
    return (
        numbers | dict(zip(QUANTILES, map(float, levels), strict=True)) | {"unit": unit}
    )


def find_mode(
    at: ConditionedPosterior, context: Float[np.ndarray, "m 1 c"]
) -> Float[np.ndarray, " theta_dim"]:
    """Maximize the mixture's density of theta, from the best of 1000 draws.

    A density made of splines has kinks, and small modes between them: the climb starts
    at several draws.
    """
    network = at.network
    draws = at.sample_flat(stream_key(at.record.seed, "map"), 1000)
    start = draws[np.argsort(-at.log_prob(draws))[:NUM_CLIMBS]]
    v = network.coordinates(start)
    scale, mean = (
        jnp.asarray(values, jnp.float32)
        for values in (network.scale.scale, network.scale.mean)
    )
    conditions = jnp.asarray(context[:, 0])

    def loss(v):
        terms = [
            member.density.log_prob(v, conditions[m])
            for m, member in enumerate(network.members)
        ]
        density = jax.nn.logsumexp(jnp.stack(terms))
        return network.space.log_det(v * scale + mean) - density

    climb = jax.jit(jax.vmap(jax.value_and_grad(loss)))
    best = _descend(climb, jnp.asarray(v))
    found = network.space.constrain(network.scale.undo(np.asarray(best)))
    candidates = np.concatenate([start, found])
    return candidates[np.argmax(at.log_prob(candidates))]


def _descend(value_and_grad: Any, v: Any, steps: int = 300) -> Array:
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, steps))
    state = optimizer.init(v)
    for _ in range(steps):
        _, gradient = value_and_grad(v)
        updates, state = optimizer.update(gradient, state)
        v = optax.apply_updates(v, updates)
    return v
