r"""Set transformer: attention between the rows of a set, then pooling by attention.

Rows look at each other before they are pooled, so that what one row says may depend on
the others: use it for sets whose rows are not independent given theta, such as
catalogs. It costs the square of the number of rows; for independent rows deep sets are
faster and as good.

Source: Lee et al. (2019), Set transformer, arXiv:1810.00825, eqs. 8 (blocks of
self-attention) and 11 (pooling by attention).
Deviations from the source: normalization comes first; one seed; the logarithm of the
number of rows follows the pooled row, because attention cannot count.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import AbstractSeriesEmbedding, Dense, dense
from .attention import Encoder, attend, attention
from .rows import log_count, read_rows


class SetTransformer(AbstractSeriesEmbedding):
    """Embed one set ``(rows, channels)``, whatever the order of its rows.

    Args:
        key: PRNG key of the initial weights.
        name: Which series of x.
        shape: Its standardized shape.
        missing: Whether the second half of the channels tells which values are there.
        width: Width of the rows; a multiple of 4, the number of heads.
        num_blocks: Blocks of self-attention.
        out_dim: Dimension of the result.
    """

    encoder: Encoder
    seed: Float[Array, "1 width"]
    pool: eqx.nn.MultiheadAttention
    last: Dense
    name: str = eqx.field(static=True)
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
        keys = jr.split(key, 4)
        self.encoder = Encoder(keys[0], shape[-1], width, num_blocks)
        self.seed = dense(keys[1], width, 1, width**0.5).weight
        self.pool = attention(keys[2], width)
        self.last = dense(keys[3], width + 1, out_dim, 1.0)
        self.name = name
        self.missing = missing
        self.out_dim = out_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        inputs, present = read_rows(x[self.name], self.missing)
        hidden = self.encoder(inputs, present)
        pooled = attend(self.pool, self.seed, hidden, present)[0]
        return self.last(jnp.concatenate([jax.nn.silu(pooled), log_count(present)]))
