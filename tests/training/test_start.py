"""The linear start: it is the posterior of a linear-Gaussian model."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict.training import Settings, build_estimator
from retrodict.training.build import vector_edges
from retrodict.training.start import ridge, start_at_regression


SETTINGS = Settings(num_layers=2, flow_width=8, embedding_width=16, context_dim=8)


@pytest.fixture(scope="module")
def linear_gaussian():
    """theta ~ N(0, I), x = A theta + N(0, .5): posterior mean and covariance."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, 3))
    theta = rng.standard_normal((20_000, 3))
    x = theta @ a.T + np.sqrt(0.5) * rng.standard_normal((20_000, 4))
    covariance = np.linalg.inv(np.eye(3) + a.T @ a / 0.5)
    return theta, x, covariance @ a.T / 0.5, covariance


def test_ridge_is_the_posterior_mean(linear_gaussian):
    """20 000 rows: the slope is known to 1 %, the covariance to 5 %."""
    theta, x, slope, covariance = linear_gaussian
    found, intercept, residual = ridge(x, theta)
    np.testing.assert_allclose(found, slope, atol=0.02)
    np.testing.assert_allclose(intercept, 0.0, atol=0.02)
    np.testing.assert_allclose(residual, covariance, atol=0.02)


def test_leave_one_out_residuals_are_those_of_refitting():
    rng = np.random.default_rng(1)
    x, value = rng.standard_normal((30, 3)), rng.standard_normal((30, 1))
    _, _, covariance = ridge(x, value)
    every = []
    for penalty in 10.0 ** np.arange(-2.0, 6.0, 0.5):
        left = []
        center, spread = x.mean(0), x.std(0)
        a = np.hstack([(x - center) / spread, np.ones((30, 1))])
        for i in range(30):
            keep = np.arange(30) != i
            gram = a[keep].T @ a[keep] + penalty * np.diag([1, 1, 1, 0])
            slope = np.linalg.solve(gram, a[keep].T @ value[keep])
            left.append(value[i] - a[i] @ slope)
        every.append(np.mean(np.square(left)))
    np.testing.assert_allclose(covariance[0, 0], min(every), rtol=1e-3)


def test_the_untrained_network_is_the_posterior(linear_gaussian):
    """The log-density equals that of the exact posterior to .05 nats on average."""
    theta, x, slope, covariance = linear_gaussian
    z = {"x": x.astype(np.float32)}
    edges = vector_edges(z, SETTINGS)
    network = build_estimator(jr.key(0), SETTINGS, {"x": (4,)}, edges, 3)
    started = start_at_regression(theta.astype(np.float32), z)(network)
    rows = {"x": jnp.asarray(z["x"][:200])}
    found = jax.jit(jax.vmap(started.log_prob))(jnp.asarray(theta[:200], float), rows)
    exact = [
        stats.multivariate_normal(slope @ one, covariance).logpdf(value)
        for value, one in zip(theta[:200], x[:200], strict=True)
    ]
    assert np.abs(np.asarray(found) - np.asarray(exact)).mean() < 0.05


def test_series_with_channels_have_no_linear_start():
    network = build_estimator(jr.key(0), SETTINGS, {"x": (16, 1)}, None, 3)
    series = {"x": np.zeros((50, 16, 1), np.float32)}
    assert start_at_regression(np.zeros((50, 3)), series)(network) is network
