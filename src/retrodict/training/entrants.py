"""Which way to train is best: short ones first, longer ones while they do better.

Of the longest, the first is tried in any case.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from .loop import Run
from .settings import Settings


NUM_SHORT = 5  # members that a short training is tried with


class Job(NamedTuple):
    """One member to train with one schedule.

    Attributes:
        number: Which member of the ensemble.
        settings: Its schedule.
        shared: How many members, the first ones, have one validation part.
    """

    number: int
    settings: Settings
    shared: int


class Entrant(NamedTuple):
    """One way to train, and the members that were trained in it."""

    settings: Settings
    runs: list[Run]

    def score(self, count: int | None = None) -> float:
        """Return the mean loss of the mixture of the first members, or of all."""
        return float(self.losses(count).mean())

    def losses(self, count: int | None = None) -> Float[np.ndarray, " validation"]:
        """Return the loss of each row under the mixture; infinite if it is none."""
        densities = -np.stack([r.losses.astype(np.float64) for r in self.runs[:count]])
        each = np.log(len(densities)) - np.asarray(logsumexp(densities, axis=0))
        return np.nan_to_num(each, nan=np.inf, posinf=np.inf)


@runtime_checkable
class Trainer(Protocol):
    """What trains members."""

    num_raced: int

    def train(self, jobs: Sequence[Job]) -> list[Run]:
        """Train some members."""
        ...


def find_winner(ensemble: Trainer, candidates: Sequence[Settings]) -> Entrant:
    """Train in longer and longer ways, until that does no better; return the best.

    The first of the longest ways is tried in any case: where theta is almost a function
    of x it is better by nats, though one of middle length that is held as firmly as a
    short one does worse than that. Ways are compared by the same number of members.
    Short ones are tried with more, and chosen among by the mixture of all, which
    forgives what a single one over-reads.
    """
    tried: list[Entrant] = []
    count = ensemble.num_raced

    def enter(ways: Sequence[Settings]) -> bool:
        """Try some ways; say whether one is better than all before."""
        before = min((one.score(count) for one in tried), default=np.inf)
        members = count
        if is_short(ways[0], candidates):
            members = max(count, min(NUM_SHORT, ways[0].num_members))
        entered = _enter(ensemble, ways, members)
        tried.extend(entered)
        # a loss that is not finite ends nothing
        return before == np.inf or min(e.score(count) for e in entered) < before

    groups = groupby(sorted(candidates, key=_epochs), _epochs)
    *shorter, longest = [list(ways) for _, ways in groups]
    if all(map(enter, shorter)):
        enter(longest)
    elif enter(longest[:1]) and longest[1:]:
        enter(longest[1:])
    winner = min(tried, key=lambda one: one.score(count))
    same = [one for one in tried if len(one.runs) == len(winner.runs)]
    return min(same, key=Entrant.score)


def _epochs(way: Settings) -> int:
    return way.epochs


def _enter(ensemble: Trainer, ways: Sequence[Settings], members: int) -> list[Entrant]:
    jobs = [Job(m, way, members) for way in ways for m in range(members)]
    runs = ensemble.train(jobs)
    parts = [runs[i : i + members] for i in range(0, len(runs), members)]
    return [Entrant(way, part) for way, part in zip(ways, parts, strict=True)]


def is_short(way: Settings, candidates: Sequence[Settings]) -> bool:
    """Say whether a way is so short that it gets more members than the longest."""
    return way.num_members > candidates[-1].num_members
