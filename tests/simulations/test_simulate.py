"""The same rows for any engine, any number of workers and any interruption."""

import dataclasses
import sys

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict._core.errors import DataError, InterruptedRun, ModelError, StorageError
from retrodict.model import Derived, Model, Nuisance, Prior, load_study
from retrodict.simulations import Pool, as_series, repair, simulate, simulate_at
from retrodict.simulations.inline import InlineEngine
from retrodict.simulations.status import campaign_status


def counts(folder):
    return campaign_status(folder)["counts"]


def jax_simulator(key, theta):
    noise = jr.normal(key, (3,))
    return {"y": theta["a"] + theta["b"].sum() * noise, "count": jnp.sum(noise > 0)}


# without a name a fresh interpreter could import: runs in this process, which is fast
python_simulator = lambda rng, theta: (  # noqa: E731
    theta["a"] + theta["b"].sum() * rng.standard_normal(3)
)


def _prior():
    return Prior(
        a=dist.Normal(0, 1),
        b=dist.HalfNormal(jnp.ones(2)),
        c=Nuisance(dist.Uniform(0, 1)),
    )


def _model(simulator, **options):
    derive = {"sum": Derived(lambda t: t["a"] + t["c"])}
    return Model(_prior(), simulator, derive=derive, **options)


FILE = """
import os
import numpy as np
import numpyro.distributions as dist
import retrodict as rd

def simulator(rng, theta):
    a = theta["a"]
    noise = rng.standard_normal(3)
    print("talk that must not reach the parent's pipe")
    if a > 2.0:
        os._exit(7)
    if a > 1.2:
        raise ValueError("a is too large")
    if a > 0.9:
        return np.full(3, np.nan)
    if a > 0.6:
        return noise[:2]
    return a + noise

def healthy(rng, theta):
    return {"y": theta["a"] + rng.standard_normal(2), "n": int(rng.integers(5))}

prior = rd.Prior(a=dist.Normal(0, 1))
model = rd.Model(prior, simulator, observed=np.zeros(3), name="fragile")
healthy_model = rd.Model(prior, healthy)
"""


@pytest.fixture
def fragile(tmp_path):
    path = tmp_path / "fragile.py"
    path.write_text(FILE)
    yield lambda name: load_study(f"{path}:{name}").model
    for name in [n for n in sys.modules if n.startswith("retrodict_user_")]:
        del sys.modules[name]


def assert_same(first, second):
    for attribute in ("theta", "derived"):
        one, two = getattr(first, attribute), getattr(second, attribute)
        assert list(one) == list(two)
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], strict=True)
    one, two = as_series(first.x), as_series(second.x)
    assert sorted(one) == sorted(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], strict=True)
    np.testing.assert_array_equal(first.status, second.status)
    np.testing.assert_array_equal(first.index, second.index)
    assert first.errors == second.errors


KINDS = pytest.mark.parametrize(
    ("simulator", "num"), [(jax_simulator, 2300), (python_simulator, 120)]
)


@KINDS
def test_the_same_rows_with_and_without_a_folder(simulator, num, tmp_path):
    model = _model(simulator)
    memory = simulate(model, num, seed=3)
    stored = simulate(model, num, seed=3, out=tmp_path)
    resumed = simulate(model, num, seed=3, out=tmp_path)
    assert_same(memory, stored)
    assert_same(memory, resumed)
    assert len(memory) == memory.num_ok == num
    assert memory.failures == {}


