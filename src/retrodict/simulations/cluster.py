"""Simulate beyond one machine: Dask places rows on workers, the ledger stays here.

Each Dask worker runs simulators in supervised processes of its own, so that a crash
costs a row and not a worker; when a worker itself is lost, its rows go to another.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from .._core.errors import ModelError
from .campaign import Campaign, Job
from .messages import Answer, decode, decode_answer, encode, encode_answer
from .pool import Pool, Supervisor


TASK_SECONDS = 5.0  # a task holds about so much work
MAX_ROWS = 256
TASKS_PER_THREAD = 2  # so that no worker waits while its answer travels
LOST_TRIES = 20


@dataclass(frozen=True)
class Dask:
    """Run black-box simulators on the workers of a Dask cluster.

    The simulator's file must be found under the same path on every worker, where
    retrodict must be installed. JAX simulators run in this process all the same.

    Attributes:
        client: A ``dask.distributed.Client``, or the address of a scheduler.
        timeout: Seconds a simulation may take; see :class:`Pool`.
        memory: Megabytes a simulation may use; see :class:`Pool`.
        max_failed: When to stop; see :class:`Pool`.

    Example:
        >>> Dask("tcp://10.0.0.1:8786", timeout=60.0).timeout
        60.0
    """

    client: Any
    timeout: float | int | None = None
    memory: float | int | None = None
    max_failed: float = 0.5
    limits: Pool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        limits = Pool(1, self.timeout, self.memory, self.max_failed)
        object.__setattr__(self, "limits", limits)


class DaskEngine:
    """Run the rows of a campaign as tasks of Dask.

    Args:
        program: What the workers run; see ``worker.load_function``.
        executor: The cluster, and the limits of a simulation.

    Raises:
        ModelError: If no other process could import the simulator.
    """

    def __init__(self, program: Mapping[str, Any] | None, executor: Dask):
        if program is None:
            raise ModelError(
                "simulator: it exists only in this process. Expected a function in a "
                "file of its own, which the workers of a cluster can import."
            )
        self.program = dict(program)
        self.executor = executor

    def run_rows(
        self, campaign: Campaign, jobs: Iterator[Job]
    ) -> Iterator[Answer | None]:
        """Yield the answer of every job, in any order; ``None`` while waiting."""
        facts = {"seed": campaign.seed, "stream": campaign.stream}
        limits = {"timeout": self.executor.timeout, "memory": self.executor.memory}
        program = {**self.program, **facts}
        with _connected(self.executor.client) as client:
            yield from _Tasks(client, program, limits).run(jobs)


@contextmanager
def _connected(client: Any) -> Iterator[Any]:
    """Connect to a scheduler's address, or use the client that was given."""
    if not isinstance(client, str):
        yield client
        return
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModelError(
            "executor: Dask is not installed. Say `pip install 'retrodict[dask]'`."
        ) from error
    try:
        own = Client(client, timeout=20)
    except OSError as error:
        raise ModelError(
            f"scheduler: Expected the address of a Dask scheduler that answers; got "
            f"{client!r} ({type(error).__name__})."
        ) from error
    with own:
        yield own


class _Tasks:
    """Tasks under way, few enough that a stop loses little."""

    def __init__(self, client: Any, program: dict[str, Any], limits: dict[str, Any]):
        self.client = client
        self.program = program
        self.limits = limits
        self.rows_per_task = 1
        self._jobs: dict[str, list[Job]] = {}
        self._again: deque[list[Job]] = deque()
        self._lost: dict[str, int] = {}

    def run(self, jobs: Iterator[Job]) -> Iterator[Answer | None]:
        from distributed import as_completed  # pyright: ignore[reportMissingImports]

        under_way = as_completed(loop=self.client.loop, raise_errors=False)
        self._fill(under_way, jobs)
        while self._jobs:
            future = self._next(under_way)
            if future is not None:
                yield from self._collect(future)
            self._fill(under_way, jobs)
            yield None

    def _next(self, under_way: Any) -> Any:
        """Wait a moment for a task, so that a stop is noticed meanwhile."""
        for _ in range(20):
            if under_way.has_ready():
                return next(under_way)
            time.sleep(0.01)
        return None

    def _fill(self, under_way: Any, jobs: Iterator[Job]) -> None:
        threads = sum(self.client.nthreads().values())
        while len(self._jobs) < max(1, TASKS_PER_THREAD * threads):
            rows = self._again.popleft() if self._again else None
            rows = rows or list(islice(jobs, self.rows_per_task))
            if not rows:
                return
            theta = {k: np.stack([job.theta[k] for job in rows]) for k in rows[0].theta}
            message = encode(theta, indices=[job.index for job in rows])
            future = self.client.submit(
                run_task, self.program, self.limits, message, pure=False, retries=0
            )
            self._jobs[future.key] = rows
            under_way.add(future)

    def _collect(self, future: Any) -> Iterator[Answer]:
        rows = self._jobs.pop(future.key)
        if future.status == "finished":
            answers = [decode_answer(message) for message in future.result()]
            self._adapt(answers)
            yield from answers
            return
        error = future.exception() if future.status == "error" else None
        if isinstance(error, ModelError):
            raise error
        yield from self._try_again(rows, error)

    def _try_again(self, rows: list[Job], error: Any) -> Iterator[Answer]:
        """Hand rows whose worker was lost to another, a few times."""
        name = str(rows[0].index)
        self._lost[name] = self._lost.get(name, 0) + 1
        if self._lost[name] < LOST_TRIES:
            self._again.append(rows)
            return
        text = f"the Dask worker was lost {LOST_TRIES} times ({error})"
        for job in rows:
            yield Answer(job.index, "crash", {}, text, attempts=LOST_TRIES)

    def _adapt(self, answers: list[Answer]) -> None:
        mean = sum(answer.seconds for answer in answers) / len(answers)
        wanted = int(TASK_SECONDS / max(mean, 1e-6))
        self.rows_per_task = min(max(1, wanted), 4 * self.rows_per_task, MAX_ROWS)


# --- what runs inside a Dask worker ---------------------------------------------------

_idle: dict[str, list[Supervisor]] = {}
_idle_lock = threading.Lock()


def run_task(
    program: dict[str, Any], limits: dict[str, Any], message: bytes
) -> list[bytes]:
    """Run some rows in a supervised process, which is kept for the next task."""
    theta, facts = decode(message)
    jobs = [
        Job(index, {k: v[row] for k, v in theta.items()})
        for row, index in enumerate(facts["indices"])
    ]
    name = repr((sorted(program.items(), key=str), sorted(limits.items())))
    with _idle_lock:
        kept = _idle.setdefault(name, [])
        supervisor = kept.pop() if kept else Supervisor(program, Pool(1, **limits))
    try:
        found = [encode_answer(a) for a in supervisor.run(iter(jobs)) if a is not None]
    except BaseException:
        supervisor.__exit__()
        raise
    with _idle_lock:
        kept.append(supervisor)
    return found
