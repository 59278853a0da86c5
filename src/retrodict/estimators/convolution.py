"""Convolutional embeddings of series (1-D) and images (2-D), channels last.

Strided convolutions halve the grid until it is small; the mean and the maximum over
what is left go through a linear layer. Use it where neighbouring entries belong
together; for short vectors the perceptron is better.

Source: the residual-free variant of He et al. (2016), arXiv:1512.03385, with the pooled
statistics of Lin et al. (2014), arXiv:1312.4400.
Deviations from the source: no normalization over the batch, so that the embedding of
one item never depends on another's.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import AbstractEmbedding, AbstractSeriesEmbedding, Dense, dense


class Convolution(AbstractSeriesEmbedding):
    """Embed one series ``(length, channels)`` or image ``(height, width, channels)``.

    Args:
        key: PRNG key of the initial weights.
        name: Which series of x.
        shape: Its shape, channels last.
        width: Channels of the first layer; doubled at the second.
        out_dim: Dimension of the result.
    """

    layers: tuple[eqx.nn.Conv, ...]
    last: Dense
    name: str = eqx.field(static=True)
    out_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        name: str,
        shape: tuple[int, ...],
        *,
        width: int = 32,
        out_dim: int = 64,
    ):
        *grid, channels = shape
        keys = jr.split(key, 9)
        layers = []
        while min(grid) >= 4 and len(layers) < 8:
            out = width if not layers else 2 * width
            key_layer = keys[len(layers)]
            layers.append(
                eqx.nn.Conv(
                    len(grid), channels, out, 3, stride=2, padding=1, key=key_layer
                )
            )
            channels, grid = out, [(size + 1) // 2 for size in grid]
        self.layers = tuple(layers)
        self.last = dense(keys[-1], 2 * channels, out_dim, 1.0)
        self.name = name
        self.out_dim = out_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        hidden = jnp.moveaxis(_squash(x[self.name]), -1, 0)
        for layer in self.layers:
            hidden = jax.nn.silu(layer(hidden))
        flat = hidden.reshape(len(hidden), -1)
        return self.last(jnp.concatenate([flat.mean(1), flat.max(1)]))


def _squash(z: Float[Array, "..."], bound: float = 10.0) -> Float[Array, "..."]:
    """Keep entries up to ``bound``; let larger ones grow by their logarithm only.

    An observation unlike every simulation must not overflow what follows.
    """
    excess = jnp.maximum(jnp.abs(z) - bound, 0.0)
    return jnp.where(excess > 0, jnp.sign(z) * (bound + jnp.log1p(excess)), z)


class Joined(AbstractEmbedding):
    """Several embeddings side by side, for x with series of different kinds.

    Attributes:
        parts: The embeddings; each reads its own series. Only the last may pass
            entries of x on.
    """

    parts: tuple[AbstractEmbedding, ...]
    selected: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    out_dim: int = eqx.field(static=True)
    direct_dim: int = eqx.field(static=True)

    def __init__(self, parts, selected):
        self.parts = tuple(parts)
        self.selected = tuple(selected)
        self.out_dim = sum(part.out_dim for part in parts)
        self.direct_dim = parts[-1].direct_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        outputs = [
            part({name: x[name] for name in names})
            for part, names in zip(self.parts, self.selected, strict=True)
        ]
        return jnp.concatenate(outputs)
