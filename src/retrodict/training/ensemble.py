"""Race a few trainings, then train the members of an ensemble, one thread a member.

Members differ in their initial weights, their order of batches and their validation
part. On two cores the members of a small flow trained in threads took 2.2 s where one
program vectorized over members took 6.6 s, and compiled in 3 s instead of 21 s: batched
products of small matrices are slow on a CPU, and every member has its own sequence of
steps, so nothing is gained by keeping them in step.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from threading import Event
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._core.errors import DataError
from .._core.progress import Progress, progress
from .._core.seeds import numpy_generator
from ..estimators import AbstractLayeredFlow, Estimator
from ..model import Structure
from .base_scale import PROBE, HeldOut, fit_base_scale
from .build import build_estimator, is_staged, vector_edges
from .checkpoint import MemberFolder, current_checkpoints
from .entrants import Job, find_winner, is_short
from .loop import Position, Run, Split, compile_programs, held_out_losses, train_member
from .member import Member, flatten
from .rows import rows_of
from .settings import Settings, num_raced, num_sharing
from .start import start_at_regression


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        members: The networks, each with the weights of its best validation loss.
        settings: The settings they were trained with: the winner of the race.
        train: Mean training loss ``(epochs, members)``, nats of standardized theta.
        validation: Mean validation loss ``(epochs, members)``, likewise.
        skipped: Steps per member that were skipped because they were not finite.
        held_out: Validation rows of each member.
        score: Loss of the raced members' mixture on the rows that they all hold out.
        compile_s: Seconds spent compiling.
        train_s: Seconds spent training, race included, compilation apart.
    """

    members: tuple[Estimator, ...]
    settings: Settings
    train: np.ndarray
    validation: np.ndarray
    skipped: np.ndarray
    held_out: tuple[np.ndarray, ...]
    score: float
    compile_s: float
    train_s: float


class Race:
    """Members that were raced in a few ways, and the ensemble they belong to.

    Attributes:
        settings: The way that won.
        short: Whether a short way won, one that gets more members than the longest: a
            sign of a posterior that is nearly linear and Gaussian, as networks start.
        score: Loss of the raced members' mixture on the rows that they all hold out.
        held_out: Those rows.
        losses: Loss of that mixture on each of them.
        compile_s: Seconds spent compiling so far.
        train_s: Seconds spent training so far, compilation apart.
    """

    def __init__(self, ensemble: "_Ensemble", candidates: Sequence[Settings]):
        begun = time.perf_counter()
        ensemble.compile()
        self.compile_s = time.perf_counter() - begun
        self._ensemble = ensemble
        winner = find_winner(ensemble, candidates)
        self.settings, self._runs = winner
        self.short = is_short(winner.settings, candidates)
        self.score = winner.score(ensemble.num_raced)
        self.losses = winner.losses(ensemble.num_raced)
        self.held_out = ensemble.split(0, 1).held_out
        self.train_s = time.perf_counter() - begun - self.compile_s

    def network(self) -> Estimator:
        """Return the first member."""
        return self._ensemble.network(0, self._runs[0], 1.0)

    def finish(self) -> Trained:
        """Train the other members of the ensemble.

        Raises:
            DataError: If a member never reached a finite validation loss.
        """
        begun, settings = time.perf_counter(), self.settings
        numbers, raced = range(settings.num_members), len(self._runs)
        shared = self._ensemble.num_sharing(settings, raced)
        rest = [Job(m, settings, shared) for m in numbers[raced:]]
        runs = [*self._runs, *self._ensemble.train(rest)]
        base_scale = self._ensemble.base_scale(runs, shared)
        self.train_s += time.perf_counter() - begun
        train, validation, skipped = np.array([r.history for r in runs]).transpose(
            2, 1, 0
        )
        if not np.isfinite(validation).any(axis=0).all():  # one untrained is enough
            raise DataError(
                "fit: the loss was never finite. Expected simulations without extreme "
                "outliers; look at the ranges of theta and x."
            )
        return Trained(
            members=tuple(
                self._ensemble.network(m, run, base_scale) for m, run in enumerate(runs)
            ),
            settings=settings,
            train=train,
            validation=validation,
            skipped=skipped[-1].astype(int),
            held_out=tuple(self._ensemble.split(m, shared).held_out for m in numbers),
            score=self.score,
            compile_s=self.compile_s,
            train_s=self.train_s,
        )


