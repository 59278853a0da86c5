"""SIR against SciPy."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp

from retrodict.bench.tasks import sir


DAYS = 17.0 * np.arange(10)


def reference(beta, gamma):
    """Return I/N on the ten days, from the equations as the textbook writes them."""

    def law(_, state):
        infection = beta * state[0] * state[1]
        return [-infection, infection - gamma * state[1]]

    start = [1 - 1e-6, 1e-6]
    solution = solve_ivp(law, (0, 153), start, "DOP853", DAYS, rtol=1e-10, atol=1e-25)
    return solution.y[1]


def test_the_epidemic_curve_is_exact_at_prior_draws(prior_rows):
    rows = prior_rows(sir.study(), 1, 100)
    logs = jax.jit(jax.vmap(sir.log_infected_fraction))(rows)
    pairs = zip(rows["beta"], rows["gamma"], strict=True)
    truth = np.array([reference(float(b), float(g)) for b, g in pairs])
    np.testing.assert_allclose(np.exp(np.asarray(logs, float)), truth, rtol=1e-5)


@pytest.mark.stat
def test_counts_are_binomial(repeat):
    """Ten chi-squared tests at 1e-6, by counts pooled to 10 expected draws or more."""
    x = repeat(sir.simulator, {"beta": 0.5, "gamma": 0.12}, 3, 20_000)
    for counts, p in zip(x.T, reference(0.5, 0.12), strict=True):
        law = stats.binom(1000, p)
        edges = np.unique(law.ppf(np.linspace(0.01, 0.99, 30)))
        found = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
        expected = 20_000 * np.diff([0, *law.cdf(edges), 1])
        keep = expected > 1
        assert found[~keep].sum() < 30
        scale = found[keep].sum() / expected[keep].sum()
        assert stats.chisquare(found[keep], scale * expected[keep]).pvalue > 1e-6


@pytest.mark.parametrize("point", [(30.0, 0.1), (1e-6, 5.0), (40.0, 30.0)])
def test_absurd_rates_give_counts(point):
    theta = {"beta": jnp.asarray(point[0]), "gamma": jnp.asarray(point[1])}
    x = np.asarray(sir.simulator(jr.key(0), theta))
    assert np.isfinite(x).all()
    assert x.min() >= 0
    assert x.max() <= 1000


def test_the_prior_is_log_normal():
    prior = sir.study().model.prior
    value = prior.log_prob({"beta": [0.7], "gamma": [0.1]})[0]
    expected = stats.lognorm(0.5, scale=0.4).logpdf(0.7)
    expected += stats.lognorm(0.2, scale=0.125).logpdf(0.1)
    assert value == pytest.approx(expected, abs=1e-6)
