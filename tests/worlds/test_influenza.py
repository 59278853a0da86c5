import csv
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp

from retrodict.worlds import influenza


DAYS = np.arange(1, 15)
POINTS = [(1.73, 0.54, 0.14), (1.5, 0.4, 0.02), (2.6, 0.9, 0.7), (0.5, 1.0, 0.3)]


@pytest.fixture(scope="module")
def study():
    return influenza.study()


def reference(beta, gamma):
    """Solve the equations as the textbook writes them, tightly, in float64."""

    def law(_, state):
        infection = beta * state[0] * state[1] / 763
        return [-infection, infection - gamma * state[1]]

    solution = solve_ivp(
        law, (0, 14), [762.0, 1.0], "DOP853", DAYS, rtol=1e-11, atol=1e-12
    )
    return solution.y[1]


@jax.jit
@partial(jax.vmap, in_axes=(0, None))
def simulate(key, theta):
    return influenza.simulator(key, theta)["in_bed"]


def theta_of(point, dtype=None):
    names = ("beta", "gamma", "phi_inv")
    return {k: jnp.asarray(v, dtype=dtype) for k, v in zip(names, point, strict=True)}


def test_the_series_is_that_of_the_data_set(data_folder):
    file = data_folder / "influenza_1978" / "influenza_england_1978_school.csv"
    with file.open() as rows:
        assert [int(row["in_bed"]) for row in csv.DictReader(rows)] == [
            *influenza.IN_BED
        ]


def test_the_epidemic_curve_is_exact_enough_at_prior_draws(study, prior_rows):
    """The error of the mean is far below the noise, which is sqrt(I) at least."""
    rows = prior_rows(study, 1, 100)
    curves = np.asarray(jax.jit(jax.vmap(influenza.infected))(rows))
    pairs = zip(rows["beta"], rows["gamma"], strict=True)
    truth = np.array([reference(float(b), float(g)) for b, g in pairs])
    assert np.abs(curves - truth).max() < 0.1
    error = np.abs(curves - truth) / np.sqrt(np.maximum(truth, 1))
    assert error.max() < 0.01


def test_the_epidemic_curve_is_exact_at_the_posterior():
    curve = influenza.infected(theta_of(POINTS[0]))
    np.testing.assert_allclose(curve, reference(*POINTS[0][:2]), rtol=3e-5)


@pytest.mark.parametrize(
    "point", [(1e3, 0.5, 0.1), (1e-12, 0.0, 0.0), (9.0, 1e-9, 4.0), (8.0, 300.0, 1e-30)]
)
def test_absurd_rates_give_finite_counts(point):
    theta = theta_of(point)
    mean = np.asarray(influenza.infected(theta))
    counts = np.asarray(influenza.simulator(jr.key(0), theta)["in_bed"])
    assert np.isfinite(mean).all()
    assert mean.min() > 0
    assert mean.max() <= 763.01
    assert np.isfinite(counts).all()


@pytest.mark.stat
@pytest.mark.parametrize("phi_inv", [0.14, 1.0, 1e-4, 0.0])
def test_counts_have_the_mean_and_variance_of_negbin2(phi_inv):
    """Bounds of 5 standard errors for 14 days, 2 moments, 4 cases: 7e-5.

    The smallest values test float32 at large concentrations (a Poisson distribution).
    """
    theta = theta_of((1.73, 0.54, phi_inv))
    counts = np.asarray(simulate(jr.split(jr.key(5), 20_000), theta), dtype=float)
    mean = reference(1.73, 0.54)
    variance = mean + phi_inv * mean**2
    assert np.all(np.abs(counts.mean(0) - mean) < 5 * np.sqrt(variance / 20_000))
    law = stats.nbinom(1 / max(phi_inv, 1e-9), 1 / (1 + mean * max(phi_inv, 1e-9)))
    kurtosis = law.stats("k") + 3
    bound = 5 * np.sqrt((kurtosis - 1) / 20_000)
    assert np.all(np.abs(counts.var(0) / variance - 1) < bound)


@pytest.mark.parametrize("point", POINTS)
def test_the_log_likelihood_is_that_of_scipy(point):
    mean, size = reference(*point[:2]), 1 / point[2]
    expected = stats.nbinom.logpmf(influenza.IN_BED, size, size / (size + mean)).sum()
    with jax.enable_x64(True):
        value = float(influenza.log_likelihood(theta_of(point, float)))
    # The step of the solver limits the agreement, most where the fit is bad.
    assert value == pytest.approx(expected, abs=5e-4)


def test_derived_quantities(study):
    theta = {"beta": [1.5], "gamma": [0.5], "phi_inv": [0.1]}
    derived = study.model.derived({k: np.array(v) for k, v in theta.items()})
    assert derived["R0"] == pytest.approx(3)
    assert derived["recovery_time"] == pytest.approx(2)
    assert study.model.units["recovery_time"] == "days"


@pytest.mark.slow
@pytest.mark.stat
def test_the_baseline_agrees_with_quadrature(study):
    """Six bounds of 4.5 standard errors: 4e-5."""
    result = study.baseline(jr.key(0), study.model)
    diagnostics = result.diagnostics
    assert diagnostics["largest R-hat"] < 1.01
    assert diagnostics["smallest ESS"] > 400
    for name, (mean, sd) in quadrature(study).items():
        draws, ess = result.draws[name], diagnostics["smallest ESS"]
        kurtosis = stats.kurtosis(draws, fisher=False)
        assert abs(draws.mean() - mean) < 4.5 * sd / np.sqrt(ess), name
        assert abs(draws.std() / sd - 1) < 4.5 * np.sqrt((kurtosis - 1) / 4 / ess), name
    assert study.model.derived(result.draws)["R0"].mean() == pytest.approx(
        3.22, abs=0.1
    )


def quadrature(study):
    """Return mean and sd of each parameter by the midpoint rule on a grid."""
    spans = {"beta": (1.45, 2.15), "gamma": (0.32, 0.85), "phi_inv": (0.005, 0.9)}
    axes = [
        low + (high - low) * (np.arange(50) + 0.5) / 50 for low, high in spans.values()
    ]
    rows = dict(zip(spans, (g.ravel() for g in np.meshgrid(*axes)), strict=True))
    with jax.enable_x64(True):
        table = {k: jnp.asarray(v) for k, v in rows.items()}
        log_like = np.asarray(jax.jit(jax.vmap(influenza.log_likelihood))(table))
    log_post = log_like + study.model.prior.log_prob(rows)
    weights = np.exp(log_post - log_post.max())
    weights /= weights.sum()
    moments = {}
    for name, values in rows.items():
        mean = weights @ values
        moments[name] = mean, np.sqrt(weights @ (values - mean) ** 2)
    return moments