def race(
    key: Key[Array, ""],
    value: Float[np.ndarray, "n dim"],
    x: Mapping[str, np.ndarray],
    candidates: Settings | Sequence[Settings],
    *,
    held_out: Int[np.ndarray, " validation"] | None = None,
    structure: Mapping[str, Structure] | None = None,
) -> Race:
    """Train the first members on standardized simulations, in every candidate way.

    Equal arguments give equal weights, whatever the number of threads.

    Args:
        key: PRNG key of splits, initial weights and orders.
        value: Standardized, unconstrained theta, float32.
        x: Standardized series, float32, each ``(n, ...)``.
        candidates: Architecture and schedule; or several that differ in start and
            schedule alone, of which the one with the best held-out score is taken.
        held_out: Rows that all members hold out; by default each has its own.
        structure: What the axes of the series mean, as far as it is declared.

    Raises:
        DataError: If there are too few simulations to hold any out.
    """
    if isinstance(candidates, Settings):
        candidates = (candidates,)
    ensemble = _Ensemble(key, value, x, candidates[0], held_out, structure)
    return Race(ensemble, candidates)


def train_ensemble(*args: Any, **kwargs: Any) -> Trained:
    """Train all members; arguments and errors as of :func:`race`, then of its end."""
    return race(*args, **kwargs).finish()


class _Ensemble:
    """Members before their training, with their rows and splits."""

    def __init__(
        self,
        key: Key[Array, ""],
        value: np.ndarray,
        x: Mapping[str, np.ndarray],
        settings: Settings,
        held_out: np.ndarray | None,
        structure: Mapping[str, Structure] | None,
    ):
        self.key_split, self.key_weights, self.key_order = jr.split(key, 3)
        self.settings = settings
        self.shapes = {name: values.shape[1:] for name, values in x.items()}
        if is_staged(settings, self.shapes):
            raise ValueError(
                "candidates: Expected embedding_epochs=0 for networks that are trained "
                f"as a whole; got {settings.embedding_epochs}. Use train_staged."
            )
        self.edges = vector_edges(x, settings)
        self.structure = structure
        self.held_out = held_out
        self.num_held_out = (
            len(held_out)
            if held_out is not None
            else _num_held_out(len(value), settings)
        )
        self.num_raced = num_raced(self.num_held_out, settings.num_members)
        self.rows = rows_of(value, x)
        self._value, self._x = value, x
        keep = current_checkpoints()
        facts = np.asarray(jr.key_data(key)), value, x, settings, held_out
        self.kept = keep.open(*facts) if keep is not None else None

    def split(self, number: int, shared: int) -> Split:
        """Return the rows of a member, where the first ``shared`` hold out the same."""
        count = len(self.rows.value)
        if self.held_out is not None:
            rest = np.setdiff1d(np.arange(count), self.held_out).astype(np.int32)
            return Split(rest, self.held_out)
        key = jr.fold_in(self.key_split, 0 if number < shared else number)
        return _split(key, count, self.num_held_out)

    def num_sharing(self, settings: Settings, raced: int) -> int:
        """Return how many members hold out the same rows."""
        if self.held_out is not None:
            return settings.num_members
        return max(raced, num_sharing(self.num_held_out, settings))

    def compile(self) -> None:
        """Compile the programs that all members share."""
        compile_programs(
            flatten(self._drawn(0)), self.settings, self.rows, self.split(0, 1)
        )

    def network(self, number: int, run: Run, base_scale: float) -> Estimator:
        """Return a member as its training left it, with another base."""
        member = _with_base(flatten(self._drawn(number)), base_scale)
        return member.layout.build(run.weights, member.fixed)

    def base_scale(self, runs: Sequence[Run], shared: int) -> float:
        """Return the base that suits all members, by what they hold out."""
        if not (self.settings.fit_base_scale and _has_base(self._drawn(0))):
            return 1.0
        each = [self._held_out(m, run, shared) for m, run in enumerate(runs)]
        losses, at_probe = map(np.stack, zip(*each[:shared], strict=True))
        dim = self.rows.value.shape[1]
        together = HeldOut.probed(losses, at_probe, dim)
        alone = [HeldOut.probed(a[None], b[None], dim) for a, b in each[shared:]]
        return fit_base_scale(together, alone)

    def _held_out(
        self, number: int, run: Run, shared: int
    ) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """Return the losses of a member with a base of 1 and with a wider one."""
        member = _with_base(flatten(self._drawn(number)), PROBE)
        split = self.split(number, shared)
        wide = held_out_losses(member, self.settings, self.rows, split, run)
        return run.losses, wide

    def train(self, jobs: Sequence[Job]) -> list[Run]:
        """Train some members, as many at a time as there are threads."""
        total = sum(job.settings.epochs for job in jobs)
        stop = Event()
        with (
            progress("Training", total) as bar,
            ThreadPoolExecutor(_num_threads()) as pool,
        ):
            try:
                return list(pool.map(lambda job: self._one(job, bar, stop), jobs))
            finally:
                stop.set()  # after Ctrl-C: end soon, not at the last epoch

    def _drawn(self, number: int) -> Estimator:
        """Return a member as it was drawn."""
        key = jr.fold_in(self.key_weights, number)
        dim = self.rows.value.shape[1]
        return build_estimator(
            key,
            self.settings,
            self.shapes,
            self.edges,
            dim,
            structure=self.structure,
        )

    @cached_property
    def _start(self) -> Callable[[Estimator], Estimator]:
        return start_at_regression(self._value, self._x)

    def _member(self, job: Job) -> Member:
        network = self._drawn(job.number)
        if job.settings.linear_start:
            network = self._start(network)
        return flatten(network, job.settings.constant_shape)

    def _one(self, job: Job, bar: Progress, stop: Event) -> Run:
        rng = numpy_generator(jr.fold_in(self.key_order, job.number))
        member, split = self._member(job), self.split(job.number, job.shared)
        folder = None
        if self.kept is not None:
            name = f"{job.number} {job.shared} {job.settings}"
            folder = self.kept.member(name, member, split, rng)
        watch = _Watch(bar, stop, folder, job.settings.epochs)
        return train_member(
            member, job.settings, self.rows, split, rng=rng, watch=watch
        )


