"""The engine for black-box simulators: worker processes that may die without harm.

Each worker is a fresh interpreter with one private pipe, so that the death of one
cannot block another. A row has a deadline and a memory limit; a row whose worker dies
is tried again, as the cause may lie outside, and then recorded as failed.
"""

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core.errors import ModelError
from .campaign import Campaign, Job
from .messages import MAX_ERROR, Answer, decode, decode_answer, encode
from .process import Process, exit_words, limits_memory
from .worker import run_row


# A request holds about so much work: workers are busy while rows are being stored. Each
# row is answered as soon as it is there, so that a death costs no other row.
REQUEST_SECONDS = 0.1
MAX_ROWS_PER_REQUEST = 1024
TICK_SECONDS = 0.1
SEND_SECONDS = 10.0
START_SECONDS = 600.0  # importing the simulator may build or load a lot
MAX_STARTS = 20  # in a row, killed from outside before they were ready
TRIES_CRASH = 2
TRIES_KILLED = 6
KILLED = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)


@dataclass(frozen=True)
class Pool:
    """How black-box simulators are run on this machine.

    Attributes:
        workers: Worker processes; by default one per core.
        timeout: Seconds after which a simulation is ended and recorded as
            ``"timeout"``. By default it may take for ever.
        memory: Megabytes of resident memory, with everything it starts, above which a
            simulation is ended and recorded as ``"oom"`` (Linux).
        max_failed: Largest fraction of failures among the last 200 simulations before
            the campaign stops; 1 never stops it.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> Pool(workers=4, timeout=60.0).timeout
        60.0
    """

    workers: int | None = None
    timeout: float | int | None = None
    memory: float | int | None = None
    max_failed: float = 0.5

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: Expected at least 1; got {self.workers}.")
        for name in ("timeout", "memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: Expected a positive number; got {value}.")
        if not 0 < self.max_failed <= 1:
            raise ValueError(
                f"max_failed: Expected a fraction in (0, 1]; got {self.max_failed}."
            )
        if self.memory is not None and not limits_memory():
            raise ValueError(
                "memory: this system does not say how much memory a process uses. "
                "Leave it out."
            )

    @property
    def num_workers(self) -> int:
        """Number of processes."""
        return self.workers or os.cpu_count() or 1


class SerialEngine:
    """Run a Python simulator row by row in this process."""

    def run_rows(
        self, campaign: Campaign, jobs: Iterator[Job]
    ) -> Iterator[Answer | None]:
        """Yield the answer of every job, in order."""
        function = campaign.model.simulator.function
        seed, stream = campaign.seed, campaign.stream
        for job in jobs:
            yield run_row(function, seed, stream, job.index, job.theta)


class PoolEngine:
    """Run a Python simulator or an external program in worker processes.

    Args:
        program: What the workers run; see ``worker.load_function``.
        pool: How many there are, and their limits.
    """

    def __init__(self, program: Mapping[str, Any], pool: Pool):
        self.program = program
        self.pool = pool

    def run_rows(
        self, campaign: Campaign, jobs: Iterator[Job]
    ) -> Iterator[Answer | None]:
        """Yield the answer of every job, in any order; ``None`` while waiting."""
        facts = {"seed": campaign.seed, "stream": campaign.stream}
        with Supervisor({**self.program, **facts}, self.pool) as supervisor:
            yield from supervisor.run(jobs)


class Supervisor:
    """The workers of one pool. They live as long as the ``with`` block.

    Args:
        program: What the workers run, and the campaign's seed and stream.
        pool: How many there are, and their limits.
    """

    def __init__(self, program: Mapping[str, Any], pool: Pool):
        self.program = program
        self.pool = pool
        self.selector = selectors.DefaultSelector()
        self.workers: list[_Worker] = []
        self.queue = _Queue(iter(()))

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.stop()
        self.selector.close()

    def run(self, jobs: Iterator[Job]) -> Iterator[Answer | None]:
        """Yield the answer of every job, in any order; ``None`` while waiting."""
        self.queue = _Queue(jobs)
        while self._hand_out():
            yield from self._collect()
            yield None

    def _hand_out(self) -> bool:
        """Give idle workers work; tell whether there is any left anywhere."""
        if not self.workers and self.queue.any_left():
            self.workers = [_Worker(self) for _ in range(self.pool.num_workers)]
        for worker in self.workers:
            if worker.ready and not worker.pending and self.queue.any_left():
                worker.request(self.queue.take(worker.rows_per_request))
        return self.queue.any_left() or any(w.pending for w in self.workers)

    def _collect(self) -> Iterator[Answer]:
        events = self.selector.select(TICK_SECONDS)
        for key, _ in events:
            yield from key.data.hear()
        for worker in self.workers:
            yield from worker.check()


class _Queue:
    """Jobs that nobody works on: those to be tried again, then new ones."""

    def __init__(self, jobs: Iterator[Job]):
        self._jobs = jobs
        self._again: deque[Job] = deque()
        self.tries: dict[int, int] = {}

    def any_left(self) -> bool:
        if not self._again:
            job = next(self._jobs, None)
            if job is not None:
                self._again.append(job)
        return bool(self._again)

    def take(self, count: int) -> list[Job]:
        jobs = []
        while len(jobs) < count and self.any_left():
            jobs.append(self._again.popleft())
        return jobs

    def put_back(self, jobs: list[Job]) -> None:
        self._again.extendleft(reversed(jobs))

    def count_try(self, index: int) -> int:
        self.tries[index] = self.tries.get(index, 0) + 1
        return self.tries[index]


