"""Lotka-Volterra against SciPy."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp

from retrodict.bench.tasks import lotka_volterra


NAMES = ("alpha", "beta", "gamma", "delta")
TIMES = 2.1 * np.arange(10)


def reference(alpha, beta, gamma, delta):
    """Return the log populations, ten of prey and ten of predators."""

    def law(_, state):
        return [alpha - beta * np.exp(state[1]), delta * np.exp(state[0]) - gamma]

    start = [np.log(30.0), 0.0]
    solution = solve_ivp(law, (0, 19), start, "DOP853", TIMES, rtol=1e-10, atol=1e-10)
    return np.clip(solution.y.ravel(), np.log(1e-10), np.log(1e4))


def test_populations_are_exact_at_prior_draws(prior_rows):
    """The noise is .1; 1e-4 is a thousandth of it."""
    rows = prior_rows(lotka_volterra.study(), 1, 100)
    logs = jax.jit(jax.vmap(lotka_volterra.log_populations))(rows)
    table = np.stack([rows[name] for name in NAMES], axis=1).astype(float)
    truth = np.array([reference(*row) for row in table])
    np.testing.assert_allclose(np.asarray(logs), truth, rtol=0, atol=1e-4)


@pytest.mark.stat
def test_counts_are_log_normal_about_the_population(repeat):
    """20 Kolmogorov-Smirnov tests at 1e-6; 191 moments within 5 sd: 1e-4."""
    point = (0.9, 0.05, 0.8, 0.04)
    theta = dict(zip(NAMES, point, strict=True))
    x = repeat(lotka_volterra.simulator, theta, 3, 10_000)
    z = (np.log(x) - reference(*point)) / 0.1
    for column in z.T:
        assert stats.kstest(column, "norm").pvalue > 1e-6
    assert abs(z.std() - 1) < 5 / np.sqrt(2 * z.size)
    assert np.abs(np.corrcoef(z.T) - np.eye(20)).max() < 5 / np.sqrt(10_000)


@pytest.mark.parametrize("point", [(5, 1e-9, 6, 0.4), (4, 1, 0.01, 1), (9, 9, 9, 9)])
def test_absurd_rates_give_finite_counts(point):
    theta = {k: jnp.asarray(float(v)) for k, v in zip(NAMES, point, strict=True)}
    x = np.asarray(lotka_volterra.simulator(jr.key(0), theta))
    assert np.isfinite(x).all()
    assert x.min() > 1e-11
    assert x.max() < 2e4
