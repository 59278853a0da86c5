"""The trained ensemble as a density: batched, chunked, in bounded memory.

Work is cut into tiles of observations by draws. What depends on the observation alone
is computed once a tile row; tiles have a few fixed shapes, each compiled once; memory
does not grow with the number of draws, and the same request runs the same programs.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.special import logsumexp

from .._core.errors import DataError
from .._core.seeds import numpy_generator
from ..estimators import Affine, Estimator, apply_scalers
from ..model import Space, Symmetries
from ..training import Settings
from .record import XSpec


MAX_ROWS = 16384  # draws of one tile
MIN_WIDTH = 128  # draws of one observation that are worth a batch of their own


@dataclass(frozen=True)
class Network:
    """An equal-weight mixture of trained estimators over a space of targets.

    Attributes:
        members: The estimators, equal in structure.
        settings: Their architecture.
        space: The targets.
        x_spec: The structure of x.
        scalers: Standardizers of x, by series.
        scale: Standardizer of unconstrained theta.
        symmetries: Of the targets. The members know one image of every theta; the
            density is the average over all.
    """

    members: tuple[Estimator, ...]
    settings: Settings
    space: Space
    x_spec: XSpec
    scalers: Mapping[str, Any]
    scale: Affine
    symmetries: Symmetries = field(default_factory=Symmetries)
    _programs: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def embed(self, series: Mapping[str, np.ndarray]) -> Float[np.ndarray, "m n c"]:
        """Return the embedded x of every member, ``(members, n, context_dim)``."""
        z = apply_scalers(self.scalers, series)
        count = len(next(iter(z.values())))
        program = self._program("embed", _embed)
        size = bucket(min(count, 1024))
        parts = []
        for rows, padded in _chunks(count, size):
            chunk = {k: jnp.asarray(v[padded]) for k, v in z.items()}
            embedded = [np.asarray(program(m, chunk)) for m in self.members]
            parts.append(np.stack(embedded)[:, : len(rows)])
        return np.concatenate(parts, axis=1)

    def sample(
        self,
        key: Key[Array, ""],
        context: Float[np.ndarray, "m n c"],
        num_samples: int,
    ) -> Float[np.ndarray, "n s dim"]:
        """Draw ``num_samples`` targets for each embedded observation.

        Every draw first picks a member at random, so draws are independent.

        Raises:
            DataError: If an observation is so far off that the network overflows.
        """
        key_member, key_noise = jr.split(key)
        num_members, num_obs, _ = context.shape
        generator = numpy_generator(key_member)
        member = generator.integers(num_members, size=(num_obs, num_samples))
        out = np.empty((num_obs, num_samples, self.space.dim))
        for m in range(num_members):
            self._draw(key_noise, m, context[m], member == m, out)
        if not np.isfinite(out).all():
            bad = int((~np.isfinite(out).all((1, 2))).sum())
            raise DataError(
                f"x_obs: at {bad} of {num_obs} observations the network overflows: "
                "they are too far from anything it was trained on. Expected ones like "
                "the simulations; look at the warnings of `posterior.at(x_obs)`."
            )
        return self.symmetries.scatter(generator, out)

    def _draw(
        self,
        key: Key[Array, ""],
        m: int,
        context: Float[np.ndarray, "n c"],
        mine: Bool[np.ndarray, "n s"],
        out: Float[np.ndarray, "n s dim"],
    ) -> None:
        """Fill the places of ``out`` where ``mine`` is true, tile by tile."""
        count, num_samples = mine.shape
        width = _tile_width(num_samples, len(self.members))
        height = bucket(min(count, max(1, MAX_ROWS // width)))
        program, estimator = self._program("draw", _draw), self.members[m]
        num_normals = height * width * estimator.density.noise_dim
        for number, (rows, padded) in enumerate(_chunks(count, height)):
            conditions, here = jnp.asarray(context[padded]), mine[rows]
            rank = np.cumsum(here, axis=1) - 1  # which of the member's a place takes
            for tile in range(-(-int(here.sum(1).max()) // width)):
                at = np.array([m, number, tile], np.uint32)
                v = np.asarray(
                    program(estimator, _normal(key, at, num_normals), conditions)
                )
                row, place = np.nonzero(here & (rank // width == tile))
                chosen = v[row, rank[row, place] % width]
                out[rows[row], place] = self.space.constrain(self.scale.undo(chosen))

    def log_prob(
        self,
        theta: Float[np.ndarray, "n s dim"],
        context: Float[np.ndarray, "m n c"],
    ) -> Float[np.ndarray, "n s"]:
        """Return the normalized log-density of targets, in nats."""
        each = self.member_log_prob(theta, context)
        total = np.asarray(logsumexp(each, axis=0))
        return total - math.log(len(self.members))

    def member_log_prob(
        self,
        theta: Float[np.ndarray, "n s dim"],
        context: Float[np.ndarray, "m n c"],
    ) -> Float[np.ndarray, "m n s"]:
        """Return the log-density under every member, ``(members, n, s)``."""
        if not self.symmetries.elements:
            return self._image_log_prob(theta, context)
        images = self.symmetries.images(theta)
        each = [self._image_log_prob(image, context) for image in images]
        return np.asarray(logsumexp(each, axis=0)) - self.symmetries.log_count

    def coordinates(
        self, theta: Float[np.ndarray, "*n dim"]
    ) -> Float[np.ndarray, "*n unconstrained_dim"]:
        """Return targets as the members see them: one image, standardized, float32."""
        u = self.space.unconstrain(self.symmetries.fold(theta))
        return self.scale.apply(u).astype(np.float32)

    def _image_log_prob(self, theta: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Return the members' log-density of what is given, not of its images."""
        num_obs, num_samples, _ = theta.shape
        out = np.empty((len(self.members), num_obs, num_samples))
        program = self._program("density", _density)
        width = bucket(min(num_samples, MAX_ROWS))
        height = bucket(min(num_obs, max(1, MAX_ROWS // width)))
        for rows, padded in _chunks(num_obs, height):
            for places, padded_places in _chunks(num_samples, width):
                part = np.asarray(theta[np.ix_(padded, padded_places)], np.float64)
                v, jacobian = self._standardize(part)
                area = np.ix_(rows, places)
                inner = np.s_[: len(rows), : len(places)]
                for m, estimator in enumerate(self.members):
                    conditions = jnp.asarray(context[m, padded])
                    values = np.asarray(program(estimator, v, conditions), np.float64)
                    out[m][area] = (values + jacobian)[inner]
        return out

    def _standardize(self, theta: np.ndarray) -> tuple[Array, np.ndarray]:
        """Return the network's value and log |dvalue/dtheta|, -inf off the support."""
        inside = self.space.contains(theta)
        centre = self.space.constrain(self.scale.mean)
        filler = theta[inside][:1] if inside.any() else centre
        u = self.space.unconstrain(np.where(inside[..., None], theta, filler))
        log_det = -self.space.log_det(u) - np.log(self.scale.scale).sum()
        v = jnp.asarray(self.scale.apply(u).astype(np.float32))
        return v, np.where(inside, log_det, -np.inf)

    def _program(self, name: str, function: Any) -> Any:
        if name not in self._programs:
            self._programs[name] = eqx.filter_jit(function)
        return self._programs[name]


def _embed(estimator: Estimator, z: Mapping[str, Array]) -> Array:
    return jax.vmap(estimator.embedding)(z)


@partial(jax.jit, static_argnames="count")
def _normal(key: Key[Array, ""], at: Array, count: int) -> Array:
    """Draw standard normals in one row, for the tile ``at``.

    In its final shape, or reshaped in the same program, noise of ten parameters takes
    XLA on a CPU four to six times as long.
    """
    for number in at:
        key = jr.fold_in(key, number)
    return jr.normal(key, (count,))


def _draw(estimator: Estimator, noise: Array, conditions: Array) -> Array:
    density = estimator.density
    by_row = noise.reshape(len(conditions), -1, density.noise_dim)
    return _by_observation(density.from_base_rows, by_row, conditions)


def _density(estimator: Estimator, value: Array, conditions: Array) -> Array:
    return _by_observation(estimator.density.log_prob_rows, value, conditions)


def _by_observation(function: Any, values: Array, conditions: Array) -> Array:
    """Apply a function to ``(n, s, dim)`` values, with ``(n, c)`` conditions.

    What depends on the observation alone is computed once where there are many values
    of each; few are joined to one long batch.
    """
    count, width, dim = values.shape
    if width >= MIN_WIDTH:
        return jax.lax.map(lambda item: function(*item), (values, conditions))
    rows = function(values.reshape(-1, dim), jnp.repeat(conditions, width, axis=0))
    return rows.reshape(count, width, *rows.shape[1:])


def bucket(count: int) -> int:
    """Round up to 2^k or 3 * 2^k, so that few shapes are ever compiled."""
    power = 1 << max(count - 1, 0).bit_length()
    return power * 3 // 4 if power >= 4 and count <= power * 3 // 4 else power


def _tile_width(num_samples: int, num_members: int) -> int:
    """Draws of one tile: what a member is asked for, plus four standard deviations."""
    if num_members == 1:
        return bucket(min(num_samples, MAX_ROWS))
    mean = num_samples / num_members
    spread = math.sqrt(mean * (1 - 1 / num_members))
    return bucket(min(math.ceil(mean + 4 * spread), MAX_ROWS))


def _chunks(count: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut ``range(count)`` into rows, and the same rows padded to a fixed size."""
    for start in range(0, count, size):
        rows = np.arange(start, min(start + size, count))
        yield rows, np.pad(rows, (0, size - len(rows)), mode="edge")