class _Worker:
    """A process, the rows it has been asked for, and their limits."""

    def __init__(self, supervisor: Supervisor):
        self.supervisor = supervisor
        self.pool = supervisor.pool
        self.pending: deque[Job] = deque()
        self.rows_per_request = 1
        self.starts = 0
        self._start()

    def request(self, jobs: list[Job]) -> None:
        """Ask for rows; the clock of the first begins."""
        self.pending = deque(jobs)
        self.since = self.asked = time.monotonic()
        self.asked_rows = len(jobs)
        theta = {k: np.stack([j.theta[k] for j in jobs]) for k in jobs[0].theta}
        message = encode(theta, indices=[job.index for job in jobs])
        try:
            self.process.channel.send(message, SEND_SECONDS)
        except OSError:
            self.process.kill()  # reading its pipe will say so

    def hear(self) -> Iterator[Answer]:
        """Read what has come; a closed pipe means that the process ended."""
        yield from self._read()
        if not self.is_open:
            yield from self._bury(self.process.wait())

    def check(self) -> Iterator[Answer]:
        """End a row that is over its limits; notice a death that closed no pipe."""
        now = time.monotonic()
        if self.process.has_ended:
            yield from self._read()
            yield from self._bury(self.process.wait())
        elif not self.ready:
            if now - self.since > START_SECONDS:
                raise ModelError(
                    f"{self._name}: a worker was not ready {START_SECONDS:.0f} s after "
                    "its start. Expected a file that imports faster."
                )
        elif self.pending:
            limit = self.pool.timeout
            if limit is not None and now - self.since > limit:
                yield from self._end_row("timeout", f"took longer than {limit:g} s")
            elif now - self.looked > TICK_SECONDS:
                self.looked = now
                self.process.cap_log()
                yield from self._check_memory()

    def _check_memory(self) -> Iterator[Answer]:
        limit = self.pool.memory
        if limit is None:
            return
        used = self.process.memory() / 1e6
        if used > limit:
            text = f"used more than {limit:g} MB of memory"
            yield from self._end_row("oom", text)

    def stop(self) -> None:
        """End the process."""
        self.supervisor.selector.unregister(self.process.channel.end)
        self.process.close()

    @property
    def queue(self) -> "_Queue":
        """Where rows come from and go back to."""
        return self.supervisor.queue

    @property
    def _name(self) -> str:
        program = self.supervisor.program
        return program.get("file") or program["command"]["argv"][0]

    def _take_first(self, message: bytes) -> None:
        _, facts = decode(message)
        if "fatal" in facts:
            raise ModelError(
                f"{self._name}: a worker could not import the simulator "
                f"({facts['fatal']}). Expected a file that a fresh interpreter can "
                "import."
            )
        self.ready = True
        self.starts = 0

    def _read(self) -> Iterator[Answer]:
        messages, self.is_open = self.process.channel.drain()
        for message in messages:
            if self.ready:
                yield from self._take(message)
            else:
                self._take_first(message)

    def _take(self, message: bytes) -> Iterator[Answer]:
        answer = decode_answer(message)
        job = self.pending.popleft()
        assert job.index == answer.index
        self.since = time.monotonic()
        if not self.pending:
            self._adapt(self.since)
        tries = self.queue.count_try(job.index)
        if answer.status == "crash" and tries < TRIES_CRASH:  # of an external program
            self.queue.put_back([job])
        else:
            del self.queue.tries[job.index]
            yield answer._replace(attempts=tries)

    def _adapt(self, now: float) -> None:
        """Ask for as many rows at once as take a tenth of a second."""
        per_row = max((now - self.asked) / self.asked_rows, 1e-6)
        wanted = int(REQUEST_SECONDS / per_row)
        twice = 2 * self.rows_per_request
        self.rows_per_request = min(max(wanted, 1), twice, MAX_ROWS_PER_REQUEST)

    def _end_row(self, status: str, text: str) -> Iterator[Answer]:
        job = self.pending[0]
        self.process.kill()
        yield from self._read()  # what it had finished before is in the pipe
        if self.pending and self.pending[0] is job:
            self.queue.count_try(job.index)
            yield self._fail(self.pending.popleft(), status, text, None)
        self._restart()

    def _bury(self, code: int) -> Iterator[Answer]:
        """Record a death, or try its row again, and start anew."""
        if not self.ready:
            self._check_start(code)
        elif self.pending:
            job = self.pending.popleft()
            most = TRIES_KILLED if code in KILLED else TRIES_CRASH
            if self.queue.count_try(job.index) < most:
                self.pending.appendleft(job)
            else:
                text = f"the simulator's process ended ({exit_words(code)})"
                yield self._fail(job, "crash", f"{text}\n{self.process.tail()}", code)
        self._restart()

    def _check_start(self, code: int) -> None:
        if code not in KILLED or self.starts > MAX_STARTS:
            raise ModelError(
                f"{self._name}: a worker ended while it imported the simulator "
                f"({exit_words(code)}): {self.process.tail()[-500:]}"
            )

    def _fail(self, job: Job, status: str, text: str, code: int | None) -> Answer:
        tries = self.queue.tries.pop(job.index)
        seconds = time.monotonic() - self.since
        return Answer(job.index, status, {}, text[:MAX_ERROR], code, tries, seconds)

    def _restart(self) -> None:
        self.stop()
        self.queue.put_back(list(self.pending))
        self.pending.clear()
        self._start()

    def _start(self) -> None:
        self.process = Process(self.supervisor.program)
        self.ready, self.is_open = False, True
        self.starts += 1
        self.since = self.looked = self.asked = time.monotonic()
        self.asked_rows = 1
        end = self.process.channel.end
        self.supervisor.selector.register(end, selectors.EVENT_READ, self)
