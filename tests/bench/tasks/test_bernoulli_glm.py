"""The Bernoulli GLM, raw and summarized, against NumPy."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import multivariate_normal

from retrodict.bench import read_observations
from retrodict.bench.tasks import bernoulli_glm, bernoulli_glm_raw


THETA = np.array([-0.4, 1.0, 0.8, 0.5, 0.2, 0.0, -0.3, -0.2, 0.1, 0.4])


@pytest.mark.parametrize("name", ["bernoulli_glm", "bernoulli_glm_raw"])
def test_the_constants_are_those_of_the_published_task(name, sbibm_dir):
    with np.load(sbibm_dir / f"{name}_constants.npz") as published:
        design, covariance = bernoulli_glm.design(), bernoulli_glm.prior_covariance()
        np.testing.assert_array_equal(design, published["design_matrix"])
        np.testing.assert_allclose(
            covariance, published["prior_covariance"], rtol=1e-5, atol=1e-6
        )


def test_the_prior_has_the_published_spread():
    sd = [1.414, 1, 1.677, 1.830, 1.552, 1.216, 1.100, 1.069, 0.981, 0.880]
    covariance = bernoulli_glm.prior_covariance()
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sd, atol=6e-4)
    value = bernoulli_glm.prior().log_prob({"theta": THETA[None]})[0]
    expected = multivariate_normal(np.zeros(10), covariance).logpdf(THETA)
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.stat
def test_spikes_have_the_probabilities_of_the_filter(repeat):
    """100 means within 5 standard errors: 6e-5."""
    y = repeat(bernoulli_glm.spikes, {"theta": THETA}, 3, 20_000)
    assert set(np.unique(y)) == {0.0, 1.0}
    p = expit(bernoulli_glm.design() @ THETA)
    assert np.all(np.abs(y.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / 20_000))
    z = (y - p) / np.sqrt(p * (1 - p))
    off_diagonal = np.corrcoef(z[:, ::10].T) - np.eye(10)
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(20_000)


def test_the_summaries_are_those_of_the_same_spikes():
    theta = {"theta": jnp.asarray(THETA, jnp.float32)}
    y = np.asarray(bernoulli_glm_raw.spikes(jr.key(1), theta))
    x = np.asarray(bernoulli_glm.simulator(jr.key(1), theta))
    assert x[0] == y.sum()
    stimulus = bernoulli_glm.design()[:, 1]
    for lag in range(9):
        expected = sum(y[t] * stimulus[t - lag] for t in range(lag, 100))
        assert x[1 + lag] == pytest.approx(expected, abs=1e-5)


def test_published_observations_are_summaries_of_the_raw_ones(sbibm_dir):
    raw = read_observations(sbibm_dir, "bernoulli_glm_raw")
    summarized = read_observations(sbibm_dir, "bernoulli_glm")
    expected = raw.x_obs @ bernoulli_glm.design()
    np.testing.assert_allclose(summarized.x_obs, expected, atol=1e-5)


def test_raw_task_shares_simulator_and_prior():
    study = bernoulli_glm_raw.study()
    assert study.model.simulator.function is bernoulli_glm.spikes
    assert jax.eval_shape(study.model.prior.draw, jr.key(0))["theta"].shape == (10,)
