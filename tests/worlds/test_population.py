"""Weighted draws against a posterior known in closed form."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from retrodict.model import Model, Prior
from retrodict.worlds._population import Population, population


BUDGET = Population(2, num_final=20_000, num_samples=4000, num_moves=5)
WAITING = 5.0  # total of ten exponential waiting times


@pytest.fixture(scope="module")
def found():
    """A rate and a shift that is known only together with a Gaussian vector."""
    prior = Prior(
        rate=dist.Gamma(3.0, 1.0),
        shift=dist.Uniform(-4.0, 4.0),
        mu=dist.Normal(jnp.zeros(3), 1.0).to_event(1),
    )
    model = Model(prior, lambda key, theta: theta["mu"])

    def log_likelihood(theta):
        waiting = 10 * jnp.log(theta["rate"]) - WAITING * theta["rate"]
        seen = theta["shift"] + theta["mu"][0]
        return waiting + dist.Normal(seen, 0.5).log_prob(0.5)

    return population(jr.key(0), model, log_likelihood, ["rate", "shift"], BUDGET)


def test_draws_have_the_shapes_of_the_parameters(found):
    assert {name: rows.shape for name, rows in found.draws.items()} == {
        "rate": (4000,),
        "shift": (4000,),
        "mu": (4000, 3),
    }
    assert all(np.isfinite(rows).all() for rows in found.draws.values())


@pytest.mark.stat
def test_moments_are_those_of_the_exact_posterior(found):
    """Eight bounds of 4.5 standard errors at 3000 independent draws: 6e-5."""
    rate, shift, mu = (found.draws[name] for name in ("rate", "shift", "mu"))
    # With mu integrated out: the sum is .5 with variance .25, mu has variance 1.
    wide_normal = np.sqrt(1.25)
    bounds = np.array([-4.5, 3.5]) / wide_normal
    exact = stats.truncnorm(*bounds, loc=0.5, scale=wide_normal)
    mean, sd = exact.mean(), exact.std()
    few = np.sqrt(3000)
    assert abs(rate.mean() - 13 / 6) < 4.5 * np.sqrt(13) / 6 / few
    wide = np.sqrt((2 + 6 / 13) / 4)  # sd of a relative sample sd, times sqrt(n)
    assert abs(rate.std() / (np.sqrt(13) / 6) - 1) < 4.5 * wide / few
    assert abs(shift.mean() - mean) < 4.5 * sd / few
    assert abs(shift.std() / sd - 1) < 4.5 * np.sqrt(0.5) / few
    # The rest of mu is its prior; its first entry makes up for the shift.
    assert np.abs(mu.mean(0)[1:]).max() < 4.5 / few
    assert np.abs(mu.std(0)[1:] - 1).max() < 4.5 * np.sqrt(0.5) / few
    np.testing.assert_allclose((shift + mu[:, 0]).std(), 0.5, rtol=4.5 * 0.71 / few)


def test_diagnostics_say_that_the_weights_can_be_trusted(found):
    told = found.diagnostics
    assert told["weighted draws"] == 20_000
    assert told["effective draws"] > 6000
    assert told["Pareto shape"] < 0.7
    assert 0.1 < told["moves accepted"] < 0.6


def test_no_draw_is_left_in_many_copies(found):
    assert len(np.unique(found.draws["shift"])) > 3500


@pytest.mark.stat
def test_all_parameters_may_be_told():
    """Mean 2 and sd 1/10, each within 4.5 standard errors at 1500 draws: 1e-5."""
    prior = Prior(a=dist.Normal(0.0, 10.0), b=dist.Normal(0.0, 10.0))
    model = Model(prior, lambda key, theta: theta["a"])

    def log_likelihood(theta):
        known = jnp.stack([theta["a"], theta["a"] + theta["b"]])
        return dist.Normal(known, 0.1).log_prob(jnp.array([2.0, 4.0])).sum()

    budget = Population(2, num_final=5000, num_samples=2000, num_moves=2)
    found = population(jr.key(1), model, log_likelihood, ["a", "b"], budget)
    a, few = found.draws["a"], np.sqrt(1500)
    assert abs(a.mean() - 2) < 4.5 * 0.1 / few
    assert abs(a.std() / 0.1 - 1) < 4.5 * np.sqrt(0.5) / few
