"""Constant, entries, squares and products: what a quadratic function is linear in."""

from typing import Any

import jax.numpy as jnp
import numpy as np


MAX_PRODUCTS = 12  # entries; of more only the squares are taken


def quadratic_features(z: Any) -> Any:
    """Return features ``(..., columns)`` of rows ``(..., dim)``, NumPy or JAX.

    Args:
        z: Standardized rows.
    """
    namespace: Any = np if isinstance(z, np.ndarray) else jnp
    dim = z.shape[-1]
    every = np.arange(dim)
    first, second = np.triu_indices(dim) if dim <= MAX_PRODUCTS else (every, every)
    one = namespace.ones_like(z[..., :1])
    return namespace.concatenate([one, z, z[..., first] * z[..., second]], axis=-1)
