"""SLCP, with and without distractors, against NumPy and SciPy."""

import jax
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict.bench import read_observations
from retrodict.bench.tasks import slcp, slcp_distractors


NAMES = [f"theta_{i}" for i in range(1, 6)]
POINT = (0.7, -1.5, 1.3, -0.8, 0.9)
# Where the eight numbers stand among the 100, from the published observations.
INFORMATIVE = [22, 33, 23, 67, 42, 21, 16, 90]


def covariance(theta):
    s_1, s_2, rho = theta[2] ** 2, theta[3] ** 2, np.tanh(theta[4])
    off = rho * s_1 * s_2
    return np.array([[s_1**2, off], [off, s_2**2]]) + 1e-6 * np.eye(2)


@pytest.mark.stat
def test_points_have_the_mean_and_covariance_of_the_definition(repeat):
    """Squared distances are chi-squared (6 tests at 1e-6); points are independent."""
    x = repeat(slcp.simulator, dict(zip(NAMES, POINT, strict=True)), 3, 10_000)
    points = x.reshape(-1, 4, 2)
    whitened = (points - POINT[:2]) @ np.linalg.inv(
        np.linalg.cholesky(covariance(POINT))
    ).T
    for i in range(4):
        squares = (whitened[:, i] ** 2).sum(1)
        assert stats.kstest(squares, stats.chi2(2).cdf).pvalue > 1e-6
    flat = whitened.reshape(-1, 8)
    assert stats.kstest(flat.ravel(), "norm").pvalue > 1e-6
    correlation = np.corrcoef(flat.T) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(10_000)


@pytest.mark.parametrize("row", [(3, 3, 3), (-3, 0.01, -3), (0, 0, 2.9), (0.5, 3, 0)])
def test_the_cholesky_factor_is_that_of_numpy(row):
    theta = np.array([0, 0, *row], dtype=np.float32)
    point = dict(zip(NAMES, jax.numpy.asarray(theta), strict=True))
    factor = np.linalg.cholesky(covariance(theta.astype(float)))
    expected = factor[0, 0], factor[1, 0], factor[1, 1]
    np.testing.assert_allclose(slcp.cholesky(point), expected, rtol=2e-6)


def test_the_constants_are_those_of_the_published_task(sbibm_dir):
    ours = slcp_distractors.constants()
    with np.load(sbibm_dir / "slcp_distractors_constants.npz") as published:
        # Stored in float32 by their authors.
        np.testing.assert_allclose(ours.loc, published["loc"], rtol=1e-6)
        np.testing.assert_allclose(
            ours.scale_tril, published["scale_tril"], rtol=1e-6, atol=1e-12
        )
        np.testing.assert_array_equal(ours.order, published["permutation_idx"])
        np.testing.assert_allclose(published["weights"], 1 / 20)
        np.testing.assert_array_equal(published["df"], 2)


def test_the_eight_numbers_stand_where_they_are_published(sbibm_dir):
    order = slcp_distractors.constants().order
    assert [int(np.flatnonzero(order == i)[0]) for i in range(8)] == INFORMATIVE
    plain = read_observations(sbibm_dir, "slcp")
    hidden = read_observations(sbibm_dir, "slcp_distractors")
    np.testing.assert_array_equal(hidden.x_obs[:, INFORMATIVE], plain.x_obs)
    np.testing.assert_array_equal(hidden.theta_true, plain.theta_true)


@pytest.mark.stat
def test_informative_numbers_follow_slcp_and_the_others_the_mixture(repeat):
    """100 Kolmogorov-Smirnov tests at 1e-6 each."""
    theta = dict(zip(NAMES, POINT, strict=True))
    x = repeat(slcp_distractors.simulator, theta, 5, 4000)
    sd = np.sqrt(np.diag(covariance(POINT)))
    for i, column in enumerate(INFORMATIVE):
        law = stats.norm(POINT[i % 2], sd[i % 2])
        assert stats.kstest(x[:, column], law.cdf).pvalue > 1e-6
    fixed = slcp_distractors.constants()
    scales = np.linalg.norm(fixed.scale_tril, axis=2)
    for column in np.setdiff1d(np.arange(100), INFORMATIVE):
        j = fixed.order[column] - 8

        def cdf(values, j=j):
            z = (values[:, None] - fixed.loc[:, j]) / scales[:, j]
            return stats.t(2).cdf(z).mean(1)

        assert stats.kstest(x[:, column], cdf).pvalue > 1e-6


@pytest.mark.stat
def test_distractors_of_one_draw_share_a_component_and_a_radius():
    """One Kolmogorov-Smirnov test at 1e-6.

    The leading coordinates suffice, and all 92 would be too ill-conditioned.
    """
    size, fixed = 12, slcp_distractors.constants()
    draw = jax.jit(jax.vmap(slcp_distractors.distractors))
    rows = np.asarray(draw(jr.split(jr.key(8), 1000)), dtype=float)[:, :size]
    factors = fixed.scale_tril[:, :size, :size]
    shifted = rows[:, None] - fixed.loc[:, :size]
    z = np.einsum("kij,nkj->nki", np.linalg.inv(factors), shifted)
    squares = (z**2).mean(2)
    log_det = np.log(np.abs(np.diagonal(factors, axis1=1, axis2=2))).sum(1)
    log_density = -(size + 2) / 2 * np.log1p(size * squares / 2) - log_det
    component = log_density.argmax(1)
    found = squares[np.arange(1000), component]
    # Squares about the right center, over one chi-squared of 2: an F distribution.
    assert stats.kstest(found, stats.f(size, 2).cdf).pvalue > 1e-6
    assert stats.chisquare(np.bincount(component, minlength=20)).pvalue > 1e-6
