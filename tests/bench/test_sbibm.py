"""The run: what a method is shown, what is written, what a second run repeats."""

import json
from pathlib import Path

import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict._core.errors import DataError, InterruptedRun, ModelError
from retrodict.bench import sbibm
from retrodict.bench.rows import Setting, read_rows
from retrodict.bench.sbibm import run_sbibm
from retrodict.bench.tasks import gaussian_linear


SETTING = Setting("exact", "auto", 100, 3)


class Exact:
    """The exact posterior of gaussian_linear, with notes of how it was called."""

    train_s, compile_s = 2.0, 1.0

    def __init__(self):
        self.calls = []

    def __call__(self, problem):
        self.calls.append(problem)
        return self

    def train_at(self, xs):
        self.calls.append(("train at", xs))

    def sample(self, key, xs, num_samples):
        self.calls.append(("sample", xs, num_samples))
        keys = jr.split(key, len(xs))
        draws = [
            gaussian_linear.exact_draws(k, x, num_samples)
            for k, x in zip(keys, xs, strict=True)
        ]
        return np.stack(draws)

    def log_prob(self, theta, xs):
        mean = xs[:, None, :] / 2
        return stats.norm(mean, np.sqrt(0.05)).logpdf(theta).sum(-1)


@pytest.fixture
def method(monkeypatch) -> Exact:
    exact = Exact()
    monkeypatch.setattr(sbibm, "METHODS", {"exact": exact})
    return exact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three small observations of gaussian_linear."""
    rng = np.random.default_rng(0)
    theta = np.sqrt(0.1) * rng.normal(size=(3, 10))
    x = theta + np.sqrt(0.1) * rng.normal(size=(3, 10))
    noise = np.sqrt(0.05) * rng.normal(size=(3, 60, 10))
    np.savez(
        tmp_path / "gaussian_linear.npz",
        theta_true=theta,
        x_obs=x,
        reference=x[:, None] / 2 + noise,
        observation=[2, 1, 9],
    )
    return tmp_path


def test_rows_hold_what_was_measured(method: Exact, folder: Path):
    out = folder / "rows.jsonl"
    rows = run_sbibm(folder, out, [SETTING])
    assert rows == read_rows(out)
    assert [row.observation for row in rows] == [2, 1, 9]
    with np.load(folder / "gaussian_linear.npz") as data:
        z = (data["theta_true"] - data["x_obs"] / 2) / np.sqrt(0.05)
    expected = 0.5 * (z**2).sum(1) + 5 * np.log(2 * np.pi * 0.05)
    np.testing.assert_allclose([row.nlpd for row in rows], expected)
    for row in rows:
        assert 0.3 < row.c2st < 0.7
        assert (row.train_s, row.compile_s) == (2.0, 1.0)
        assert row.sample_s > 0
    keys = "task method budget seed observation c2st nlpd train_s compile_s sample_s"
    assert set(keys.split()) <= set(json.loads(out.read_text().splitlines()[0]))


def test_a_method_sees_prior_simulator_and_then_all_observations(
    method: Exact, folder: Path
):
    run_sbibm(folder, folder / "rows.jsonl", [SETTING])
    problem, trained, (_, xs, num_samples) = method.calls
    assert trained == ("train at", xs)
    assert (problem.budget, problem.seed, problem.effort) == (100, 3, "auto")
    assert problem.model.observed is None
    with np.load(folder / "gaussian_linear.npz") as data:
        np.testing.assert_array_equal(xs, data["x_obs"])
    assert num_samples == 60


def test_truth_and_reference_do_not_change_the_draws(
    method: Exact, folder: Path, monkeypatch
):
    seen = []
    monkeypatch.setattr(sbibm, "c2st", lambda ref, own: seen.append(own) or 0.5)
    run_sbibm(folder, folder / "one", [SETTING])
    with np.load(folder / "gaussian_linear.npz") as data:
        arrays = dict(data)
    arrays |= {
        "theta_true": 1 + arrays["theta_true"],
        "reference": arrays["reference"] * 2,
    }
    np.savez(folder / "gaussian_linear.npz", **arrays)
    run_sbibm(folder, folder / "two", [SETTING])
    np.testing.assert_array_equal(seen[:3], seen[3:])


def test_a_second_run_measures_only_what_is_missing(method: Exact, folder: Path):
    out = folder / "rows.jsonl"
    rows = run_sbibm(folder, out, [SETTING])
    lines = out.read_text().splitlines(keepends=True)
    method.calls.clear()
    assert run_sbibm(folder, out, [SETTING]) == rows
    assert method.calls == []
    out.write_text(lines[0] + lines[2] + lines[1][:30])
    resumed = run_sbibm(folder, out, [SETTING])
    assert [row.observation for row in resumed] == [2, 9, 1]
    assert resumed[2].c2st == rows[1].c2st
    other = Setting("exact", "fast", 100, 3)
    assert len(run_sbibm(folder, out, [other])) == 3
    assert len(read_rows(out)) == 6


def test_methods_of_one_command_are_given_the_same_problem(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Amortized and refined begin with one fit, which the problem makes once."""
    both = {"exact": Exact(), "more": Exact()}
    monkeypatch.setattr(sbibm, "METHODS", both)
    settings = [Setting(name, "auto", 100, 3) for name in both]
    rows = run_sbibm(folder, folder / "rows.jsonl", settings)
    assert [row.method for row in rows] == 3 * ["exact"] + 3 * ["more"]
    assert both["exact"].calls[0] is both["more"].calls[0]
    assert run_sbibm(folder, folder / "rows.jsonl", settings[1:]) == rows[3:]


