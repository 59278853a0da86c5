"""The classical baseline against a posterior known in closed form."""

from dataclasses import replace

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict.model import Model, Prior
from retrodict.worlds._importance import sharpen
from retrodict.worlds._nuts import Budget, nuts


Y = np.array([2.0, -1.0])


def problem():
    """Return a Gaussian vector and a rate with gamma prior and exponential data."""
    prior = Prior(
        mu=dist.Normal(jnp.zeros(2), 2.0).to_event(1), rate=dist.Gamma(3.0, 1.0)
    )
    model = Model(prior, lambda key, theta: theta["mu"])

    def log_likelihood(theta):
        waiting = 10 * jnp.log(theta["rate"]) - 5.0 * theta["rate"]
        return dist.Normal(theta["mu"], 1.0).log_prob(Y).sum() + waiting

    return model, log_likelihood


@pytest.fixture(scope="module")
def conjugate():
    model, log_likelihood = problem()
    return nuts(jr.key(3), model, log_likelihood, Budget(num_samples=2000))


def test_draws_have_the_shapes_of_the_parameters(conjugate):
    assert {k: v.shape for k, v in conjugate.draws.items()} == {
        "mu": (8000, 2),
        "rate": (8000,),
    }
    assert all(v.dtype == np.float64 for v in conjugate.draws.values())


@pytest.fixture(scope="module")
def sharpened(conjugate):
    """Chains that are only 200 draws long, and too wide in mu."""
    model, log_likelihood = problem()
    draws = {name: values[::40] for name, values in conjugate.draws.items()}
    draws["mu"] = 1.4 * draws["mu"] + 0.3
    few = replace(conjugate, draws={k: np.tile(v.T, 20).T for k, v in draws.items()})
    return sharpen(jr.key(4), model, log_likelihood, few, rounds=(1000, 8000))


def test_sharpened_draws_say_what_they_are(sharpened):
    assert sharpened.method.endswith("sharpened by importance sampling")
    assert {k: len(v) for k, v in sharpened.draws.items()} == {"mu": 4000, "rate": 4000}
    assert sharpened.diagnostics["ESS after importance sampling"] > 2000


@pytest.mark.stat
@pytest.mark.parametrize(
    ("name", "diagnostic"),
    [
        ("conjugate", "smallest ESS"),
        ("sharpened", "ESS after importance sampling"),
    ],
)
def test_moments_are_those_of_the_conjugate_posterior(name, diagnostic, request):
    """Twelve bounds of 4.5 standard errors at the effective sample size: 8e-5."""
    found = request.getfixturevalue(name)
    ess = found.diagnostics[diagnostic]
    mu, rate = found.draws["mu"], found.draws["rate"]
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
