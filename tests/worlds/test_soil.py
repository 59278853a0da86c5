"""The soil column against a solver of its own, and against the bounds on real data."""

from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate

from retrodict._core.errors import DataError
from retrodict.worlds import load_world, soil


THETA = {"kappa_5": 9.0, "kappa_50": 24.0}


def solved(series):
    with jax.enable_x64(True):
        theta = {k: jnp.asarray(v) for k, v in THETA.items()}
        return np.asarray(soil.temperatures(series, theta))


def test_the_column_is_solved():
    """Finite volumes on 181 nodes and a stiff solver; scheme error .01 °C of 10."""
    series = soil._synthetic()
    z = np.linspace(soil.TOP, soil.BOTTOM, 181)
    middle = (z[1:] + z[:-1]) / 2
    share = (middle - soil.TOP) / (soil.BOTTOM - soil.TOP)
    kappa = 9.0 ** (1 - share) * 24.0**share
    ends = scipy.interpolate.CubicSpline(series.hours, series.ends)

    def rate(t, inner):
        full = np.concatenate([ends(t)[:1], inner, ends(t)[1:]])
        return np.diff(kappa * np.diff(full)) / (z[1] - z[0]) ** 2

    start = scipy.interpolate.CubicSpline(soil.PROFILE, series.values[0])(z[1:-1])
    hours = series.hours[:72]
    exact = scipy.integrate.solve_ivp(
        rate, (0, 71), start, method="BDF", t_eval=hours, rtol=1e-6, atol=1e-6
    ).y[np.searchsorted(z[1:-1], soil.SENSORS - 1e-9)]
    np.testing.assert_allclose(solved(series)[:72][24:], exact.T[24:], atol=0.02)


def test_an_echo_is_a_filter():
    t = np.arange(0, 50, 0.1)
    ramp = np.maximum(t - 5, 0)[:, None]
    tau = 3.0
    late = np.maximum(t - 5, 0)
    expected = late - tau * (1 - np.exp(-late / tau))
    np.testing.assert_allclose(soil._echo(ramp, tau / 0.1)[:, 0], expected, atol=1e-9)


def test_what_the_network_sees_holds_the_temperatures():
    study = load_world("soil")
    series = soil._synthetic()
    shown = study.show(study.model.observed)
    seen = series.values[series.used][:, 1:-1]
    rest = np.stack(list(shown.values()), axis=1) - seen
    # Fourteen directions of 72 rows take a fifth of the noise's variance with them.
    assert 0.15 < np.std(rest) < 0.22
    theta = {k: jnp.asarray(v, jnp.float32) for k, v in {**THETA, "sigma": 0.2}.items()}
    x = study.model.simulator.function(jr.key(0), theta)
    assert {k: v.shape for k, v in x.items()} == {
        "response": (4, 14),
        "left_over": (4,),
    }


def test_a_folder_without_the_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"--data: Expected fargo"):
        soil.read(tmp_path)
    (tmp_path / soil.FILE).write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"columns .*got \['a', 'b'\]"):
        soil.read(tmp_path)


@pytest.mark.worlds
def test_network_and_grid_agree_on_real_soil(data_dir: Path):
    series = soil.read(data_dir)
    fits = soil.Fits(series, soil.load(data_dir).model.prior)
    learned, solved = fits.of("mlp").fit, fits.of("grid").fit
    for name in ("kappa_5", "kappa_50"):
        expected = float(solved.theta[name])
        assert float(learned.theta[name]) == pytest.approx(expected, rel=0.05)
    found = fits.errors()
    for field in ("grid", "mlp"):
        assert found[f"rmse_{field}"] <= 0.23
        assert found[f"rmse_30cm_unseen_{field}"] <= 0.25