def test_an_interrupted_run_says_what_is_safe(method: Exact, folder: Path, monkeypatch):
    scores = iter([0.5])

    def interrupted(reference, samples):
        try:
            return next(scores)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(sbibm, "c2st", interrupted)
    out = folder / "rows.jsonl"
    with pytest.raises(InterruptedRun, match=r"1 results are safe in .*rows\.jsonl"):
        run_sbibm(folder, out, [SETTING])
    assert [row.observation for row in read_rows(out)] == [2]


def test_an_impossible_truth_has_no_finite_density(
    method: Exact, folder: Path, monkeypatch
):
    monkeypatch.setattr(method, "log_prob", lambda theta, xs: np.full((3, 1), -np.inf))
    rows = run_sbibm(folder, folder / "rows.jsonl", [SETTING])
    assert [row.nlpd for row in rows] == [None] * 3


def test_wrong_words_and_data_are_refused_before_any_work(method: Exact, folder: Path):
    out = folder / "rows.jsonl"
    wrong = [
        (Setting("exacts", "auto", 100, 0), (), ModelError, "'exacts'. Did you mean"),
        (Setting("exact", "most", 100, 0), (), ModelError, "--effort.*'most'"),
        (SETTING, ("two_mons",), ModelError, "Did you mean 'two_moons'"),
        (SETTING, ("gaussian_linear", "sir"), DataError, "sir.npz: no such file"),
    ]
    for setting, tasks, error, told in wrong:
        with pytest.raises(error, match=told):
            run_sbibm(folder, out, [setting], tasks)
    (folder / "gaussian_linear.npz").rename(folder / "two_moons.npz")
    with pytest.raises(DataError, match=r"2 parameters and 2 numbers.*got 10 and 10"):
        run_sbibm(folder, out, [SETTING])
    (folder / "two_moons.npz").unlink()
    with pytest.raises(DataError, match=r"--data: Expected files such as slcp\.npz"):
        run_sbibm(folder, out, [SETTING])
    assert not out.exists()
    assert method.calls == []


def test_seeds_are_checked(method: Exact, folder: Path):
    with pytest.raises(ValueError, match=r"seed: .*got -1"):
        run_sbibm(folder, folder / "rows", [Setting("exact", "auto", 100, -1)])
