"""Importance correction against a closed form, and Pareto k̂ against its theory."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict._core.errors import ModelError
from retrodict._core.seeds import numpy_generator
from retrodict.model import Model, Nuisance, Prior
from retrodict.trust import reweighted
from retrodict.trust.reweighted import Reliability
from trust.normal_pair import normal_pair


XS = np.array([0.0, 1.0, -2.0])


class Proposal:
    """N(x/2, (width · sqrt(1/2))²); the exact posterior of the model has width 1."""

    def __init__(self, width):
        self.sd = width * np.sqrt(0.5)

    def sample(self, key, xs, num_samples):
        noise = numpy_generator(key).standard_normal((len(xs), num_samples, 1))
        return np.asarray(xs)[:, None, None] / 2 + self.sd * noise

    def log_prob(self, theta, xs):
        z = (theta[..., 0] - np.asarray(xs)[:, None] / 2) / self.sd
        return -0.5 * z**2 - np.log(self.sd * np.sqrt(2 * np.pi))


@pytest.fixture
def model():
    return normal_pair()


def likelihood(theta, x):
    return -0.5 * (x - theta["theta"]) ** 2 - 0.5 * jnp.log(2 * jnp.pi)


@pytest.mark.stat
def test_a_wide_posterior_becomes_exact(model):
    """4000 draws at 60 % effective: errors of mean .014, of sd .010; bounds five."""
    found = reweighted(Proposal(1.5), likelihood, model=model)
    draws = found.sample(jr.key(0), XS, 4000)
    np.testing.assert_allclose(draws.mean(axis=1)[:, 0], XS / 2, atol=0.09)
    np.testing.assert_allclose(draws.std(axis=1)[:, 0], np.sqrt(0.5), atol=0.07)
    theta = np.linspace(-1, 1, 5)[None, :, None] + XS[:, None, None] / 2
    exact = Proposal(1.0).log_prob(theta, XS)
    np.testing.assert_allclose(found.log_prob(theta, XS), exact, atol=0.06)
    report = found.reliability(XS)
    assert (report.k_hat < 0.3).all()  # weights are bounded
    assert report.sentence.startswith("The importance correction is reliable")


@pytest.mark.stat
def test_k_hat_is_the_tail_of_the_weights(model):
    """Weights of N(0, 1) under N(0, s²) have tail index 1 - s² (log-corrected)."""
    for width, index in ((0.8, 0.36), (0.5, 0.75)):
        found = reweighted(
            Proposal(width), likelihood, model=model, num_proposals=20_000
        )
        k_hat = found.reliability(XS).k_hat
        np.testing.assert_allclose(k_hat, index, atol=0.25)


def test_a_failing_correction_says_so(model):
    report = reweighted(Proposal(0.3), likelihood, model=model).reliability(XS)
    assert (report.k_hat > report.threshold).any()
    assert "fails at" in report.sentence
    assert "recalibrate" in report.sentence
    few = Reliability(np.array([0.2, 0.9]), 0.7, np.array([0.5, 0.1]))
    assert "fails at 1 of 2 observations, where k̂ exceeds 0.70" in few.sentence


def test_an_exact_posterior_has_equal_weights(model):
    report = reweighted(Proposal(1.0), likelihood, model=model).reliability(XS)
    np.testing.assert_array_equal(report.k_hat, 0.0)
    np.testing.assert_allclose(report.ess, 1.0, rtol=1e-6)


def test_same_seed_same_density(model):
    theta = np.zeros((3, 1, 1))
    found = reweighted(Proposal(1.2), likelihood, model=model)
    np.testing.assert_array_equal(found.log_prob(theta, XS), found.log_prob(theta, XS))


def test_nuisances_have_no_likelihood():
    prior = Prior(a=dist.Normal(0.0, 1.0), b=Nuisance(dist.Normal(0.0, 1.0)))
    with_nuisance = Model(prior, lambda key, t: t["a"] + t["b"])
    with pytest.raises(ModelError, match=r"model: .*got \['a'\]"):
        reweighted(Proposal(1.0), likelihood, model=with_nuisance)
    with pytest.raises(ModelError, match=r"model: .*got None"):
        reweighted(Proposal(1.0), likelihood)
