"""Collect the answers of a row-by-row engine into blocks, whatever their order."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .campaign import Campaign, Job
from .dataset import Block, RowFacts, as_series, mark_nonfinite, usable
from .messages import STATUSES, Answer


Shapes = dict[str, tuple[int, ...]]


class Assembly:
    """Rows that have come back, until the block each belongs to is complete.

    Shapes are judged when a block is complete, by the observation, by rows that are
    stored, or else by the first row, in the order of the index, that succeeds: the
    outcome does not depend on which worker was faster.

    Args:
        campaign: What is simulated.
        spans: Ranges of rows to fill; each becomes one block.
        staged: Answers of an earlier session.
    """

    def __init__(
        self,
        campaign: Campaign,
        spans: Sequence[range],
        staged: Mapping[int, Answer] | None = None,
    ):
        self.campaign = campaign
        self.spans = spans
        self.staged = dict(staged or {})
        self.shapes = _known_shapes(campaign)
        self._open: dict[int, _Buffer] = {}
        self._next = 0

    def jobs(self) -> Iterator[Job]:
        """Yield the rows that are still to be simulated, span by span."""
        for span in self.spans:
            buffer = self._begin(span)
            for index in span:
                if index not in self.staged:
                    yield Job(index, buffer.theta_of(index))

    def add(self, answer: Answer) -> None:
        """Take one answer."""
        self._buffer_of(answer.index).add(answer)

    def theta_of(self, index: int) -> dict[str, Any]:
        """Return the parameters of a row whose block is not complete."""
        return self._buffer_of(index).theta_of(index)

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Return the status a row will have and its error, as far as is known yet."""
        if self.shapes is not None:
            answer = _judge(answer, self.shapes)
        maskable = self.campaign.model.maskable
        finite = all(usable(v, k in maskable).all() for k, v in answer.arrays.items())
        status = answer.status if finite or answer.status != "ok" else "nonfinite"
        return status, answer.error

    def take_complete(self) -> Iterator[Block]:
        """Yield the blocks that have become complete."""
        if self.shapes is None:
            self._learn_shapes()
        if self.shapes is None:
            return
        model = self.campaign.model
        ready = [n for n, buffer in self._open.items() if not buffer.missing]
        for number in sorted(ready):
            yield self._open.pop(number).block(self.shapes, model.maskable)

    def _begin(self, span: range) -> "_Buffer":
        size = self.campaign.block_size
        start = span.start - span.start % size
        theta, _ = self.campaign.draw_theta(start)
        rows = slice(span.start - start, span.stop - start)
        buffer = _Buffer(span, {k: v[rows] for k, v in theta.items()})
        self._open[self._next] = buffer
        self._next += 1
        for index in span:
            if index in self.staged:
                buffer.add(self.staged[index])
        return buffer

    def _buffer_of(self, index: int) -> "_Buffer":
        for buffer in self._open.values():
            if index in buffer.span:
                return buffer
        raise KeyError(index)

    def _learn_shapes(self) -> None:
        """Take the shapes of the first row that succeeds, once it is known which."""
        for number in range(self._next):
            if number not in self._open:
                continue
            buffer = self._open[number]
            if buffer.missing:
                return
            good = [a for a in buffer.answers if a is not None and a.status == "ok"]
            if good:
                self.shapes = {k: v.shape for k, v in good[0].arrays.items()}
                return


def _known_shapes(campaign: Campaign) -> Shapes | None:
    observed = campaign.model.observed
    if observed is not None:
        return {k: v.shape for k, v in as_series(observed).items()}
    return dict(campaign.x_shapes) if campaign.x_shapes else None


class _Buffer:
    """The rows of one span that have come back so far."""

    def __init__(self, span: range, theta: dict[str, np.ndarray]):
        self.span = span
        self.theta = theta
        self.missing = len(span)
        self.answers: list[Answer | None] = [None] * len(span)

    def theta_of(self, index: int) -> dict[str, Any]:
        row = index - self.span.start
        return {name: values[row] for name, values in self.theta.items()}

    def add(self, answer: Answer) -> None:
        row = answer.index - self.span.start
        if self.answers[row] is None:  # never twice
            self.missing -= 1
            self.answers[row] = answer

    def block(self, shapes: Shapes, maskable: Collection[str]) -> Block:
        """Return the complete block; failed rows hold NaN."""
        count = len(self.span)
        x = {name: np.full((count, *shape), np.nan) for name, shape in shapes.items()}
        status = np.zeros(count, np.int8)
        errors: dict[int, str] = {}
        facts: dict[int, RowFacts] = {}
        for row, answer in enumerate(self.answers):
            assert answer is not None
            answer = _judge(answer, shapes)
            status[row] = STATUSES.index(answer.status)
            if answer.status == "ok":
                for name in shapes:
                    x[name][row] = answer.arrays[name]
            else:
                errors[answer.index] = answer.error
                facts[answer.index] = RowFacts(
                    answer.attempts, float(answer.seconds), answer.exit
                )
        status = mark_nonfinite(x, status, maskable)
        return Block(self.span.start, self.theta, x, status, errors, facts)


def _judge(answer: Answer, shapes: Shapes) -> Answer:
    """Refuse a row whose shapes differ from those of the others."""
    found = {k: v.shape for k, v in answer.arrays.items()}
    if answer.status != "ok" or found == shapes:
        return answer
    text = f"bad shape: Expected {shapes}; got {found}"
    return answer._replace(status="bad_shape", arrays={}, error=text)
