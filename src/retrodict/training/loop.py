"""One member's training: an epoch, or a long part of one, compiled as one program.

All trainable leaves live in one flat vector: the optimizer is then one fused pass over
memory instead of dozens of small ones, which halves the time to compile. What differs
between two trainings of the same shape (order of rows, rates, decay) is an argument of
the program, not part of it: schedules are raced and members trained with one program.
"""

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from ..estimators import Estimator, trainable
from .loss import training_loss
from .settings import Settings


CHUNK = 1024  # rows of one step of the validation loss
# Of one call of the program: what a signal may have to wait for, and what mapped rows
# take in memory.
MAX_STEPS = 1000
MAX_BYTES = 2**28


class Rows(NamedTuple):
    """Standardized simulations: on the device, or mapped from files.

    Attributes:
        value: ``(n, dim)`` unconstrained, standardized theta.
        x: Standardized series, each ``(n, ...)``.
    """

    value: Any
    x: Mapping[str, Any]

    def take(self, index: Any) -> "Rows":
        """Gather some of the rows."""
        return Rows(self.value[index], {k: v[index] for k, v in self.x.items()})

    @property
    def mapped(self) -> bool:
        """Whether they are too many for the device."""
        return isinstance(self.value, np.ndarray)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        leaves = (self.value, *self.x.values())
        return sum(v.dtype.itemsize * math.prod(v.shape[1:]) for v in leaves)

    def on_device(self, index: Int[np.ndarray, "..."]) -> tuple["Rows", np.ndarray]:
        """Return rows for a program, and where in them it finds those of ``index``.

        Of mapped rows these alone are loaded, in the order of the file.
        """
        if not self.mapped:
            return self, index
        chosen, place = np.unique(index, return_inverse=True)
        chosen = np.resize(chosen, index.size)  # programs have one shape
        part = jax.tree.map(jnp.asarray, self.take(chosen))
        return part, place.reshape(index.shape).astype(np.int32)


def rows_of(value: np.ndarray, x: Mapping[str, np.ndarray]) -> Rows:
    """Put simulations on the device, unless they are mapped from files."""
    if any(isinstance(series, np.memmap) for series in x.values()):
        return Rows(np.asarray(value), x)
    return Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})


