"""From settings and shapes to an untrained estimator."""

from collections.abc import Mapping

import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ..estimators import (
    MLP,
    Convolution,
    Estimator,
    Joined,
    LocalAverage,
    MapAverage,
    SplineCoupling,
)
from ..estimators.mlp import quantile_edges
from .settings import Settings


GRID_KINDS = {
    "convolution": Convolution,
    "local_average": LocalAverage,
    "map_average": MapAverage,
}


def build_estimator(
    key: Key[Array, ""],
    settings: Settings,
    shapes: Mapping[str, tuple[int, ...]],
    edges: np.ndarray | Array | None,
    dim: int,
) -> Estimator:
    """Build an estimator for standardized series of these shapes.

    Series of one axis go together through a perceptron; those with a channel axis
    through a convolution each.

    Args:
        key: PRNG key of the initial weights.
        settings: Architecture.
        shapes: Shape of every standardized series of x.
        edges: Quantile edges of the flattened vector entries; zeros will do when the
            real ones are loaded later.
        dim: Unconstrained dimension of the targets.
    """
    key_embedding, key_density = jr.split(key)
    vectors, grids = split_series(shapes)
    grid_kind = GRID_KINDS[settings.grid_embedding]
    parts, selected = [], []
    for index, name in enumerate(grids):
        key_grid = jr.fold_in(key_embedding, index)
        parts.append(
            grid_kind(key_grid, name, shapes[name], out_dim=settings.context_dim)
        )
        selected.append((name,))
    if vectors:
        columns = sum(shapes[name][0] for name in vectors)
        if edges is None:
            edges = np.zeros((columns, settings.feature_bins + 1), np.float32)
        parts.append(
            MLP(
                key_embedding,
                edges,
                width=settings.embedding_width,
                context_dim=settings.context_dim,
                num_blocks=settings.num_blocks,
            )
        )
        selected.append(tuple(vectors))
    embedding = parts[0] if len(parts) == 1 else Joined(parts, selected)
    density = SplineCoupling(
        key_density,
        dim,
        embedding.out_dim,
        num_layers=settings.num_layers,
        width=settings.flow_width,
        num_bins=settings.num_bins,
        direct_dim=embedding.direct_dim,
    )
    return Estimator(embedding, density)


def split_series(
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[list[str], list[str]]:
    """Tell the series that are vectors from those with a grid and channels."""
    names = sorted(shapes)
    return (
        [name for name in names if len(shapes[name]) == 1],
        [name for name in names if len(shapes[name]) > 1],
    )


def vector_columns(z: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return all vector entries ``(n, columns)`` in the embedding's order, if any."""
    vectors, _ = split_series({name: v.shape[1:] for name, v in z.items()})
    if not vectors:
        return None
    return np.concatenate([z[name] for name in vectors], axis=1)


def vector_edges(z: Mapping[str, np.ndarray], settings: Settings) -> np.ndarray | None:
    """Return the quantile edges of all vector entries, in the embedding's order."""
    columns = vector_columns(z)
    return None if columns is None else quantile_edges(columns, settings.feature_bins)
