"""F3 to F7: workers die, hang or eat the memory; every healthy row is delivered.

Each test is a short slice of what ``make test-faults-workers`` does in full.
"""

import os
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from campaigns import FULL, assert_byte_equal, assert_no_orphans, orphans, write_model
from retrodict.model import load_study
from retrodict.simulations import STATUSES, Pool, simulate
from retrodict.simulations.ledger import Failure
from retrodict.simulations.store import Folder


pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture
def load(tmp_path):
    def call(name: str, kinds: int = 20):
        return load_study(f"{write_model(tmp_path / 'model', kinds)}:{name}").model

    return call


def failures(folder: Path) -> list[Failure]:
    with Folder(folder).reading() as ledger:
        return ledger.failures()


def statuses(simulations) -> np.ndarray:
    return np.array(STATUSES)[simulations.status]


def killer(mark: str, stop: threading.Event, wanted: int, kills: list[int]) -> None:
    """Kill random workers, two to ten a second, until ``wanted`` are dead."""
    rng = np.random.default_rng(3)
    while len(kills) < wanted and not stop.is_set():
        time.sleep(rng.uniform(0.1, 0.5))
        victims = orphans(mark)
        if victims:
            pid = victims[rng.integers(len(victims))]
            try:
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)
            except ProcessLookupError:
                pass


def test_workers_are_killed(load, tmp_path, monkeypatch):
    """F3: only the victims are tried again, and the rows are those of a quiet run.

    A row is given up after six deaths of its worker: with these times one of 10^5 is.
    """
    wanted, rows = (500, 2000) if FULL else (6, 60)
    model = load("steady")
    quiet = simulate(model, rows, executor=Pool(2))
    monkeypatch.setenv("PAUSE", "0.1")
    stop, kills = threading.Event(), []
    mark = str(tmp_path / "model" / "simulator.py")
    thread = threading.Thread(target=killer, args=(mark, stop, wanted, kills))
    thread.start()
    try:
        stormy = simulate(model, rows, out=tmp_path / "out", executor=Pool(2))
    finally:
        stop.set()
        thread.join()
    assert_byte_equal(quiet, stormy)
    print(f"F3: {len(kills)} kills of workers in {rows} rows, all rows delivered")
    assert len(kills) >= (wanted if FULL else 2)
    assert_no_orphans(mark)


def test_simulators_that_crash(load, tmp_path):
    """F4: each crash has its signal, and the line where Python knows it."""
    rows = 1000 if FULL else 60
    model = load("fragile", kinds=20 if FULL else 12)
    sims = simulate(model, rows, out=tmp_path / "out", executor=Pool(2))
    kind = sims.theta["kind"].astype(int)
    np.testing.assert_array_equal(statuses(sims) == "crash", kind < 4)
    np.testing.assert_array_equal(statuses(sims) == "ok", kind >= 4)
    exits = {
        0: -signal.SIGSEGV,
        1: 9,
        2: -signal.SIGABRT,
        3: -signal.SIGSEGV,
    }
    found = failures(tmp_path / "out")
    assert len(found) == (kind < 4).sum() > 0
    for failure in found:
        assert failure.exit == exits[int(kind[failure.row])]
        assert failure.attempts == 2
        assert str(float(sims.theta["kind"][failure.row]))[:8] in failure.theta
    assert any("simulator.py" in f.error for f in found if f.exit == -signal.SIGSEGV)
    print(f"F4: {len(found)} crashes in {rows} rows, {sims.num_ok} healthy delivered")


def test_simulators_that_hang(load, tmp_path):
    """F5: gone two seconds after the deadline, also in C code or ignoring SIGTERM."""
    rows, timeout = (100, 2.0) if FULL else (24, 0.7)
    model = load("hanging", kinds=6)
    sims = simulate(model, rows, out=tmp_path / "out", executor=Pool(2, timeout))
    kind = sims.theta["kind"].astype(int)
    np.testing.assert_array_equal(statuses(sims) == "timeout", kind < 3)
    assert (statuses(sims)[kind >= 3] == "ok").all()
    found = failures(tmp_path / "out")
    late = max(failure.seconds for failure in found) - timeout
    print(f"F5: {len(found)} hangs of {rows} rows, ended at most {late:.2f} s late")
    assert late < 2.0
    assert set(kind[kind < 3]) == {0, 1, 2}
    assert_no_orphans(str(tmp_path / "model" / "simulator.py"))


def test_simulators_that_eat_the_memory(load, tmp_path):
    """F6: ended at the limit; the coordinator does not grow."""
    limit = Pool(1, memory=400)
    rows = 40 if FULL else 6
    model = load("hungry", kinds=2)
    simulate(load("steady"), 2)  # what is compiled once is not growth
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sims = simulate(model, rows, out=tmp_path / "out", executor=limit)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    hungry = sims.theta["kind"] < 1
    np.testing.assert_array_equal(statuses(sims) == "oom", hungry)
    np.testing.assert_array_equal(statuses(sims) == "ok", ~hungry)
    print(f"F6: {hungry.sum()} hogs ended; the coordinator grew by {grown:.0f} MB")
    assert hungry.any()
    assert grown < 50


def test_a_worker_dies_with_its_coordinator(load, tmp_path):
    """A hanging row does not outlive a coordinator that is killed."""
    from campaigns import start

    load("hanging", kinds=1)
    mark = str(tmp_path / "model" / "simulator.py")
    file = tmp_path / "model" / "model.py"
    process = start([str(file), "hanging", "10", str(tmp_path / "out"), "2"])
    assert process.stdout.readline() == "READY\n"
    end = time.monotonic() + 60
    while not orphans(mark) and time.monotonic() < end:
        time.sleep(0.05)
    assert orphans(mark)
    process.kill()
    process.communicate()
    assert_no_orphans(mark)
