"""A learned likelihood: the density of x given theta, from the same simulations.

Where the simulator moves a simple shape, as noise around a mean does, the likelihood is
learned from far fewer simulations than the posterior; pairs drawn from the prior and
from it then teach the posterior what the simulations alone could not.

Source: Papamakarios, Sterratt, Murray (2019), Sequential neural likelihood,
arXiv:1805.07226.
"""

from dataclasses import dataclass, replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.special import logsumexp

from .._core.seeds import numpy_generator
from ..estimators import Cells, Columns, Estimator
from .chunks import in_chunks


CHUNK = 8192  # rows of one compiled call


@dataclass(frozen=True)
class Part:
    """A density of x given theta.

    Attributes:
        members: Equal-weight mixture of densities of coordinates of a row of x.
        columns: What makes the coordinates.
        weight: In the likelihood.
        rows: Of how many rows x is made, independent and of equal law given theta.
    """

    members: tuple[Estimator, ...]
    columns: Columns | Cells
    weight: float
    rows: int = 1

    @property
    def num_coordinates(self) -> int:
        """How many numbers the part needs to know of x."""
        return self.rows * self.columns.num_coordinates + 1

    def sample(
        self, key: Key[Array, ""], value: Float[np.ndarray, "n dim"]
    ) -> Float[np.ndarray, "n columns"]:
        """Draw one x for every row of standardized, unconstrained theta."""
        each = np.repeat(value, self.rows, axis=0)
        drawn = np.empty((len(each), self.columns.num_coordinates))
        for m, member in enumerate(self.members):
            mine = slice(m, None, len(self.members))
            if len(each[mine]):
                keys = jr.split(jr.fold_in(key, m), len(each[mine]))
                drawn[mine] = in_chunks(CHUNK, _draw, member, keys, each[mine])
        return self.columns.undo(drawn).reshape(len(value), -1)

    def coordinates(
        self, x: Float[np.ndarray, "n columns"]
    ) -> Float[np.ndarray, "n coordinates"]:
        """Return the coordinates of x, and the log of their determinant behind them."""
        coordinates, log_det = self.columns.apply(x.reshape(len(x) * self.rows, -1))
        by_x = coordinates.reshape(len(x), -1), log_det.reshape(len(x), self.rows)
        return np.concatenate([by_x[0], by_x[1].sum(1, keepdims=True)], axis=1)

    def log_prob(
        self, coordinates: Float[np.ndarray, "n coordinates"], value: np.ndarray
    ) -> Float[np.ndarray, " n"]:
        """Return the log-density of x given theta, in nats."""
        log_det = coordinates[:, -1]
        rows = coordinates[:, :-1].reshape(len(value), self.rows, -1)
        each = [in_chunks(CHUNK, _density, m, rows, value) for m in self.members]
        mixed = logsumexp(np.array(each, np.float64), axis=0) - np.log(len(each))
        return mixed.sum(1) + log_det


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
            end = start + part.num_coordinates
            log_prob = part.log_prob(coordinates[:, start:end], value)
            each.append(np.log(part.weight) + log_prob)
            start = end
        return np.asarray(logsumexp(each, axis=0))


def _condition(member: Estimator, value: Array) -> Array:
    return member.embedding({"theta": value})


def base_noise(
    member: Estimator,
    coordinates: Float[np.ndarray, "n dim"],
    value: Float[np.ndarray, "n theta_dim"],
) -> Float[np.ndarray, "n dim"]:
    """Return the noise that a flow maps to coordinates, given theta."""
    each = coordinates.astype(np.float32), value.astype(np.float32)
    return in_chunks(CHUNK, _to_base, member, *each)


@eqx.filter_jit
def _to_base(member, coordinates, value):
    conditions = jax.vmap(partial(_condition, member))(jnp.asarray(value))
    noise, _ = jax.vmap(member.density.to_base)(jnp.asarray(coordinates), conditions)
    return noise


@eqx.filter_jit
def _draw(member, keys, value):
    noise = jax.vmap(lambda key: jr.normal(key, (member.density.noise_dim,)))(keys)
    conditions = jax.vmap(partial(_condition, member))(jnp.asarray(value))
    return member.density.from_base_rows(noise, conditions)


@eqx.filter_jit
def _density(member, coordinates, value):
    """Return the log-density of all rows of every theta, which is embedded once."""
    count, per_theta, dim = coordinates.shape
    conditions = jax.vmap(partial(_condition, member))(jnp.asarray(value))
    conditions = jnp.repeat(conditions, per_theta, axis=0)
    rows = jnp.asarray(coordinates, jnp.float32).reshape(-1, dim)
    log_prob = member.density.log_prob_rows(rows, conditions)
    return log_prob.reshape(count, per_theta)
