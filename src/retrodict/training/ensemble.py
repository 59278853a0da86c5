"""Train the members of an ensemble: one compiled program, one thread a member.

Members differ in their initial weights, their order of batches and their validation
part. On two cores the members of a small flow trained in threads took 2.2 s where one
program vectorized over members took 6.6 s, and compiled in 3 s instead of 21 s: batched
products of small matrices are slow on a CPU, and every member has its own sequence of
steps, so nothing is gained by keeping them in step.
"""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.errors import DataError
from .._core.progress import Progress, progress
from ..estimators import Estimator, trainable
from .build import build_estimator, vector_edges
from .loop import Recipe, Rows, Split, State, init, make_optimizer, run_epoch
from .settings import Settings


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        members: The networks, each with the weights of its best validation loss.
        train: Mean training loss ``(epochs, members)``, nats of standardized theta.
        validation: Mean validation loss ``(epochs, members)``, likewise.
        skipped: Steps per member that were skipped because they were not finite.
        held_out: Validation rows of each member.
        compile_s: Seconds spent compiling.
        train_s: Seconds spent training, compilation apart.
    """

    members: tuple[Estimator, ...]
    train: np.ndarray
    validation: np.ndarray
    skipped: np.ndarray
    held_out: tuple[np.ndarray, ...]
    compile_s: float
    train_s: float


def train_ensemble(
    key: Key[Array, ""],
    value: Float[np.ndarray, "n dim"],
    x: Mapping[str, np.ndarray],
    settings: Settings,
) -> Trained:
    """Train ``settings.num_members`` networks on standardized simulations.

    Equal arguments give equal weights, whatever the number of threads.

    Args:
        key: PRNG key of splits, initial weights and orders.
        value: Standardized, unconstrained theta, float32.
        x: Standardized series, float32, each ``(n, ...)``.
        settings: Architecture and schedule.

    Raises:
        DataError: If there are too few simulations to hold any out, or if a member
            never reached a finite validation loss.
    """
    count = len(value)
    held = _num_held_out(count, settings)
    key_split, key_weights, key_order = jr.split(key, 3)
    numbers = range(settings.num_members)
    networks = _networks(key_weights, value, x, settings)
    splits = [_split(jr.fold_in(key_split, m), count, held) for m in numbers]
    orders = [jr.fold_in(key_order, m) for m in numbers]
    rows = Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    recipe = _recipe(networks[0], settings, count - held)
    states = [init(network, recipe.optimizer) for network in networks]
    begun = time.perf_counter()
    compiled = _compile(recipe, states[0], orders[0], rows, splits[0])
    compile_s = time.perf_counter() - begun

    def one_epoch(member: int, state: State) -> tuple[State, Any]:
        return compiled(state, orders[member], rows, splits[member])

    states, (train, validation, skipped) = _train(one_epoch, states, settings.epochs)
    if not np.isfinite(validation).any(axis=0).all():  # one untrained member is enough
        raise DataError(
            "fit: the loss was never finite. Expected simulations without extreme "
            "outliers; look at the ranges of theta and x."
        )
    return Trained(
        members=tuple(eqx.combine(state.best, recipe.fixed) for state in states),
        train=train,
        validation=validation,
        skipped=skipped[-1].astype(int),
        held_out=tuple(np.asarray(split.validation) for split in splits),
        compile_s=compile_s,
        train_s=time.perf_counter() - begun - compile_s,
    )


def _num_held_out(count: int, settings: Settings) -> int:
    held = max(1, round(settings.validation_fraction * count))
    if count - held < 10:
        raise DataError(
            f"simulations: Expected at least 12 that can be used; got {count}. "
            "Simulate more."
        )
    return held


def _networks(
    key: Key[Array, ""],
    value: np.ndarray,
    x: Mapping[str, np.ndarray],
    settings: Settings,
) -> list[Estimator]:
    shapes = {name: values.shape[1:] for name, values in x.items()}
    edges = vector_edges(x, settings)
    return [
        build_estimator(
            jr.fold_in(key, member), settings, shapes, edges, value.shape[1]
        )
        for member in range(settings.num_members)
    ]


def _recipe(network: Estimator, settings: Settings, num_rows: int) -> Recipe:
    batch_size = min(settings.batch_size, num_rows)
    steps = settings.epochs * (num_rows // batch_size)
    return Recipe(
        fixed=eqx.filter(network, trainable(network), inverse=True),
        optimizer=make_optimizer(settings, steps),
        batch_size=batch_size,
        with_dropout=settings.dropout > 0,
    )


def _compile(recipe: Recipe, *example: Any) -> Any:
    """Compile one epoch of any member; the state given to it is used up."""
    epoch = jax.jit(partial(run_epoch, recipe), donate_argnums=0)
    return epoch.lower(*example).compile()


def _train(
    one_epoch: Callable[[int, State], tuple[State, Any]],
    states: list[State],
    epochs: int,
) -> tuple[list[State], np.ndarray]:
    """Train all members; return last states and history ``(3, epochs, members)``."""
    stop = Event()
    with progress("Training", epochs * len(states)) as bar:

        def train(member: int) -> tuple[State, list[Any]]:
            each = partial(one_epoch, member)
            return _epochs(each, states[member], epochs, bar, stop)

        with ThreadPoolExecutor(_num_threads()) as pool:
            try:
                results = list(pool.map(train, range(len(states))))
            finally:
                stop.set()  # after Ctrl-C: end at the next epoch, not at the last
    histories = np.stack([np.array(history) for _, history in results], axis=-1)
    return [state for state, _ in results], histories.transpose(1, 0, 2)


def _epochs(
    one_epoch: Any, state: Any, epochs: int, bar: Progress, stop: Event
) -> tuple[Any, list[tuple[float, float, float]]]:
    history = []
    for _ in range(epochs):
        if stop.is_set():
            break
        state, info = one_epoch(state)
        history.append(tuple(float(value) for value in info))
        loss = f"loss {history[-1][0]:.3f}, held out {history[-1][1]:.3f}"
        bar.advance(1, note=loss)
    return state, history


def _split(key: Key[Array, ""], count: int, held: int) -> Split:
    order = jr.permutation(key, count)
    return Split(order[held:], order[:held])


def _num_threads() -> int:
    """One thread a core on the CPU; an accelerator runs one program at a time."""
    return (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1
