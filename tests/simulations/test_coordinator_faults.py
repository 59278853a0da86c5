"""F1, F2, F10: the coordinator is killed anywhere; nothing is lost, double or wrong.

Each test is a short slice of what ``make test-faults-coordinator`` does in full.
"""

import re
import signal
import time

import numpy as np
import pytest

from campaigns import (
    FULL,
    assert_byte_equal,
    assert_no_orphans,
    finish,
    start,
    write_model,
)
from retrodict._core.errors import StorageError
from retrodict.model import load_study
from retrodict.simulations import Pool, campaign_status, simulate, verify
from retrodict.simulations.store import Folder
from source import sources


pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(3000)]

KILLS, ROWS = (200, 5000) if FULL else (4, 700)
PAUSE = "0.02"


@pytest.fixture
def model_file(tmp_path):
    return write_model(tmp_path / "a folder with spaces")


def test_kills_at_random_times(model_file, tmp_path, record_property):
    """F1."""
    rng = np.random.default_rng(1)
    out = tmp_path / "out"
    words = [str(model_file), "steady", str(ROWS), str(out), "2"]
    done, killed, window = [0], 0, 1.0
    while killed < KILLS:
        process = start(words, PAUSE=PAUSE)
        assert process.stdout.readline() == "READY\n", process.communicate()[1]
        time.sleep(rng.uniform(0, window))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        done.append(
            campaign_status(out)["done"] if (out / "campaign.json").exists() else 0
        )
        assert done[-1] >= done[-2], "an acknowledged row was lost"
        print(f"F1: {killed} kills, {done[-1]} rows safe", flush=True)
        # however fast the machine is, the kills are spread over the whole campaign
        behind = done[-1] / ROWS < killed / KILLS
        window = min(window * 1.1, 8.0) if behind else max(window / 1.5, 0.05)
        if done[-1] == ROWS:
            break
    assert_no_orphans(str(model_file.parent))
    code, text = finish(words)
    assert code == 0, text
    assert verify(out) == []
    model = load_study(f"{model_file}:steady").model
    resumed = simulate(model, ROWS, out=out)
    assert_byte_equal(resumed, simulate(model, ROWS, out=tmp_path / "whole"))
    record_property("kills", killed)
    record_property("rows after each kill", done)
    assert killed >= min(KILLS, 4)


POINTS = (
    "campaign.written",
    "lock.taken",
    "ledger.created",
    "recover.swept",
    "run.begun",
    "row.answered:3",
    "stage.recorded",
    "stage.committed",
    "atomic.written:2",
    "atomic.synced:2",
    "atomic.renamed:2",
    "block.recorded",
    "block.committed",
    "atomic.written:3",
    "atomic.renamed:3",
)


@pytest.mark.parametrize("point", POINTS if FULL else POINTS[7::3])
def test_a_kill_at_a_named_point(point, model_file, tmp_path):
    """F2: also twice in a row, and at the adoption of what the first kill left."""
    out = tmp_path / "out"
    words = [str(model_file), "steady", "300", str(out), "1"]
    for wanted in (point, point, "recover.adopted"):
        code, text = finish(words, RETRODICT_CRASH_AT=wanted, PAUSE="0.003")
        assert code in (0, -signal.SIGKILL), text
    code, text = finish(words)
    assert code == 0, text
    assert verify(out) == []
    model = load_study(f"{model_file}:steady").model
    resumed = simulate(model, 300, out=out)
    assert_byte_equal(resumed, simulate(model, 300, executor=Pool(1)))


def test_every_point_is_broken():
    """F2: a new point of the protocol must be broken too."""
    named = {
        name
        for source in sources().values()
        for name in re.findall(r'reached\("([a-z.]+)"\)', source.text)
        if source.room in {"simulations", "_core"}
    }
    broken = {point.partition(":")[0] for point in POINTS}
    assert named == broken | {"recover.adopted"}


def test_the_points_exist(model_file, tmp_path):
    """A kill at the first point happens, so that the test above tests something."""
    words = [str(model_file), "steady", "300", str(tmp_path / "out"), "1"]
    code, _ = finish(words, RETRODICT_CRASH_AT="block.recorded")
    assert code == -signal.SIGKILL
    lines = Folder(tmp_path / "out").lines()
    assert lines == []  # the transaction was not committed
    assert len(list((tmp_path / "out" / "blocks").glob("0*"))) == 1  # an orphan block


@pytest.mark.parametrize("number", range(20 if FULL else 2))
def test_two_coordinators(number, model_file, tmp_path):
    """F10: the second refuses and names the first; a stale lock is recovered."""
    out = tmp_path / "out"
    words = [str(model_file), "steady", "2000", str(out), "1"]
    first = start(words, PAUSE="0.05")
    assert first.stdout.readline() == "READY\n"
    while not (out / "lock").exists() or not (out / "lock").read_text():
        time.sleep(0.02)
    model = load_study(f"{model_file}:steady").model
    for _ in range(5):
        with pytest.raises(StorageError, match=f"another process.*{first.pid}"):
            simulate(model, 2000, out=out)
    first.kill()
    first.communicate()
    assert len(simulate(model, 300, out=out)) == 300
