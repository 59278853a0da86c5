"""F13, F14: a training process is killed or told to end, anywhere; the bits are equal.

Each test is a short slice of what ``make test-faults-training`` does in full.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from campaigns import FULL
from source import PACKAGE


pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(3000)]

PROGRAM = """
import hashlib
import sys
import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from retrodict.training import Settings, checkpointing, train_ensemble

folder, epochs = sys.argv[1], int(sys.argv[2])
settings = Settings(
    num_members=3, num_layers=1, num_bins=4, flow_width=8, embedding_width=16,
    context_dim=8, num_blocks=1, epochs=epochs, batch_size=32,
)
rng = np.random.default_rng(0)
value = rng.standard_normal((2000, 2)).astype(np.float32)
x = {"x": value + 0.5 * rng.standard_normal((2000, 2)).astype(np.float32)}
print("READY", flush=True)
with checkpointing(folder if folder != "-" else None, seconds=0.0):
    trained = train_ensemble(jr.key(0), value, x, settings)
leaves = jax.tree.leaves([eqx.filter(m, eqx.is_array) for m in trained.members])
found = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves))
found.update(trained.validation.tobytes())
print(found.hexdigest(), flush=True)
"""

KILLS, EPOCHS = (100, 2000) if FULL else (2, 60)
STOPS = 50 if FULL else 1


def start(folder, epochs):
    path = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(epochs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == "READY\n", process.communicate()[1]
    return process


def result(folder, epochs) -> str:
    out, err = start(folder, epochs).communicate()
    assert len(out) == 65, err
    return out


def newest(folder) -> int:
    """Return how many epochs of all members are safe."""
    done = {}
    for path in sorted(folder.rglob("*.safetensors")):
        done[path.parent] = int(path.name[:6])
    return sum(done.values())


def test_kills_at_random_times(tmp_path):
    """F13: by SIGKILL."""
    rng = np.random.default_rng(2)
    window, killed, done = 4.0, 0, [0]
    while killed < KILLS:
        process = start(tmp_path, EPOCHS)
        time.sleep(rng.uniform(0, window))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        assert "Traceback" not in process.communicate()[1]
        done.append(newest(tmp_path))
        assert done[-1] >= done[-2], "an epoch was lost"
        print(f"F13: {killed} kills, {done[-1]} of {3 * EPOCHS} epochs safe")
        # the kills are spread over the whole training, however fast the machine is
        behind = done[-1] / (3 * EPOCHS) < killed / KILLS
        window = min(window * 1.1, 20.0) if behind else max(window / 1.5, 0.5)
        if done[-1] == 3 * EPOCHS:
            break
    assert killed >= min(KILLS, 2)
    assert result(tmp_path, EPOCHS) == result("-", EPOCHS)


def test_sigterm_writes_a_checkpoint_and_exits_75(tmp_path):
    """F14: a program without a handler of its own; within five seconds."""
    rng = np.random.default_rng(3)
    late = []
    for number in range(STOPS):
        folder = tmp_path / str(number)
        process = start(folder, 10**5)
        while not newest(folder):
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.5))
        before = newest(folder)
        process.terminate()
        told = time.monotonic()
        out, err = process.communicate()
        late.append(time.monotonic() - told)
        assert process.returncode == 75, err
        assert out == ""
        assert err.startswith("Interrupted. The training is safe in")
        assert newest(folder) >= before
    print(f"F14: {STOPS} times SIGTERM, the process ended within {max(late):.1f} s")
    assert max(late) < 5.0
