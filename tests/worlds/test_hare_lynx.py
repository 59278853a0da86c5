import json

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp

from retrodict.model import FigureInput
from retrodict.worlds import hare_lynx


NAMES = ("alpha", "beta", "gamma", "delta", "sigma_1", "sigma_2", "z0_1", "z0_2")
POSTERIOR = (0.55, 0.028, 0.80, 0.024, 0.25, 0.25, 34.0, 5.9)
POINTS = [
    POSTERIOR,
    (0.48, 0.024, 0.92, 0.028, 0.4, 0.2, 30.0, 7.0),
    (0.65, 0.033, 0.70, 0.020, 0.2, 0.6, 36.0, 5.0),
]
# Posterior means of the same model and data, to two digits, after Carpenter (2018),
# Predator-prey population dynamics: the Lotka-Volterra model in Stan.
PUBLISHED = dict(zip(NAMES, POSTERIOR, strict=True))


@pytest.fixture(scope="module")
def study():
    return hare_lynx.study()


def reference(alpha, beta, gamma, delta, hare, lynx):
    """Return the log populations, tightly, in float64."""

    def law(_, state):
        return [alpha - beta * np.exp(state[1]), delta * np.exp(state[0]) - gamma]

    start = np.log([hare, lynx])
    solution = solve_ivp(
        law, (0, 20), start, "DOP853", np.arange(21), rtol=1e-9, atol=1e-9
    )
    return solution.y


def theta_of(point, dtype=None):
    return {k: jnp.asarray(v, dtype=dtype) for k, v in zip(NAMES, point, strict=True)}


def test_the_series_are_those_of_the_data_set(data_folder):
    text = (data_folder / "hare_lynx" / "hudson_lynx_hare.json").read_text()
    data = json.loads(text)
    pairs = np.array([data["y_init"], *data["y"]])
    np.testing.assert_array_equal(pairs[:, 0], hare_lynx.HARE)
    np.testing.assert_array_equal(pairs[:, 1], hare_lynx.LYNX)


def test_hares_peak_before_lynx():
    """The order of the columns, checked against the history of the cycle."""
    assert hare_lynx.YEARS[np.argmax(hare_lynx.HARE)] == 1903
    assert hare_lynx.YEARS[np.argmax(hare_lynx.LYNX)] == 1904


def test_populations_are_exact_enough_at_prior_draws(study, prior_rows):
    """At most 1 of 100 prior draws is wrong by more than 5 % anywhere (found: 0)."""
    rows = prior_rows(study, 1, 100)
    solve = jax.jit(jax.vmap(lambda t: hare_lynx.log_populations(t, 64)))
    states = np.stack([np.asarray(s) for s in solve(rows)], axis=1)
    columns = [rows[k] for k in ("alpha", "beta", "gamma", "delta", "z0_1", "z0_2")]
    table = np.stack(columns, axis=1).astype(float)
    truth = np.array([reference(*row) for row in table])
    error = np.abs(states - truth).max((1, 2))
    assert np.median(error) < 1e-4
    assert (error > 0.05).sum() <= 1


def test_populations_are_exact_where_the_posterior_lives():
    with jax.enable_x64(True):
        for point in POINTS:
            rates = *point[:4], *point[6:]
            states = hare_lynx.log_populations(theta_of(point, float), 8)
            np.testing.assert_allclose(states, reference(*rates), atol=5e-4)


def test_absurd_rates_give_finite_pelts():
    theta = theta_of((5.0, 1e-9, 6.0, 0.4, 30.0, 30.0, 900.0, 900.0))
    x = hare_lynx.simulator(jr.key(0), theta)
    for series in x.values():
        assert np.isfinite(series).all()
        assert np.min(series) >= 0.0099
        assert np.max(series) <= 10_001


@pytest.mark.stat
def test_pelts_are_log_normal_about_the_population():
    """Bounds of 5 standard errors, 2 series of 21 years, 2 moments: 5e-5."""
    theta = theta_of(POSTERIOR)
    keys = jr.split(jr.key(5), 20_000)
    x = jax.jit(jax.vmap(lambda key: hare_lynx.simulator(key, theta)))(keys)
    truth = reference(*POSTERIOR[:4], *POSTERIOR[6:])
    for series, mean in zip((x["hare"], x["lynx"]), truth, strict=True):
        logs = np.log(np.asarray(series, dtype=float))
        assert np.all(np.abs(logs.mean(0) - mean) < 5 * 0.25 / np.sqrt(20_000) + 1e-4)
        assert np.all(np.abs(logs.std(0) / 0.25 - 1) < 5 / np.sqrt(40_000))


@pytest.mark.parametrize("point", POINTS)
def test_the_log_likelihood_is_that_of_scipy(point):
    hare, lynx = np.exp(reference(*point[:4], *point[6:]))
    expected = stats.lognorm.logpdf(hare_lynx.HARE, point[4], scale=hare).sum()
    expected += stats.lognorm.logpdf(hare_lynx.LYNX, point[5], scale=lynx).sum()
    with jax.enable_x64(True):
        value = float(hare_lynx.log_likelihood(theta_of(point, float)))
    assert value == pytest.approx(expected, abs=0.01)


def test_derived_quantities(study):
    theta = {k: np.array([v]) for k, v in zip(NAMES, POSTERIOR, strict=True)}
    derived = study.model.derived(theta)
    assert derived["period"] == pytest.approx(2 * np.pi / np.sqrt(0.55 * 0.8))
    assert derived["hare_equilibrium"] == pytest.approx(0.8 / 0.024)
    assert derived["lynx_equilibrium"] == pytest.approx(0.55 / 0.028)


def test_the_phase_plane_draws_data_and_orbits(study):
    draws = {k: np.full(7, v) for k, v in zip(NAMES, POSTERIOR, strict=True)}
    caption, figure = hare_lynx.phase_plane(
        FigureInput(study.model.observed, draws, {}, None)
    )
    assert "7 posterior draws" in caption
    (axes,) = figure.axes
    assert len(axes.lines) == 8
    orbit = np.array(axes.lines[0].get_data())
    truth = np.exp(reference(*POSTERIOR[:4], *POSTERIOR[6:]))
    np.testing.assert_allclose(orbit[:, 9::10], truth[:, 1:], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.stat
def test_the_baseline_finds_the_published_posterior(study):
    """Published means are rounded to two digits: within a quarter of an sd."""
    result = study.baseline(jr.key(0), study.model)
    assert result.diagnostics["largest R-hat"] < 1.01
    assert result.diagnostics["smallest ESS"] > 400
    for name, mean in PUBLISHED.items():
        draws = result.draws[name]
        assert abs(draws.mean() - mean) < 0.25 * draws.std(), name
