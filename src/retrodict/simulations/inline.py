"""The engine for JAX simulators: compiled, vectorized, in this process."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._core.errors import ModelError
from ..model import JaxSimulator, Model, unknown_parameter
from .campaign import Campaign
from .dataset import Block, as_series, mark_nonfinite


class InlineEngine:
    """Run ``jit(vmap(simulator))`` block by block; θ is rounded to float32 first."""

    def run_blocks(self, campaign: Campaign, starts: Sequence[int]) -> Iterator[Block]:
        """Yield the blocks that begin at ``starts``, in that order.

        JAX computes the next block while the last one is being stored.
        """
        simulate = compiled_simulator(campaign.model)

        def begin(start: int) -> tuple[int, dict[str, np.ndarray], Any]:
            theta, keys = campaign.draw_theta(start)
            theta = {k: v.astype(np.float32) for k, v in theta.items()}
            return start, theta, simulate(keys, theta)

        under_way = deque(begin(start) for start in starts[:1])
        for after in [*starts[1:], None]:
            start, theta, x = under_way.popleft()
            if after is not None:
                under_way.append(begin(after))
            yield _finish(campaign.model, start, theta, x)


def _finish(
    model: Model, start: int, theta: dict[str, np.ndarray], output: Any
) -> Block:
    x = {k: _as_float(values, k) for k, values in as_series(output).items()}
    size = len(next(iter(theta.values())))
    status = mark_nonfinite(x, np.zeros(size, np.int8), model.maskable)
    return Block(start, theta, x, status, {})


def compiled_simulator(model: Model) -> Any:
    """Return ``(keys, theta rows) -> x rows``, compiled once per model.

    Raises:
        ModelError: If tracing it fails (message names the error and its cause).
    """
    assert isinstance(model.simulator, JaxSimulator)
    cached = model.__dict__.get("_compiled_simulator")
    if cached is not None:
        return cached
    function = model.simulator.function
    trace_simulator(model)
    compiled = jax.jit(jax.vmap(lambda key, theta: function(key, theta)))
    model.__dict__["_compiled_simulator"] = compiled
    return compiled


def trace_simulator(model: Model) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shape of every series of x, without simulating.

    Raises:
        ModelError: If the simulator raises, or returns something else than numbers.
    """
    theta = {
        field.name: jax.ShapeDtypeStruct(field.shape, jnp.float32)
        for field in model.prior.space.fields
    }
    key = jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32"))
    try:
        shapes = jax.eval_shape(model.simulator.function, key, theta)
    except KeyError as error:
        raise unknown_parameter("simulator", error, model) from error
    except Exception as error:
        raise ModelError(
            f"simulator raised {type(error).__name__} while JAX traced it: "
            f"{_first_line(error)} Use jax.numpy inside it, or name its first argument "
            "`rng` to run it as a Python function."
        ) from error
    series = as_series(shapes)
    for name, leaf in series.items():
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            raise ModelError(
                "simulator: Expected an array or a dictionary of arrays; got "
                f"{type(leaf).__name__} for {name!r}."
            )
    return series


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return text if text.endswith(".") else text + "."


def _as_float(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return array.astype(np.float32)
    if array.dtype.kind != "f":
        raise ModelError(
            f"simulator: series {name!r} has dtype {array.dtype}; Expected real "
            "numbers."
        )
    return array
