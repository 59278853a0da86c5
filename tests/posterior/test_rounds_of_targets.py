"""Rounds that leave nuisances out or ask for derived quantities: all normal.

a, b, c ~ N(0, 1), total = a + b ~ N(0, 2), x = total + c + N(0, NOISE²): the posterior
of total alone is normal with variance 1 / (1/2 + 1/(1 + NOISE²)). Some tests narrow b
and c.
"""

from dataclasses import replace

import jax.random as jr
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import kstest, norm, truncnorm

import retrodict as rd
from retrodict.posterior import ellipsoids, sequential, simulate_in_rounds
from retrodict.posterior.record import Record
from retrodict.posterior.rounds import _inside, can_weigh

from .conftest import LINEAR_SETTINGS


NOISE, NUM_COLUMNS = 0.5, 4
X_OBS = np.full(NUM_COLUMNS, 2.5)
NARROW = (1.0, 0.3, 0.3)  # sds that leave a well known


def simulator(key, theta):
    signal = theta["a"] + theta["b"] + theta["c"]
    return signal + NOISE * NUM_COLUMNS**0.5 * jr.normal(key, (NUM_COLUMNS,))


def model_of(infer, simulator=simulator, sds=(1.0, 1.0, 1.0)):
    prior = rd.Prior(
        **{name: dist.Normal(0.0, sd) for name, sd in zip("abc", sds, strict=True)}
    )
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


class Known(rd.Posterior):
    """One normal answer whatever the observation."""

    def __init__(self, name, mean, sd):
        self.known, self.record = (name, mean, sd), Record.__new__(Record)

    @property
    def names(self):
        return self.known[:1]

    def sample(self, key, xs, num_samples):
        _, mean, sd = self.known
        return np.asarray(mean + sd * jr.normal(key, (len(xs), num_samples, 1)))


def test_rounds_stop_where_rejection_would_take_too_long():
    """A thousandth of the prior: the first round has no region before it."""
    model = model_of(["total"])
    with pytest.raises(rd.ModelError, match=r"at least 0\.001 of the prior.*Infer sam"):
        simulate_in_rounds(Known("total", 5.0, 0.01), model, X_OBS, [100])


def test_later_rounds_stay_in_the_last_region_large_enough(monkeypatch):
    narrow = Known("total", 1.0, 0.01)
    monkeypatch.setattr("retrodict.posterior.rounds.explore", lambda *_: narrow)
    monkeypatch.setattr("retrodict.posterior.rounds.LEAST_MASS", 0.05)
    wide = Known("total", 1.0, 0.3)
    found = simulate_in_rounds(wide, model_of(["total"]), X_OBS, [50, 70])
    assert found.num_simulations == 120
    assert found.regions[0] is found.regions[1]
    assert found.regions[0].contains(found.simulations.targets).all()


def test_simulations_asked_for_other_targets_are_cut_by_the_right_columns():
    model = model_of(["c"])
    region = around(1.0, 0.1, model)
    sims = rd.simulate(model_of(["a", "b", "c"]), 400, seed=0)
    inside = region.contains(sims.theta["c"][:, None])
    assert 0 < inside.sum() < 200
    kept = _inside(sims, region)
    np.testing.assert_array_equal(kept.theta["c"], sims.theta["c"][inside])


def test_what_python_derives_is_refused_before_anything_is_simulated():
    def in_python(rng, theta):
        raise AssertionError

    model = model_of(["total"], in_python)
    region = around(0.0, 0.5, model)
    message = r"\['total'\], which Python computes"
    with pytest.raises(rd.ModelError, match=message):
        simulate_in_rounds(Known("total", 1.0, 0.1), model, X_OBS, [100])
    with pytest.raises(rd.ModelError, match=message):
        model.restricted(region)


def test_a_prior_is_cut_once():
    model = model_of(["a"])
    cut = model.restricted(around(0.0, 0.5, model))
    with pytest.raises(rd.ModelError, match="Expected a whole one to cut; got one"):
        simulate_in_rounds(Known("a", 1.0, 0.1), cut, X_OBS, [100])


def test_a_posterior_of_other_targets_is_refused():
    sims = rd.simulate(model_of(["a"]), 200, seed=0)
    posterior = rd.fit(sims, settings=LINEAR_SETTINGS)
    with pytest.raises(rd.ModelError, match=r"Expected one of \['b'\].*got one of"):
        rd.refine(posterior, model_of(["b"]), X_OBS)


def test_a_part_of_a_prior_function_is_cut_too():
    """Permuted, its density is known; a part alone is drawn by rejection."""

    def function():
        first = numpyro.sample("a", dist.Normal(0.0, 1.0))
        numpyro.sample("b", dist.Normal(first, 0.5))

    whole = rd.Model(rd.Prior(function), simulator, infer=["b", "a"])
    assert whole.target_prior().names == ("b", "a")
    rng = np.random.default_rng(0)
    narrow = np.array([1.5, 1.0]) + 0.03 * rng.standard_normal((4000, 2))
    region = ellipsoids(jr.key(0), narrow, whole)
    assert region.balls is not None
    theta = whole.restricted(region).prior.sample(jr.key(1), 2000)
    assert np.abs(theta["b"] - 1.5).max() < 0.3
    assert np.abs(theta["a"] - 1.0).max() < 0.3
    part = whole.inferring(["b"])
    region = around(1.5, 0.1, part)
    assert region.balls is None
    theta = part.restricted(region).prior.sample(jr.key(2), 2000)
    # a given b = 1.5 is N(1.2, .2), and the region is .5 to each side at most.
    assert abs(theta["a"].mean() - 1.2) < 0.05
    assert abs(theta["a"].std() - np.sqrt(0.2)) < 0.05


@pytest.mark.parametrize("name", ["a", "total"])
def test_rounds_find_the_exact_posterior_of_a_part(name):
    """Within .25 sd and 20 %, with 1700 simulations and three small networks."""
    settings = replace(LINEAR_SETTINGS, num_members=3, epochs=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sequential, "fit", lambda sims, **_: rd.fit(sims, settings=settings)
        )
        model = model_of([name], sds=NARROW)
        first = rd.simulate(model, 400, seed=0)
        posterior = rd.fit(first, settings=LINEAR_SETTINGS)
        found = rd.refine(
            posterior,
            model,
            X_OBS,
            rounds=1,
            num_simulations=1500,
            simulations=first,
        )
    assert not can_weigh(found.simulations)
    assert found.masses[-1] < 0.7
    assert found.posterior.region.contains(found.simulations.targets).all()
    variance = {"a": 1.0, "total": 1.0 + 0.3**2}[name]
    rest = 1.0 + 2 * 0.3**2 - variance + NOISE**2
    sd = (1 / variance + 1 / rest) ** -0.5
    draws = found.sample(jr.key(0), 4000)[:, 0]
    exact = norm(sd**2 * X_OBS[0] / rest, sd)
    assert abs(draws.mean() - exact.mean()) < 0.25 * sd
    np.testing.assert_allclose(draws.std(), sd, rtol=0.2)
    density = found.log_prob(draws[:500, None])
    assert abs(density.mean() + exact.entropy()) < 0.25
