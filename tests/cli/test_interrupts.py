"""Ctrl-C and SIGTERM: one line, exit code 75, and the same command continues."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from campaigns import FULL
from retrodict._core.errors import DataError
from retrodict.simulations import campaign_status
from source import PACKAGE


pytestmark = [pytest.mark.slow, pytest.mark.faults]

# The program itself, with a small network that is kept every tenth of a second.
PROGRAM = """
import os
from functools import partial
import retrodict.workflow as workflow
from retrodict.cli import main
from retrodict.posterior import fit
from retrodict.training import Settings

settings = Settings(
    num_members=1,
    num_layers=1,
    num_bins=4,
    flow_width=16,
    embedding_width=32,
    epochs=int(os.environ["EPOCHS"]),
)
workflow.fit = partial(fit, settings=settings)
workflow.checkpointing = partial(workflow.checkpointing, seconds=0.1)
workflow.validate = partial(
    workflow.validate, num_simulations=60, num_samples=64
)
main()
"""

SLOW = """
import os
import time
import numpy as np
import numpyro.distributions as dist
import retrodict as rd

def simulator(rng, theta):
    time.sleep(float(os.environ.get("PAUSE", "0")))
    return theta["level"] + 0.1 * rng.normal(size=4)

model = rd.Model(
    rd.Prior(level=dist.Normal(0.0, 1.0)), simulator, observed=np.ones(4), name="slow"
)
"""


# Signals while simulating and while training; `make test` runs the first order alone.
ORDERS = [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)]


@pytest.fixture
def start(tmp_path: Path):
    """Return a function that starts the program; what still runs is ended after."""
    (tmp_path / "slow.py").write_text(SLOW)
    path = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    started = []

    def call(*words: str, pause: float = 0.0, epochs: int = 3) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, "run", "slow.py", "--out", "out"]
        process = subprocess.Popen(
            [*command, "--budget", "200", "--workers", "2", "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PAUSE": str(pause),
                "EPOCHS": str(epochs),
            },
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def rows_done(folder: Path) -> int:
    """Return how many simulations are safe."""
    try:
        return campaign_status(folder / "simulations")["done"]
    except DataError:
        return 0  # it has not begun


def times_of_blocks(folder: Path) -> dict[str, int]:
    """Return when each finished block was written, by name."""
    found = folder.glob("simulations/blocks/0*.safetensors")
    return {path.name: path.stat().st_mtime_ns for path in found}


def wait_for_rows(folder: Path) -> None:
    for _ in range(1200):
        if rows_done(folder):
            return
        time.sleep(0.1)
    raise AssertionError("no simulation was finished within two minutes")


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def interrupt_simulating(start, folder: Path, number: int) -> None:
    process = start(pause=0.05)
    wait_for_rows(folder)
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (75, "")
    assert err.count("\n") == 1
    assert err.startswith("retrodict: error: Interrupted. ")
    assert "the same command continues" in err
    assert 1 <= rows_done(folder) < 200


def interrupt_training(start, folder: Path, number: int) -> None:
    process, training = start(epochs=1000), folder / "training"
    while process.poll() is None and not list(training.rglob("*.safetensors")):
        time.sleep(0.1)
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (75, "")
    assert err == (
        "retrodict: error: Interrupted. The training is safe in out/training; the "
        "same command continues it.\n"
    )
    assert rows_done(folder) == 200
    assert not (folder / "posterior.retrodict").exists()
    epoch = max(int(path.name[:6]) for path in training.rglob("*.safetensors"))
    assert 0 < epoch < 1000


@pytest.mark.parametrize(
    "signals", ORDERS if FULL else ORDERS[:1], ids=lambda pair: pair[0].name
)
def test_while_simulating_and_while_training(start, tmp_path: Path, signals):
    """What is done is kept, and the same command goes on to the same answer."""
    folder = tmp_path / "out"
    interrupt_simulating(start, folder, signals[0])
    early = times_of_blocks(folder)
    interrupt_training(start, folder, signals[1])
    kept = times_of_blocks(folder)
    assert early.items() <= kept.items()

    code, out, err = finish(start(epochs=1000))
    assert code == 0, err
    assert err == "Report: out/report.html\n"
    assert times_of_blocks(folder) == kept
    assert not (folder / "training").exists()
    code, other, err = finish(start("--out", "other", epochs=1000))
    assert code == 0, err
    first, second = json.loads(out), json.loads(other)
    assert first["model"] == "slow"
    assert first["parameters"] == second["parameters"]
    assert first["validation"] == second["validation"]


def test_second_signal_ends_at_once(start, tmp_path: Path):
    """A row that hangs does not let the program stop in an orderly way."""
    (tmp_path / "slow.py").write_text(
        SLOW.replace(
            "def simulator",
            "import sys\n"
            'if "retrodict.cli" in sys.modules:\n'
            "    import signal\n"
            "    handler = signal.getsignal(signal.SIGINT)\n"
            "    def stubborn(*given):\n"
            "        try:\n"
            "            handler(*given)\n"
            "        except KeyboardInterrupt:\n"
            '            print("FIRST", file=sys.stderr, flush=True)\n'
            "    signal.signal(signal.SIGINT, stubborn)\n"
            '    print("READY", file=sys.stderr, flush=True)\n'
            "def simulator",
        )
    )
    process = start(pause=100.0)
    assert process.stderr.readline() == "READY\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "FIRST\n"
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
