"""One member's training: whole epochs compiled as one program."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from ..estimators import trainable
from .loss import npe_loss
from .settings import Settings


class Rows(NamedTuple):
    """Standardized simulations on the device.

    Attributes:
        value: ``(n, dim)`` unconstrained, standardized theta.
        x: Standardized series, each ``(n, ...)``.
    """

    value: Float[Array, "n dim"]
    x: Mapping[str, Array]

    def take(self, index: Int[Array, " batch"]) -> "Rows":
        """Gather some of the rows."""
        return Rows(self.value[index], {k: v[index] for k, v in self.x.items()})


class Split(NamedTuple):
    """Indices of the training and the validation part of one member."""

    train: Int[Array, " train"]
    validation: Int[Array, " validation"]


class Recipe(NamedTuple):
    """What is the same for every member and every epoch.

    Attributes:
        fixed: Leaves of the estimator that are not trained.
        optimizer: Gives a step from a gradient.
        batch_size: Rows of one step.
        with_dropout: Whether the estimator draws while it is trained.
    """

    fixed: PyTree
    optimizer: optax.GradientTransformation
    batch_size: int
    with_dropout: bool


class State(NamedTuple):
    """What the next epoch needs.

    Attributes:
        weights: Trainable leaves now.
        best: Trainable leaves at the lowest validation loss so far.
        best_loss: That loss, in nats of the standardized value.
        optimizer: State of the optimizer.
        epoch: Epochs done.
    """

    weights: PyTree
    best: PyTree
    best_loss: Float[Array, ""]
    optimizer: PyTree
    epoch: Int[Array, ""]


class Info(NamedTuple):
    """What a person reads after an epoch: losses in nats, steps that were skipped."""

    train: Float[Array, ""]
    validation: Float[Array, ""]
    skipped: Int[Array, ""]


def make_optimizer(settings: Settings, num_steps: int) -> optax.GradientTransformation:
    """AdamW with warm-up, cosine decay and clipping; non-finite steps are skipped.

    Decoupled weight decay is a Gaussian prior on the weights. It acts on matrices only:
    a prior that pulls biases to zero would pull the mean of the posterior.
    """
    warmup = max(1, round(settings.warmup_fraction * num_steps))
    rate = optax.warmup_cosine_decay_schedule(
        settings.learning_rate / 20, settings.learning_rate, warmup, num_steps
    )
    return optax.apply_if_finite(
        optax.chain(
            optax.clip_by_global_norm(settings.clip_norm),
            optax.adamw(
                rate,
                weight_decay=settings.weight_decay,
                mask=partial(jax.tree.map, lambda leaf: leaf.ndim > 1),
            ),
        ),
        max_consecutive_errors=1_000_000,
    )


def init(estimator: PyTree, optimizer: optax.GradientTransformation) -> State:
    """Return the state before the first epoch."""
    weights = eqx.filter(estimator, trainable(estimator))
    copy = partial(jax.tree.map, jnp.copy)  # states are donated: share no buffer
    return State(
        copy(weights),
        copy(weights),
        jnp.asarray(jnp.inf),
        optimizer.init(weights),
        jnp.asarray(0),
    )


def run_epoch(
    recipe: Recipe, state: State, key: Key[Array, ""], rows: Rows, split: Split
) -> tuple[State, Info]:
    """Train one pass over the training part, then measure the validation loss.

    The order of rows is a function of ``key`` and the epoch, so that a run can be
    continued without remembering it. The last rows that do not fill a batch wait for
    the next epoch's order.

    Args:
        recipe: Optimizer and batch size.
        state: What the epoch before left.
        key: PRNG key of the member, the same in every epoch.
        rows: All simulations.
        split: Which of them are trained on.
    """
    key_order, key_dropout = jr.split(jr.fold_in(key, state.epoch))
    order = jr.permutation(key_order, split.train)
    steps = len(split.train) // recipe.batch_size
    batches = order[: steps * recipe.batch_size].reshape(steps, recipe.batch_size)

    def step(carry: Any, item: Any) -> Any:
        weights, optimizer_state = carry
        index, number = item
        batch, key_step = rows.take(index), jr.fold_in(key_dropout, number)
        value, gradient = jax.value_and_grad(_loss)(weights, recipe, batch, key_step)
        updates, optimizer_state = recipe.optimizer.update(
            gradient, optimizer_state, weights
        )
        return (optax.apply_updates(weights, updates), optimizer_state), value

    (weights, optimizer_state), losses = jax.lax.scan(
        step, (state.weights, state.optimizer), (batches, jnp.arange(steps))
    )
    estimator = eqx.combine(weights, recipe.fixed)
    validation = validation_loss(estimator, rows, split.validation)
    better = validation < state.best_loss
    best = jax.tree.map(partial(jnp.where, better), weights, state.best)
    best_loss = jnp.where(better, validation, state.best_loss)
    state = State(weights, best, best_loss, optimizer_state, state.epoch + 1)
    return state, Info(losses.mean(), validation, optimizer_state.total_notfinite)


def _loss(
    weights: PyTree, recipe: Recipe, batch: Rows, key: Key[Array, ""]
) -> Float[Array, ""]:
    keys = jr.split(key, recipe.batch_size) if recipe.with_dropout else None
    return npe_loss(eqx.combine(weights, recipe.fixed), batch.value, batch.x, keys)


def validation_loss(
    estimator: PyTree, rows: Rows, held_out: Int[Array, " validation"]
) -> Float[Array, ""]:
    """Return the mean loss of the validation part, in chunks of bounded memory."""
    chunk = min(1024, len(held_out))
    padded = -len(held_out) % chunk
    weight = jnp.pad(jnp.ones(len(held_out)), (0, padded)).reshape(-1, chunk)
    index = jnp.pad(held_out, (0, padded)).reshape(-1, chunk)

    def total(carry, item):
        part = rows.take(item[0])
        values = jax.vmap(estimator.log_prob)(part.value, part.x)
        return carry - jnp.sum(jnp.where(item[1] > 0, values, 0.0)), None

    return jax.lax.scan(total, jnp.zeros(()), (index, weight))[0] / len(held_out)
