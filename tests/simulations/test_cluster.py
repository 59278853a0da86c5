"""Dask: real scheduler and worker processes; workers are killed and come late.

A short slice of what ``make test-faults-dask`` does in full.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from campaigns import FULL, assert_byte_equal, assert_no_orphans, write_model
from retrodict._core.errors import ModelError
from retrodict.model import Model, Prior, load_study
from retrodict.simulations import (
    STATUSES,
    Dask,
    Pool,
    campaign_status,
    simulate,
    verify,
)
from source import PACKAGE


pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        importlib.util.find_spec("distributed") is None,
        reason="needs Dask: pip install 'retrodict[dask]'",
    ),
    # of Dask's own sockets and loops, at the end of the process
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Cluster:
    """A scheduler and workers, each a process of its own on this machine."""

    def __init__(self, folder, **env):
        path = os.pathsep.join([str(PACKAGE.parent), *filter(None, sys.path)])
        self.env = {**os.environ, "PYTHONPATH": path, **env}
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.workers = []
        words = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        self.scheduler = self._start("scheduler", *words)

    def add_worker(self):
        words = [self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        self.workers.append(self._start("worker", *words))
        return self.workers[-1]

    def close(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    def _start(self, kind, *words):
        with open(self.folder / f"{kind}.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words],
                env=self.env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )


@pytest.fixture
def cluster(tmp_path):
    found = Cluster(tmp_path, PAUSE="0.02")
    yield found
    found.close()


def test_workers_that_are_killed_and_come_late(cluster, tmp_path):
    """3 workers, 2 killed in the middle, 1 more joins: equal to a single machine."""
    rows = 2000 if FULL else 400
    file = write_model(tmp_path / "model")
    model = load_study(f"{file}:steady").model
    for _ in range(3):
        cluster.add_worker()
    out, events = tmp_path / "out", []

    def interfere():
        for wanted, action in (
            (rows // 8, cluster.workers[0].kill),
            (rows // 4, cluster.workers[1].kill),
            (rows // 2, cluster.add_worker),
        ):
            while _done(out) < wanted:
                time.sleep(0.1)
            action()
            events.append(_done(out))

    thread = threading.Thread(target=interfere, daemon=True)
    thread.start()
    spread = simulate(model, rows, out=out, executor=Dask(cluster.address))
    thread.join(10)
    assert len(events) == 3
    print(f"Dask: {rows} rows, workers killed or added at {events} rows")
    assert verify(out) == []
    assert_byte_equal(spread, simulate(model, rows, executor=Pool(2)))
    cluster.close()
    assert_no_orphans(str(file.parent / "simulator.py"))


def _done(out):
    try:
        return campaign_status(out)["done"]
    except Exception:  # noqa: BLE001 (it has not begun)
        return 0


def test_rows_that_crash_cost_no_worker(cluster, tmp_path):
    cluster.add_worker()
    file = write_model(tmp_path / "model", kinds=10)
    model = load_study(f"{file}:fragile").model
    sims = simulate(model, 40, executor=Dask(cluster.address, timeout=30))
    crashed = np.array(STATUSES)[sims.status] == "crash"
    np.testing.assert_array_equal(crashed, sims.theta["kind"] < 4)
    assert 0 < crashed.sum() < 40
    assert cluster.workers[0].poll() is None


def test_what_a_cluster_cannot_run_is_refused():
    import numpyro.distributions as dist

    model = Model(Prior(a=dist.Normal(0, 1)), lambda rng, theta: rng.normal())
    with pytest.raises(ModelError, match="Expected a function in a file of its own"):
        simulate(model, 10, executor=Dask("tcp://127.0.0.1:1"))
