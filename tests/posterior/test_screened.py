"""The screen of entries of x that say nothing about theta."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import retrodict as rd
from retrodict.estimators import Affine, VectorScaler, fit_scalers
from retrodict.posterior.screened import screen, uninformative
from retrodict.posterior.synthetic import Pairs


def _theta(n=2000, dim=3):
    return np.random.default_rng(0).standard_normal((n, dim))


def test_entries_that_depend_in_mean_or_spread_are_kept():
    theta, rng = _theta(), np.random.default_rng(1)
    noise = rng.standard_normal((4, len(theta)))
    columns = np.stack(
        [
            theta[:, 0] + noise[0],
            np.exp(0.5 * theta[:, 1]) * noise[1],
            theta[:, 2] ** 2 + noise[2],
            (theta[:, 0] + noise[3] > 0).astype(float),
        ],
        axis=1,
    )
    assert not uninformative(theta, columns).any()


def test_entries_that_are_independent_are_called_so():
    """At a level of 5 % of an entry: 95 of 100 on average, below 88 once in 1000."""
    columns = np.random.default_rng(2).standard_t(2, (2000, 100))
    columns[:, 0] = 1.0  # constant
    assert 88 <= uninformative(_theta(), columns).sum() <= 100


def test_a_scaler_without_some_entries_blanks_them_and_their_logarithms():
    values = np.exp(2 * np.random.default_rng(3).standard_normal((500, 3)))
    scaler = VectorScaler.fit(values)
    assert scaler.logged.all()
    blank = np.array([False, True, False])
    fewer = scaler.without(blank)
    found = fewer.apply(values)
    assert found.shape == (500, 3 + 2)
    assert (found[:, 1] == 0).all()
    np.testing.assert_array_equal(found[:, [0, 2]], scaler.apply(values)[:, [0, 2]])
    np.testing.assert_array_equal(found[:, 3:], scaler.apply(values)[:, [3, 5]])


def test_constant_entries_are_no_reason_for_a_second_training():
    """Networks do not see them anyway; thirty that are noise would be one."""
    theta, rng = _theta(500, 2), np.random.default_rng(5)
    informed = np.tile(theta, 10) + 0.1 * rng.standard_normal((500, 20))
    constant, noise = np.ones((500, 30)), rng.standard_normal((500, 30))

    def pairs(rest):
        x = {"x": np.concatenate([informed, rest], axis=1)}
        scalers = fit_scalers(x, {"x": rd.Structure("vector")})
        return Pairs(theta.astype(np.float32), x, Affine.fit(theta), scalers)

    assert screen(pairs(constant)) is None
    fewer = screen(pairs(noise))
    assert fewer is not None
    assert (fewer.scalers["x"].plain.scale[:20] > 0).all()
    assert (fewer.scalers["x"].plain.scale[20:] > 0).sum() <= 6


def test_a_posterior_without_distractors_answers_and_can_be_saved(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("retrodict.posterior.synthetic.MAX_SIMULATIONS", 0)

    def simulator(key, theta):
        import jax.random as jr

        noise = jr.normal(key, (30,))
        return noise.at[:2].add(3.0 * theta["mu"])

    prior = rd.Prior(mu=dist.Normal(jnp.zeros(2), 1.0))
    sims = rd.simulate(rd.Model(prior, simulator, name="distracted"), 300, seed=0)
    posterior = rd.fit(sims, seed=0, num_members=1)
    seen = posterior.network.scalers["x"].plain.scale > 0
    assert seen[:2].all()
    assert seen.sum() <= 8
    posterior.save(tmp_path / "posterior.zip")
    x_obs = np.asarray(sims.x)[:1]
    loaded = rd.load(tmp_path / "posterior.zip")
    np.testing.assert_array_equal(
        posterior.log_prob(sims.targets[:1, None], x_obs),
        loaded.log_prob(sims.targets[:1, None], x_obs),
    )