class Layout(NamedTuple):
    """How the flat vector of weights becomes an estimator; hashable.

    Attributes:
        tree: Structure of the trainable leaves.
        shapes: Their shapes, in order.
    """

    tree: Any
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, weights: PyTree) -> "Layout":
        """Read the layout off trainable leaves."""
        leaves, tree = jax.tree.flatten(weights)
        return cls(tree, tuple(leaf.shape for leaf in leaves))

    def build(self, vector: Float[Array, " size"], fixed: PyTree) -> Estimator:
        """Put the weights back among the leaves that are not trained."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        parts = jnp.split(vector, [int(end) for end in ends])
        leaves = [p.reshape(s) for p, s in zip(parts, self.shapes, strict=True)]
        return eqx.combine(jax.tree.unflatten(self.tree, leaves), fixed)


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


class Info(NamedTuple):
    """What a person reads after an epoch: losses in nats, steps that were skipped."""

    train: float
    validation: float
    skipped: int


class Member(NamedTuple):
    """A network before its training.

    Attributes:
        layout: How its flat weights become an estimator.
        weights: Initial weights, flat.
        matrices: Relative decay of the weights that belong to a matrix, else 0.
        free: 1 where a weight is trained, 0 where it keeps its initial value.
        fixed: Leaves that are not trained.
    """

    layout: Layout
    weights: Float[np.ndarray, " size"]
    matrices: Float[np.ndarray, " size"]
    free: Float[np.ndarray, " size"]
    fixed: PyTree


def flatten(estimator: Estimator, constant_shape: bool = False) -> Member:
    """Split an estimator into flat weights and the rest."""
    weights, fixed = eqx.partition(estimator, trainable(estimator))
    free = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), weights)
    if constant_shape:
        weights, free = (shape_zeroed(tree) for tree in (weights, free))
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(weights)]
    matrices = [
        np.full(leaf.size, (leaf.ndim > 1) * _relative_decay(path), np.float32)
        for path, leaf in jax.tree_util.tree_leaves_with_path(weights)
    ]
    return Member(
        Layout.of(weights),
        np.concatenate([leaf.ravel() for leaf in leaves]),
        np.concatenate(matrices),
        np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(free)]),
        fixed,
    )


def _relative_decay(path: tuple[Any, ...]) -> float:
    """Return how firmly a weight is held, relative to the settings.

    What reads x is held firmly, so that x is not over-read; what gives the density its
    shape is learned from all simulations together and may be intricate.
    """
    return 0.1 if ".density.layers" in jax.tree_util.keystr(path) else 1.0


def shape_zeroed(estimator: PyTree) -> PyTree:
    """Set to zero what lets the condition act on more than the location.

    For priors and simulators that only move a density, such as x = theta + noise, the
    shape is learned from all simulations at once.
    """

    def parts(tree: Any) -> Any:
        density = tree.density
        return density.whitening.head.weight, density.from_condition.weight

    head, conditions = parts(estimator)
    rows = np.arange(len(head))[:, None] < estimator.density.dim
    return eqx.tree_at(parts, estimator, (head * rows, conditions * 0))


def learning_rates(settings: Settings, num_steps: int) -> Float[np.ndarray, " steps"]:
    """Return the rate of every step: linear warm-up, then a cosine to zero."""
    warmup = max(1, round(settings.warmup_fraction * num_steps))
    rise = (np.arange(warmup) + 1) / warmup
    fall = 0.5 * (1 + np.cos(np.pi * np.linspace(0, 1, max(num_steps - warmup, 1))))
    curve = np.concatenate([rise, fall])[:num_steps]
    return (settings.learning_rate * curve).astype(np.float32)


class Given(NamedTuple):
    """What stays the same during a training.

    Attributes:
        decay: Weight decay of every weight.
        free: Which weights are trained.
        fixed: Leaves of the estimator that are not trained.
        rows: Simulations, with those that are needed among them.
    """

    decay: Float[Array, " size"]
    free: Float[Array, " size"]
    fixed: PyTree
    rows: Rows


class Plan(NamedTuple):
    """The steps of one epoch.

    Attributes:
        rows: Which rows each step sees, ``(steps, batch)``.
        rates: Learning rate of each step, ``(steps,)``.
        seeds: Seed of each step, for losses that draw random numbers, ``(steps,)``.
    """

    rows: Any
    rates: Any
    seeds: Any


class Recipe(NamedTuple):
    """What a program is compiled for; hashable."""

    layout: Layout
    clip_norm: float


class Split(NamedTuple):
    """Indices of the training and the validation part of one member."""

    train: Int[np.ndarray, " train"]
    held_out: Int[np.ndarray, " validation"]


class Programs(NamedTuple):
    """Compiled for one architecture and one number of rows.

    Attributes:
        epoch: ``(state, plan, given) -> (state, losses)``; uses up the state.
        validation: ``(weights, held_out, given) -> loss`` of every held-out row.
    """

    epoch: Callable[..., tuple[State, Array]]
    validation: Callable[..., Array]


def compile_programs(
    member: Member, settings: Settings, rows: Rows, split: Split
) -> Programs:
    """Compile what trains a member; nothing if that shape was compiled before."""
    _, steps, batch = _shape(settings, split, rows)
    plan = Plan(
        np.zeros((steps, batch), np.int32),
        np.zeros(steps, np.float32),
        np.zeros(steps, np.uint32),
    )
    held_out = np.zeros(_num_validated(split, rows), np.int32)
    arguments = {
        "epoch": (init(member), plan, _example(member, rows, plan[0].size)),
        "validation": (member.weights, held_out, _example(member, rows, held_out.size)),
    }
    recipe = Recipe(member.layout, settings.clip_norm)
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(_compiled, name, recipe, _signature(values))
            for name, values in arguments.items()
        ]
        return Programs(*(job.result() for job in jobs))


def _example(member: Member, rows: Rows, count: int) -> Given:
    """Return what has the shapes of a program's simulations."""
    if rows.mapped:
        shapes = lambda v: jax.ShapeDtypeStruct((count, *v.shape[1:]), v.dtype)  # noqa: E731
        rows = jax.tree.map(shapes, rows)
    return _given(member, 1.0, rows)


