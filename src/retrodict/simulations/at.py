"""Simulate at given parameters: predictive simulations instead of a campaign."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from .._core.seeds import numpy_generator
from ..model import JaxSimulator, Model
from .dataset import as_series
from .inline import compiled_simulator


def simulate_at(
    key: Key[Array, ""], model: Model, theta: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Simulate once at each given theta, in this process.

    Args:
        key: PRNG key of the simulator's randomness.
        model: What to simulate.
        theta: One array ``(n, *shape)`` per sampled parameter.

    Returns:
        Series ``(n, *shape)`` by name (``"x"`` when x is one array).

    Raises:
        ValueError: If a sampled parameter is missing.
    """
    rows = model.prior.space.unflatten(model.prior.space.flatten(theta))
    count = len(next(iter(rows.values())))
    if isinstance(model.simulator, JaxSimulator):
        keys = jax.vmap(partial(jr.fold_in, key))(np.arange(count, dtype=np.uint32))
        arrays = {k: jnp.asarray(v, jnp.float32) for k, v in rows.items()}
        x = as_series(compiled_simulator(model)(keys, arrays))
        return {name: np.asarray(values) for name, values in x.items()}
    rng = numpy_generator(key)
    outputs = [
        as_series(model.simulator.function(rng, {k: v[i] for k, v in rows.items()}))
        for i in range(count)
    ]
    return {k: np.stack([np.asarray(o[k]) for o in outputs]) for k in outputs[0]}
