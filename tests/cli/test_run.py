"""The whole job: its files, its summary, its words, the same numbers again."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray

from retrodict.cli.template import TEMPLATE


STATISTICS = ["mean", "sd", "q05", "q16", "median", "q84", "q95", "unit"]
CHECK = ["code", "status", "value", "threshold", "message", "remedy"]
FILES = ["posterior.retrodict", "report.html", "samples.nc", "summary.json"]


def refuse_constant(text: str):
    raise AssertionError(f"not strict JSON: {text}")


def read_summary(text: str) -> dict:
    return json.loads(text, parse_constant=refuse_constant)


def without_times(folder: Path) -> dict:
    summary = read_summary((folder / "summary.json").read_text())
    assert summary.pop("timings")["total_s"] > 0
    return summary


def blocks(folder: Path) -> dict[str, bytes]:
    found = (folder / "simulations" / "blocks").iterdir()
    return {path.name: path.read_bytes() for path in found}


def test_files(finished: Path):
    found = sorted(path.name for path in finished.iterdir())
    assert found == sorted([*FILES, "simulations"])
    assert blocks(finished)


def test_summary_is_the_documented_one(finished: Path):
    summary = read_summary((finished / "summary.json").read_text())
    assert list(summary) == [
        "schema",
        "model",
        "version",
        "seed",
        "budget",
        "warnings",
        "parameters",
        "derived",
        "baseline",
        "identifiability",
        "validation",
        "timings",
    ]
    told = summary["identifiability"]
    assert list(told["average"]["parameters"]) == ["level", "spread"]
    assert told["at_observation"]["sentences"]
    assert told["width_if_nuisances_known"] == {}
    fixed = {name: summary[name] for name in ("schema", "model", "seed", "budget")}
    assert fixed == {"schema": 1, "model": "tiny", "seed": 3, "budget": 200}
    assert list(summary["parameters"]) == ["level", "spread"]
    assert list(summary["derived"]) == ["square"]
    for row in [*summary["parameters"].values(), *summary["derived"].values()]:
        assert list(row) == STATISTICS
    assert summary["parameters"]["level"]["unit"] == "m"
    assert summary["derived"]["square"]["unit"] == "m2"
    baseline = summary["baseline"]
    assert list(baseline)[:3] == ["method", "parameters", "derived"]
    assert baseline["method"] == "a guess"
    assert baseline["parameters"]["level"]["mean"] == pytest.approx(0.5)
    assert list(baseline["scores"]) == ["c2st"]
    assert list(baseline["agreement"]) == ["level", "spread", "square"]
    level, other = summary["parameters"]["level"], baseline["parameters"]["level"]
    assert baseline["agreement"]["level"] == pytest.approx(
        {
            "difference": level["mean"] - other["mean"],
            "difference_in_sd": (level["mean"] - other["mean"]) / other["sd"],
            "sd_ratio": level["sd"] / other["sd"],
        }
    )
    assert summary["validation"]["verdict"] in {"trusted", "caution", "rejected"}
    for check in summary["validation"]["checks"]:
        assert list(check) == CHECK
        assert check["status"] in {"pass", "warn", "fail"}
    assert set(summary["timings"]) == {
        "simulate_s",
        "train_s",
        "compile_s",
        "validate_s",
        "infer_s",
        "measure_s",
        "baseline_s",
        "total_s",
    }


def test_samples_are_an_arviz_datatree(finished: Path):
    with xarray.open_datatree(finished / "samples.nc", engine="h5netcdf") as tree:
        groups = set(tree.children)
        assert {"posterior", "posterior_predictive", "observed_data"} <= groups
        assert "baseline" in groups
        posterior = tree["posterior"]
        assert dict(posterior.sizes) == {"chain": 1, "draw": 10_000}
        assert set(posterior.data_vars) == {"level", "spread", "square"}
        mean = float(posterior["level"].mean())
        seen = tree["observed_data"]["x"].values.tolist()
    assert seen == [0.5, 0.4, 0.6, 0.5]
    told = read_summary((finished / "summary.json").read_text())["parameters"]
    assert told["level"]["mean"] == pytest.approx(mean, rel=1e-6)


def test_report_says_how_to_repeat_the_run(finished: Path, models: Path):
    page = (finished / "report.html").read_text()
    command = re.search(r'<pre class="command"><bdi>(.*?)</bdi>', page)
    assert command is not None
    assert command.group(1) == (
        f"retrodict run {models}/tiny.py:compared --out {finished} --seed 3 "
        "--budget 200"
    )
    assert "<script" not in page


@pytest.mark.slow
def test_report_command_repeats_the_summary(cli, quick, finished: Path, models: Path):
    before = without_times(finished)
    page = (finished / "report.html").read_bytes()
    (finished / "report.html").unlink()
    done = cli("report", f"{models}/tiny.py:compared", "--out", finished)
    assert done.code == 0
    assert done.err == f"Report: {finished / 'report.html'}\n"
    assert without_times(finished) == before
    assert len((finished / "report.html").read_bytes()) == pytest.approx(
        len(page), rel=0.05
    )


@pytest.mark.slow
def test_json_alone_on_stdout_and_the_same_numbers_again(
    cli, quick, finished: Path, models: Path, tmp_path: Path
):
    words = ["--seed", 3, "--budget", 200, "--out", tmp_path, "--json"]
    done = cli("run", f"{models}/tiny.py:compared", *words)
    assert done.code == 0
    assert read_summary(done.out) == read_summary(
        (tmp_path / "summary.json").read_text()
    )
    assert without_times(tmp_path) == without_times(finished)
    assert blocks(tmp_path) == blocks(finished)


@pytest.mark.slow
def test_number_of_workers_changes_nothing(cli, quick, models: Path, tmp_path: Path):
    for workers in (1, 2):
        out = tmp_path / str(workers)
        words = ["--budget", 100, "--workers", workers, "--out", out]
        done = cli("run", models / "tiny_python.py", *words)
        assert done.code == 0, done.err
        assert "tiny" not in done.err
    assert blocks(tmp_path / "1") == blocks(tmp_path / "2")
    assert without_times(tmp_path / "1") == without_times(tmp_path / "2")


@pytest.mark.slow
def test_strict_tells_by_the_exit_code(cli, quick, models: Path, tmp_path: Path):
    words = ["--budget", 100, "--out", tmp_path, "--strict", "--quiet", "--json"]
    done = cli("run", models / "tiny.py", *words)
    verdict = read_summary(done.out)["validation"]["verdict"]
    assert done.err == ""
    assert done.code == (0 if verdict == "trusted" else 1)
    assert "baseline" not in read_summary(done.out)


@pytest.mark.slow
def test_broken_decoration_does_not_cost_the_run(
    cli, quick, models: Path, tmp_path: Path
):
    words = ["--budget", 100, "--out", tmp_path]
    done = cli("run", f"{models}/tiny.py:broken", *words)
    assert done.code == 0
    told = done.err.splitlines()
    assert told[0] == (
        "The baseline failed (RuntimeError: no convergence). The run goes on."
    )
    assert told[1] == (
        "The figure 'broken_figure' failed (ZeroDivisionError: no such luck)."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*FILES, "simulations"]
    )
    page = (tmp_path / "report.html").read_text()
    assert "broken_figure" in page
    assert "ZeroDivisionError: no such luck" in page
    assert "baseline" not in without_times(tmp_path)


@pytest.mark.slow
def test_simulator_that_fails_now_and_then(cli, quick, variant, tmp_path: Path):
    model = variant(
        "    return theta",
        '    if rng.random() < 0.1: raise ValueError("diverged")\n    return theta',
        "tiny_python",
    )
    done = cli("run", model, "--budget", 100, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert done.err.startswith("Warning W-failed-simulations: ")
    assert "\nReport: " in done.err
    page = (tmp_path / "out" / "report.html").read_text()
    assert "diverged" in page
    with xarray.open_datatree(tmp_path / "out" / "samples.nc", engine="h5netcdf") as t:
        predicted = t["posterior_predictive"]["x"].values
    assert np.isfinite(predicted).all()
    assert 800 < predicted.shape[1] < 1000


@pytest.mark.slow
def test_template_runs_as_written(cli, quick, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli("init", "decay")
    assert (done.code, done.err) == (0, "")
    assert done.out == "decay.py: edit it, then run\n  retrodict run decay.py\n"
    assert (tmp_path / "decay.py").read_text() == TEMPLATE.format(
        name="decay", file="decay.py"
    )
    done = cli("run", "decay.py", "--budget", 200)
    assert done.code == 0, done.err
    summary = without_times(tmp_path / "runs" / "decay")
    assert list(summary["parameters"]) == ["amplitude", "decay"]
    assert list(summary["derived"]) == ["half_life"]
