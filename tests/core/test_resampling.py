"""Weighted draws become draws."""

import numpy as np

from retrodict._core.resampling import resample


def test_counts_are_the_expected_ones_up_to_one():
    rng = np.random.default_rng(0)
    log_weights = rng.normal(size=50) - 1e4  # a constant changes nothing
    chosen = resample(rng, log_weights, 2000)
    weights = np.exp(log_weights - log_weights.max())
    expected = 2000 * weights / weights.sum()
    assert np.abs(np.bincount(chosen, minlength=50) - expected).max() <= 1


def test_the_order_is_random_and_weightless_draws_never_come():
    """False alarm: a correlation of 2000 random places beyond .1 has 8e-6."""
    chosen = resample(np.random.default_rng(1), np.array([0.0, -np.inf, 0.0]), 2000)
    assert set(chosen) == {0, 2}
    assert abs(np.corrcoef(chosen, np.arange(2000))[0, 1]) < 0.1