@KINDS
def test_a_longer_campaign_continues_a_shorter_one(simulator, num, tmp_path):
    model = _model(simulator)
    short = simulate(model, num // 3, seed=3, out=tmp_path)
    long = simulate(model, num, seed=3, out=tmp_path)
    assert_same(short, long[: num // 3])
    assert_same(long, simulate(model, num, seed=3))
    assert_same(short, simulate(model, num // 3, seed=3, out=tmp_path))


@KINDS
def test_other_seeds_and_streams_give_other_rows(simulator, num):
    del num
    model = _model(simulator)
    base = simulate(model, 20, seed=3)
    for other in (
        simulate(model, 20, seed=4),
        simulate(model, 20, seed=3 + 2**32),
        simulate(model, 20, seed=3, stream="validate"),
    ):
        for name, values in base.theta.items():
            assert not np.isin(other.theta[name], values).any()


def test_rows_are_what_the_simulator_makes(getkey):
    """Row means of 2000 rows: |z| < 5 in 4 entries, false alarms below 1e-5."""
    model = _model(jax_simulator)
    sims = simulate(model, 2000, seed=5)
    assert sims.theta["b"].shape == (2000, 2)
    assert sims.x["y"].shape == (2000, 3)
    residual = (sims.x["y"] - sims.theta["a"][:, None]) / sims.theta["b"].sum(1)[
        :, None
    ]
    assert (np.abs(residual.mean(0)) < 5 / np.sqrt(2000)).all()
    assert abs(residual.var() - 1) < 5 * np.sqrt(2 / 6000)
    np.testing.assert_array_equal(sims.x["count"], (residual > 0).sum(1))
    expected = sims.theta["a"].astype(float) + sims.theta["c"]
    np.testing.assert_allclose(sims.derived["sum"], expected, rtol=1e-6)
    assert sims.targets.shape == (2000, 3)


@pytest.mark.faults
def test_failures_are_recorded_with_any_number_of_workers(fragile, tmp_path):
    model = fragile("model")
    one = simulate(model, 100, seed=0, workers=1)
    two = simulate(model, 100, seed=0, workers=2, out=tmp_path)
    assert_same(one, two)
    a = one.theta["a"]
    names = ["ok", "bad_shape", "nonfinite", "exception", "crash"]
    expected = np.digitize(a, [0.6, 0.9, 1.2, 2.0])
    assert one.counts == {
        name: int((expected == code).sum())
        for code, name in sorted(enumerate(names), key=lambda item: _code(item[1]))
    }
    assert min(one.counts.values()) >= 1
    assert one.num_ok + sum(one.failures.values()) == 100
    np.testing.assert_array_equal(one.status == 0, expected == 0)
    assert np.isnan(one.x[one.status != 0]).all()
    assert np.isfinite(one.ok().x).all()
    assert one.ok().index.tolist() == np.flatnonzero(expected == 0).tolist()
    texts = dict(one.errors)
    assert texts["ValueError: a is too large"] == one.failures["exception"]
    assert any("(3,)" in t and "(2,)" in t for t in texts)
    assert any("process ended (7)" in t for t in texts)
    assert_same(one, simulate(model, 100, seed=0, out=tmp_path))


def _code(name):
    from retrodict.simulations import STATUSES

    return STATUSES.index(name)


def test_healthy_python_models_give_dictionaries(fragile):
    one = simulate(fragile("healthy_model"), 60, seed=1, workers=1)
    two = simulate(fragile("healthy_model"), 60, seed=1, workers=2)
    assert_same(one, two)
    assert one.x["y"].shape == (60, 2)
    assert one.x["n"].shape == (60,)
    assert set(one.x["n"]) <= set(range(5))


def test_a_number_is_an_x_too():
    def simulator(rng, theta):
        return rng.normal()

    model = Model(Prior(a=dist.Normal(0, 1)), simulator, observed=0.5)
    assert simulate(model, 10).x.shape == (10,)


def test_a_simulator_without_a_file_runs_here(capfd):
    sims = simulate(_model(lambda rng, theta: rng.normal(size=2)), 10, workers=2)
    assert sims.num_ok == 10
    assert "runs here" in capfd.readouterr().err


def test_workers_and_this_process_agree(fragile):
    """What runs in a worker equals what runs inline: row generators are the same."""
    model = fragile("healthy_model")
    function = model.simulator.function
    inline = Model(model.prior, lambda rng, theta: function(rng, theta))
    assert_same(simulate(model, 60, seed=2, workers=1), simulate(inline, 60, seed=2))


def test_nan_rows_of_jax_simulators_are_counted():
    def simulator(key, theta):
        del key
        return jnp.where(theta["a"] > 1, jnp.nan, theta["a"])

    sims = simulate(Model(Prior(a=dist.Normal(0, 1)), simulator), 500, seed=0)
    bad = sims.theta["a"] > 1
    assert sims.failures == {"nonfinite": int(bad.sum())}
    assert 0 < bad.sum() < 500
    np.testing.assert_array_equal(np.isnan(sims.x), bad)


@pytest.mark.parametrize(
    ("simulator", "error", "match"),
    [
        (lambda key, theta: theta["a"] * jnp.nan, DataError, "all of the first.*NaN"),
        (lambda rng, theta: theta["a"] * np.nan, DataError, "all of the first.*NaN"),
        (lambda key, theta: theta["aa"], ModelError, "simulator.*'aa'.*mean 'a'"),
        (lambda rng, theta: theta["aa"], ModelError, "simulator.*'aa'.*mean 'a'"),
        (lambda key, theta: float(theta["a"]), ModelError, "simulator raised .*traced"),
        (lambda key, theta: "text", ModelError, "simulator"),
        (lambda key, theta: 1j * theta["a"], ModelError, "'x' has dtype complex"),
        (lambda rng, theta: "text", DataError, "all of the first.*TypeError"),
        (lambda rng, theta: None, DataError, "all of the first.*TypeError"),
    ],
)
def test_simulators_that_cannot_run_are_refused(simulator, error, match):
    with pytest.raises(error, match=match):
        simulate(Model(Prior(a=dist.Normal(0, 1)), simulator), 60)


@pytest.mark.parametrize("kind", [jax_simulator, python_simulator])
def test_the_shape_of_the_observation_is_compared(kind):
    with pytest.raises(DataError, match=r"Expected .*\(3,\).*\(7,\)|\(7,\).*\(3,\)"):
        simulate(_model(kind, observed=np.zeros(7)), 10)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"num_simulations": 0}, ValueError, "num_simulations:.*got 0"),
        ({"num_simulations": 5, "seed": -1}, ValueError, "seed:.*got -1"),
        ({"num_simulations": 5, "seed": 2**63}, ValueError, "seed:"),
        ({"num_simulations": 5, "workers": 0}, ValueError, "workers:.*got 0"),
    ],
)
def test_arguments_are_checked(options, error, match):
    with pytest.raises(error, match=match):
        simulate(_model(python_simulator), **options)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"stream": "other"},
        {"prior": Prior(a=dist.Normal(0, 2))},
        {"name": "renamed"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_folder_holds_one_campaign(change, tmp_path):
    options = {"seed": 3, "stream": "simulate"}
    model = Model(Prior(a=dist.Normal(0, 1)), lambda key, theta: theta["a"])
    simulate(model, 10, out=tmp_path, **options)
    for name in options.keys() & change.keys():
        options[name] = change[name]
    other = Model(
        change.get("prior", model.prior),
        model.simulator,
        name=change.get("name", model.name),
    )
    match = "model" if "name" in change else next(iter(change))
    with pytest.raises(DataError, match=f"another campaign: its {match} is"):
        simulate(other, 10, out=tmp_path, **options)


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_block_is_found(damage, tmp_path):
    model = _model(jax_simulator)
    clean = simulate(model, 1500, seed=3, out=tmp_path)
    path = sorted((tmp_path / "blocks").iterdir())[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"flip": content, "truncate": content[:-9], "empty": b""}[damage]
    path.write_bytes(bytes(damaged))
    with pytest.raises(DataError, match="block is damaged"):
        simulate(model, 1500, seed=3, out=tmp_path)
    repair(tmp_path)  # the remedy of the message
    assert_same(clean, simulate(model, 1500, seed=3, out=tmp_path))


@pytest.mark.faults
@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_campaign_file_is_found(text, tmp_path):
    (tmp_path / "campaign.json").write_text(text)
    with pytest.raises(DataError, match=r"campaign\.json|another campaign"):
        simulate(_model(jax_simulator), 10, out=tmp_path)


def test_files_of_others_in_the_folder_are_left_alone(tmp_path):
    model = _model(jax_simulator)
    first = simulate(model, 10, out=tmp_path)
    (tmp_path / "blocks" / "notes.safetensors").write_bytes(b"mine")
    assert_same(first, simulate(model, 10, out=tmp_path))


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"Cannot write .*file"):
        simulate(_model(jax_simulator), 10, out=tmp_path / "file" / "runs")