def _given(member: Member, decay: float, rows: Rows) -> Given:
    decays = jnp.asarray(decay * member.matrices)
    return Given(decays, jnp.asarray(member.free), member.fixed, rows)


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
        return jax.jit(epoch, donate_argnums=0).lower(*arguments).compile()

    def validation(vector: Array, held_out: Array, given: Given) -> Array:
        estimator = recipe.layout.build(vector, given.fixed)
        return held_out_losses(estimator, given.rows, held_out)

    return jax.jit(validation).lower(*arguments).compile()


def run_epoch(
    recipe: Recipe,
    state: State,
    plan: Plan,
    given: Given,
) -> tuple[State, Float[Array, " steps"]]:
    """Take one step for each batch of the plan; return the loss before each step."""

    def loss(vector: Array, batch: Rows, seed: Array) -> Array:
        estimator = recipe.layout.build(vector, given.fixed)
        return training_loss(jr.key(seed), estimator, batch.value, batch.x)

    def step(state: State, item: Plan) -> tuple[State, Array]:
        index, rate, seed = item
        batch = given.rows.take(index)
        value, gradient = jax.value_and_grad(loss)(state.weights, batch, seed)
        gradient = gradient * given.free
        return take_step(state, gradient, rate, given.decay, recipe.clip_norm), value

    return jax.lax.scan(step, state, plan)


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


def held_out_losses(
    estimator: Estimator, rows: Rows, held_out: Int[Array, " validation"]
) -> Float[Array, " validation"]:
    """Return -log q of every held-out row, in chunks of bounded memory."""
    chunk = min(CHUNK, len(held_out))
    index = jnp.pad(held_out, (0, -len(held_out) % chunk)).reshape(-1, chunk)

    def one_chunk(index: Array) -> Array:
        part = rows.take(index)
        return -estimator.log_prob_rows(part.value, part.x)

    return jax.lax.map(one_chunk, index).ravel()[: len(held_out)]


class Run(NamedTuple):
    """The result of one member's training.

    Attributes:
        weights: Flat weights at the lowest validation loss.
        losses: That loss row by row, in nats of the standardized value.
        history: One entry per epoch.
    """

    weights: Float[np.ndarray, " size"]
    losses: Float[np.ndarray, " validation"]
    history: list[Info]


class Position(NamedTuple):
    """Where a training is: all that its next step depends on.

    Attributes:
        state: State of the optimizer.
        best: The best epoch so far.
        history: One entry per finished epoch.
        order: State of the generator before the order of the current epoch was drawn.
        losses: Training losses of the finished parts of the current epoch.
    """

    state: State
    best: Run
    history: list[Info]
    order: Mapping[str, Any]
    losses: list[np.ndarray]


@runtime_checkable
class Watch(Protocol):
    """What follows a training from outside."""

    def begin(self, position: Position) -> Position:
        """Return where to begin: there, or where an earlier session came to."""
        ...

    def after(self, position: Position) -> bool:
        """Look at a training between two parts of an epoch; true ends it."""
        ...


