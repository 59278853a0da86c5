"""Rounds for one observation: regions by quadrature, posteriors in closed form."""

from dataclasses import replace

import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import kstest, ncx2, norm

import retrodict as rd
from retrodict.model import Balls, Region
from retrodict.posterior import Refined, refined_in_region
from retrodict.posterior.ellipsoids import _score, _with_mass, ellipsoids

from .conftest import (
    BOUNDED_SETTINGS,
    LINEAR_SETTINGS,
    Exact,
    bounded_model,
    linear_model,
    typical_xs,
)


@pytest.fixture(scope="module")
def prior():
    return rd.Prior(a=dist.Normal(0, 1), b=dist.Uniform(-2.0, 2.0))


def model_of(prior):
    """A model whose simulator is not called."""
    return rd.Model(prior, lambda key, theta: theta["a"])


@pytest.fixture(scope="module")
def two_islands(prior):
    """A region around two narrow clusters, far apart."""
    rng = np.random.default_rng(0)
    centers = np.array([[-1.0, -1.0], [1.2, 0.5]])
    u = np.concatenate([c + 0.05 * rng.standard_normal((3000, 2)) for c in centers])
    return ellipsoids(jr.key(0), prior.space.constrain(u), model_of(prior))


def test_clusters_have_ellipsoids_of_their_own(two_islands, prior):
    assert two_islands.weights.shape[1] >= 2
    between = prior.space.constrain(np.array([[0.1, -0.25]]))
    assert not two_islands.contains(between).any()
    assert two_islands.balls is not None  # the prior itself would seldom hit


def test_the_mass_of_a_region_is_the_integral_of_the_prior(two_islands, prior):
    """Quadrature on a fine grid; 20 000 points estimate the mass to about 1 %."""
    a, b = np.linspace(-2, 2, 1201), np.linspace(-1.99, 1.99, 1201)
    grid = np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2)
    inside = two_islands.contains(grid)
    density = norm.pdf(grid[:, 0]) / 4
    exact = density[inside].sum() * (a[1] - a[0]) * (b[1] - b[0])
    assert abs(two_islands.mass / exact - 1) < 0.05


def test_draws_are_those_of_the_prior_inside(two_islands, prior):
    """Against draws of the whole prior that happen to lie inside.

    False-alarm rate 1e-4 for each of two components.
    """
    cut = prior.restricted(two_islands)
    draws = prior.space.flatten(cut.sample(jr.key(1), 4000))
    assert two_islands.contains(draws).all()
    plain = prior.space.flatten(prior.sample(jr.key(2), 400_000))
    plain = plain[two_islands.contains(plain)]
    for column in range(2):
        assert kstest(draws[:, column], plain[:, column]).pvalue > 1e-4


def test_draws_are_right_in_many_dimensions():
    """Ten normal coordinates cut to a ball far from the mode: distances in closed form.

    False-alarm rate 1e-4.
    """
    radius, dim, away = 1.5, 10, 4.0
    prior = rd.Prior(a=dist.Normal(0, 1).expand([dim]))
    center = np.full(dim, away / np.sqrt(dim))
    factor = radius * np.eye(dim)
    weights = _score(np.zeros(dim), factor)[:, None]
    region = Region(prior.space, center, np.ones(dim), weights)
    balls = Balls(center[None], factor[None])
    region = _with_mass(jr.key(0), region, balls, model_of(prior))
    exact = ncx2(dim, away**2)
    mass = exact.cdf(radius**2)
    assert abs(region.mass / mass - 1) < 0.1
    draws = prior.restricted(region).sample(jr.key(1), 4000)["a"]
    squares = ((draws - center) ** 2).sum(1)
    assert kstest(exact.cdf(squares) / mass, "uniform").pvalue > 1e-4


def test_a_region_is_a_part_of_the_one_before(two_islands, prior):
    rng = np.random.default_rng(1)
    u = np.array([1.2, 0.5]) + 0.2 * rng.standard_normal((3000, 2))
    theta = prior.space.constrain(u)
    part = ellipsoids(jr.key(3), theta, model_of(prior), two_islands)
    theta = prior.space.constrain(np.array([1.2, 0.5]) + rng.standard_normal((4000, 2)))
    inside = part.contains(theta)
    assert inside.any()
    assert two_islands.contains(theta[inside]).all()
    assert part.mass < two_islands.mass
    assert part.describe() != two_islands.describe()


