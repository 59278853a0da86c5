"""A learned likelihood: the density of x given theta, from the same simulations.

Where the simulator moves a simple shape, as noise around a mean does, the likelihood is
learned from far fewer simulations than the posterior; pairs drawn from the prior and
from it then teach the posterior what the simulations alone could not.

It is learned in two ways: as a density of any shape, and as entries that are normal and
independent given theta, which is how measurements often scatter about a curve. The
mixture of both counts under which held-out x are likeliest.

Source: Papamakarios, Sterratt, Murray (2019), Sequential neural likelihood,
arXiv:1805.07226, for the learned likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.special import logsumexp

from .._core.seconds import total_seconds
from .._core.seeds import numpy_generator
from .._core.stacking import best_weight
from ..estimators import Cells, Columns, Estimator
from .chunks import in_chunks
from .ensemble import Race, race
from .settings import (
    Settings,
    candidate_settings,
    default_settings,
    independent_settings,
)


CHUNK = 8192  # rows of one compiled call
NEGLIGIBLE = 0.05  # weight of a part that is not worth its evaluations


@dataclass(frozen=True)
class Part:
    """A density of x given theta.

    Attributes:
        members: Equal-weight mixture of densities of coordinates of x.
        columns: What makes the coordinates.
        weight: In the likelihood.
    """

    members: tuple[Estimator, ...]
    columns: Columns | Cells
    weight: float

    def sample(
        self, key: Key[Array, ""], value: Float[np.ndarray, "n dim"]
    ) -> Float[np.ndarray, "n columns"]:
        """Draw one x for every row of standardized, unconstrained theta."""
        parts = np.array_split(np.arange(len(value)), len(self.members))
        drawn = [
            in_chunks(
                CHUNK,
                _draw,
                member,
                jr.split(jr.fold_in(key, m), len(part)),
                value[part],
            )
            for m, (member, part) in enumerate(zip(self.members, parts, strict=True))
            if len(part)
        ]
        return self.columns.undo(np.concatenate(drawn).astype(np.float64))

    def coordinates(
        self, x: Float[np.ndarray, "n columns"]
    ) -> Float[np.ndarray, "n coordinates"]:
        """Return the coordinates of x, and the log of their determinant behind them."""
        coordinates, log_det = self.columns.apply(x)
        return np.concatenate([coordinates, log_det[:, None]], axis=1)

    def log_prob(
        self, coordinates: Float[np.ndarray, "n coordinates"], value: np.ndarray
    ) -> Float[np.ndarray, " n"]:
        """Return the log-density of x given theta, in nats."""
        rows, log_det = coordinates[:, :-1], coordinates[:, -1]
        each = [in_chunks(CHUNK, _density, m, rows, value) for m in self.members]
        mixed = logsumexp(np.array(each, np.float64), axis=0) - np.log(len(each))
        return mixed + log_det


@dataclass(frozen=True)
class Surrogate:
    """A learned likelihood p(x | theta).

    Attributes:
        parts: Densities of x, a mixture.
        compile_s: Seconds spent compiling.
        train_s: Seconds spent training.
    """

    parts: tuple[Part, ...]
    compile_s: float
    train_s: float

    def alternatives(self) -> tuple["Surrogate", ...]:
        """Return itself and, where it has several parts, each part alone."""
        if len(self.parts) == 1:
            return (self,)
        alone = [replace(part, weight=1.0) for part in self.parts]
        return (self, *(replace(self, parts=(part,)) for part in alone))

    def sample(
        self, key: Key[Array, ""], value: Float[np.ndarray, "n dim"]
    ) -> Float[np.ndarray, "n columns"]:
        """Draw one x for every row of standardized, unconstrained theta."""
        if len(self.parts) == 1:
            return self.parts[0].sample(key, value)
        key_pick, key_draw = jr.split(key)
        weights = [part.weight for part in self.parts]
        chosen = numpy_generator(key_pick).choice(
            len(self.parts), size=len(value), p=weights
        )
        rows = [np.flatnonzero(chosen == p) for p in range(len(self.parts))]
        drawn = [
            part.sample(jr.fold_in(key_draw, p), value[rows[p]])
            for p, part in enumerate(self.parts)
            if len(rows[p])
        ]
        back = np.argsort(np.concatenate(rows))
        return np.concatenate(drawn)[back]

    def coordinates(
        self, x: Float[np.ndarray, "n columns"]
    ) -> Float[np.ndarray, "n coordinates"]:
        """Return what the parts need to know of x, side by side."""
        return np.concatenate([part.coordinates(x) for part in self.parts], axis=1)

    def log_prob(
        self, coordinates: Float[np.ndarray, "n coordinates"], value: np.ndarray
    ) -> Float[np.ndarray, " n"]:
        """Return the log-density of x given theta, in nats.

        Args:
            coordinates: Of x.
            value: Standardized, unconstrained theta.
        """
        each, start = [], 0
        for part in self.parts:
            end = start + part.columns.num_coordinates + 1
            log_prob = part.log_prob(coordinates[:, start:end], value)
            each.append(np.log(part.weight) + log_prob)
            start = end
        return np.asarray(logsumexp(each, axis=0))


def fit_surrogate(
    key: Key[Array, ""],
    value: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n columns"],
    settings: Settings | None = None,
    *,
    num_members: int,
) -> Surrogate:
    """Learn the likelihood from rows of standardized theta and of x.

    Args:
        key: PRNG key.
        value: Standardized, unconstrained theta.
        x: Entries of x, not standardized.
        settings: Architecture and schedule of the only part, instead of a race.
        num_members: Networks of a race's winner.
    """
    count, dim = x.shape
    candidates = (settings,) if settings else _candidates(count, dim, num_members)
    ways = [_enter(key, value, x, Columns.fit(x), candidates)]
    if settings is None:
        candidates = (independent_settings(count, num_members),)
        shared = ways[0].race.held_out
        key = jr.fold_in(key, 2)
        ways.append(_enter(key, value, x, Cells.fit(x), candidates, shared))
    weights = _weights([way.log_prob for way in ways])
    parts = tuple(
        Part(way.race.finish().members, way.columns, weight)
        for way, weight in zip(ways, weights, strict=True)
        if weight > 0
    )
    return Surrogate(parts, **total_seconds(way.race for way in ways))


class _Way(NamedTuple):
    """One way to learn the likelihood, and what held-out x are worth to it, in nats."""

    race: Race
    columns: Columns | Cells
    log_prob: Float[np.ndarray, " validation"]


def _enter(
    key: Key[Array, ""],
    value: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n columns"],
    columns: Columns | Cells,
    candidates: Sequence[Settings],
    held_out: np.ndarray | None = None,
) -> _Way:
    """Race settings on the coordinates of x."""
    key_noise, key_train = jr.split(key)
    coordinates, log_det = columns.apply(x, numpy_generator(key_noise))
    rows = coordinates.astype(np.float32), {"theta": value}
    found = race(key_train, *rows, candidates, held_out=held_out)
    return _Way(found, columns, log_det[found.held_out] - found.losses)


def _weights(log_prob: Sequence[Float[np.ndarray, " validation"]]) -> list[float]:
    """Return the weights of one part or two, none of them negligible."""
    if len(log_prob) == 1:
        return [1.0]
    weight = best_weight(*log_prob)
    if min(weight, 1 - weight) < NEGLIGIBLE:
        weight = round(weight)
    return [1.0 - weight, float(weight)]


def _candidates(count: int, num_columns: int, num_members: int) -> tuple[Settings, ...]:
    """Return schedules for a shape that theta changes, and one where it only moves.

    A likelihood keeps its base: where it was fitted, on 90 rows, the posterior learned
    from slcp's lost .05 nats and that from lotka_volterra won .06.
    """
    base = default_settings(count, num_columns, num_members=num_members)
    base = replace(base, fit_base_scale=False)
    _, _, loose, _, plain = candidate_settings(base, count)
    return loose, plain, replace(loose, constant_shape=True)


def _condition(member: Estimator, value: Array) -> Array:
    return member.embedding({"theta": value})


@eqx.filter_jit
def _draw(member, keys, value):
    noise = jax.vmap(lambda key: jr.normal(key, (member.density.noise_dim,)))(keys)
    conditions = jax.vmap(partial(_condition, member))(jnp.asarray(value))
    return member.density.from_base_rows(noise, conditions)


@eqx.filter_jit
def _density(member, coordinates, value):
    conditions = jax.vmap(partial(_condition, member))(jnp.asarray(value))
    rows = jnp.asarray(coordinates, jnp.float32)
    return member.density.log_prob_rows(rows, conditions)
