"""What another measurement is worth, against normals in closed form."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict._core.errors import DataError
from retrodict.model import Model, Prior
from retrodict.simulations import simulate
from retrodict.trust import worth
from trust.linear_gaussian import LinearGaussian, normal_draws, normal_log_prob


SUM = LinearGaussian(np.array([[1.0, 0.5], [1.0, 0.5]]), 0.3)
BOTH = LinearGaussian(np.array([[1.0, 0.5, 1.0], [1.0, 0.5, 0.0]]), 0.3)


class Exact:
    """The posterior of log a and log b, of which x sees the sum."""

    def sample(self, key, xs, num_samples):
        rng = np.random.default_rng(np.asarray(jr.key_data(key)))
        mean = SUM.mean(np.asarray(xs, float))
        return np.exp(normal_draws(rng, mean, SUM.covariance, num_samples))

    def log_prob(self, theta, xs):
        logs = np.log(theta)
        mean = SUM.mean(np.asarray(xs, float))
        return normal_log_prob(logs, mean, SUM.covariance) - logs.sum(axis=-1)


@pytest.fixture(scope="module")
def simulations():
    def simulator(key, theta):
        logs = jnp.log(jnp.stack([theta["a"], theta["b"]]))
        return logs @ SUM.design + SUM.noise * jr.normal(key, (2,))

    prior = Prior(a=dist.LogNormal(0.0, 1.0), b=dist.LogNormal(0.0, 1.0))
    return simulate(Model(prior, simulator), 1000, seed=4)


@pytest.mark.stat
def test_a_measurement_that_ends_the_ridge_is_worth_its_closed_form(simulations):
    """1000 rows: shares to about .02; the ratio of exact sds is .43 for both."""
    rng = np.random.default_rng(1)
    extra = np.log(simulations.theta["a"]) + 0.3 * rng.standard_normal(1000)
    found = worth(Exact(), simulations, extra)
    exact = np.sqrt(np.diag(BOTH.covariance) / np.diag(SUM.covariance))
    np.testing.assert_allclose(found.remaining[:2], exact, atol=0.08)
    left = dict(zip(found.names, found.remaining, strict=True))
    assert left["a · b"] > 0.9  # x knows it
    along = next(name for name in left if "/" in name)  # a / b, either way up
    assert left[along] < 0.6
    assert f"{along} to" in found.sentence


def test_a_useless_measurement_is_called_that(simulations):
    extra = {"noise": np.random.default_rng(2).standard_normal((1000, 2))}
    assert "tell nothing" in worth(Exact(), simulations, extra).sentence


def test_rows_must_fit(simulations):
    with pytest.raises(DataError, match=r"extra: Expected one row .* 1000 .* got 5"):
        worth(Exact(), simulations, np.zeros(5))
    with pytest.raises(DataError, match=r"simulations: Expected five .* got 20"):
        worth(Exact(), simulations[:20], np.zeros(20))
