from inspect import unwrap

import numpy as np
import pytest
from scipy.stats import norm

from retrodict.diagnostics import c2st


@pytest.mark.stat
def test_equal_distributions_score_one_half():
    """Standard deviation of the score is .5/sqrt(1000) = .016; bound 4 of them."""
    rng = np.random.default_rng(0)
    score = c2st(rng.normal(size=(500, 2)), rng.normal(size=(500, 2)))
    assert abs(score - 0.5) < 0.064


@pytest.mark.stat
def test_shifted_distributions_score_the_bayes_value():
    """N(0,1) against N(1,1): Phi(1/2) = .691; 4 sd of the score are .064."""
    rng = np.random.default_rng(0)
    score = c2st(rng.normal(size=(500, 1)), rng.normal(1.0, 1.0, size=(500, 1)))
    assert abs(score - norm.cdf(0.5)) < 0.064


def test_disjoint_sets_score_one_and_scale_does_not_matter():
    rng = np.random.default_rng(0)
    reference, samples = rng.normal(size=(60, 1)), 100 + rng.normal(size=(60, 1))
    assert c2st(reference, samples) == 1.0
    assert c2st(1e-21 * reference, 1e-21 * samples) == 1.0


def test_cap_uses_leading_rows():
    rng = np.random.default_rng(0)
    reference, samples = rng.normal(size=(150, 1)), rng.normal(0.5, size=(150, 1))
    capped = c2st(reference, samples, num_samples=60)
    assert capped == c2st(reference[:60], samples[:60])


def test_errors_name_argument_and_value():
    rng = np.random.default_rng(0)
    good = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"\(20, 2\) and \(20, 1\)"):
        unwrap(c2st)(good, good[:, :1])
    with pytest.raises(ValueError, match=r"num_folds=5 rows .* got 20 and 3"):
        c2st(good, good[:3])
    with pytest.raises(ValueError, match="finite samples"):
        c2st(good, np.full((20, 2), np.nan))
    with pytest.raises(ValueError, match=r"constant columns \[1\]"):
        c2st(good * [1, 0], good)