def _has_base(estimator: Any) -> bool:
    return isinstance(estimator.density, AbstractLayeredFlow)


def _with_base(member: Member, scale: float) -> Member:
    """Return a member with another base, if its density has one."""
    if not _has_base(member.fixed):
        return member
    place = member.fixed.density.base_scale.value
    new = jnp.full(place.shape, scale, place.dtype)
    fixed = eqx.tree_at(lambda tree: tree.density.base_scale.value, member.fixed, new)
    return member._replace(fixed=fixed)


class _Watch:
    """Show a training, keep it, and end it when told so."""

    def __init__(
        self, bar: Progress, stop: Event, folder: MemberFolder | None, epochs: int
    ):
        self.bar = bar
        self.stop = stop
        self.folder = folder
        self.epochs = epochs
        self._shown = 0

    def begin(self, position: Position) -> Position:
        if self.folder is not None:
            position = self.folder.load(position)
        self._show(position)
        return position

    def after(self, position: Position) -> bool:
        self._show(position)
        ends = self.stop.is_set() or len(position.history) == self.epochs
        if self.folder is not None:
            self.folder.save_if_due(position, now=ends)
        return self.stop.is_set()

    def _show(self, position: Position) -> None:
        new = len(position.history) - self._shown
        if new:
            info = position.history[-1]
            note = f"loss {info.train:.3f}, held out {info.validation:.3f}"
            self.bar.advance(new, note=note)
            self._shown += new


def shared_held_out(
    key: Key[Array, ""], count: int, settings: Settings
) -> Int[np.ndarray, " validation"]:
    """Return the rows that the raced members of :func:`train_ensemble` hold out."""
    key_split, _, _ = jr.split(key, 3)
    held = _num_held_out(count, settings)
    return _split(jr.fold_in(key_split, 0), count, held).held_out


def _num_held_out(count: int, settings: Settings) -> int:
    held = max(1, round(settings.validation_fraction * count))
    if count - held < 10:
        raise DataError(
            f"simulations: Expected at least 12 that can be used; got {count}. "
            "Simulate more."
        )
    return held


def _split(key: Key[Array, ""], count: int, held: int) -> Split:
    order = numpy_generator(key).permutation(count).astype(np.int32)
    return Split(order[held:], order[:held])


def _num_threads() -> int:
    """One thread a core on the CPU; several devices work on one member at a time."""
    if jax.default_backend() != "cpu" or jax.local_device_count() > 1:
        return 1
    if hasattr(os, "sched_getaffinity"):  # Linux: what this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
