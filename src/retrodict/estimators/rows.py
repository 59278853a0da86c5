"""What embeddings of sets and series read: rows, and which of them are there.

A series whose values may be missing reaches an embedding with twice its channels: the
standardized values, 0 where missing, then 1 where a value is there and 0 where not. A
row without any value is absent: it is skipped, so that rows of padding change nothing.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._base import CLIP


class Rows(NamedTuple):
    """Rows of one set or series.

    Attributes:
        inputs: ``(rows, channels)``, masks included.
        present: 1 for a row that is there, 0 for one that is not.
    """

    inputs: Float[Array, "rows channels"]
    present: Float[Array, " rows"]


def read_rows(z: Float[Array, "rows channels"], missing: bool) -> Rows:
    """Return clipped rows, and which of them are there.

    Args:
        z: Standardized rows.
        missing: Whether the second half of the channels tells which values are there.
    """
    if not missing:
        return Rows(jnp.clip(z, -CLIP, CLIP), jnp.ones(len(z), z.dtype))
    values, mask = jnp.split(z, 2, axis=1)
    clipped = jnp.clip(values, -CLIP, CLIP) * mask
    return Rows(jnp.concatenate([clipped, mask], axis=1), mask.max(axis=1))


def masked_mean(
    hidden: Float[Array, "rows width"], present: Float[Array, " rows"]
) -> Float[Array, " width"]:
    """Average over the rows that are there; 0 if there are none."""
    return present @ hidden / jnp.maximum(present.sum(), 1.0)


def masked_max(
    hidden: Float[Array, "rows width"], present: Float[Array, " rows"]
) -> Float[Array, " width"]:
    """Return the maximum over the rows that are there; 0 if there are none."""
    low = jnp.where(present[:, None] > 0, hidden, -jnp.inf).max(axis=0)
    return jnp.where(present.max() > 0, low, 0.0)


def log_count(present: Float[Array, " rows"]) -> Float[Array, "1"]:
    """Return log(1 + rows that are there): what averages forget."""
    return jnp.log1p(present.sum())[None]
