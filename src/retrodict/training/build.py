"""From settings and shapes to an untrained estimator."""

from collections.abc import Mapping

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ..estimators import (
    MLP,
    AbstractDensity,
    AbstractEmbedding,
    Autoregressive,
    Convolution,
    Correlated,
    DeepSet,
    Estimator,
    FlowMatching,
    Independent,
    Joined,
    LocalAverage,
    MapAverage,
    MixtureDensity,
    Plain,
    Recurrent,
    SetTransformer,
    SplineCoupling,
    Staged,
    Transformer,
)
from ..estimators.mlp import quantile_edges
from ..model import Structure
from .settings import Settings


EDGE_BYTES = 2**30
GRID_KINDS = {
    "convolution": Convolution,
    "local_average": LocalAverage,
    "map_average": MapAverage,
}
ROW_KINDS = {
    "deep_set": DeepSet,
    "set_transformer": SetTransformer,
    "gru": Recurrent,
    "transformer": Transformer,
}


def build_estimator(
    key: Key[Array, ""],
    settings: Settings,
    shapes: Mapping[str, tuple[int, ...]],
    edges: np.ndarray | Array | None,
    dim: int,
    *,
    structure: Mapping[str, Structure] | None = None,
) -> Estimator:
    """Build an estimator for standardized series of these shapes.

    Series of one axis go together through a perceptron; of the others each goes through
    an embedding of its own, which its structure and the settings choose.

    Args:
        key: PRNG key of the initial weights.
        settings: Architecture.
        shapes: Shape of every standardized series of x.
        edges: Quantile edges of the flattened vector entries; zeros will do when the
            real ones are loaded later.
        dim: Unconstrained dimension of the targets.
        structure: What the axes of every series mean; by default nothing is declared.
    """
    key_embedding, key_density = jr.split(key)
    structure = structure or {}
    embedding = _join(key_embedding, settings, shapes, edges, structure)
    if is_staged(settings, shapes):
        embedding = _staged(jr.fold_in(key, 1), settings, embedding)
    dims = dim, embedding.out_dim, embedding.direct_dim
    return Estimator(embedding, build_density(key_density, settings, *dims))


def is_staged(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Say whether one network learns the embedding before all others."""
    return settings.embedding_epochs > 0 and bool(split_series(shapes)[1])


def _join(
    key: Key[Array, ""],
    settings: Settings,
    shapes: Mapping[str, tuple[int, ...]],
    edges: np.ndarray | Array | None,
    structure: Mapping[str, Structure],
) -> AbstractEmbedding:
    """Build the embeddings of all series, side by side."""
    vectors, grids = split_series(shapes)
    parts, selected = [], []
    for index, name in enumerate(grids):
        item = structure.get(name, Structure("grid"))
        key_grid = jr.fold_in(key, index)
        parts.append(_embedding(key_grid, settings, name, shapes[name], item))
        selected.append((name,))
    if vectors:
        columns = sum(shapes[name][0] for name in vectors)
        parts.append(_perceptron(key, settings, columns, edges))
        selected.append(tuple(vectors))
    return parts[0] if len(parts) == 1 else Joined(parts, selected)


def _perceptron(
    key: Key[Array, ""],
    settings: Settings,
    columns: int,
    edges: np.ndarray | Array | None = None,
) -> MLP | Plain:
    """Build the embedding of vectors; edges of zeros are filled in later."""
    if settings.vector_embedding == "plain":
        sizes = {"width": settings.embedding_width, "depth": settings.num_blocks}
        return Plain(key, columns, **sizes)
    if edges is None:
        edges = np.zeros((columns, settings.feature_bins + 1), np.float32)
    return MLP(
        key,
        edges,
        width=settings.embedding_width,
        context_dim=settings.context_dim,
        num_blocks=settings.num_blocks,
    )


def _staged(
    key: Key[Array, ""], settings: Settings, front: AbstractEmbedding
) -> Staged:
    """Build what reads an embedding that is no longer trained."""
    size = front.out_dim
    back = _perceptron(key, settings, size)
    return Staged(front, jnp.zeros(size), jnp.ones(size), back)


def _embedding(
    key: Key[Array, ""],
    settings: Settings,
    name: str,
    shape: tuple[int, ...],
    structure: Structure,
) -> AbstractEmbedding:
    """Build the embedding of one series with channels."""
    chosen = {
        "exchangeable": settings.set_embedding,
        "series": settings.series_embedding,
        "grid": settings.grid_embedding,
    }.get(structure.kind, "convolution")
    size = settings.context_dim
    if chosen in GRID_KINDS:  # masks are channels like others
        return GRID_KINDS[chosen](key, name, shape, out_dim=size)
    return ROW_KINDS[chosen](key, name, shape, missing=structure.missing, out_dim=size)


def build_density(
    key: Key[Array, ""], settings: Settings, dim: int, cond_dim: int, direct_dim: int
) -> AbstractDensity:
    """Build the density that the settings name.

    Args:
        key: PRNG key of the initial weights.
        settings: Architecture.
        dim: Dimension of the value.
        cond_dim: Dimension of the condition.
        direct_dim: How many trailing entries of the condition are entries of x.
    """
    shared = {"width": settings.flow_width, "direct_dim": direct_dim}
    layers, bins = settings.num_layers, settings.num_bins
    match settings.density:
        case "mixture_density":
            num = settings.num_components
            return MixtureDensity(key, dim, cond_dim, num_components=num, **shared)
        case "independent":
            return Independent(key, dim, cond_dim)
        case "correlated":
            return Correlated(key, dim, cond_dim)
        case "flow_matching":
            return FlowMatching(key, dim, cond_dim, num_layers=layers, **shared)
        case "autoregressive" | "affine_autoregressive":
            affine = settings.density == "affine_autoregressive"
            return Autoregressive(
                key,
                dim,
                cond_dim,
                transform="affine" if affine else "rational_quadratic",
                num_layers=layers,
                num_bins=bins,
                **shared,
            )
    return SplineCoupling(
        key, dim, cond_dim, num_layers=layers, num_bins=bins, **shared
    )


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
    size = sum(values[:1].nbytes for values in z.values())
    count = max(1000, EDGE_BYTES // size)  # more rows move no quantile
    columns = vector_columns({name: values[:count] for name, values in z.items()})
    return None if columns is None else quantile_edges(columns, settings.feature_bins)
