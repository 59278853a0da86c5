"""One member's training: epochs, the best weights, and where a session came to."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, Int

from .member import Member
from .program import (
    Plan,
    Programs,
    Recipe,
    State,
    compiled,
    given_of,
    init,
)
from .rows import Rows
from .settings import Settings


# Of one call of the program: what a signal may have to wait for, and what its rows take
# in memory. It has room for as many steps, so that one program serves any number of
# rows.
MAX_STEPS = 128
MAX_BYTES = 2**26
BRIEF_BYTES = 2**24  # of the rows that one network is trained on
CHUNK = 1024  # rows of one call of the validation: few compile as fast as many


class Info(NamedTuple):
    """What a person reads after an epoch: losses in nats, steps that were skipped."""

    train: float
    validation: float
    skipped: int


def learning_rates(settings: Settings, num_steps: int) -> Float[np.ndarray, " steps"]:
    """Return the rate of every step: linear warm-up, then a cosine to zero."""
    warmup = max(1, round(settings.warmup_fraction * num_steps))
    rise = (np.arange(warmup) + 1) / warmup
    fall = 0.5 * (1 + np.cos(np.pi * np.linspace(0, 1, max(num_steps - warmup, 1))))
    curve = np.concatenate([rise, fall])[:num_steps]
    return (settings.learning_rate * curve).astype(np.float32)


class Split(NamedTuple):
    """Indices of the training and the validation part of one member."""

    train: Int[np.ndarray, " train"]
    held_out: Int[np.ndarray, " validation"]


def compile_programs(
    member: Member, settings: Settings, rows: Rows, split: Split
) -> Programs:
    """Compile what trains a member; nothing if that shape was compiled before."""
    batch, _, room = _shape(settings, split, rows)
    plan = Plan(
        _example(rows, room, batch),
        np.zeros(room, np.float32),
        np.zeros(room, np.uint32),
        np.int32(0),
    )
    held_out = _example(rows, _chunk(split))
    return compiled(
        Recipe(member.layout, settings.clip_norm, _is_brief(settings, split, rows)),
        (init(member), plan, given_of(member, 1.0)),
        (member.weights, held_out, member.fixed),
    )


def _is_brief(settings: Settings, split: Split, rows: Rows) -> bool:
    """Say whether so little is trained that compilation counts most: one network.

    By what raced schedules have in common, so that one program serves all.
    """
    size = len(split.train) * rows.row_bytes
    return settings.num_members == 1 and size <= BRIEF_BYTES


def _example(rows: Rows, *shape: int) -> Rows:
    """Return what has the shapes of an array of simulations."""
    return jax.tree.map(
        lambda v: jax.ShapeDtypeStruct((*shape, *v.shape[1:]), v.dtype), rows
    )


def _chunk(split: Split) -> int:
    """Return the rows of one call of the validation: few different numbers."""
    return min(CHUNK, 1 << (len(split.held_out) - 1).bit_length())


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
    given = given_of(member, settings.weight_decay)
    batch, steps, room = _shape(settings, split, rows)
    rates = learning_rates(settings, settings.epochs * steps).reshape(-1, steps)
    best = Run(member.weights, np.full(len(split.held_out), np.inf), [])
    order = rng.bit_generator.state
    here = watch.begin(Position(init(member), best, [], order, []))
    while len(here.history) < settings.epochs:
        rng.bit_generator.state = here.order
        order = rng.permutation(split.train)[: steps * batch].reshape(steps, batch)
        seeds = rng.integers(2**32, size=steps, dtype=np.uint32)
        for start in range(room * len(here.losses), steps, room):
            part, epoch = np.s_[start : start + room], len(here.history)
            seen = rows.load(order[part])
            plan = _with_room(room, seen, rates[epoch, part], seeds[part])
            state, losses = programs.epoch(here.state, plan, given)
            losses = [*here.losses, np.asarray(losses)[: plan.count]]
            here = here._replace(state=state, losses=losses)
            if start + room < steps and watch.after(here):
                return here.best._replace(history=here.history)
        each = _validate(programs, here.state.weights, member.fixed, split, rows)
        here = _end_epoch(here, each)._replace(order=rng.bit_generator.state)
        if watch.after(here):
            break
    return here.best._replace(history=here.history)


def held_out_losses(
    member: Member, settings: Settings, rows: Rows, split: Split, run: Run
) -> Float[np.ndarray, " validation"]:
    """Return the loss of every held-out row with the weights of a run.

    Args:
        member: The network, whose leaves that are not trained may have changed since.
        settings: Its schedule.
        rows: All simulations.
        split: Indices trained on, and held out.
        run: Its training.
    """
    programs = compile_programs(member, settings, rows, split)
    return _validate(programs, run.weights, member.fixed, split, rows)


def _validate(
    programs: Programs, weights: Any, fixed: Any, split: Split, rows: Rows
) -> Float[np.ndarray, " validation"]:
    """Return the loss of every held-out row."""
    count, found = _chunk(split), []
    weights = np.asarray(weights)  # wherever they are: the devices may differ
    for start in range(0, len(split.held_out), count):
        index = np.resize(split.held_out[start : start + count], count)
        part = programs.validation(weights, rows.load(index), fixed)
        found.append(np.asarray(part))
    return np.concatenate(found)[: len(split.held_out)]


def _with_room(
    room: int, rows: Rows, rates: Float[np.ndarray, " steps"], seeds: Any
) -> Plan:
    """Plan some steps, with room for more of zeros, which are not taken."""

    def fill(values: np.ndarray) -> np.ndarray:
        filled = np.zeros((room, *values.shape[1:]), values.dtype)
        filled[: len(rates)] = values
        return filled

    count = np.int32(len(rates))
    return Plan(jax.tree.map(fill, rows), fill(rates), fill(seeds), count)


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
    """Return the rows of a step, the steps of an epoch, and of a call at most."""
    batch = min(settings.batch_size, len(split.train))
    room = min(MAX_STEPS, max(1, MAX_BYTES // (batch * rows.row_bytes)))
    return batch, len(split.train) // batch, room
