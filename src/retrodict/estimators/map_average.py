r"""Averages of learned local features of a map on several scales.

A map ``(height, width, channels)`` is read in patches of 3 x 3 pixels; then it is
halved by averaging 2 x 2 pixels and read again, down to 8 pixels. Every patch gives
products of two learned linear forms and nonlinear features (see ``local_features``),
which are averaged over the map; the averages of all scales go through a small
perceptron. Averages of products are power spectra and cross spectra in broad bands;
the nonlinear features see what spectra do not, such as peaks. Use it where the law of a
map is the same everywhere, so that only averages can matter.

Source: the two-dimensional sibling of ``local_average``, on the pyramid of Burt and
Adelson (1983), doi:10.1109/TCOM.1983.1095851; wavelet moments as in Mallat (2012),
arXiv:1101.2286, with learned filters.
Deviations from the source: averages of 2 x 2 pixels instead of a Gaussian filter; on
the finest scale every other patch in either direction is read, for time.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import AbstractSeriesEmbedding, Dense, dense
from .local_features import mean_features


SMALLEST = 8  # pixels of the coarsest scale


class MapAverage(AbstractSeriesEmbedding):
    """Embed one map ``(height, width, channels)``.

    Args:
        key: PRNG key of the initial weights.
        name: Which series of x.
        shape: Its shape, channels last.
        width: Number of features of each of the two kinds, on each scale.
        out_dim: Dimension of the result.

    Raises:
        ValueError: If the map is not two-dimensional with channels, or less than 8
            pixels wide.
    """

    local: tuple[Dense, ...]
    hidden: Dense
    last: Dense
    name: str = eqx.field(static=True)
    out_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        name: str,
        shape: tuple[int, ...],
        *,
        width: int = 16,
        out_dim: int = 64,
    ):
        if len(shape) != 3 or min(shape[:2]) < SMALLEST:
            raise ValueError(
                f"shape: Expected (height, width, channels) with {SMALLEST} pixels or "
                f"more in both directions for the series {name!r}; got {shape}."
            )
        scales = 1
        while min(shape[:2]) >> scales >= SMALLEST:
            scales += 1
        *keys, key_hidden, key_last = jr.split(key, scales + 2)
        patch = 9 * shape[2]
        self.local = tuple(dense(k, patch, 3 * width, 1.0) for k in keys)
        self.hidden = dense(key_hidden, 2 * width * scales, 2 * out_dim, 1.0)
        self.last = dense(key_last, 2 * out_dim, out_dim, 1.0)
        self.name = name
        self.out_dim = out_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized map of one simulation."""
        field = jnp.clip(x[self.name], -10.0, 10.0)
        found = []
        for scale, layer in enumerate(self.local):
            if scale > 0:
                field = 2 * _halved(field)  # keeps the sd of white noise
            patches = _patches(field, stride=2 if scale == 0 else 1)
            found.append(mean_features(layer, patches))
        hidden = jax.nn.silu(self.hidden(jnp.concatenate(found)))
        return self.last(hidden)


def _halved(field: Float[Array, "h w c"]) -> Float[Array, "half_h half_w c"]:
    """Average 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (size // 2 * 2 for size in field.shape[:2])
    even = field[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
    return even.mean((1, 3))


def _patches(field: Float[Array, "h w c"], stride: int) -> Float[Array, "i j size"]:
    """Cut out every ``stride``-th patch of 3 x 3 pixels in either direction."""
    height, width = field.shape[:2]
    shifted = [
        field[i : height - 2 + i : stride, j : width - 2 + j : stride]
        for i in range(3)
        for j in range(3)
    ]
    return jnp.concatenate(shifted, axis=-1)