@pytest.mark.faults
def test_an_interrupted_run_keeps_its_blocks_and_continues(tmp_path, monkeypatch):
    model = _model(jax_simulator)
    run = InlineEngine.run_blocks

    def interrupted(self, campaign, starts):
        for number, block in enumerate(run(self, campaign, starts)):
            if number == 2:
                raise KeyboardInterrupt
            yield block

    with monkeypatch.context() as patch:
        patch.setattr(InlineEngine, "run_blocks", interrupted)
        with pytest.raises(InterruptedRun, match="is safe in"):
            simulate(model, 4000, seed=3, out=tmp_path)
        with pytest.raises(KeyboardInterrupt):
            simulate(model, 4000, seed=3)
    assert counts(tmp_path)["ok"] == 2000
    assert_same(
        simulate(model, 4000, seed=3, out=tmp_path), simulate(model, 4000, seed=3)
    )


@pytest.mark.faults
def test_an_interrupt_while_a_block_is_written_is_one_too(tmp_path, monkeypatch):
    from retrodict.simulations.store import Store

    def interrupted(self, block):
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", interrupted)
    with pytest.raises(InterruptedRun, match="is safe in"):
        simulate(_model(jax_simulator), 10, out=tmp_path)


def test_shapes_are_remembered_when_a_campaign_is_resumed(tmp_path):
    """Without an observation the first good row decides, also in a later session."""

    def simulator(rng, theta):
        return rng.normal(size=2 if theta["a"] < first else 3)

    prior = Prior(a=dist.Normal(0, 1))
    first = np.inf
    whole = simulate(Model(prior, simulator), 100, out=tmp_path / "whole")
    assert whole.x.shape == (100, 2)
    half = simulate(Model(prior, simulator), 50, out=tmp_path / "half")
    first = -np.inf  # from now on every row has another shape
    pool = Pool(max_failed=1.0)
    resumed = simulate(
        Model(prior, simulator), 100, out=tmp_path / "half", executor=pool
    )
    assert resumed.x.shape == (100, 2)
    assert resumed.counts == {"ok": 50, "bad_shape": 50}
    np.testing.assert_array_equal(resumed.x[:50], half.x)


