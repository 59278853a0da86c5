"""The weights of densities, against mixtures that were drawn."""

import numpy as np
from scipy.stats import norm

from retrodict._core.stacking import best_weight, best_weights, log_mixture


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


def test_three_parts_get_their_weights():
    """Draws of .5 N(0, 1) + .3 N(3, 1) + .2 N(-4, 2): within .05, errors below .015."""
    rng = np.random.default_rng(0)
    part = rng.choice(3, 6000, p=[0.5, 0.3, 0.2])
    values = np.array([0.0, 3.0, -4.0])[part]
    values = values + np.array([1.0, 1.0, 2.0])[part] * rng.normal(size=6000)
    laws = norm.logpdf(values, [[0.0], [3.0], [-4.0]], [[1.0], [1.0], [2.0]])
    np.testing.assert_allclose(best_weights(laws), [0.5, 0.3, 0.2], atol=0.05)


def test_two_parts_get_the_weight_that_a_line_search_finds():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 300))
    weights = best_weights(np.array([first, second]))
    assert abs(weights[1] - best_weight(first, second)) < 1e-3


def test_a_part_that_is_not_finite_somewhere_gets_no_weight():
    log_q = np.random.default_rng(0).normal(size=50)
    lost = np.where(np.arange(50) == 7, np.nan, log_q + 0.01)
    weights = best_weights(np.array([log_q, np.full(50, -np.inf)]))
    np.testing.assert_allclose(weights, [1.0, 0.0], atol=1e-12)
    assert best_weights(np.array([log_q, lost]))[1] < 0.05


def test_the_mixture_is_the_sum_of_its_parts():
    first, second = np.array([-1.0, -800.0]), np.array([-3.0, -2.0])
    expected = np.log(0.75 * np.exp(first) + 0.25 * np.exp(second))
    np.testing.assert_allclose(log_mixture(first, second, 0.25), expected)
    np.testing.assert_array_equal(log_mixture(first, second, 0.0), first)
    np.testing.assert_array_equal(log_mixture(first, second, 1.0), second)
