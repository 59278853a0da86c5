"""Laws fitted by multiple shooting: known parameters, gaps, a missing interaction."""

import importlib.util
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import retrodict as rd
from retrodict._core.errors import ModelError
from retrodict.physics import (
    Law,
    Learned,
    Series,
    apply_mlp,
    init_mlp,
    map_fit,
    shooting_problem,
)
from source import REPOSITORY


def relax(theta, weights, past, u):
    del weights
    return -theta["k"] * past[0] + u


def series(values):
    inputs = np.sin(np.arange(len(values)))[:, None]
    return Series(inputs, values, lambda state: state, 0.01)


def solved(k=0.3, count=40):
    with jax.enable_x64(True):
        inputs = np.sin(np.arange(count))[:, None]
        law = Law(relax, 1.0)
        x = law.solve({"k": k}, None, jnp.array([2.0]), jnp.asarray(inputs))
    return np.array(x)[:-1]


@pytest.mark.parametrize("window", [8, 40])
def test_windows_find_the_rate_in_spite_of_gaps(window):
    values = solved()
    values[5:9] = np.nan
    learned = Learned(lambda key: jnp.zeros(1), 1.0, rd.Prior(k=dist.LogNormal(-1, 1)))
    problem = shooting_problem(
        Law(relax, 1.0), series(values), learned, lambda y: y, window=window
    )
    answer = map_fit(problem)
    # No noise was added: the rate is found to a small part of its sd.
    assert float(answer.theta["k"]) == pytest.approx(0.3, abs=1e-3)
    assert answer.weights["starts"].shape == (5 if window == 8 else 1, 1)
    assert ("continuity" in answer.terms) == (window == 8)


def test_a_window_of_one_sample_is_refused():
    with pytest.raises(ModelError, match=r"window: .*got 1 of a series of 40"):
        shooting_problem(
            Law(relax, 1.0),
            series(solved()),
            Learned(lambda key: jnp.zeros(1)),
            lambda y: y,
            window=1,
        )


GROWTH, EATEN, DEATH, FED = 1.0, 0.9, 0.8, 0.7
SIZES = (2, 8, 2)


def known(past):
    hare, lynx = past[0]
    return jnp.stack([GROWTH * hare, -DEATH * lynx])


def interaction(past):
    hare, lynx = past[0]
    return jnp.stack([-EATEN * hare * lynx, FED * hare * lynx])


@pytest.mark.slow
@pytest.mark.stat
def test_a_missing_interaction_is_recovered():
    """Relative error of the learned term along the orbit, with .1 % noise, below 2 %.

    The seed is fixed; over the noise the error varies by less than its mean.
    """
    step, count = 0.1, 120
    truth = Law(lambda theta, w, past, u: known(past) + interaction(past), step)
    law = Law(lambda theta, w, past, u: known(past) + apply_mlp(w, past[0] - 1.0), step)
    inputs = np.zeros((count, 1))
    with jax.enable_x64(True):
        start = jnp.array([0.6, 1.2])
        orbit = np.asarray(truth.solve({}, None, start, jnp.asarray(inputs)))[:-1]
    noise = 1e-3 * np.random.RandomState(0).standard_normal(orbit.shape)
    problem = shooting_problem(
        law,
        Series(inputs, orbit + noise, lambda state: state, 1e-3),
        Learned(lambda key: init_mlp(key, SIZES), 3.0),
        lambda y: y,
        window=30,
        joint_sigma=1e-3,
    )
    answer = map_fit(problem, max_steps=120, tolerance=1e-2)
    with jax.enable_x64(True):
        states = jnp.asarray(orbit)
        found = jax.vmap(lambda s: apply_mlp(answer.weights["law"], s - 1.0))(states)
        wanted = jax.vmap(lambda s: interaction(s[None]))(states)
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert error < 0.02


def test_the_delay_of_the_exact_response_is_read_off():
    """The reader of delays, on the closed form: late by 2 h, and not late at all."""
    spec = importlib.util.spec_from_file_location(
        "hidden_delay", REPOSITORY / "examples" / "hidden_delay.py"
    )
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    times = np.arange(0, example.HOURS + 1e-9, example.STEP)
    for delay in (2.0, 0.0):
        states = example.exact((0, 0.5), times, delay) / example.SCALE
        model = SimpleNamespace(solve=lambda *_, states=states: states)
        assert example.delay_of(model, None) == pytest.approx(delay, abs=0.02)