@pytest.fixture(scope="module")
def rounds():
    """The linear model with two rounds; trainings are short, and start exact."""
    model = linear_model()
    first = rd.simulate(model, 400, seed=0)
    posterior = rd.fit(first, settings=LINEAR_SETTINGS)
    return rd.refine(
        posterior,
        model,
        typical_xs(1)[0],
        rounds=2,
        num_simulations=300,
        simulations=first,
        effort="fast",
    )


def test_simulations_gather_where_the_posterior_is(rounds):
    assert rounds.num_simulations == 600
    assert rounds.masses[-1] < 0.8
    region = rounds.posterior.region
    theta = region.space.flatten(rounds.simulations.theta)
    assert region.contains(theta).all()
    exact = Exact().sample(np.random.default_rng(0), rounds.x_obs[None], 4000)[0]
    assert region.contains(exact).mean() > 0.99


def test_rounds_find_the_exact_posterior(rounds):
    """Within .25 sd and 20 %, with 600 simulations and one network."""
    draws = rounds.sample(jr.key(0), 4000)
    exact = Exact()
    sd = np.sqrt(np.diag(exact.covariance))
    assert np.abs((draws.mean(0) - exact.mean(rounds.x_obs)) / sd).max() < 0.25
    np.testing.assert_allclose(draws.std(0), sd, rtol=0.2)
    density = rounds.log_prob(draws[:500])
    entropy = -density.mean()
    assert abs(entropy - exact.entropy) < 0.25


def test_what_refine_refuses():
    model = linear_model()
    simulations = rd.simulate(model, 200, seed=0)
    posterior = rd.fit(simulations, settings=LINEAR_SETTINGS)
    with pytest.raises(rd.ModelError, match="x_obs: Expected an observation"):
        rd.refine(posterior, model)
    with pytest.raises(ValueError, match="rounds: Expected at least 1; got 0"):
        rd.refine(posterior, model, typical_xs(1)[0], rounds=0)
    others, x_obs = rd.simulate(model, 200, seed=1), typical_xs(1)[0]
    with pytest.raises(rd.DataError, match="simulations: Expected those"):
        rd.refine(posterior, others)
    with pytest.raises(rd.DataError, match="simulations: Expected those"):
        rd.refine(posterior, model, x_obs, simulations=others)
    with pytest.raises(ValueError, match=r"x_obs: Expected none .*the model instead"):
        rd.refine(posterior, simulations, x_obs)
    with pytest.raises(TypeError, match=r"given: .*got Study\. Of a study, give its"):
        rd.refine(posterior, rd.Study(model=model))


def test_a_likelihood_weighs_the_draws_of_a_poor_network():
    """A network of one epoch; the likelihood is linear, and trainings start there.

    Its answer is within .25 sd and 20 % at an observation, that of the network is not.
    """
    model, x_obs = linear_model(), typical_xs(1)[0]
    simulations = rd.simulate(model, 1000, seed=0)
    short = replace(LINEAR_SETTINGS, epochs=1, linear_start=False)
    poor = rd.fit(simulations, settings=short)
    found = refined_in_region(poor, simulations, x_obs)
    assert isinstance(found, Refined)
    assert found.weight == 1
    draws = found.sample(jr.key(0), x_obs[None], 4000)[0]
    exact = Exact()
    sd = np.sqrt(np.diag(exact.covariance))
    assert np.abs((draws.mean(0) - exact.mean(x_obs)) / sd).max() < 0.25
    np.testing.assert_allclose(draws.std(0), sd, rtol=0.2)
    plain = poor.sample(jr.key(0), x_obs[None], 4000)[0]
    off = np.abs((plain.mean(0) - exact.mean(x_obs)) / sd).max()
    assert max(off, np.abs(np.log(plain.std(0) / sd)).max()) > 0.25


def test_series_have_no_likelihood_to_learn():
    simulations = rd.simulate(bounded_model(), 200, seed=0)
    posterior = rd.fit(simulations, settings=BOUNDED_SETTINGS)
    assert refined_in_region(posterior, simulations, None) is posterior
