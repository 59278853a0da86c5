"""Where the time of a training goes, and how far it is from matrix products.

    python benchmarks/training_profile.py [--task T]... [--budget N]

One network with the settings of ``effort="fast"``, one pinned thread. Steps are timed
within the compiled epoch; operations are those that the compiler counts in the program
of one step. The two rates of products are of square matrices: of side 1024, which is
what the machine can do, and of the batch's size, which is what a step is made of.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
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
from retrodict.training.loss import training_loss
from retrodict.training.member import Member, flatten
from retrodict.training.program import Given, Plan, Recipe, given_of, init, run_epoch
from retrodict.training.rows import rows_of
from retrodict.training.settings import default_settings, fast_settings


REPEATS = 7
LARGE = 1024
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Profile(NamedTuple):
    """What one task's training costs.

    Attributes:
        trace_s: Seconds until the epoch is a program for the compiler.
        compile_s: Seconds of the compiler.
        step_ms: Milliseconds of one step.
        loss_ms: Of which the loss alone.
        gradient_ms: Loss and gradient together.
        operations: Floating-point operations of one step, by the compiler's count.
        rate: 1e9 operations per second of one step.
        large: The same of products of large matrices.
        small: The same of products of matrices of the batch's size.
    """

    trace_s: float
    compile_s: float
    step_ms: float
    loss_ms: float
    gradient_ms: float
    operations: float
    rate: float
    large: float
    small: float


def profile(task: str, budget: int) -> Profile:
    """Measure the training of one network.

    Args:
        task: Name of a task of the benchmark.
        budget: Simulations.
    """
    member, given, plan = prepared(task, budget)
    epoch, trace_s, compile_s = compiled_epoch(member, given, plan)
    loss, weights = loss_of(member, given), jnp.asarray(member.weights)
    gradient = jax.value_and_grad(loss)
    per_step = 1e3 / len(plan.rows)
    one = jax.jit(gradient).lower(weights, plan.rows[0]).compile()
    operations = float(one.cost_analysis()["flops"])
    state = init(member)
    step_ms = per_step * seconds(lambda: epoch(state, plan, given))
    return Profile(
        trace_s=trace_s,
        compile_s=compile_s,
        step_ms=step_ms,
        loss_ms=per_step * seconds(partial(over_batches(loss, plan), weights)),
        gradient_ms=per_step * seconds(partial(over_batches(gradient, plan), weights)),
        operations=operations,
        rate=operations / step_ms / 1e6,
        large=product_rate(LARGE),
        small=product_rate(plan.rows.shape[1]),
    )


def prepared(task: str, budget: int) -> tuple[Member, Given, Plan]:
    """Return a network as ``fit`` builds it, its data, and the steps of an epoch."""
    sims = rd.simulate(load_task(task).model, budget, seed=0)
    dim = sims.model.targets.unconstrained_dim
    settings = fast_settings(default_settings(budget, dim, num_members=1), budget)
    network = rd.fit(sims, settings=replace(settings, epochs=1)).network
    value = network.scale.apply(network.space.unconstrain(sims.targets))
    z = apply_scalers(network.scalers, {"x": np.asarray(sims.x)})
    member = flatten(network.members[0])
    given = given_of(
        member, settings.weight_decay, rows_of(value.astype(np.float32), z)
    )
    order = np.random.default_rng(0).permutation(budget)
    steps = budget // settings.batch_size
    return (
        member,
        given,
        Plan(
            order[: steps * settings.batch_size].reshape(steps, -1),
            np.full(steps, 1e-4, np.float32),
            np.zeros(steps, np.uint32),
        ),
    )


def compiled_epoch(
    member: Member, given: Given, plan: Plan
) -> tuple[Callable[..., Any], float, float]:
    """Return the program of an epoch, and the seconds to trace and to compile it."""
    recipe = Recipe(member.layout, clip_norm=5.0, brief=False)
    begun = time.perf_counter()
    lowered = jax.jit(partial(run_epoch, recipe)).lower(init(member), plan, given)
    traced = time.perf_counter()
    epoch = lowered.compile()
    return epoch, traced - begun, time.perf_counter() - traced


def loss_of(member: Member, given: Given) -> Callable[[Any, Any], Any]:
    """Return the loss of a batch as a function of flat weights."""

    def loss(weights: Any, index: Any) -> Any:
        chosen = given.rows.take(index)
        estimator = member.layout.build(weights, given.fixed)
        return training_loss(jr.key(0), estimator, chosen.value, chosen.x)

    return loss


def over_batches(function: Callable[..., Any], plan: Plan) -> Callable[[Any], Any]:
    """Compile the sum of what a function returns for every batch, so none is unused."""

    def one(weights: Any, index: Any) -> Any:
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(weights, index)))

    return jax.jit(lambda weights: jax.lax.map(partial(one, weights), plan.rows))


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
    """Print one column a task."""
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
