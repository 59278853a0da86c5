from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest

from retrodict.diagnostics import (
    ecdf,
    ecdf_band,
    uniformity_grid,
    uniformity_p_value,
)


def _statistic(counts, num):
    """Return the pointwise level of counts at 1/3 and 2/3, from first principles."""
    levels = []
    for count, z in zip(counts, (1 / 3, 2 / 3), strict=True):
        pmf = [comb(num, k) * z**k * (1 - z) ** (num - k) for k in range(num + 1)]
        levels.append(2 * min(sum(pmf[: count + 1]), sum(pmf[count:])))
    return min(1.0, *levels)


@pytest.mark.parametrize("num", [1, 2, 5, 9])
def test_p_value_equals_enumeration(num):
    """All ways of putting a few values into three cells, with their probabilities."""
    outcomes = {
        (a, a + b): comb(num, a) * comb(num - a, b) / 3**num
        for a in range(num + 1)
        for b in range(num + 1 - a)
    }
    for first, second in outcomes:
        cells = [first, second - first, num - second]
        values = np.repeat([1 / 6, 1 / 2, 5 / 6], cells)
        observed = _statistic((first, second), num)
        exact = sum(
            p for c, p in outcomes.items() if _statistic(c, num) <= observed + 1e-12
        )
        assert uniformity_p_value(values, num_points=3) == pytest.approx(exact)


@pytest.mark.stat
@pytest.mark.parametrize("num", [20, 1000])
def test_band_holds_uniform_values_at_its_level(num):
    """2000 repetitions, two-sided binomial test at level 1e-4."""
    band = ecdf_band(num, 0.9)
    rng = np.random.default_rng(num)
    inside = 0
    for _ in range(2000):
        curve = ecdf(rng.random(num), band.grid)
        inside += np.all((curve > band.low - 1e-9) & (curve < band.high + 1e-9))
    # Discreteness makes the band of few values wider than asked for, never narrower.
    alternative = "two-sided" if num > 100 else "less"
    assert binomtest(inside, 2000, 0.9, alternative=alternative).pvalue > 1e-4


@pytest.mark.stat
def test_p_value_has_its_level():
    """1000 repetitions at 5 %: at most 5 % plus 4 binomial standard deviations."""
    rng = np.random.default_rng(1)
    p = np.array([uniformity_p_value(rng.random(300)) for _ in range(1000)])
    assert np.mean(p <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)
    assert 0.4 < p.mean() < 0.6


def test_band_agrees_with_p_value():
    num = 200
    band = ecdf_band(num, 0.95)
    for squeeze in (0.7, 0.8, 0.85, 0.9, 0.95, 1.0):
        values = 0.5 + squeeze * (np.arange(num) + 0.5 - num / 2) / num
        curve = ecdf(values, band.grid)
        outside = np.any((curve < band.low - 1e-9) | (curve > band.high + 1e-9))
        assert outside == (uniformity_p_value(values) <= 0.05)


def test_tiny_p_values_stay_positive():
    p = uniformity_p_value(np.full(1000, 0.5))
    assert 0 < p < 1e-100


def test_band_is_symmetric_and_cached():
    band = ecdf_band(100, 0.95)
    np.testing.assert_allclose(band.low, 1 - band.high[::-1], atol=1e-12)
    np.testing.assert_allclose(band.grid, uniformity_grid())
    assert ecdf_band(100, 0.95) is band


def test_errors_name_argument_and_value():
    with pytest.raises(ValueError, match="got 0 values"):
        uniformity_p_value(np.zeros(0))
    with pytest.raises(ValueError, match=r"got 2 values from -0.5 to 0.5"):
        uniformity_p_value(np.array([-0.5, 0.5]))
    with pytest.raises(ValueError, match=r"level=1.0"):
        ecdf_band(10, 1.0)
    with pytest.raises(ValueError, match=r"num_sims=0"):
        ecdf_band(0)
