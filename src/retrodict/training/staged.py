"""Learn the embedding with one network, then train all members on what it sees.

An end-to-end training spends most of its time on a large x and most of its epochs on
the density. On fields of a Lorenz 96 system five epochs gave an embedding from which
another density told the forcing to .045, where its own had come to .15.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ..estimators import SUMMARIES, AbstractEmbedding, Affine, Estimator, Staged
from ..model import Structure
from .ensemble import Trained, race, train_ensemble
from .settings import Settings


CHUNK = 512


def train_staged(
    key: Key[Array, ""],
    value: Float[np.ndarray, "n dim"],
    x: Mapping[str, np.ndarray],
    candidates: Settings | Sequence[Settings],
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
        candidates: Schedules of the second stage, or the only one.
        structure: What the axes of the series mean, as far as it is declared.
    """
    key_first, key_second = jr.split(key)
    several = (candidates,) if isinstance(candidates, Settings) else tuple(candidates)
    alone = replace(
        several[0],
        num_members=1,
        epochs=several[0].embedding_epochs,
        embedding_epochs=0,
    )
    first = train_ensemble(key_first, value, x, alone, structure=structure)
    front = first.members[0].embedding
    summaries = _summarize(front, x)
    scaler = Affine.fit(summaries)
    second = race(
        key_second,
        value,
        {SUMMARIES: scaler.apply(summaries).astype(np.float32)},
        several,
        held_out=first.held_out[0],
    )
    compile_s, train_s = first.compile_s, first.train_s
    if second.score < first.score:
        whole = second.finish()
        members = tuple(_compose(front, scaler, member) for member in whole.members)
        compile_s, train_s = compile_s + whole.compile_s, train_s + whole.train_s
        first = replace(whole, members=members)
    return replace(first, compile_s=compile_s, train_s=train_s)


def _compose(front: AbstractEmbedding, scaler: Affine, member: Estimator) -> Estimator:
    """Let a member that was trained on summaries read x itself."""
    varies = scaler.scale > 0
    precision = np.where(varies, 1 / np.where(varies, scaler.scale, 1.0), 0.0)
    mean, precision = (jnp.asarray(v, jnp.float32) for v in (scaler.mean, precision))
    return Estimator(Staged(front, mean, precision, member.embedding), member.density)


def _summarize(
    front: AbstractEmbedding, x: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "n summaries"]:
    """Embed all rows, in chunks of one shape."""
    count = len(next(iter(x.values())))
    parts = []
    for start in range(0, count, CHUNK):
        rows = np.arange(start, start + CHUNK).clip(max=count - 1)
        chunk = {name: jnp.asarray(values[rows]) for name, values in x.items()}
        parts.append(np.asarray(_embed(front, chunk)))
    return np.concatenate(parts)[:count]


@eqx.filter_jit
def _embed(
    front: AbstractEmbedding, x: Mapping[str, Array]
) -> Float[Array, "n summaries"]:
    return jax.vmap(front)(x)
