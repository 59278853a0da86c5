"""A learned likelihood: the density of x given theta, from the same simulations.

Where the simulator moves a simple shape, as noise around a mean does, the likelihood is
learned from far fewer simulations than the posterior; pairs drawn from the prior and
from it then teach the posterior what the simulations alone could not.

Source: Papamakarios, Sterratt, Murray (2019), Sequential neural likelihood,
arXiv:1805.07226, for the learned likelihood.
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
from ..estimators import Columns, Estimator
from .chunks import in_chunks
from .ensemble import train_ensemble
from .settings import Settings, candidate_settings, default_settings


CHUNK = 8192  # rows of one compiled call


@dataclass(frozen=True)
class Surrogate:
    """A learned likelihood p(x | theta).

    Attributes:
        members: Equal-weight mixture of densities of standardized x.
        columns: The bijection of x.
        compile_s: Seconds spent compiling.
        train_s: Seconds spent training.
    """

    members: tuple[Estimator, ...]
    columns: Columns
    compile_s: float
    train_s: float

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
        ]
        return self.columns.undo(np.concatenate(drawn).astype(np.float64))

    def coordinates(
        self, x: Float[np.ndarray, "n columns"]
    ) -> Float[np.ndarray, "n columns"]:
        """Return the coordinates of x; of whole numbers, those of the middle."""
        return self.columns.apply(x)[0]

    def log_prob(
        self, coordinates: Float[np.ndarray, "n columns"], value: np.ndarray
    ) -> Float[np.ndarray, " n"]:
        """Return the log-density of coordinates of x given theta, in nats."""
        each = [in_chunks(CHUNK, _density, m, coordinates, value) for m in self.members]
        return logsumexp(np.array(each, np.float64), axis=0) - np.log(len(each))


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
        settings: Architecture and schedule, instead of a race.
        num_members: Networks of a race's winner.
    """
    key_noise, key_train = jr.split(key)
    columns = Columns.fit(x)
    coordinates, _ = columns.apply(x, numpy_generator(key_noise))
    trained = train_ensemble(
        key_train,
        coordinates.astype(np.float32),
        {"theta": value},
        settings or _candidates(len(x), x.shape[1], num_members),
    )
    return Surrogate(trained.members, columns, trained.compile_s, trained.train_s)


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
