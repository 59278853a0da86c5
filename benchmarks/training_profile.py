"""Where the time of a training goes, and how far it is from matrix products.

    python benchmarks/training_profile.py [--task T]... [--budget N]

The network of ``effort="fast"``, one pinned thread. A step is what the whole training
took, by their number; loss and gradient are compiled as the training is. Operations are
those that the compiler counts. The two rates of products are of square matrices: of
side 1024, which is what the machine can do, and of the batch's size, which is what a
step is made of.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import retrodict as rd
from retrodict.bench.tasks import load_task
from retrodict.estimators import apply_scalers
from retrodict.posterior.network import Network
from retrodict.training.loss import training_loss
from retrodict.training.member import flatten
from retrodict.training.program import compiler_options
from retrodict.training.rows import rows_of


REPEATS = 7
LARGE = 1024
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Profile(NamedTuple):
    """What one task's training costs.

    Attributes:
        compile_s: Seconds to trace and compile, as the record of the training says.
        train_s: Seconds of the whole training, validation included, likewise.
        step_ms: Milliseconds of one of its steps.
        loss_ms: The loss of a batch alone.
        gradient_ms: Loss and gradient together.
        operations: Floating-point operations of loss and gradient, by the compiler.
        rate: 1e9 of these per second of a step.
        large: 1e9 operations per second of products of large matrices.
        small: The same of products of matrices of the batch's size.
    """

    compile_s: float
    train_s: float
    step_ms: float
    loss_ms: float
    gradient_ms: float
    operations: float
    rate: float
    large: float
    small: float


def profile(task: str, budget: int) -> Profile:
    """Measure the training of one network, and its parts.

    Args:
        task: Name of a task of the benchmark.
        budget: Simulations.
    """
    sims = rd.simulate(load_task(task).model, budget, seed=0)
    posterior = rd.fit(sims, effort="fast")
    record, batch = posterior.record, posterior.network.settings.batch_size
    steps = int(budget * (1 - record.settings["validation_fraction"])) // batch
    step_ms = 1e3 * record.train_s / (record.settings["epochs"] * steps)
    loss, weights = loss_of(posterior.network, sims)
    gradient = jax.value_and_grad(loss)
    order = np.random.default_rng(0).permutation(budget)[: steps * batch]
    batches = order.reshape(steps, batch)
    one = jax.jit(gradient).lower(weights, batches[0]).compile()
    operations = float(one.cost_analysis()["flops"])
    parts = [seconds(over_batches(f, weights, batches)) for f in (loss, gradient)]
    loss_ms, gradient_ms = (1e3 * part / steps for part in parts)
    return Profile(
        compile_s=record.compile_s,
        train_s=record.train_s,
        step_ms=step_ms,
        loss_ms=loss_ms,
        gradient_ms=gradient_ms,
        operations=operations,
        rate=operations / step_ms / 1e6,
        large=product_rate(LARGE),
        small=product_rate(batch),
    )


def loss_of(network: Network, sims: rd.Simulations) -> tuple[Callable[..., Any], Any]:
    """Return the loss of a batch as a function of flat weights, and the weights."""
    value = network.scale.apply(network.space.unconstrain(sims.targets))
    x = apply_scalers(network.scalers, {"x": np.asarray(sims.x)})
    rows, member = rows_of(value, x), flatten(network.members[0])
    rows = jax.tree.map(jnp.asarray, rows)

    def loss(weights: Any, index: Any) -> Any:
        chosen = rows.take(index)
        estimator = member.layout.build(weights, member.fixed)
        return training_loss(jr.key(0), estimator, chosen.value, chosen.x)

    return loss, jnp.asarray(member.weights)


def over_batches(
    function: Callable[..., Any], weights: Any, batches: np.ndarray
) -> Callable[[], Any]:
    """Compile the sum of what a function returns for every batch, so none is unused."""

    def one(weights: Any, index: Any) -> Any:
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(weights, index)))

    compiled = jax.jit(
        lambda weights: jax.lax.map(partial(one, weights), batches),
        compiler_options=compiler_options(brief=True),
    )
    return partial(compiled, weights)


def product_rate(side: int) -> float:
    """Return 1e9 operations per second of a chain of products of square matrices."""
    count = max(1, 4 * (LARGE // side) ** 2)
    chain = jax.jit(
        lambda a: jax.lax.fori_loop(0, count, lambda _, b: (a @ b) / side, a)
    )
    matrix = jnp.ones((side, side), jnp.float32)
    return 2 * side**3 * count / seconds(lambda: chain(matrix)) / 1e9


def seconds(action: Callable[[], Any]) -> float:
    """Return the median time of an action, after a first one that compiles."""
    times = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        jax.block_until_ready(action())
        times.append(time.perf_counter() - begun)
    return median(times[1:])


def main() -> None:
    """Print one line a task."""
    parser = argparse.ArgumentParser(description="Profile the training of a network.")
    parser.add_argument("--task", action="append")
    parser.add_argument("--budget", type=int, default=10_000)
    given = parser.parse_args()
    print("| task |" + "".join(f" {name} |" for name in Profile._fields))
    print("|---" * (1 + len(Profile._fields)) + "|")
    for task in given.task or ("two_moons", "slcp", "gaussian_linear_uniform"):
        cells = "".join(f" {value:.3g} |" for value in profile(task, given.budget))
        print(f"| {task} |{cells}", flush=True)


if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = ONE_THREAD
    os.environ["RETRODICT_CACHE"] = "off"  # compile as on a fresh machine
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main()
