"""The weight of two densities, against mixtures that were drawn."""

import numpy as np
from scipy.stats import norm

from retrodict._core.stacking import best_weight, log_mixture


def test_a_mixture_gets_the_weight_of_each_part():
    """Draws of .7 N(0, 1) + .3 N(3, 1): within .05, the standard error being .012."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=4000) + 3 * (rng.uniform(size=4000) < 0.3)
    weight = best_weight(norm.logpdf(values), norm.logpdf(values, 3))
    assert abs(weight - 0.3) < 0.05


def test_a_density_that_is_never_better_gets_no_weight():
    log_q = np.random.default_rng(0).normal(size=50)
    assert best_weight(log_q, log_q - 1) == 0
    assert best_weight(log_q - 1, log_q) == 1


def test_the_mixture_is_the_sum_of_its_parts():
    first, second = np.array([-1.0, -800.0]), np.array([-3.0, -2.0])
    expected = np.log(0.75 * np.exp(first) + 0.25 * np.exp(second))
    np.testing.assert_allclose(log_mixture(first, second, 0.25), expected)
    np.testing.assert_array_equal(log_mixture(first, second, 0.0), first)
    np.testing.assert_array_equal(log_mixture(first, second, 1.0), second)
