"""The three Gaussian tasks against closed forms and SciPy."""

import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict.bench import load_task, read_observations
from retrodict.bench.tasks import (
    gaussian_linear,
    gaussian_linear_uniform,
    gaussian_mixture,
)


def assert_normal(values, mean, variance):
    """Kolmogorov-Smirnov test of each column, at 1e-6 each."""
    for column, center in zip(values.T, mean, strict=True):
        law = stats.norm(center, np.sqrt(variance))
        assert stats.kstest(column, law.cdf).pvalue > 1e-6


@pytest.mark.stat
@pytest.mark.parametrize("module", [gaussian_linear, gaussian_linear_uniform])
def test_simulations_are_normal_with_variance_one_tenth(module, repeat):
    """20 Kolmogorov-Smirnov tests and 90 correlations: 2e-5 and 1e-4."""
    mean = np.linspace(-1, 1, 10)
    x = repeat(module.simulator, {"theta": mean}, 3, 10_000)
    assert_normal(x, mean, 0.1)
    correlation = np.corrcoef(x.T) - np.eye(10)
    assert np.abs(correlation).max() < 5 / np.sqrt(10_000)


def test_priors_have_the_variance_and_the_box_of_the_definition():
    prior = load_task("gaussian_linear").model.prior
    expected = stats.norm(0, np.sqrt(0.1)).logpdf(0.2) * 10
    value = prior.log_prob({"theta": np.full((1, 10), 0.2)})
    assert value[0] == pytest.approx(expected, abs=1e-5)
    box = load_task("gaussian_linear_uniform").model.prior
    theta = np.stack([np.full(10, 0.999), np.full(10, 1.001)])
    np.testing.assert_allclose(
        box.log_prob({"theta": theta}), [-10 * np.log(2), -np.inf]
    )
    square = load_task("gaussian_mixture").model.prior
    theta = np.array([[9.99, -9.99], [9.99, 10.01]])
    np.testing.assert_allclose(
        square.log_prob({"theta": theta}), [-np.log(400), -np.inf]
    )


@pytest.mark.stat
def test_exact_draws_of_the_linear_task_are_normal_about_half_of_x():
    """10 Kolmogorov-Smirnov tests at 1e-6 each."""
    x = np.linspace(-2, 2, 10)
    draws = gaussian_linear.exact_draws(jr.key(1), x, 20_000)
    assert_normal(draws, x / 2, 0.05)


@pytest.mark.stat
def test_exact_draws_of_the_box_are_truncated_normals():
    """10 Kolmogorov-Smirnov tests at 1e-6 each; most of x lies outside the box."""
    x = np.linspace(-1.5, 2.5, 10)
    draws = gaussian_linear_uniform.exact_draws(jr.key(1), x, 20_000)
    sd = np.sqrt(0.1)
    below = stats.norm.cdf(-1, x, sd)
    for i in range(10):
        inside = stats.norm.cdf(1, x[i], sd) - below[i]

        def cdf(values, i=i, inside=inside):
            return (stats.norm.cdf(values, x[i], sd) - below[i]) / inside

        assert stats.kstest(draws[:, i], cdf).pvalue > 1e-6


def mixture_cdf(values, center):
    return 0.5 * (stats.norm.cdf(values, center) + stats.norm.cdf(values, center, 0.1))


@pytest.mark.stat
def test_both_coordinates_of_the_mixture_share_a_component(repeat):
    """Two Kolmogorov-Smirnov tests at 1e-6, and a moment within 5 standard errors."""
    theta = np.array([3.0, -7.0])
    x = repeat(gaussian_mixture.simulator, {"theta": theta}, 3, 20_000)
    for column, center in zip(x.T, theta, strict=True):
        assert stats.kstest(column, lambda v, c=center: mixture_cdf(v, c)).pvalue > 1e-6
    product = np.prod((x - theta) ** 2, axis=1)
    # .5 (1 + 1e-4) with one component for both, .255 with one for each.
    assert abs(product.mean() - 0.50005) < 5 * product.std() / np.sqrt(20_000)


@pytest.mark.stat
@pytest.mark.parametrize("x", [(0.5, -2.0), (9.95, 0.0), (-10.3, 10.2)])
def test_exact_draws_of_the_mixture_have_the_moments_of_quadrature(x):
    """Six statistics at three observations, 5 standard errors each: 1e-5."""
    x = np.array(x)
    draws = gaussian_mixture.exact_draws(jr.key(2), x, 40_000)
    assert np.abs(draws).max() <= 10
    axes = [np.unique(np.concatenate([grid(c, 6), grid(c, 0.8)])) for c in x]
    weights = quadrature_weights(axes, x)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    for statistic in (
        lambda t: t[:, 0],
        lambda t: t[:, 1],
        lambda t: t[:, 0] ** 2,
        lambda t: t[:, 1] ** 2,
        lambda t: t[:, 0] * t[:, 1],
        lambda t: np.exp(-((t - x) ** 2).sum(1) / 0.02),
    ):
        mean = weights @ statistic(points)
        values = statistic(draws)
        error = values.std() / np.sqrt(40_000)
        assert abs(values.mean() - mean) < 5 * error + 1e-3 * values.std()


def grid(center, reach):
    """Return 401 points about ``center`` within the square."""
    return np.linspace(max(center - reach, -10), min(center + reach, 10), 401)


def quadrature_weights(axes, x):
    """Return normalized weights of the trapezoidal rule times the density."""
    pairs = list(zip(axes, x, strict=True))
    density = sum(
        np.multiply.outer(*map(stats.norm(0, sd).pdf, [a - c for a, c in pairs]))
        for sd in (1.0, 0.1)
    )
    widths = [np.gradient(a) for a in axes]
    for i, a in enumerate(axes):
        widths[i][0], widths[i][-1] = (a[1] - a[0]) / 2, (a[-1] - a[-2]) / 2
    weights = (density * np.multiply.outer(*widths)).ravel()
    return weights / weights.sum()


@pytest.mark.stat
@pytest.mark.parametrize(
    "module", [gaussian_linear, gaussian_linear_uniform, gaussian_mixture]
)
def test_exact_draws_agree_with_the_published_reference(module, sbibm_dir):
    """Means and covariances at 5 observations, 5 standard errors each: below 2e-4."""
    name = module.__name__.rsplit(".", 1)[-1]
    published = read_observations(sbibm_dir, name)
    for x, reference in zip(published.x_obs, published.reference, strict=True):
        draws = module.exact_draws(jr.key(4), x, 10_000)
        ours, theirs = ((v - draws.mean(0)) / draws.std(0) for v in (draws, reference))
        bound = 5 * np.sqrt(2 / 10_000)
        assert np.abs(ours.mean(0) - theirs.mean(0)).max() < bound
        for i in range(draws.shape[1]):
            a, b = (v[:, [i]] * v for v in (ours, theirs))
            spread = np.hypot(a.std(0), b.std(0)) / np.sqrt(10_000)
            assert np.all(np.abs(a.mean(0) - b.mean(0)) < 5 * spread)
