from inspect import unwrap

import numpy as np
import pytest
from scipy.stats import kstest

from retrodict.diagnostics import tarp_levels, tarp_references


def _levels(getkey, rng, *, use_x, x_dependent, num=2000):
    """theta ~ N(0, 1), x = theta + N(0, 1): judge the posterior or the prior."""
    theta = rng.normal(size=(num, 1))
    x = theta + rng.normal(size=(num, 1))
    mean, sd = (x / 2, np.sqrt(0.5)) if use_x else (0 * x, 1.0)
    draws = mean[:, None] + sd * rng.normal(size=(num, 99, 1))
    features = x / np.sqrt(2) if x_dependent else np.zeros((num, 0))
    references = tarp_references(getkey(), theta, features)
    return tarp_levels(getkey(), theta, draws, references)


@pytest.mark.stat
@pytest.mark.parametrize("x_dependent", [True, False])
def test_exact_posterior_gives_uniform_levels(getkey, x_dependent):
    """KS test at level 1e-4."""
    rng = np.random.default_rng(2)
    levels = _levels(getkey, rng, use_x=True, x_dependent=x_dependent)
    assert kstest(levels, "uniform").pvalue > 1e-4


@pytest.mark.stat
def test_references_that_follow_x_see_a_posterior_that_ignores_it(getkey):
    """The prior is caught with references from x, and by theory missed without."""
    rng = np.random.default_rng(2)
    blind = _levels(getkey, rng, use_x=False, x_dependent=False)
    seeing = _levels(getkey, rng, use_x=False, x_dependent=True)
    assert kstest(blind, "uniform").pvalue > 1e-4
    assert kstest(seeing, "uniform").pvalue < 1e-6


def test_levels_do_not_depend_on_units(getkey):
    rng = np.random.default_rng(0)
    theta, draws = rng.normal(size=(50, 2)), rng.normal(size=(50, 20, 2))
    references, key, unit = rng.normal(size=(50, 2)), getkey(), np.array([1e-21, 1e9])
    np.testing.assert_array_equal(
        tarp_levels(key, theta, draws, references),
        tarp_levels(key, theta * unit, draws * unit, references * unit),
    )


def test_errors_name_argument_and_value(getkey):
    theta, draws = np.zeros((5, 2)), np.zeros((5, 9, 2))
    with pytest.raises(ValueError, match=r"references of the shape.*got \(4, 2\)"):
        unwrap(tarp_levels)(getkey(), theta, draws, np.zeros((4, 2)))
    draws[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="Expected finite posterior_samples; got 1"):
        tarp_levels(getkey(), theta, draws, theta)
