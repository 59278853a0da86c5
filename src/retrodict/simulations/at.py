"""Simulate at given parameters: predictive simulations instead of a campaign."""

import contextlib
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
from .dataset import as_series, usable
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
        Series ``(m, *shape)`` by name (``"x"`` when x is one array), of the ``m <= n``
        rows that succeed: those that raise or are not finite are left out.

    Raises:
        ValueError: If a sampled parameter is missing.
    """
    rows = model.prior.space.unflatten(model.prior.space.flatten(theta))
    count = len(next(iter(rows.values())))
    if isinstance(model.simulator, JaxSimulator):
        keys = jax.vmap(partial(jr.fold_in, key))(np.arange(count, dtype=np.uint32))
        arrays = {k: jnp.asarray(v, jnp.float32) for k, v in rows.items()}
        x = as_series(compiled_simulator(model)(keys, arrays))
        return _finite(model, {name: np.asarray(v) for name, v in x.items()})
    rng = numpy_generator(key)
    outputs = []
    for i in range(count):
        # The user's code may raise anything, as it may in a campaign.
        with contextlib.suppress(Exception):
            x = model.simulator.function(rng, {k: v[i] for k, v in rows.items()})
            outputs.append({k: np.asarray(v) for k, v in as_series(x).items()})
    shapes = [{k: v.shape for k, v in output.items()} for output in outputs]
    alike = [o for o, s in zip(outputs, shapes, strict=True) if s == shapes[0]]
    return _finite(
        model, {k: np.stack([o[k] for o in alike]) for k in alike[0]} if alike else {}
    )


def _finite(model: Model, x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep the rows that are finite in every series, or missing where they may be."""
    good = [
        usable(v.reshape(len(v), -1), name in model.maskable).all(1)
        for name, v in x.items()
    ]
    return {name: values[np.all(good, axis=0)] for name, values in x.items()}
