import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict._core.errors import DataError
from retrodict.worlds import two_moons


def log_density(theta, x):
    """Return log p(x | theta), from the polar form of the noise."""
    total, difference = theta.sum(-1), theta[..., 1] - theta[..., 0]
    u = x[0] + np.abs(total) / np.sqrt(2) - 0.25
    v = x[1] - difference / np.sqrt(2)
    radius = np.hypot(u, v)
    value = stats.norm.logpdf(radius, 0.1, 0.01) - np.log(np.pi * radius)
    return np.where(u >= 0, value, -np.inf)


def quadrature_moments(x, statistics):
    """Return posterior means of functions of theta by the midpoint rule."""
    axis = -1 + 2 * (np.arange(1600) + 0.5) / 1600
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_post = log_density(grid, x)
    weights = np.exp(log_post - log_post.max())
    weights /= weights.sum()
    values = np.stack([f(grid) for f in statistics])
    mean = values @ weights
    return mean, np.sqrt(((values - mean[:, None]) ** 2) @ weights)


STATISTICS = [
    lambda t: t[:, 0],
    lambda t: t[:, 1],
    lambda t: t[:, 0] ** 2,
    lambda t: t[:, 1] ** 2,
    lambda t: t[:, 0] * t[:, 1],
    lambda t: np.abs(t.sum(1)),
    lambda t: (t.sum(1) > 0).astype(float),
    lambda t: (t[:, 0] > 0.2).astype(float),
]


@pytest.mark.stat
@pytest.mark.parametrize("x", [(0.0, 0.0), (-0.6, 0.4), (0.2, -0.9)])
def test_exact_draws_have_the_moments_of_the_density(x):
    """24 bounds of 5 standard errors: 1.4e-5. Points two and three meet the edge."""
    draws = two_moons.exact_draws(jr.key(1), np.array(x), 40_000)
    assert np.abs(draws).max() <= 1
    mean, sd = quadrature_moments(np.array(x), STATISTICS)
    found = np.array([f(draws).mean() for f in STATISTICS])
    assert np.all(np.abs(found - mean) < 5 * sd / np.sqrt(40_000) + 2e-4)


@pytest.mark.stat
def test_the_simulator_follows_the_density():
    """Kolmogorov-Smirnov tests of radius and angle, each at 5e-5."""
    theta = np.array([0.3, -0.7])
    row = {"theta_1": jnp.asarray(0.3), "theta_2": jnp.asarray(-0.7)}
    draw = jax.jit(jax.vmap(lambda key: two_moons.simulator(key, row)))
    x = np.asarray(draw(jr.split(jr.key(2), 20_000)), dtype=float)
    u = x[:, 0] + np.abs(theta.sum()) / np.sqrt(2) - 0.25
    v = x[:, 1] - (theta[1] - theta[0]) / np.sqrt(2)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    assert stats.kstest(radius, stats.norm(0.1, 0.01).cdf).pvalue > 5e-5
    assert stats.kstest(angle, stats.uniform(-np.pi / 2, np.pi).cdf).pvalue > 5e-5


def test_the_published_reference_has_the_same_moments(data_folder):
    """sbibm's 10 000 rejection samples; 5 bounds of 5 standard errors each."""
    with np.load(data_folder / "sbibm" / "two_moons.npz") as data:
        cases = list(zip(data["x_obs"], data["reference"], strict=True))
    for x, published in cases:
        draws = two_moons.exact_draws(jr.key(4), np.asarray(x, float), 10_000)
        for f in STATISTICS:
            ours, theirs = f(draws), f(np.asarray(published, float))
            bound = 5 * np.hypot(ours.std(), theirs.std()) / 100 + 1e-6
            assert abs(ours.mean() - theirs.mean()) < bound


def test_an_impossible_observation_is_refused():
    with pytest.raises(DataError, match=r"x_obs.*\[5\. 5\.\]"):
        two_moons.exact_draws(jr.key(0), np.array([5.0, 5.0]), 100)


def test_the_baseline_draws_both_crescents():
    study = two_moons.study()
    result = study.baseline(jr.key(0), study.model)
    assert result.method == "exact"
    total = result.draws["theta_1"] + result.draws["theta_2"]
    assert 0.48 < (total > 0).mean() < 0.52
