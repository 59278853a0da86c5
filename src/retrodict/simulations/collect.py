"""The loop that turns answers into stored rows: the only place that acknowledges."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .._core.crashpoint import reached
from .._core.errors import DataError, InterruptedRun
from .._core.progress import Progress, progress
from .breaker import Breaker
from .campaign import BlockEngine, Engine, RowEngine
from .dataset import Block
from .messages import STATUSES, Answer
from .rows import Assembly
from .store import Memory, Store, grid_spans


STAGE_SECONDS = 0.25  # a result is durable at most this long after it came


class Collector:
    """Fill the gaps of a campaign.

    Args:
        keep: Where rows go.
        gaps: Ranges of rows to simulate.
        max_failed: See :class:`Breaker`.
    """

    def __init__(self, keep: Store | Memory, gaps: Sequence[range], max_failed: float):
        self.keep = keep
        self.spans = grid_spans(gaps, keep.campaign.block_size)
        todo = sum(map(len, self.spans))
        self.breaker = Breaker(keep.campaign.model, todo, max_failed)
        self.kinds: Counter[str] = Counter()

    def run(self, engine: Engine) -> None:
        """Simulate what is missing.

        Raises:
            DataError: If too many simulations fail.
            InterruptedRun: On Ctrl-C, where rows are kept.
        """
        with (
            _resumable(self.keep),
            progress("Simulating", sum(map(len, self.spans))) as bar,
        ):
            if isinstance(engine, BlockEngine):
                self._run_blocks(engine, bar)
            else:
                self._run_rows(engine, bar)

    def _run_blocks(self, engine: BlockEngine, bar: Progress) -> None:
        size = self.keep.campaign.block_size
        starts = [span.start - span.start % size for span in self.spans]
        for block in engine.run_blocks(self.keep.campaign, starts):
            self.breaker.add_block(block)
            self.kinds.update(STATUSES[c] for c in block.status[block.status != 0])
            self._write(block)
            bar.advance(len(block), note=self._note())

    def _run_rows(self, engine: RowEngine, bar: Progress) -> None:
        staged = self.keep.staged()
        assembly = Assembly(self.keep.campaign, self.spans, staged)
        bar.advance(sum(row in staged for span in self.spans for row in span))
        stage = _Stage(self.keep)
        try:
            for answer in engine.run_rows(self.keep.campaign, assembly.jobs()):
                if answer is not None:
                    reached("row.answered")
                    assembly.add(answer)
                    theta = assembly.theta_of(answer.index)
                    stage.add(answer, theta)
                    self._count(*assembly.judge(answer), theta)
                    bar.advance(1, note=self._note())
                for block in assembly.take_complete():
                    self._write(block)
                    stage.remove(block)
                stage.flush_if_due()
            self._finish(assembly)
        finally:
            stage.flush()

    def _finish(self, assembly: Assembly) -> None:
        """Write what became complete without an answer of this session."""
        for block in assembly.take_complete():
            self._write(block)
        if assembly.shapes is None and self.spans:
            raise DataError("simulator: no simulation succeeded. Mend the simulator.")

    def _count(self, status: str, text: str, theta: Mapping[str, Any]) -> None:
        if status != "ok":
            self.kinds[status] += 1
        self.breaker.add(status, text, theta)

    def _write(self, block: Block) -> None:
        self.keep.write(block)

    def _note(self) -> str:
        return ", ".join(f"{n} {kind}" for kind, n in sorted(self.kinds.items()))


class _Stage:
    """Answers that are not yet durable."""

    def __init__(self, keep: Store | Memory):
        self.keep = keep
        self._waiting: dict[int, tuple[Answer, Mapping[str, Any]]] = {}
        self._last = time.monotonic()

    def add(self, answer: Answer, theta: Mapping[str, Any]) -> None:
        self._waiting[answer.index] = answer, theta

    def remove(self, block: Block) -> None:
        for row in block.rows:
            self._waiting.pop(row, None)

    def flush_if_due(self) -> None:
        if self._waiting and time.monotonic() - self._last > STAGE_SECONDS:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        answers = [answer for answer, _ in waiting.values()]
        self.keep.stage(answers, {i: theta for i, (_, theta) in waiting.items()})
        self._last = time.monotonic()


@contextmanager
def _resumable(keep: Store | Memory) -> Iterator[None]:
    """Say after Ctrl-C what is safe, where there is a store."""
    try:
        yield
    except KeyboardInterrupt as error:
        if keep.path is None:
            raise
        raise InterruptedRun(
            f"Interrupted. What was simulated is safe in {keep.path}; the same command "
            "continues with the rest."
        ) from error
