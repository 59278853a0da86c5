from inspect import unwrap

import jax.random as jr
import numpy as np
import pytest
from scipy.stats import kstest, norm

from retrodict.diagnostics import normal_scores, pit_values, sbc_ranks


def test_ranks_count_draws_below(getkey):
    theta = np.array([[0.5, -1.0], [10.0, 0.0]])
    draws = np.array([[[0.1, 0.0], [0.9, 1.0], [0.4, -2.0]], [[1.0, 1.0]] * 3])
    np.testing.assert_array_equal(sbc_ranks(getkey(), theta, draws), [[2, 1], [3, 0]])


@pytest.mark.stat
@pytest.mark.parametrize("num_samples", [1, 7, 64])
def test_pit_of_exact_posterior_is_uniform(getkey, num_samples):
    """KS test at level 1e-4 with a fixed seed."""
    rng = np.random.default_rng(num_samples)
    theta = rng.normal(size=(4000, 1))
    ranks = sbc_ranks(getkey(), theta, rng.normal(size=(4000, num_samples, 1)))
    pit = pit_values(getkey(), ranks, num_samples)
    assert kstest(pit[:, 0], "uniform").pvalue > 1e-4
    assert kstest(normal_scores(pit)[:, 0], norm.cdf).pvalue > 1e-4


@pytest.mark.stat
def test_random_ties_keep_discrete_parameters_uniform(getkey):
    """KS test at level 1e-4; counting ties as "above" is far below it."""
    rng = np.random.default_rng(0)
    theta = rng.integers(0, 3, size=(4000, 1)).astype(float)
    draws = rng.integers(0, 3, size=(4000, 20, 1)).astype(float)
    fair = pit_values(getkey(), sbc_ranks(getkey(), theta, draws), 20)
    below = pit_values(getkey(), sbc_ranks(getkey(), theta, draws, ties="below"), 20)
    assert kstest(fair[:, 0], "uniform").pvalue > 1e-4
    assert kstest(below[:, 0], "uniform").pvalue < 1e-20


def test_equal_keys_give_equal_values():
    ranks = np.arange(12).reshape(4, 3)
    once, again = (pit_values(jr.key(3), ranks, 11) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, pit_values(jr.key(4), ranks, 11))


def test_normal_scores_stay_finite_at_the_ends():
    assert np.isfinite(normal_scores(np.array([0.0, 1.0]))).all()


def test_errors_name_argument_and_value(getkey):
    theta, draws = np.zeros((5, 2)), np.zeros((5, 9, 2))
    with pytest.raises(ValueError, match=r"\(4, 2\) and \(5, 9, 2\)"):
        unwrap(sbc_ranks)(getkey(), theta[:4], draws)
    with pytest.raises(ValueError, match="at least one simulation and one draw"):
        sbc_ranks(getkey(), theta, draws[:, :0])
    draws[2, 3, 1] = np.nan
    with pytest.raises(ValueError, match=r"posterior_samples; got 1 .*\(2, 3, 1\)"):
        sbc_ranks(getkey(), theta, draws)
    with pytest.raises(ValueError, match=r"num_samples=5\]; got values from 0 to 6"):
        pit_values(getkey(), np.array([0, 6]), 5)
