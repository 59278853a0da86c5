r"""Mean features of patches: what embeddings of fields and maps average over.

Products of two linear forms and nonlinear features of every patch p,

.. math::
    f(p) = \big( (A p + a) \cdot (B p + b),\; \mathrm{silu}(C p + c) \big).

The mean of the products needs the second moments of the patches only, which no weight
changes: nothing is differentiated through the whole field. Measured, a step of training
took .6 (a ring) and .77 (maps) of the time.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._base import Dense


def mean_features(
    layer: Dense, patches: Float[Array, "*grid size"]
) -> Float[Array, " features"]:
    """Return the mean products and the mean nonlinear features of all patches.

    Args:
        layer: The forms A, B and C, a third of its rows each.
        patches: One vector for every place of a field.
    """
    patches = patches.reshape(-1, patches.shape[-1])
    wide = jnp.concatenate([patches, jnp.ones_like(patches[:, :1])], axis=-1)
    moments = wide.T @ wide / len(wide)
    forms = jnp.concatenate([layer.weight, layer.bias[:, None]], axis=-1)
    one, two, _ = jnp.split(forms, 3)
    products = jnp.sum((one @ moments) * two, axis=-1)
    weight, bias = (jnp.split(part, 3)[2] for part in (layer.weight, layer.bias))
    nonlinear = jax.nn.silu(patches @ weight.T + bias).mean(0)
    return jnp.concatenate([products, nonlinear])