def test_a_finished_campaign_starts_no_worker(fragile, tmp_path, monkeypatch):
    model = fragile("healthy_model")
    first = simulate(model, 20, out=tmp_path, workers=1)

    def fail(*arguments):
        raise AssertionError("a worker was started")

    monkeypatch.setattr("retrodict.simulations.pool.Process", fail)
    assert_same(first, simulate(model, 20, out=tmp_path, workers=1))


@pytest.mark.parametrize("kind", [jax_simulator, python_simulator])
def test_simulate_at_follows_theta(kind, getkey):
    model = _model(kind)
    key = getkey()
    theta = {"a": np.array([-1e6, 1e6]), "b": np.ones((2, 2)), "c": np.zeros(2)}
    series = simulate_at(key, model, theta)
    x = series.get("y", series.get("x"))
    assert x.shape == (2, 3)
    np.testing.assert_allclose(x.mean(1), theta["a"], rtol=1e-4)
    again = simulate_at(key, model, theta)
    for name in series:
        np.testing.assert_array_equal(series[name], again[name])
    assert not np.array_equal(x[0] - theta["a"][0], x[1] - theta["a"][1])
    with pytest.raises(ValueError, match="Add 'c'"):
        simulate_at(key, model, {"a": theta["a"], "b": theta["b"]})


def test_rows_can_be_selected():
    sims = simulate(_model(jax_simulator), 20, seed=1)
    part = sims[np.array([3, 5])]
    assert part.index.tolist() == [3, 5]
    np.testing.assert_array_equal(part.x["y"], sims.x["y"][[3, 5]])
    np.testing.assert_array_equal(part.targets, sims.targets[[3, 5]])
    assert len(part) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.seed = 3
