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

from .._core.errors import DataError
from .._core.seeds import numpy_generator
from ..model import JaxSimulator, Model
from .dataset import Simulations, as_series, like_series, usable
from .inline import compiled_simulator
from .messages import STATUSES


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
    x, status = _simulated(key, model, _rows(model, theta))
    return {name: values[status == 0] for name, values in x.items()}


def simulations_at(
    key: Key[Array, ""], model: Model, theta: Mapping[str, Any], *, seed: int = 0
) -> Simulations:
    """Simulate once at each given theta, in this process, and keep what failed too.

    Args:
        key: PRNG key of the simulator's randomness.
        model: What to simulate.
        theta: One array ``(n, *shape)`` per sampled parameter.
        seed: The seed that the key comes from, to be remembered.

    Raises:
        DataError: If no row succeeds.
        ValueError: If a sampled parameter is missing.
    """
    rows = _rows(model, theta)
    x, status = _simulated(key, model, rows)
    if status.all():
        raise DataError(
            f"theta: Expected parameters at which {model.name} can be simulated; all "
            f"{len(status)} rows failed."
        )
    return Simulations(
        model=model,
        theta=rows,
        derived=model.derived(rows),
        x=like_series(x, set(x) == {"x"}),
        status=status,
        index=np.arange(len(status)),
        seed=seed,
        stream="at",
    )


def _rows(model: Model, theta: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return model.prior.space.unflatten(model.prior.space.flatten(theta))


def _simulated(
    key: Key[Array, ""], model: Model, rows: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return series and status of every row."""
    count = len(next(iter(rows.values())))
    if isinstance(model.simulator, JaxSimulator):
        keys = jax.vmap(partial(jr.fold_in, key))(np.arange(count, dtype=np.uint32))
        arrays = {k: jnp.asarray(v, jnp.float32) for k, v in rows.items()}
        found = as_series(compiled_simulator(model)(keys, arrays))
        x = {name: np.asarray(v) for name, v in found.items()}
        status = np.zeros(count, np.int8)
    else:
        x, status = _called(key, model.simulator.function, rows, count)
    good = [
        usable(v.reshape(count, -1), name in model.maskable).all(1)
        for name, v in x.items()
    ]
    finite = np.logical_and.reduce([np.ones(count, bool), *good])
    nonfinite = (status == 0) & ~finite
    return x, np.where(nonfinite, STATUSES.index("nonfinite"), status).astype(np.int8)


def _called(
    key: Key[Array, ""], function: Any, rows: Mapping[str, np.ndarray], count: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Call a Python simulator once per row; x of rows that fail is zero."""
    rng = numpy_generator(key)
    x: dict[str, np.ndarray] = {}
    status = np.full(count, STATUSES.index("exception"), np.int8)
    for i in range(count):
        one: dict[str, np.ndarray] = {}
        # The user's code may raise anything, as it may in a campaign.
        with contextlib.suppress(Exception):
            found = as_series(function(rng, {k: v[i] for k, v in rows.items()}))
            one = {name: np.asarray(values) for name, values in found.items()}
        shapes = {name: values.shape for name, values in one.items()}
        x = x or {k: np.zeros((count, *v.shape), v.dtype) for k, v in one.items()}
        if one and shapes == {k: v.shape[1:] for k, v in x.items()}:
            status[i] = 0
            for name, values in one.items():
                x[name][i] = values
        elif one:
            status[i] = STATUSES.index("bad_shape")
    return x, status
