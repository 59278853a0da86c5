"""The heater against a solver, and against least squares on the real step test."""

from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

from retrodict._core.errors import DataError
from retrodict.physics import fit_twin
from retrodict.worlds import heater, load_world


THETA = {"C_H": 3.1, "C_S": 1.7, "U_a": 0.05, "U_b": 0.08}


def rise(theta):
    with jax.enable_x64(True):
        return np.asarray(heater.rise({k: jnp.asarray(v) for k, v in theta.items()}))


def test_step_response_solves_the_equations():
    def rate(t, u):
        contact = THETA["U_b"] * (u[0] - u[1])
        first = (heater.POWER - THETA["U_a"] * u[0] - contact) / THETA["C_H"]
        return [first, contact / THETA["C_S"]]

    expected = scipy.integrate.solve_ivp(
        rate, (0, 800), [0, 0], t_eval=heater.TIMES, rtol=1e-10, atol=1e-10
    ).y[1]
    np.testing.assert_allclose(rise(THETA), expected, rtol=1e-7)


def test_what_cannot_be_told_apart_gives_the_same_readings():
    a = THETA["C_H"] * THETA["C_S"] / THETA["U_b"]
    b = THETA["C_H"] + THETA["C_S"] * (1 + THETA["U_a"] / THETA["U_b"])

    def equations(logs):
        other, contact = np.exp(logs)
        return [
            1.2 * other / contact / a - 1,
            (1.2 + other * (1 + THETA["U_a"] / contact)) / b - 1,
        ]

    other, contact = np.exp(scipy.optimize.fsolve(equations, np.log([3.0, 0.1])))
    twin = {"C_H": 1.2, "C_S": other, "U_a": THETA["U_a"], "U_b": contact}
    np.testing.assert_allclose(rise(twin), rise(THETA), rtol=1e-8)
    assert abs(twin["C_H"] / THETA["C_H"] - 1) > 0.5


def test_an_unfinished_run_hides_the_future():
    model = load_world("heater").model
    theta = {k: jnp.asarray(v, jnp.float32) for k, v in {**THETA, "sigma": 0.1}.items()}
    x = jax.vmap(lambda key: model.simulator.function(key, theta))(
        jr.split(jr.key(0), 200)
    )
    seen = np.asarray(x["watched"][:, 0]) / 10
    assert set(np.unique(seen)) >= {79}
    assert seen.min() >= 5
    assert 60 < np.sum(seen == 79) < 140
    assert all(
        (np.asarray(r[int(n) :]) == 0).all()
        for r, n in zip(x["rise"], seen, strict=True)
    )
    observed = heater.observe(np.ones(79), 200.0)
    assert observed["rise"].sum() == 20
    assert observed["watched"][0] == 200
    assert np.isfinite(heater.show(observed)["rise"]).sum() == 20
    shown = heater.show({k: np.asarray(v) for k, v in x.items()})["rise"]
    assert np.isfinite(shown).sum() == seen.sum()


def test_a_folder_without_the_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"--data: Expected Step_Test_Data.csv"):
        heater.load(tmp_path)
    (tmp_path / heater.FILE).write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"columns Time and T1; got \['a', 'b'\]"):
        heater.load(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("field", ["grid", "mlp"])
def test_both_fields_agree_with_least_squares_on_real_data(data_dir: Path, field):
    study = load_world("heater")
    assert study.load is not None
    model = study.model.observing(study.load(data_dir / "tclab"))
    options = {"grid": heater.GRID, "network": heater.NETWORK}
    fit = fit_twin(heater.twin(model), field, **options).fit

    def misfit(logs):
        theta = dict(zip(("C_H", "C_S", "U_a", "U_b"), np.exp(logs), strict=True))
        return rise(theta) - model.observed["rise"]

    found = scipy.optimize.least_squares(misfit, np.log([2.5, 2.5, 0.05, 0.05])).x
    best = dict(zip(("C_H", "C_S", "U_a", "U_b"), np.exp(found), strict=True))
    theta = {k: float(v) for k, v in fit.theta.items()}
    assert theta["U_a"] == pytest.approx(best["U_a"], rel=0.01)
    for combination in (heater.combination_a, heater.combination_b):
        found, expected = (
            float(combination({k: jnp.asarray(v) for k, v in t.items()}))
            for t in (theta, best)
        )
        assert found == pytest.approx(expected, rel=0.03)
    assert set(fit.identified.unidentified) == {"C_H", "C_S", "U_b"}
