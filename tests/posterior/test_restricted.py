"""A prior cut to where simulations succeed, and the posterior that knows it.

The exact posterior is a normal distribution cut off at the edge of the region.
"""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

import retrodict as rd


EDGE, NOISE = 0.7, 0.5
SETTINGS = rd.Settings(num_members=2, num_layers=2, epochs=20, batch_size=64)
GRID = np.linspace(-4, 3, 4001)


def simulator(key, theta):
    x = theta["a"] + NOISE * jr.normal(key, (1,))
    return jnp.where(theta["a"] > EDGE, jnp.nan, x)


def _model(**options):
    return rd.Model(rd.Prior(a=dist.Normal(0, 1)), simulator, **options)


@pytest.fixture(scope="module")
def model():
    return rd.restrict(rd.simulate(_model(), 3000, seed=1))


def test_the_region_is_where_simulations_succeed(model):
    region = model.prior.region
    edge = GRID[region.contains(GRID[:, None])].max()
    assert abs(edge - EDGE) < 0.1
    # mass and edge say the same; 200 000 draws: 5 sd
    assert abs(region.mass - norm.cdf(edge)) < 5 * 0.5 / np.sqrt(2e5) + 2e-3
    good = norm.cdf(min(edge, EDGE)) / norm.cdf(EDGE)
    assert good > 0.98  # 99 % of what succeeds, estimated from 1100 rows: 3 sd
    sims = rd.simulate(model, 2000, seed=2)
    assert sims.num_ok / 2000 > 0.93
    assert region.contains(sims.theta["a"][:, None].astype(float)).mean() > 0.999


def test_the_density_of_the_prior_is_normalized(model):
    density = np.exp(model.prior.log_prob({"a": GRID}))
    assert abs(np.trapezoid(density, GRID) - 1) < 5e-3
    assert (density[GRID > EDGE + 0.1] == 0).all()
    inside = model.prior.region.contains(GRID[:, None])
    expected = np.where(inside, norm.pdf(GRID) / model.prior.region.mass, 0)
    np.testing.assert_allclose(density, expected, rtol=1e-5)
    assert "cut to region" in model.prior.describe()["a"]


def test_draws_are_those_of_the_prior_inside(model, getkey):
    """False-alarm rate below 1e-5: mean and sd within 4.5 standard errors."""
    draws = model.prior.sample(getkey(), 20_000)["a"]
    assert model.prior.region.contains(draws[:, None]).all()
    whole = _model().prior.sample(getkey(), 40_000)["a"]
    inside = whole[model.prior.region.contains(whole[:, None])]
    error = np.sqrt(inside.var() * (1 / len(inside) + 1 / len(draws)))
    assert abs(draws.mean() - inside.mean()) < 4.5 * error
    assert abs(draws.std() - inside.std()) < 4.5 * error


@pytest.mark.slow
def test_the_posterior_is_that_of_the_cut_prior(model, getkey):
    sims = rd.simulate(model, 3000, seed=3)
    fitted = rd.fit(sims, settings=SETTINGS)
    posterior = rd.Restricted(fitted, model.prior.region)
    xs = np.array([[-1.0], [0.6]])
    theta = np.broadcast_to(GRID[None, :, None], (2, len(GRID), 1))
    density = np.exp(posterior.log_prob(theta, xs))
    np.testing.assert_allclose(np.trapezoid(density, GRID, axis=1), 1, atol=0.02)
    inside = model.prior.region.contains(GRID[:, None]) & (GRID <= EDGE)
    for row, x in enumerate(xs[:, 0]):
        exact = norm.pdf(GRID) * norm.pdf(x, GRID, NOISE) * inside
        exact /= np.trapezoid(exact, GRID)
        distance = 0.5 * np.trapezoid(np.abs(density[row] - exact), GRID)
        uncut = np.exp(fitted.log_prob(theta[row : row + 1], xs[row : row + 1]))[0]
        assert distance < 0.12
        assert distance < 0.5 * np.trapezoid(np.abs(uncut - exact), GRID) + 0.01
    draws = posterior.sample(getkey(), xs, 2000)
    assert model.prior.region.contains(draws).all()
    for row in range(2):
        mean = np.trapezoid(GRID * density[row], GRID)
        assert abs(draws[row].mean() - mean) < 5 * draws[row].std() / np.sqrt(2000)


def test_failure_by_chance_has_no_region():
    def by_chance(key, theta):
        one, two = jr.split(key)
        x = theta["a"] + jr.normal(one, (1,))
        return jnp.where(jr.uniform(two) < 0.1, jnp.nan, x)

    sims = rd.simulate(rd.Model(rd.Prior(a=dist.Normal(0, 1)), by_chance), 1000)
    with pytest.raises(rd.DataError, match=r"failures that depend on theta; got.*auc"):
        rd.restrict(sims)
    with pytest.raises(ValueError, match=r"kept.*got 1\.5"):
        rd.restrict(sims, kept=1.5)


def test_a_folder_of_the_whole_prior_is_not_continued(model, tmp_path):
    rd.simulate(_model(), 1000, seed=1, out=tmp_path)
    with pytest.raises(rd.DataError, match="its prior is"):
        rd.simulate(model, 1000, seed=1, out=tmp_path)
