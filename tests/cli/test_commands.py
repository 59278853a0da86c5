"""Every command: its help, its output on stdout, the steps one by one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

import retrodict as rd
from retrodict.bench import TASKS
from retrodict.worlds import WORLDS
from source import PACKAGE


COMMANDS = [
    [],
    ["run"],
    ["simulate"],
    ["simulate", "run"],
    ["fit"],
    ["validate"],
    ["infer"],
    ["report"],
    ["bench"],
    ["bench", "sbibm"],
    ["worlds"],
    ["init"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help(cli, words: list[str]):
    done = cli(*words, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: {' '.join(['retrodict', *words])} " in done.out


def test_no_words_is_a_call_for_help(cli):
    done = cli()
    assert done.code == 2
    assert "Usage: retrodict" in done.out + done.err


def test_version(cli):
    done = cli("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.strip()[0].isdigit()


def test_worlds(cli):
    done = cli("worlds")
    assert (done.code, done.err) == (0, "")
    worlds, tasks = done.out.split("\n\n")
    assert [line.split()[0] for line in worlds.splitlines()] == sorted(WORLDS)
    assert [line.split()[0] for line in tasks.splitlines()[1:]] == list(TASKS)
    done = cli("worlds", "--json")
    told = json.loads(done.out)
    assert {name: entry["about"] for name, entry in told.items()} == dict(WORLDS)
    assert all(entry["parameters"] and entry["field"] for entry in told.values())
    assert told["mrna"]["data"] == "--data DIR"


def test_program_in_a_process_of_its_own(tmp_path: Path):
    """The program starts without any development tool and without the test's hooks."""
    path = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "RETRODICT_CACHE": "off"}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "retrodict", *words]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment
        )

    done = call("worlds", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(json.loads(done.stdout)) == list(WORLDS)
    done = call("run", "infuenza")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'influenza'?" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_steps_one_by_one(cli, quick, models: Path, tmp_path: Path):
    campaign, saved = tmp_path / "campaign", tmp_path / "post.retrodict"
    model = models / "tiny.py"
    words = ["--num", 200, "--out", campaign]
    done = cli("simulate", "run", model, *words)
    assert (done.code, done.err) == (0, "")
    assert done.out == "200 simulations: 200 ok\n"
    done = cli("simulate", "run", model, *words, "--json")
    assert json.loads(done.out) == {"ok": 200}

    done = cli("fit", model, "--simulations", campaign, "--num", 200, "--out", saved)
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"Saved {saved}: held-out -log q = ")

    done = cli("validate", saved, "--model", model, "--num", 60, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["verdict"] in {"trusted", "caution", "rejected"}

    x_obs = tmp_path / "x.json"
    x_obs.write_text("[0.5, 0.4, 0.6, 0.5]")
    words = ["--observation", x_obs, "--out", tmp_path / "draws.nc"]
    done = cli("infer", saved, *words, "--num-samples", 70, "--json")
    assert done.code == 0
    assert list(json.loads(done.out)["parameters"]) == ["level", "spread"]
    with xarray.open_datatree(tmp_path / "draws.nc", engine="h5netcdf") as tree:
        assert dict(tree["posterior"].sizes) == {"chain": 1, "draw": 70}
    told = json.loads(done.out)["parameters"]["level"]["mean"]
    assert told == rd.load(saved).at([0.5, 0.4, 0.6, 0.5]).summary()["level"]["mean"]


OBSERVATIONS = {
    "x.json": "[0.5, 0.4, 0.6, 0.5]",
    "x.csv": "0.5\n0.4\n0.6\n0.5\n",
    "x.txt": "0.5 0.4 0.6 0.5\n",
    "columns.csv": "x\n0.5\n0.4\n0.6\n0.5\n",
    "named.json": '{"x": [0.5, 0.4, 0.6, 0.5]}',
}


@pytest.mark.parametrize("name", [*OBSERVATIONS, "x.npy"])
def test_observation_files(cli, finished: Path, tmp_path: Path, name: str):
    path = tmp_path / name
    if name == "x.npy":
        np.save(path, np.array([0.5, 0.4, 0.6, 0.5]))
    else:
        path.write_text(OBSERVATIONS[name])
    done = cli("infer", finished / "posterior.retrodict", "--observation", path)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()[2:]] == [
        "level",
        "spread",
    ]


def test_words_fit_a_terminal_of_80_columns(monkeypatch, capsys):
    from retrodict.cli import show
    from retrodict.trust import Check

    class Judged:
        verdict = "caution"
        headline = "Caution: 2 of 10 checks found an error that matters."
        checks = tuple(
            Check(
                code, "warn", 0.1, 0.04, f"{code} is off. " + 8 * "More words. ", both
            )
            for code, both in (("one", "Do this. Simulate."), ("two", "Simulate."))
        )

    row = dict.fromkeys(("mean", "sd", "q05", "q95"), -1.2345e-10) | {"unit": "1/day"}
    summary = {
        "parameters": {"a_rather_long_name[0]": row},
        "derived": {},
        "baseline": {"method": "m", "parameters": {"a_rather_long_name[0]": row}},
    }
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    show.print_answer(summary, Judged, ())
    text = capsys.readouterr().out
    plain = [
        line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in text.split("\n")
    ]
    assert max(map(len, plain)) <= 80
    assert text.count("Simulate.") == 1
    assert text.count("-1.234e-10") == 6
    monkeypatch.delenv("FORCE_COLOR")
    show.print_answer(summary, Judged, ())
    piped = capsys.readouterr().out
    assert "\x1b" not in piped
    assert len(piped.splitlines()[1]) > 80
