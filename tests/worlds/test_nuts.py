"""The classical baseline against a posterior known in closed form."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict.model import Model, Prior
from retrodict.worlds._nuts import Budget, nuts


Y = np.array([2.0, -1.0])


@pytest.fixture(scope="module")
def conjugate():
    """A Gaussian vector, and a rate with gamma prior and exponential data."""
    prior = Prior(
        mu=dist.Normal(jnp.zeros(2), 2.0).to_event(1), rate=dist.Gamma(3.0, 1.0)
    )
    model = Model(prior, lambda key, theta: theta["mu"])

    def log_likelihood(theta):
        waiting = 10 * jnp.log(theta["rate"]) - 5.0 * theta["rate"]
        return dist.Normal(theta["mu"], 1.0).log_prob(Y).sum() + waiting

    return nuts(jr.key(3), model, log_likelihood, Budget(num_samples=2000))


def test_draws_have_the_shapes_of_the_parameters(conjugate):
    assert {k: v.shape for k, v in conjugate.draws.items()} == {
        "mu": (8000, 2),
        "rate": (8000,),
    }
    assert all(v.dtype == np.float64 for v in conjugate.draws.values())


@pytest.mark.stat
def test_moments_are_those_of_the_conjugate_posterior(conjugate):
    """Six bounds of 4.5 standard errors at the effective sample size: 4e-5."""
    ess = conjugate.diagnostics["smallest ESS"]
    mu, rate = conjugate.draws["mu"], conjugate.draws["rate"]
    sd_mu, sd_rate = np.sqrt(0.8), np.sqrt(13) / 6
    assert np.abs(mu.mean(0) - 0.8 * Y).max() < 4.5 * sd_mu / np.sqrt(ess)
    assert abs(rate.mean() - 13 / 6) < 4.5 * sd_rate / np.sqrt(ess)
    # The variance of a sample sd is about (kurtosis - 1) sd^2 / 4 ESS.
    assert np.abs(mu.std(0) / sd_mu - 1).max() < 4.5 * np.sqrt(2 / 4 / ess)
    assert abs(rate.std() / sd_rate - 1) < 4.5 * np.sqrt((2 + 6 / 13) / 4 / ess)


def test_diagnostics_say_that_the_chains_agree(conjugate):
    diagnostics = conjugate.diagnostics
    assert diagnostics["largest R-hat"] < 1.01
    assert diagnostics["smallest ESS"] > 400
    assert diagnostics["divergences"] == 0
    assert (diagnostics["chains"], diagnostics["draws"]) == (4, 8000)


def test_chains_of_a_symmetric_posterior_are_judged_as_one_image():
    """Which of two numbers is which cannot be told: two modes, no chain crosses.

    Chains begin in both: as they are, R-hat is far above one. Of 500 draws of a chain
    half are in each mode within four standard errors, .09.
    """
    prior = Prior(a=dist.Normal(0.0, 3.0), b=dist.Normal(0.0, 3.0))
    model = Model(prior, lambda key, theta: theta["a"] + theta["b"])
    model = model.with_symmetries([{"a": "b", "b": "a"}])

    def log_likelihood(theta):
        told = jnp.stack([theta["a"] + theta["b"], theta["a"] * theta["b"]])
        return dist.Normal(told, 0.1).log_prob(jnp.array([1.0, -6.0])).sum()

    budget = Budget(num_warmup=300, num_samples=500)
    here, there = np.array([3.0, -2.0, 3.0, -2.0]), np.array([-2.0, 3.0, -2.0, 3.0])
    starts = {"a": here, "b": there}
    found = nuts(jr.key(0), model, log_likelihood, budget, starts=starts)
    assert found.diagnostics["largest R-hat"] < 1.05
    first, second = found.draws["a"], found.draws["b"]
    share = (first > second).reshape(4, 500).mean(axis=1)
    np.testing.assert_allclose(share, 0.5, atol=0.09)
    assert abs(np.maximum(first, second).mean() - 3.0) < 0.05
