"""The learned likelihood, against the one that made the data."""

import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict.training import fit_surrogate


NOISE = np.array([0.5, 0.1])


@pytest.fixture(scope="module")
def moved():
    """x = theta + noise of two very different scales: the shape never changes."""
    rng = np.random.default_rng(0)
    value = rng.uniform(-1.7, 1.7, (2000, 2)).astype(np.float32)
    x = value + NOISE * rng.standard_normal((2000, 2))
    return value, x, fit_surrogate(jr.key(0), value, x, num_members=3)


def test_its_density_is_near_that_of_the_simulator(moved):
    """2000 simulations: within .1 nats of the exact likelihood on fresh ones."""
    _, _, surrogate = moved
    rng = np.random.default_rng(1)
    value = rng.uniform(-1.7, 1.7, (2000, 2)).astype(np.float32)
    x = value + NOISE * rng.standard_normal((2000, 2))
    coordinates, log_det = surrogate.columns.apply(x)
    found = surrogate.log_prob(coordinates, value) + log_det
    exact = stats.norm(value, NOISE).logpdf(x).sum(1)
    assert 0.0 < (exact - found).mean() < 0.1


def test_its_draws_are_those_of_the_simulator(moved):
    """Standard errors at 4000 draws: 1.1 % of each scale, .016 of each mean."""
    _, _, surrogate = moved
    value = np.tile(np.float32([[0.5, -1.0]]), (4000, 1))
    drawn = surrogate.sample(jr.key(1), value)
    np.testing.assert_allclose(drawn.mean(0), [0.5, -1.0], atol=0.06)
    np.testing.assert_allclose(drawn.std(0), NOISE, rtol=0.12)


def test_equal_keys_draw_equal_x(moved):
    value, _, surrogate = moved
    first, again = (surrogate.sample(jr.key(2), value) for _ in range(2))
    np.testing.assert_array_equal(first, again)
