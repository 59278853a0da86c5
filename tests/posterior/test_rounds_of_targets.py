"""Rounds that leave nuisances out or ask for derived quantities: all normal.

a, b, c ~ N(0, 1), total = a + b ~ N(0, 2), x = total + c + N(0, NOISE²): the posterior
of total alone is normal with variance 1 / (1/2 + 1/(1 + NOISE²)).
"""

import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import kstest, norm, truncnorm

import retrodict as rd
from retrodict.posterior import ellipsoids
from retrodict.posterior.rounds import can_weigh

from .conftest import LINEAR_SETTINGS


NOISE, NUM_COLUMNS = 0.5, 4
X_OBS = np.full(NUM_COLUMNS, 2.5)


def simulator(key, theta):
    signal = theta["a"] + theta["b"] + theta["c"]
    return signal + NOISE * NUM_COLUMNS**0.5 * jr.normal(key, (NUM_COLUMNS,))


def model_of(infer, simulator=simulator):
    prior = rd.Prior(**dict.fromkeys("abc", dist.Normal(0.0, 1.0)))
    total = rd.Derived(lambda theta: theta["a"] + theta["b"], support="real")
    return rd.Model(prior, simulator, derive={"total": total}, infer=infer)


def around(center, width, model):
    draws = np.random.default_rng(0).normal(center, width, (4000, 1))
    return ellipsoids(jr.key(0), draws, model)


def edges(region):
    """The interval that a region of one coordinate is."""
    grid = np.linspace(-6, 6, 24_001)
    inside = grid[region.contains(grid[:, None])]
    return inside.min(), inside.max()


def test_a_region_of_a_derived_quantity_cuts_its_prior():
    """Mass by the normal distribution, 20 000 draws; KS tests at level 1e-4."""
    model = model_of(["total"])
    region = around(1.0, 0.3, model)
    law = norm(0, np.sqrt(2))
    low, high = edges(region)
    mass = law.cdf(high) - law.cdf(low)
    assert abs(region.mass / mass - 1) < 0.05
    theta = model.restricted(region).prior.sample(jr.key(1), 4000)
    total, other = theta["a"] + theta["b"], theta["a"] - theta["b"]
    assert kstest((law.cdf(total) - law.cdf(low)) / mass, "uniform").pvalue > 1e-4
    assert kstest(other, law.cdf).pvalue > 1e-4
    assert kstest(theta["c"], norm.cdf).pvalue > 1e-4


def test_a_small_region_of_some_parameters_leaves_the_others_alone():
    """A ten-thousandth of the prior, drawn from its ellipsoids; KS tests at 1e-4."""
    model = model_of(["a"])
    region = around(3.0, 0.01, model)
    assert region.balls is not None
    low, high = edges(region)
    assert abs(region.mass / (norm.cdf(high) - norm.cdf(low)) - 1) < 0.05
    prior = model.restricted(region).prior
    theta = prior.sample(jr.key(1), 4000)
    assert kstest(theta["a"], truncnorm(low, high).cdf).pvalue > 1e-4
    for name in "bc":
        assert kstest(theta[name], norm.cdf).pvalue > 1e-4
    log_prior = sum(norm.logpdf(values) for values in theta.values())
    expected = log_prior - np.log(norm.cdf(high) - norm.cdf(low))
    np.testing.assert_allclose(prior.log_prob(theta), expected, atol=0.06)


def test_too_small_a_region_of_a_derived_quantity_is_refused():
    with pytest.raises(rd.ModelError, match=r"at least 0\.001 of the prior.*`infer`"):
        around(5.0, 0.01, model_of(["total"]))


def test_what_python_derives_has_no_region():
    def in_python(rng, theta):
        return np.zeros(NUM_COLUMNS)

    model = model_of(["total"], in_python)
    with pytest.raises(rd.ModelError, match=r"\['total'\], which Python computes"):
        model.restricted(around(0.0, 0.5, model))


@pytest.mark.parametrize("name", ["a", "total"])
def test_rounds_find_the_exact_posterior_of_a_part(name):
    """Within .25 sd and 20 %, with 600 simulations and one network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrodict.posterior.rounds.MEMBERS", 1)
        model = model_of([name])
        first = rd.simulate(model, 400, seed=0)
        posterior = rd.fit(first, settings=LINEAR_SETTINGS)
        found = rd.refine(
            posterior,
            model,
            X_OBS,
            rounds=1,
            num_simulations=600,
            simulations=first,
            effort="fast",
        )
    assert not can_weigh(found.simulations)
    assert found.posterior.region.contains(found.simulations.targets).all()
    variance = {"a": 1.0, "total": 2.0}[name]
    rest = 3 - variance + NOISE**2
    sd = (1 / variance + 1 / rest) ** -0.5
    draws = found.sample(jr.key(0), 4000)[:, 0]
    exact = norm(sd**2 * X_OBS[0] / rest, sd)
    assert abs(draws.mean() - exact.mean()) < 0.25 * sd
    np.testing.assert_allclose(draws.std(), sd, rtol=0.2)
    density = found.log_prob(draws[:500, None])
    assert abs(density.mean() + exact.entropy()) < 0.25