def train_member(
    member: Member,
    settings: Settings,
    rows: Rows,
    split: Split,
    *,
    rng: np.random.Generator,
    watch: Watch,
) -> Run:
    """Train one network and keep the weights of its best epoch.

    The last rows that do not fill a batch wait for the next epoch's order.

    Args:
        member: The network.
        settings: Its schedule.
        rows: All simulations.
        split: Indices trained on, and held out.
        rng: Draws the order of rows of every epoch.
        watch: Follows the training, and may end it.
    """
    programs = compile_programs(member, settings, rows, split)
    given = _given(member, settings.weight_decay, rows)
    rates = _rates(settings, split, rows)
    best = Run(member.weights, np.full(len(split.held_out), np.inf), [])
    order = rng.bit_generator.state
    here = watch.begin(Position(init(member), best, [], order, []))
    while len(here.history) < settings.epochs:
        rng.bit_generator.state = here.order
        orders = _orders(settings, split, rows, rng)
        seeds = rng.integers(2**32, size=orders.shape[:2], dtype=np.uint32)
        for part in range(len(here.losses), len(orders)):
            loaded, order = rows.on_device(orders[part])
            plan = Plan(order, rates[len(here.history), part], seeds[part])
            given = given._replace(rows=loaded)
            state, losses = programs.epoch(here.state, plan, given)
            losses = [*here.losses, np.asarray(losses)]
            here = here._replace(state=state, losses=losses)
            if part + 1 < len(orders) and watch.after(here):
                return here.best._replace(history=here.history)
        each = _validate(programs, here.state.weights, split, rows, given)
        here = _end_epoch(here, each)._replace(order=rng.bit_generator.state)
        if watch.after(here):
            break
    return here.best._replace(history=here.history)


def _validate(
    programs: Programs, weights: Array, split: Split, rows: Rows, given: Given
) -> Float[np.ndarray, " validation"]:
    """Return the loss of every held-out row."""
    count, found = _num_validated(split, rows), []
    for start in range(0, len(split.held_out), count):
        index = np.resize(split.held_out[start : start + count], count)
        loaded, place = rows.on_device(index)
        part = programs.validation(weights, place, given._replace(rows=loaded))
        found.append(np.asarray(part))
    return np.concatenate(found)[: len(split.held_out)]


def _num_validated(split: Split, rows: Rows) -> int:
    """Return how many rows one call of the validation program takes."""
    count = len(split.held_out)
    return min(count, max(CHUNK, MAX_BYTES // rows.row_bytes)) if rows.mapped else count


def _rates(
    settings: Settings, split: Split, rows: Rows
) -> Float[np.ndarray, "epochs parts steps"]:
    parts, steps, _ = _shape(settings, split, rows)
    rates = learning_rates(settings, settings.epochs * parts * steps)
    return rates.reshape(settings.epochs, parts, steps)


def _orders(
    settings: Settings, split: Split, rows: Rows, rng: np.random.Generator
) -> Int[np.ndarray, "parts steps batch"]:
    """Draw the order of rows of an epoch, in parts of one length."""
    shape = _shape(settings, split, rows)
    return rng.permutation(split.train)[: math.prod(shape)].reshape(shape)


def _end_epoch(here: Position, each: Float[np.ndarray, " validation"]) -> Position:
    """Note the losses of an epoch, and its weights if they are the best."""
    loss = float(each.mean(dtype=np.float64))
    train = float(np.concatenate(here.losses).mean(dtype=np.float64))
    history = [*here.history, Info(train, loss, int(here.state.skipped))]
    best = here.best
    if loss < best.losses.mean(dtype=np.float64):
        best = Run(np.array(here.state.weights), each, [])
    return here._replace(best=best, history=history, losses=[])


def _shape(settings: Settings, split: Split, rows: Rows) -> tuple[int, int, int]:
    """Return the parts of an epoch, the steps of each, and the rows of a step."""
    batch = min(settings.batch_size, len(split.train))
    steps = len(split.train) // batch
    most = min(MAX_STEPS, max(1, MAX_BYTES // (batch * rows.row_bytes)))
    parts = -(-steps // most)
    return parts, steps // parts, batch
