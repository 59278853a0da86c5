r"""Transformer for series: attention between patches of rows.

Up to 64 patches of consecutive rows become one token each, marked with its place by
sines and cosines; blocks of attention let them read each other, and their average is
the summary. It suits series in which distant parts must be compared; short or local
ones are served by the convolution at a fraction of the time.

Source: Vaswani et al. (2017), arXiv:1706.03762, sec. 3.5 (places); Dosovitskiy et al.
(2021), An image is worth 16x16 words, arXiv:2010.11929, eq. 1 (patches).
Deviations from the source: patches of a series; the average of tokens instead of one
extra token; normalization comes first.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ._base import AbstractSeriesEmbedding, Dense, dense
from .attention import Encoder
from .rows import masked_mean, read_rows


MAX_TOKENS = 64


class Transformer(AbstractSeriesEmbedding):
    """Embed one series ``(rows, channels)``.

    Args:
        key: PRNG key of the initial weights.
        name: Which series of x.
        shape: Its standardized shape.
        missing: Whether the second half of the channels tells which values are there.
        width: Width of the tokens; a multiple of 4, the number of heads.
        num_blocks: Blocks of self-attention.
        out_dim: Dimension of the result.
    """

    encoder: Encoder
    last: Dense
    name: str = eqx.field(static=True)
    patch: int = eqx.field(static=True)
    missing: bool = eqx.field(static=True)
    out_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        name: str,
        shape: tuple[int, ...],
        *,
        missing: bool = False,
        width: int = 64,
        num_blocks: int = 2,
        out_dim: int = 64,
    ):
        key_encoder, key_last = jr.split(key)
        self.patch = -(-shape[0] // MAX_TOKENS)
        channels = self.patch * shape[-1]
        self.encoder = Encoder(key_encoder, channels, width, num_blocks)
        self.last = dense(key_last, width, out_dim, 1.0)
        self.name = name
        self.missing = missing
        self.out_dim = out_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        inputs, present = read_rows(x[self.name], self.missing)
        rest = -len(inputs) % self.patch
        patches = jnp.pad(inputs, ((0, rest), (0, 0))).reshape(
            -1, self.patch * inputs.shape[1]
        )
        tokens = jnp.pad(present, (0, rest)).reshape(-1, self.patch).max(axis=1)
        marks = places(len(patches), len(self.last.weight[0]))
        hidden = self.encoder(patches, tokens, marks)
        pooled = masked_mean(hidden, tokens)
        return self.last(jax.nn.silu(pooled))


def places(count: int, width: int) -> np.ndarray:
    """Return sines and cosines ``(count, width)`` of the number of each token."""
    rates = 1000.0 ** (-np.arange(width // 2) / (width // 2))
    angles = np.arange(count)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
