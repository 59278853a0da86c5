"""What a training runs, compiled: some steps of an epoch, and its validation.

What differs between two trainings of the same shape (order of rows, rates, decay, the
number of simulations) is an argument of the programs, not part of them: schedules are
raced, members trained and rounds run with one program.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from ..estimators import Estimator
from .loss import training_loss
from .member import Layout, Member
from .rows import Rows


class State(NamedTuple):
    """What the next step needs.

    Attributes:
        weights: Flat vector of trainable weights.
        adam: State of Adam.
        skipped: Steps that were not finite so far.
    """

    weights: Float[Array, " size"]
    adam: PyTree
    skipped: Int[Array, ""]


class Given(NamedTuple):
    """What stays the same during a training.

    Attributes:
        decay: Weight decay of every weight.
        free: Which weights are trained.
        fixed: Leaves of the estimator that are not trained.
    """

    decay: Float[Array, " size"]
    free: Float[Array, " size"]
    fixed: PyTree


class Plan(NamedTuple):
    """Some steps of an epoch, and room for more.

    Attributes:
        rows: What each step sees, ``(steps, batch, ...)``.
        rates: Learning rate of each step, ``(steps,)``.
        seeds: Seed of each step, for losses that draw random numbers, ``(steps,)``.
        count: How many steps are taken.
    """

    rows: Rows
    rates: Any
    seeds: Any
    count: Any


class Recipe(NamedTuple):
    """What a program is compiled for; hashable.

    Attributes:
        layout: How flat weights become an estimator.
        clip_norm: Gradients of a larger norm are scaled down to it.
        brief: Whether so little is trained that compilation counts most.
    """

    layout: Layout
    clip_norm: float
    brief: bool


class Programs(NamedTuple):
    """Compiled for one architecture and one size of a step.

    Attributes:
        epoch: ``(state, plan, given) -> (state, losses)``; uses up the state.
        validation: ``(weights, rows, fixed) -> loss`` of every row.
    """

    epoch: Callable[..., tuple[State, Array]]
    validation: Callable[..., Array]


def compiled(recipe: Recipe, epoch: tuple, validation: tuple) -> Programs:
    """Compile both programs; nothing if those shapes were compiled before.

    Args:
        recipe: What they are compiled for.
        epoch: Arguments of the epoch, or their shapes.
        validation: Arguments of the validation, likewise.
    """
    arguments = {"epoch": epoch, "validation": validation}
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(_compiled, name, recipe, _signature(values))
            for name, values in arguments.items()
        ]
        return Programs(*(job.result() for job in jobs))


def given_of(member: Member, decay: float) -> Given:
    """Gather what stays the same during the training of a member."""
    decays = jnp.asarray(decay * member.matrices)
    return Given(decays, jnp.asarray(member.free), member.fixed)


def _signature(arguments: PyTree) -> tuple[Any, tuple[Any, ...]]:
    """Return structure, shapes and types of arguments, hashable."""
    leaves, tree = jax.tree.flatten(arguments)
    return tree, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


@lru_cache(maxsize=64)
def _compiled(name: str, recipe: Recipe, signature: tuple[Any, tuple[Any, ...]]) -> Any:
    tree, leaves = signature
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in leaves]
    arguments = jax.tree.unflatten(tree, shapes)
    if name == "epoch":
        epoch = partial(run_epoch, recipe)
        lowered = jax.jit(epoch, donate_argnums=0).lower(*arguments)
    else:
        validation = partial(_validation, recipe)
        lowered = jax.jit(validation).lower(*arguments)
    try:
        return lowered.compile(compiler_options=compiler_options(recipe.brief))
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return lowered.compile()  # a compiler of another version has other options


def _validation(recipe: Recipe, vector: Array, rows: Rows, fixed: PyTree) -> Array:
    return row_losses(recipe.layout.build(vector, fixed), rows)


def compiler_options(brief: bool) -> dict[str, str | bool] | None:
    """Compile for less long on a CPU: higher levels made no step faster.

    Without fusion emitters what trains a flow of ten parameters compiles in 5.9 instead
    of 8.6 s, and an epoch takes a fifth longer.
    """
    if jax.default_backend() != "cpu":
        return None
    level: dict[str, str | bool] = {"xla_backend_optimization_level": "1"}
    return level | {"xla_cpu_use_fusion_emitters": False} if brief else level


def run_epoch(
    recipe: Recipe,
    state: State,
    plan: Plan,
    given: Given,
) -> tuple[State, Float[Array, " steps"]]:
    """Take the steps of the plan; return the loss before each, and zeros."""

    def loss(vector: Array, batch: Rows, seed: Array) -> Array:
        estimator = recipe.layout.build(vector, given.fixed)
        return training_loss(jr.key(seed), estimator, batch.value, batch.x)

    def step(number: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, losses = carry
        batch = spread(plan.rows.take(number))
        seed, rate = plan.seeds[number], plan.rates[number]
        value, gradient = jax.value_and_grad(loss)(state.weights, batch, seed)
        gradient = gradient * given.free
        state = take_step(state, gradient, rate, given.decay, recipe.clip_norm)
        return state, losses.at[number].set(value)

    losses = jnp.zeros(len(plan.rates))
    return jax.lax.fori_loop(0, plan.count, step, (state, losses))


def spread(batch: Rows) -> Rows:
    """Divide a batch among the devices, where there are several and it can be.

    Weights stay the same on all of them; the compiler sums their gradients.
    """
    devices = jax.local_devices()
    if len(devices) == 1 or len(batch.value) % len(devices):
        return batch
    divided = NamedSharding(Mesh(np.array(devices), ("rows",)), PartitionSpec("rows"))
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(leaf, divided), batch
    )


def take_step(
    state: State,
    gradient: Float[Array, " size"],
    rate: Float[Array, ""],
    decay: Float[Array, " size"],
    clip_norm: float,
) -> State:
    """Take one step of AdamW; skip and count it when the gradient is not finite.

    Decoupled weight decay is a Gaussian prior on the weights. It acts on matrices only:
    a prior that pulls biases to zero would pull the mean of the posterior.

    Source: Loshchilov, Hutter (2019), arXiv:1711.05101, algorithm 2.
    """
    norm = jnp.linalg.norm(gradient)
    finite = jnp.isfinite(norm)
    scale = jnp.where(finite, jnp.minimum(1.0, clip_norm / norm), 0.0)
    clipped = jnp.where(finite, gradient * scale, 0.0)
    direction, adam = optax.scale_by_adam().update(clipped, state.adam)
    step = jnp.asarray(direction) + decay * state.weights
    weights = state.weights - rate * step
    new = State(weights, adam, state.skipped)
    old = state._replace(skipped=state.skipped + 1)
    return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)


def init(member: Member) -> State:
    """Return the state before the first step."""
    weights = jnp.array(member.weights)  # a copy: states are donated
    return State(weights, optax.scale_by_adam().init(weights), jnp.zeros((), jnp.int32))


def row_losses(estimator: Estimator, rows: Rows) -> Float[Array, " n"]:
    """Return -log q of every row."""
    rows = spread(rows)
    return -estimator.log_prob_rows(rows.value, rows.x)
