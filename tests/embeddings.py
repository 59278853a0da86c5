"""One constructor for every embedding of rows, for the laws they obey."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from retrodict.estimators import (
    AbstractEmbedding,
    DeepSet,
    Recurrent,
    SetTransformer,
    Transformer,
)


ROWS, CHANNELS = 7, 2
SETS: dict[str, Callable[..., AbstractEmbedding]] = {
    "deep_set": DeepSet,
    "set_transformer": SetTransformer,
}
SERIES: dict[str, Callable[..., AbstractEmbedding]] = {
    "gru": Recurrent,
    "transformer": Transformer,
}
OF_ROWS = SETS | SERIES


def new_embedding(name, key, rows=ROWS, missing=False, **options):
    """Return an embedding of the series ``"y"``."""
    shape = (rows, CHANNELS * (1 + missing))
    options = {"width": 16, "out_dim": 6, **options}
    return OF_ROWS[name](key, "y", shape, missing=missing, **options)


@eqx.filter_jit
def embed(embedding: AbstractEmbedding, rows: jnp.ndarray) -> jnp.ndarray:
    """Embed rows; compiled once for embeddings of one kind and shape."""
    return embedding({"y": rows})


def with_mask(values: np.ndarray) -> jnp.ndarray:
    """Return values and masks side by side, zeros where a value is NaN."""
    there = np.isfinite(values)
    both = np.concatenate([np.where(there, values, 0.0), there], axis=-1)
    return jnp.asarray(both, jnp.float32)
