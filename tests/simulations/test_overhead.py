"""What it costs to keep simulations: run with ``make bench`` on a quiet machine."""

import time

import jax
import jax.numpy as jnp
import jax.random as jr
import numpyro.distributions as dist
import pytest

import retrodict as rd
from campaigns import write_model
from retrodict.model import load_study
from retrodict.training import ensemble


pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]


def seconds(action) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def test_a_trivial_python_simulator(tmp_path):
    """At least 5000 rows a second with two workers, on disk."""
    model = load_study(f"{write_model(tmp_path / 'model')}:steady").model
    rd.simulate(model, 300, executor=rd.Pool(2))
    rows, out = 40_000, tmp_path / "out"
    taken = seconds(lambda: rd.simulate(model, rows, out=out, executor=rd.Pool(2)))
    print(f"{rows / taken:.0f} rows/s")
    assert rows / taken >= 5000


def test_a_jax_simulator_on_disk_and_in_memory(tmp_path):
    """A row of 50 microseconds or more: at most 1.3 times as long; best of three."""

    def simulator(key, theta):
        start = theta["a"] * jnp.eye(12) + 0.1
        y = jax.lax.fori_loop(0, 200, lambda i, y: jnp.tanh(y @ y), start)
        return theta["a"] + y[0, :3] + jr.normal(key, (3,))

    model = rd.Model(rd.Prior(a=dist.Normal(0, 1)), simulator)
    rows = 40_000
    rd.simulate(model, 2000)
    memory = min(seconds(lambda: rd.simulate(model, rows)) for _ in range(3))
    disk = min(
        seconds(lambda i=i: rd.simulate(model, rows, out=tmp_path / f"{i}"))
        for i in range(3)
    )
    row = 1e6 * memory / rows
    print(f"{row:.0f} us a row in memory, {disk / memory:.2f} times on disk")
    assert row > 40
    assert disk / memory <= 1.3


class Begun(Exception):
    """Training has started."""


def test_a_million_two_moons(tmp_path, monkeypatch):
    """Stored, read back, and training under way within a minute."""

    def begin(*given, **named):
        raise Begun

    monkeypatch.setattr(ensemble, "train_member", begin)
    model = rd.load_world("two_moons").model
    begun = time.perf_counter()
    sims = rd.simulate(model, 1_000_000, out=tmp_path)
    stored = time.perf_counter() - begun
    with pytest.raises(Begun):
        rd.fit(sims, effort="fast")
    taken = time.perf_counter() - begun
    print(f"stored in {stored:.1f} s, training began after {taken:.1f} s")
    assert taken < 60
