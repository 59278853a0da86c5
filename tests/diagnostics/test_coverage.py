from inspect import unwrap

import numpy as np
import pytest
from scipy.stats import binom, chi2, kstest, norm

from retrodict.diagnostics import (
    binomial_band,
    central_levels,
    coverage_auc,
    expected_coverage,
    hpd_levels,
)


LEVELS = np.array([0.1, 0.5, 0.683, 0.95])


def _gaussian_levels(key, sd, dim=2, num=4000, num_samples=99):
    """Levels of a posterior N(0, sd² I) when N(0, I) is right."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(num, dim))
    draws = sd * rng.normal(size=(num, num_samples, dim))
    return hpd_levels(
        key,
        -0.5 * np.sum(truth**2, axis=-1) / sd**2,
        -0.5 * np.sum(draws**2, axis=-1) / sd**2,
    )


@pytest.mark.stat
def test_hpd_levels_of_exact_posterior_are_uniform(getkey):
    """KS test at level 1e-4."""
    assert kstest(_gaussian_levels(getkey(), 1.0), "uniform").pvalue > 1e-4


@pytest.mark.stat
@pytest.mark.parametrize("sd", [0.8, 1.25])
def test_hpd_coverage_matches_closed_form(getkey, sd):
    """Coverage of N(0, sd² I) regions from chi-squared tails, within 4.5 sigma."""
    coverage = expected_coverage(_gaussian_levels(getkey(), sd), LEVELS)
    exact = chi2.cdf(sd**2 * chi2.ppf(LEVELS, 2), 2)
    # 99 draws blur levels by a few thousandths; 4000 truths have sd .008.
    np.testing.assert_allclose(coverage, exact, atol=0.035)


def test_central_coverage_matches_closed_form():
    scores = norm.ppf((np.arange(100_000) + 0.5) / 100_000) / 0.8
    levels = central_levels(norm.cdf(scores))
    exact = 2 * norm.cdf(0.8 * norm.ppf((1 + LEVELS) / 2)) - 1
    np.testing.assert_allclose(expected_coverage(levels, LEVELS), exact, atol=1e-3)


@pytest.mark.parametrize("sd", [0.8, 1.0, 1.25])
def test_auc_is_negative_for_over_confidence(sd):
    scores = norm.ppf((np.arange(100_000) + 0.5) / 100_000) / sd
    auc = coverage_auc(central_levels(norm.cdf(scores)))
    # P(|Y| < |Z| / sd) for independent standard normals Y, Z.
    assert auc == pytest.approx(0.5 - 2 / np.pi * np.arctan(1 / sd), abs=1e-4)


def test_truth_outside_the_support_has_level_near_one(getkey):
    levels = hpd_levels(getkey(), np.array([-np.inf]), np.zeros((1, 99)))
    assert levels[0] > 0.99


@pytest.mark.stat
def test_flat_density_shares_ties(getkey):
    """A uniform posterior has equal densities everywhere; KS test at level 1e-4."""
    levels = hpd_levels(getkey(), np.zeros(2000), np.zeros((2000, 50)))
    assert kstest(levels, "uniform").pvalue > 1e-4


def test_binomial_band_is_exact():
    low, high = binomial_band(500, LEVELS, level=0.95)
    inside = binom.cdf(np.rint(500 * high), 500, LEVELS)
    inside -= binom.cdf(np.rint(500 * low) - 1, 500, LEVELS)
    assert np.all(inside >= 0.95)
    narrower = binom.cdf(np.rint(500 * high) - 1, 500, LEVELS)
    narrower -= binom.cdf(np.rint(500 * low), 500, LEVELS)
    assert np.all(narrower < 0.95)


def test_errors_name_argument_and_value(getkey):
    with pytest.raises(ValueError, match=r"got \(3,\) and \(4, 9\)"):
        unwrap(hpd_levels)(getkey(), np.zeros(3), np.zeros((4, 9)))
    with pytest.raises(ValueError, match="got 2 NaN"):
        hpd_levels(getkey(), np.array([np.nan, 0]), np.array([[0, np.nan], [0, 0]]))
    with pytest.raises(ValueError, match="num_sims=0"):
        binomial_band(0, LEVELS)
