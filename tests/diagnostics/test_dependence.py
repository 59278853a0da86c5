from inspect import unwrap

import numpy as np
import pytest
from scipy.stats import kstest, linregress

from retrodict.diagnostics import dependence_test


def test_one_feature_equals_simple_regression():
    rng = np.random.default_rng(0)
    feature = rng.normal(size=50)
    score = 0.3 * feature + rng.normal(size=50)
    reference = linregress(feature, score)
    found = dependence_test(score[:, None], feature[:, None])
    assert found.p_value[0] == pytest.approx(reference.pvalue)
    adjusted = 1 - (1 - reference.rvalue**2) * 49 / 48
    assert found.strength[0] == pytest.approx(np.sqrt(adjusted))


@pytest.mark.stat
def test_p_values_are_uniform_for_ugly_features():
    """KS test at level 1e-4, over 300 columns of scores."""
    rng = np.random.default_rng(1)
    features = np.exp(3 * rng.normal(size=(200, 10)))
    found = dependence_test(rng.normal(size=(200, 300)), features)
    assert kstest(found.p_value, "uniform").pvalue > 1e-4


def test_collinear_and_constant_features_change_nothing():
    rng = np.random.default_rng(2)
    features, scores = rng.normal(size=(80, 3)), rng.normal(size=(80, 2))
    more = np.concatenate([features, features[:, :1] * 2 + 1, np.ones((80, 2))], axis=1)
    plain, extended = dependence_test(scores, features), dependence_test(scores, more)
    np.testing.assert_allclose(plain.p_value, extended.p_value, rtol=1e-6)


def test_no_features_or_too_few_rows_find_nothing():
    for features in (np.zeros((10, 0)), np.ones((10, 3)), np.eye(10)):
        found = dependence_test(np.ones((10, 2)) * np.arange(10)[:, None], features)
        np.testing.assert_array_equal(found.p_value, 1.0)
        np.testing.assert_array_equal(found.strength, 0.0)


def test_error_names_the_shapes():
    with pytest.raises(ValueError, match=r"\(5, 1\) and \(4, 1\)"):
        unwrap(dependence_test)(np.zeros((5, 1)), np.zeros((4, 1)))
