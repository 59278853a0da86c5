"""Train the members of an ensemble: one compiled program, one thread a member.

Members differ in their initial weights, their order of batches and their validation
part. On two cores the members of a small flow trained in threads took 2.2 s where one
program vectorized over members took 6.6 s, and compiled in 3 s instead of 21 s: batched
products of small matrices are slow on a CPU, and every member has its own sequence of
steps, so nothing is gained by keeping them in step.
"""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from .loop import Data, Split, init, make_optimizer, run_epoch
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
        DataError: If there are too few simulations to hold any out, or if no member
            ever reached a finite validation loss.
    """
    count = len(value)
    held = max(1, round(settings.validation_fraction * count))
    if count - held < 10:
        raise DataError(
            f"simulations: Expected at least 12 that can be used; got {count}. "
            "Simulate more."
        )
    key_split, key_weights, key_order = jr.split(key, 3)
    shapes = {name: values.shape[1:] for name, values in x.items()}
    edges = vector_edges(x, settings)
    data = Data(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    batch = min(settings.batch_size, count - held)
    steps = settings.epochs * ((count - held) // batch)
    optimizer = make_optimizer(settings, steps)
    rank = value.shape[1]
    networks = [
        build_estimator(jr.fold_in(key_weights, m), settings, shapes, edges, rank)
        for m in range(settings.num_members)
    ]
    splits = [
        _split(jr.fold_in(key_split, m), count, held)
        for m in range(settings.num_members)
    ]
    fixed = eqx.filter(networks[0], trainable(networks[0]), inverse=True)

    def epoch(state, key, data, split):
        return run_epoch(
            state, key, data, split, fixed, optimizer, batch, settings.dropout > 0
        )

    states = [init(network, optimizer) for network in networks]
    begun = time.perf_counter()
    example = (states[0], key_order, data, splits[0])
    compiled = jax.jit(epoch, donate_argnums=0).lower(*example).compile()
    compile_s = time.perf_counter() - begun

    def train(member: int) -> tuple[Any, list[Any]]:
        order, split = jr.fold_in(key_order, member), splits[member]
        return _epochs(
            lambda state: compiled(state, order, data, split),
            states[member],
            settings.epochs,
            bar,
            stop,
        )

    stop = Event()
    with progress("Training", settings.epochs * settings.num_members) as bar:
        with ThreadPoolExecutor(_num_threads()) as pool:
            try:
                results = list(pool.map(train, range(settings.num_members)))
            finally:
                stop.set()  # after Ctrl-C: end at the next epoch, not at the last
    histories = [np.array(history) for _, history in results]
    train_loss, validation, skipped = np.stack(histories, axis=-1).transpose(1, 0, 2)
    if not np.isfinite(validation).any():
        raise DataError(
            "fit: the loss was never finite. Expected simulations without extreme "
            "outliers; look at the ranges of theta and x."
        )
    return Trained(
        members=tuple(eqx.combine(state.best, fixed) for state, _ in results),
        train=train_loss,
        validation=validation,
        skipped=skipped[-1].astype(int),
        held_out=tuple(np.asarray(split.validation) for split in splits),
        compile_s=compile_s,
        train_s=time.perf_counter() - begun - compile_s,
    )


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
