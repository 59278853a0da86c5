"""Learn the embedding with one network, then train all members on what it sees.

An end-to-end training spends most of its time on a large x and most of its epochs on
the density. On fields of a Lorenz 96 system five epochs gave an embedding from which
another density told the forcing to .058, where its own had come to .15.
"""

from collections.abc import Mapping
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ..estimators import SUMMARIES, AbstractEmbedding, Affine, Estimator, Staged
from ..model import Structure
from .chunks import in_chunks
from .ensemble import Trained, race, train_ensemble
from .settings import Settings


CHUNK = 512  # rows that are embedded at a time


def train_staged(
    key: Key[Array, ""],
    value: Float[np.ndarray, "n dim"],
    x: Mapping[str, np.ndarray],
    settings: Settings,
    *,
    structure: Mapping[str, Structure] | None = None,
) -> Trained:
    """Train in two stages; return the first one's network if it predicts better.

    All members hold out what the first network held out, because its embedding has seen
    the rest.

    Args:
        key: PRNG key of splits, initial weights and orders.
        value: Standardized, unconstrained theta, float32.
        x: Standardized series, float32, each ``(n, ...)``.
        settings: Architecture, and the schedule of the second stage; the first has
            ``embedding_epochs``.
        structure: What the axes of the series mean, as far as it is declared.
    """
    key_first, key_second = jr.split(key)
    epochs = settings.embedding_epochs
    whole = replace(settings, num_members=1, epochs=epochs, embedding_epochs=0)
    first = train_ensemble(key_first, value, x, whole, structure=structure)
    front = first.members[0].embedding
    summaries = in_chunks(CHUNK, _embed, front, x)
    scaler = Affine.fit(summaries)
    z = {SUMMARIES: scaler.apply(summaries).astype(np.float32)}
    second = race(key_second, value, z, settings, held_out=first.held_out[0])
    best = first
    if second.score < first.score:
        best = second.finish()
        members = tuple(_compose(front, scaler, member) for member in best.members)
        best = replace(best, members=members)
    return replace(
        best,
        compile_s=first.compile_s + second.compile_s,
        train_s=first.train_s + second.train_s,
    )


def _compose(front: AbstractEmbedding, scaler: Affine, member: Estimator) -> Estimator:
    """Let a member that was trained on summaries read x itself."""
    varies = scaler.scale > 0
    precision = np.where(varies, 1 / np.where(varies, scaler.scale, 1.0), 0.0)
    mean, precision = (jnp.asarray(v, jnp.float32) for v in (scaler.mean, precision))
    return Estimator(Staged(front, mean, precision, member.embedding), member.density)


@eqx.filter_jit
def _embed(
    front: AbstractEmbedding, x: Mapping[str, Array]
) -> Float[Array, "n summaries"]:
    return jax.vmap(front)(x)
