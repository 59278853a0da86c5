"""A fit judged as any posterior: against conjugacy, and with the noise misjudged."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

import retrodict as rd
from retrodict._core.errors import ModelError
from retrodict.physics import Refitted
from retrodict.report import fit_content, render


X = np.linspace(-1, 1, 12)
SIGMA, PRIOR_SD = 0.3, 2.0
PRIOR = rd.Prior(a=dist.Normal(0, PRIOR_SD), b=dist.Normal(1, PRIOR_SD))


def line(believed=SIGMA):
    """Fit a straight line, with the noise that is believed."""

    def law(theta, weights, row):
        del weights
        return dist.Normal(theta["a"] + theta["b"] * row[0], believed), row[1]

    def build(x):
        return rd.Problem([rd.Term("data", law, (X, np.float64(x)))], prior=PRIOR)

    return Refitted(build)


def simulator(key, theta):
    noise = jr.normal(key, (12,), jnp.float32)
    mean = theta["a"] + theta["b"] * jnp.asarray(X, jnp.float32)
    return mean + jnp.float32(SIGMA) * noise


MODEL = rd.Model(PRIOR, simulator, name="line")


def test_every_observation_has_its_own_conjugate_posterior():
    phi = np.stack([np.ones_like(X), X], axis=1)
    covariance = np.linalg.inv(phi.T @ phi / SIGMA**2 + np.eye(2) / PRIOR_SD**2)
    xs = np.random.RandomState(0).standard_normal((3, 12))
    theta = np.array([[[0.1, 0.2], [-0.3, 0.1]]] * 3)
    found = line().log_prob(theta, xs)
    for x, rows, values in zip(xs, theta, found, strict=True):
        mean = covariance @ (phi.T @ x / SIGMA**2 + np.array([0, 1]) / PRIOR_SD**2)
        expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(rows)
        np.testing.assert_allclose(values, expected, rtol=1e-5)
    draws = line().sample(jr.key(0), xs, 7)
    assert draws.shape == (3, 7, 2)
    np.testing.assert_array_equal(draws, line().sample(jr.key(0), xs, 7))


@pytest.mark.stat
def test_the_verdict_knows_right_from_wrong():
    """Exact: an alarm in at most 2 % of seeds, and the seed is fixed."""
    good = rd.validate(line(), MODEL, num_simulations=200, seed=1)
    bad = rd.validate(line(believed=SIGMA / 3), MODEL, num_simulations=200, seed=1)
    assert (good.verdict, bad.verdict) == ("trusted", "rejected")


def test_a_search_that_does_not_converge_gives_no_numbers():
    stuck = Refitted(line().build, tolerance=0.0, max_steps=1)
    assert np.isnan(stuck.log_prob(np.zeros((1, 2, 2)), np.ones((1, 12)))).all()


def test_weights_alone_are_refused():
    def law(theta, weights, row):
        del theta
        return dist.Normal(weights[0], 1.0), row

    def build(x):
        term = rd.Term("data", law, np.asarray(x))
        return rd.Problem([term], init=lambda key: jnp.zeros(1))

    with pytest.raises(ModelError, match=r"build: .*weights alone"):
        Refitted(build).sample(jr.key(0), np.ones((1, 3)), 2)
    answer = rd.map_fit(build(np.ones(3)))
    with pytest.raises(ModelError, match=r"answer: .*weights alone"):
        fit_content(answer, title="Nothing")


def test_the_report_of_a_fit_has_its_numbers():
    answer = rd.map_fit(line().build(np.sin(X)))
    page = render(fit_content(answer, title="A straight line"))
    assert "A straight line" in page
    assert "This answer has not been checked" in page
    assert f"{float(answer.theta['b']):.6g}" in page
    assert "log-density of data (nats)" in page
