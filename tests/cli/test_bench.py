"""`retrodict bench`: the table, the file, and what goes wrong."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import retrodict.bench.methods
from retrodict.cli import steps
from retrodict.training import Settings


ARRAYS = {
    "theta_true": np.array([[0.1, 0.3], [-0.5, 0.2]]),
    "x_obs": np.array([[-0.3, 0.2], [0.1, -0.4]]),
    "reference": np.random.default_rng(0).uniform(-1, 1, (2, 60, 2)),
    "observation": np.array([3, 1]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two small observations of two_moons, numbers 3 and 1."""
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez(folder / "two_moons.npz", **ARRAYS)
    return folder


@pytest.fixture
def quick_fit(monkeypatch):
    """Train for two epochs."""
    fit = partial(
        retrodict.bench.methods.fit, settings=Settings(num_members=1, epochs=2)
    )
    monkeypatch.setattr(retrodict.bench.methods, "fit", fit)


@pytest.mark.slow
def test_table_on_stdout_and_rows_in_the_file(cli, quick_fit, folder, tmp_path):
    out = tmp_path / "new" / "rows.jsonl"
    words = ["--data", folder, "--budget", 1000, "--effort", "fast", "--out", out]
    done = cli("bench", "sbibm", "--task", "two_moons", *words)
    assert done.code == 0, done.err
    assert done.err == f"Results: {out}\n"
    lines = done.out.splitlines()
    assert " ".join(lines[0].split()) == (
        "amortized obs. C2ST -log q best each NPE 2021"
    )
    cells = lines[1].split()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["observation"] for row in rows] == [3, 1]
    mean = np.mean([row["c2st"] for row in rows])
    assert cells[:3] == ["two_moons", "2", f"{mean:.3f}"]
    assert cells[4:] == ["0.655", "0.725"]
    assert "NPE of Lueckmann et al. (2021)" in lines[-1]
    before = out.read_bytes()
    assert cli("bench", "sbibm", *words).out == done.out
    assert out.read_bytes() == before
    again = ["--method", "amortized", "--method", "amortized"]
    assert cli("bench", "sbibm", *words, *again).out == done.out
    silent = cli("bench", "sbibm", *words, "--quiet")
    assert (silent.code, silent.out, silent.err) == (0, "", "")


WRONG_WORDS = {
    "folder": (["--data", "nowhere"], 65, "--data: .*nowhere"),
    "task": (["--task", "two_mons"], 2, "'two_mons'. Did you mean 'two_moons'"),
    "file": (["--task", "sir"], 65, r"sir\.npz: no such file.*\['two_moons'\]"),
    "method": (["--method", "amortised"], 2, "--method: .*mean 'amortized'"),
    "effort": (["--effort", "most"], 2, r"--effort: .*\['fast', 'auto'\]; got 'most'"),
    "budget": (["--budget", "10"], 2, "--budget.*50; got 10"),
    "seed": (["--seed", "-1"], 2, "--seed.*got -1"),
}


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_wrong_words(cli, folder: Path, tmp_path: Path, name: str):
    words, code, told = WRONG_WORDS[name]
    out = tmp_path / "rows.jsonl"
    given = ["--data", folder, "--budget", 1000, "--out", out, *words]
    done = cli("bench", "sbibm", *given)
    assert re.search(told, done.line), done.line
    assert done.code == code
    assert not out.exists()


WRONG_ARRAYS = {
    "key": ({"x_obs": None}, "two_moons.npz: .*'x_obs' is missing"),
    "shape": ({"x_obs": np.zeros((3, 2))}, r"x_obs: .*got \(3, 2\)"),
    "another task": ({"x_obs": np.zeros((2, 8))}, "2 numbers per .*got 2 and 8"),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_wrong_data(cli, folder: Path, tmp_path: Path, name: str):
    changes, told = WRONG_ARRAYS[name]
    arrays = {k: v for k, v in (ARRAYS | changes).items() if v is not None}
    np.savez(folder / "two_moons.npz", **arrays)
    words = ["--data", folder, "--budget", 1000, "--out", tmp_path / "rows"]
    done = cli("bench", "sbibm", *words)
    assert re.search(told, done.line), done.line
    assert done.code == 65


def test_wrong_out(cli, folder: Path, tmp_path: Path):
    precious = tmp_path / "notes.txt"
    precious.write_text("precious")
    words = ["bench", "sbibm", "--data", folder, "--budget", 1000, "--out"]
    done = cli(*words, precious)
    assert (done.code, "notes.txt, line 1" in done.line) == (65, True)
    done = cli(*words, precious / "rows")
    assert (done.code, "Cannot write" in done.line) == (74, True)
    assert precious.read_text() == "precious"


def test_tasks_are_worlds_that_read_their_data(folder: Path):
    study = steps.load("two_moons", data=folder)
    assert study.model.observed.tolist() == ARRAYS["x_obs"][1].tolist()
    assert study.model.name == "two_moons"
    assert steps.load("two_moons").model.observed.tolist() == [0, 0]  # the world
    assert steps.load("slcp").model.name == "slcp"
