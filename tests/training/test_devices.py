"""Several devices share every batch: simulated on the CPU, in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest


PROGRAM = """
import json
import jax, jax.random as jr
import numpy as np
from retrodict.training import Settings, train_ensemble

rng = np.random.default_rng(0)
value = rng.standard_normal((600, 2)).astype(np.float32)
x = {"x": (value + 0.3 * rng.standard_normal((600, 2))).astype(np.float32)}
settings = Settings(num_members=2, num_layers=2, epochs=2, batch_size=BATCH)
trained = train_ensemble(jr.key(0), value, x, settings)
print(json.dumps([jax.local_device_count(), trained.validation.tolist()]))
"""


def _printed(program: str, devices: int) -> str:
    """Return what a program prints where there are as many devices."""
    count = f"--xla_force_host_platform_device_count={devices}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {count}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(devices: int, batch: int):
    printed = _printed(PROGRAM.replace("BATCH", str(batch)), devices)
    count, losses = json.loads(printed.splitlines()[-1])
    assert count == devices
    return np.array(losses)


@pytest.fixture(scope="module")
def alone():
    return _run(1, 64)


@pytest.mark.parametrize("batch", [64, 63])
def test_two_devices_train_the_same_network(alone, batch):
    """To rounding: sums over a batch are taken in another order. 63 is not divided."""
    expected = alone if batch == 64 else _run(1, batch)
    np.testing.assert_allclose(_run(2, batch), expected, atol=2e-3)


def test_a_batch_is_divided():
    program = (
        "import jax, numpy as np\n"
        "from retrodict.training.program import spread\n"
        "from retrodict.training.rows import Rows\n"
        "rows = Rows(np.zeros((8, 2), np.float32), {'x': np.zeros((8, 3), 'f4')})\n"
        "found = jax.jit(spread)(rows)\n"
        "print(found.value.sharding.shard_shape((8, 2)))\n"
    )
    assert "(4, 2)" in _printed(program, 2)
