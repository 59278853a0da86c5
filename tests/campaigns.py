"""Campaigns to break: model files, a coordinator to kill, and what must be left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from retrodict.simulations import as_series
from source import PACKAGE


# `make test-faults` runs the whole suite; without it every test is a short slice.
FULL = os.environ.get("RETRODICT_FAULTS") == "full"

# The simulator has a file of its own, without JAX: a worker starts in 0.2 s.
SIMULATOR = """
import ctypes
import os
import signal
import sys
import time

import numpy as np

PAUSE = float(os.environ.get("PAUSE", "0"))

def steady(rng, theta):
    time.sleep(PAUSE)
    return {"y": theta["a"] + rng.standard_normal(3), "n": rng.integers(9)}

def fragile(rng, theta):
    kind = int(theta["kind"])
    if kind == 0:
        ctypes.string_at(0)
    if kind == 1:
        os._exit(9)
    if kind == 2:
        os.abort()
    if kind == 3:
        overflow()
    return rng.standard_normal(3)

def overflow():
    # qsort that calls itself through C until the stack is full: SIGSEGV
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    qsort = ctypes.CDLL(None).qsort
    data = (ctypes.c_int * 2)(2, 1)
    sys.setrecursionlimit(10**9)
    def again(a, b):
        qsort(data, 2, ctypes.sizeof(ctypes.c_int), compare(again))
        return 0
    again(0, 0)

def hanging(rng, theta):
    kind = int(theta["kind"])
    if kind == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    if kind == 1:
        ctypes.PyDLL(None).sleep(1000)  # in C code, and holding the interpreter
    if kind == 2:
        import subprocess
        subprocess.run(["sleep", "1000"])
    return rng.standard_normal(3)

def hungry(rng, theta):
    if theta["kind"] < 1:
        hoard = []
        while True:
            hoard.append(np.ones(1_000_000))
            time.sleep(0.002)
    return rng.standard_normal(3)
"""

MODEL = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
import numpyro.distributions as dist
import retrodict as rd
import simulator as simulators

prior = rd.Prior(a=dist.Normal(0, 1))
kinds = rd.Prior(kind=dist.Uniform(0, {kinds}))
steady = rd.Model(prior, simulators.steady, name="steady")
fragile = rd.Model(kinds, simulators.fragile, observed=np.zeros(3), name="fragile")
hanging = rd.Model(kinds, simulators.hanging, observed=np.zeros(3), name="hanging")
hungry = rd.Model(kinds, simulators.hungry, observed=np.zeros(3), name="hungry")
"""

COORDINATOR = """
import sys
import retrodict as rd
from retrodict.model import load_study
file, name, num, out, workers = sys.argv[1:]
model = load_study(f"{file}:{name}").model
print("READY", flush=True)
rd.simulate(model, int(num), out=out, executor=rd.Pool(int(workers)))
print("DONE", flush=True)
"""


def write_model(folder: Path, kinds: int = 20) -> Path:
    """Write the model file and its simulator; each failure has 1/kinds of the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "simulator.py").write_text(SIMULATOR)
    sys.modules.pop("simulator", None)  # that of another test's folder
    path = folder / "model.py"
    path.write_text(MODEL.format(kinds=kinds))
    return path


def start(words: list[str], **env: str) -> subprocess.Popen[str]:
    """Start a coordinator in a process of its own."""
    path = os.pathsep.join([str(PACKAGE.parent), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **env},
    )


def finish(words: list[str], **env: str) -> tuple[int, str]:
    """Run a coordinator to its end; return its exit code and what it said."""
    process = start(words, **env)
    out, err = process.communicate(timeout=500)
    return process.returncode, out + err


def arrays_of(simulations) -> dict[str, np.ndarray]:
    """Return everything that must be byte-equal."""
    return {
        **{f"theta/{k}": v for k, v in simulations.theta.items()},
        **{f"x/{k}": v for k, v in as_series(simulations.x).items()},
        "status": simulations.status,
        "index": simulations.index,
    }


def assert_byte_equal(first, second) -> None:
    one, two = arrays_of(first), arrays_of(second)
    assert sorted(one) == sorted(two)
    for name in one:
        assert one[name].dtype == two[name].dtype, name
        assert one[name].tobytes() == two[name].tobytes(), name


def orphans(mark: str) -> list[int]:
    """Return the processes whose command line holds ``mark``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if mark in words and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


def assert_no_orphans(mark: str, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while orphans(mark) and time.monotonic() < end:
        time.sleep(0.05)
    left = orphans(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
