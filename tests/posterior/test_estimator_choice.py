"""Every density and every embedding behind ``fit``: right, bounded and saved."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import retrodict as rd
from retrodict.training.settings import (
    DENSITIES,
    SERIES_EMBEDDINGS,
    SET_EMBEDDINGS,
    VECTOR_EMBEDDINGS,
)


SMALL = {
    "num_members": 1,
    "num_layers": 2,
    "num_bins": 4,
    "num_components": 3,
    "flow_width": 16,
    "embedding_width": 16,
    "context_dim": 8,
    "num_blocks": 1,
    "batch_size": 64,
}
POINTS = 6


def _sums(key, theta):
    """Noisy sums of a number of each bounded kind: at times a row is missing."""
    mean = jnp.stack([theta["rate"], theta["share"]])
    return mean + 0.3 * jr.normal(key, (2,))


def _bounded_model():
    prior = rd.Prior(rate=dist.HalfNormal(1.0), share=dist.Uniform(0.0, 1.0))
    return rd.Model(prior, _sums, name="bounded")


def _points(key, theta):
    """Points around a center, of which some and some coordinates are missing."""
    key_noise, key_row, key_value = jr.split(key, 3)
    y = theta["center"] + jr.normal(key_noise, (POINTS, 2))
    row = jr.bernoulli(key_row, 0.2, (POINTS, 1))
    value = jr.bernoulli(key_value, 0.1, (POINTS, 2))
    return {"y": jnp.where(row | value, jnp.nan, y)}


def _points_model(kind):
    prior = rd.Prior(center=dist.Normal(jnp.zeros(2), 3.0))
    structure = {"y": rd.Structure(kind, missing=True)}
    return rd.Model(prior, _points, structure=structure, name="points")


def _exact(y):
    """Mean and sd of the center given what is there, in closed form."""
    there = np.isfinite(y)
    precision = 1 / 9 + there.sum(1)
    return np.nansum(y, axis=1) / precision[:, :], precision**-0.5


def _assert_same_after_loading(posterior, xs, path):
    posterior.save(path)
    again = rd.load(path)
    draws = posterior.sample(jr.key(1), xs, 50)
    np.testing.assert_array_equal(again.sample(jr.key(1), xs, 50), draws)
    np.testing.assert_array_equal(
        again.log_prob(draws, xs), posterior.log_prob(draws, xs)
    )
    assert again.network.settings == posterior.network.settings
    assert again.network.x_spec == posterior.network.x_spec


@pytest.mark.parametrize("density", ["independent", "correlated"])
def test_a_density_of_x_is_refused(density):
    simulations = rd.simulate(_bounded_model(), 40, seed=0)
    settings = rd.Settings(density=density, epochs=3, **SMALL)
    with pytest.raises(ValueError, match=rf"settings\.density: .* '{density}'"):
        rd.fit(simulations, seed=0, settings=settings)


@pytest.mark.parametrize("density", DENSITIES)
def test_every_density_stays_in_the_support_and_is_saved_to_the_bit(density, tmp_path):
    simulations = rd.simulate(_bounded_model(), 400, seed=0)
    settings = rd.Settings(density=density, epochs=3, **SMALL)
    posterior = rd.fit(simulations, seed=0, settings=settings)
    xs = np.array([[0.1, 0.9], [2.5, -0.2], [-0.5, 1.4]])
    draws = posterior.sample(jr.key(0), xs, 2000)
    assert np.isfinite(draws).all()
    assert (draws[..., 0] > 0).all()
    assert ((draws[..., 1] > 0) & (draws[..., 1] < 1)).all()
    outside = np.array([[[-0.1, 0.5], [0.5, 1.1]]] * 3)
    assert (posterior.log_prob(outside, xs) == -np.inf).all()
    _assert_same_after_loading(posterior, xs, tmp_path / "small.retrodict")


def _structure_cases():
    sets = [("exchangeable", {"set_embedding": name}) for name in SET_EMBEDDINGS]
    series = [("series", {"series_embedding": name}) for name in SERIES_EMBEDDINGS]
    vectors = [("vector", {"vector_embedding": name}) for name in VECTOR_EMBEDDINGS]
    return [*sets, *series, *vectors, ("grid", {})]


@pytest.mark.slow
@pytest.mark.stat
@pytest.mark.parametrize(("kind", "choice"), _structure_cases())
def test_missing_values_are_read_by_every_embedding(kind, choice, tmp_path):
    """The mean of the posterior follows the exact one, better than blind guesses do.

    The guess that knows the sum of what is there but not how many there are has an rms
    error of about one, written out below. Seeds are fixed, so that the outcome is the
    same each time.
    """
    model = _points_model(kind)
    simulations = rd.simulate(model, 3000, seed=0)
    assert simulations.num_ok == 3000
    settings = rd.Settings(
        **{**SMALL, "embedding_width": 32, "context_dim": 16}, epochs=20, **choice
    )
    posterior = rd.fit(simulations, seed=0, settings=settings)
    test = rd.simulate(model, 100, seed=1)
    mean, _ = _exact(test.x["y"])
    found = posterior.sample(jr.key(0), test.x, 200).mean(axis=1)
    error = np.sqrt(np.mean((found - mean) ** 2))
    sums = np.nansum(test.x["y"], axis=1)
    blind = sums * (mean * sums).sum() / (sums**2).sum()
    assert error < 0.75 * np.sqrt(np.mean((blind - mean) ** 2))
    assert np.corrcoef(found.ravel(), mean.ravel())[0, 1] > 0.97
    _assert_same_after_loading(posterior, test.x, tmp_path / "points.retrodict")
    at = posterior.at({"y": test.x["y"][0]})
    assert isinstance(at.warnings, tuple)


def test_the_order_of_exchangeable_points_does_not_matter():
    from retrodict.bench.tasks import slcp

    base = slcp.study().model

    def simulator(key, theta):
        return base.simulator.function(key, theta).reshape(4, 2)

    model = rd.Model(base.prior, simulator, structure="exchangeable", name="slcp")
    settings = rd.Settings(epochs=2, **SMALL)
    posterior = rd.fit(rd.simulate(model, 400, seed=0), seed=0, settings=settings)
    x = rd.simulate(model, 2, seed=1).x
    theta = posterior.sample(jr.key(0), x, 20)
    expected = posterior.log_prob(theta, x)
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        found = posterior.log_prob(theta, x[:, order])
        np.testing.assert_allclose(found, expected, atol=1e-3)
    other = posterior.log_prob(theta, x + 1.0)
    assert np.abs(other - expected).max() > 0.05


def test_an_embedding_learned_first_is_saved_to_the_bit(tmp_path):
    model = _points_model("grid")
    settings = rd.Settings(**{**SMALL, "num_members": 2}, epochs=3, embedding_epochs=2)
    posterior = rd.fit(rd.simulate(model, 400, seed=0), seed=0, settings=settings)
    assert posterior.network.settings == settings
    xs = rd.simulate(model, 3, seed=1).x
    _assert_same_after_loading(posterior, xs, tmp_path / "staged.retrodict")


def test_what_is_not_declared_missing_is_refused():
    model = rd.Model(
        rd.Prior(center=dist.Normal(jnp.zeros(2), 3.0)), _points, name="points"
    )
    with pytest.raises(rd.DataError, match=r"all of the first 20 .* NaN"):
        rd.simulate(model, 200, seed=0)
    gone = {"y": np.full((POINTS, 2), np.nan)}
    with pytest.raises(rd.DataError, match=r"x_obs\['y'\].*12.*missing=True"):
        model.observing(gone)
    assert np.isnan(_points_model("series").observing(gone).observed["y"]).all()
    with pytest.raises(rd.DataError, match=r"x_obs\['y'\].*12 that are not.*inf"):
        _points_model("series").observing({"y": np.full((POINTS, 2), np.inf)})


def test_a_structure_that_does_not_fit_is_refused():
    with pytest.raises(rd.ModelError, match=r"structure.*got 'sequence'"):
        rd.Structure("sequence")
    with pytest.raises(rd.ModelError, match=r"structure.*'y'; got 3"):
        rd.Model(_bounded_model().prior, _sums, structure={"y": 3})
    model = rd.Model(_bounded_model().prior, _sums, structure={"y": "series"})
    with pytest.raises(rd.ModelError, match=r"structure.*\['x'\]; got 'y'"):
        rd.fit(rd.simulate(model, 100, seed=0), seed=0)
    with pytest.raises(rd.ModelError, match=r"'x' is declared 'image'.*\(2,\)"):
        rd.Model(_bounded_model().prior, _sums, observed=np.ones(2), structure="image")


def test_a_mixture_finds_two_modes():
    """Theta enters as its square: draws at x = 1 split in halves (binomial, 1e-6)."""

    def simulator(key, theta):
        return theta["a"][None] ** 2 + 0.1 * jr.normal(key, (1,))

    model = rd.Model(rd.Prior(a=dist.Normal(0.0, 1.0)), simulator, name="square")
    settings = rd.Settings(density="mixture_density", epochs=40, **SMALL)
    posterior = rd.fit(rd.simulate(model, 2000, seed=0), seed=0, settings=settings)
    draws = posterior.at(np.ones(1)).sample(jr.key(0), 2000)["a"]
    assert np.mean(np.abs(np.abs(draws) - 1.0) < 0.35) > 0.9
    assert 0.3 < np.mean(draws > 0) < 0.7
    assert stats.iqr(np.abs(draws)) < 0.3


def test_jax_stays_in_float32():
    assert not jax.config.jax_enable_x64
