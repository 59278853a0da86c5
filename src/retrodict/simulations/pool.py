"""The engine for Python simulators: worker processes that may die without harm.

Each worker is a fresh interpreter with one private pipe, so that the death of one
cannot block another; a row whose worker dies is recorded as a crash, and the rows
behind it go to the next worker.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Pipe, wait
from typing import Any

import numpy as np

from .._core.errors import ModelError
from .campaign import Campaign
from .dataset import Block
from .rows import RowBuffer, XShapes
from .worker import decode, encode, run_row


ROWS_PER_REQUEST = 8


class SerialEngine:
    """Run a Python simulator row by row in this process."""

    def run(self, campaign: Campaign, starts: Sequence[int]) -> Iterator[Block]:
        """Yield the blocks that begin at ``starts``, in that order."""
        function = campaign.model.simulator.function
        shapes = XShapes.of(campaign)
        for start in starts:
            theta, _ = campaign.draw_theta(start)
            buffer = RowBuffer(start, theta, shapes)
            for row in range(campaign.block_size):
                one = {k: v[row] for k, v in theta.items()}
                index = start + row
                message = run_row(function, campaign.seed, campaign.stream, index, one)
                buffer.add(*decode(message))
            yield buffer.block()


class PoolEngine:
    """Run a Python simulator in ``workers`` fresh interpreters.

    Args:
        file: Path of the Python file the simulator is in.
        name: Its name in that file.
        workers: Number of processes.
    """

    def __init__(self, file: str, name: str, workers: int):
        self.file = file
        self.name = name
        self.workers = workers

    def run(self, campaign: Campaign, starts: Sequence[int]) -> Iterator[Block]:
        """Yield the blocks that begin at ``starts``, as they are completed."""
        if not starts:
            return
        shapes = XShapes.of(campaign)
        command = [self.file, self.name, str(campaign.seed), campaign.stream]
        pool = [_Worker(command) for _ in range(min(self.workers, 64))]
        try:
            for start in starts:
                theta, _ = campaign.draw_theta(start)
                buffer = RowBuffer(start, theta, shapes)
                self._fill(pool, buffer, campaign.block_size)
                yield buffer.block()
        finally:
            for worker in pool:
                worker.stop()

    def _fill(self, pool: "list[_Worker]", buffer: RowBuffer, count: int) -> None:
        """Hand out the rows of one block and collect what comes back."""
        indices = range(buffer.start, buffer.start + count)
        queue = deque(indices)
        while buffer.missing:
            for worker in pool:
                if not worker.pending and queue:
                    rows = [queue.popleft() for _ in range(ROWS_PER_REQUEST) if queue]
                    worker.request(rows, buffer.theta_rows(rows))
            busy: dict[Any, _Worker] = {w.connection: w for w in pool if w.pending}
            for connection in wait(list(busy)):
                worker = busy[connection]
                try:
                    arrays, facts = decode(worker.connection.recv_bytes())
                except (EOFError, ConnectionError):
                    queue.extendleft(reversed(worker.revive(buffer)))
                    continue
                if facts.get("ready"):
                    worker.ready = True
                    continue
                worker.pending.remove(facts["index"])
                buffer.add(arrays, facts)


class _Worker:
    """One process, its pipe, and the rows it has been asked for."""

    def __init__(self, command: list[str]):
        self.command = command
        self.pending: list[int] = []
        self._start()

    def request(self, rows: list[int], theta: dict[str, np.ndarray]) -> None:
        self.pending = list(rows)
        try:
            self.connection.send_bytes(encode(theta, indices=rows))
        except (BrokenPipeError, ConnectionError):
            pass  # it died before the request: reading its pipe will say so

    def revive(self, buffer: RowBuffer) -> list[int]:
        """Start anew after a death; return the rows that were not yet tried.

        The first pending row was running: it is the one that crashed.
        """
        exit_code = self.process.wait()
        first, rest = self.pending[0], self.pending[1:]
        if not self.ready:
            raise ModelError(
                f"{self.command[0]}: a worker could not import {self.command[1]!r} "
                f"(exit code {exit_code}; its message is above). Expected a file that "
                "a fresh interpreter can import."
            )
        buffer.fail(first, "crash", f"the simulator's process ended ({exit_code})")
        self.connection.close()
        self.pending = []
        self._start()
        return rest

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait()

    def _start(self) -> None:
        ours, theirs = Pipe()
        code = "from retrodict.simulations.worker import main; main()"
        program = [sys.executable, "-c", code, str(theirs.fileno()), *self.command]
        self.process = subprocess.Popen(
            program,
            pass_fds=[theirs.fileno()],
            env=_environment(),
            start_new_session=True,
        )
        theirs.close()
        self.connection = ours
        self.ready = False


def _environment() -> dict[str, str]:
    """One thread a worker: several workers with several threads each would compete."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    path = os.pathsep.join(p for p in sys.path if p)
    return {
        **os.environ,
        **dict.fromkeys(threads, "1"),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": path,
        "RETRODICT_WORKER": "1",
    }
