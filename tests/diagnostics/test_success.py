"""Does success depend on theta? Against scikit-learn, under independence, and power."""

import jax.random as jr
import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from retrodict.diagnostics import logistic_regression, success_test


@pytest.fixture
def rng(test_seed):
    return np.random.default_rng(test_seed)


def test_weights_are_those_of_scikit_learn(rng):
    inputs = rng.standard_normal((500, 4))
    labels = inputs @ [1.0, -2.0, 0.0, 0.5] + rng.logistic(size=500) > 0.7
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000)
    reference.fit(inputs, labels)
    with_constant = np.concatenate([np.ones((500, 1)), inputs], axis=1)
    found = logistic_regression(with_constant, labels)
    expected = [*reference.intercept_, *reference.coef_[0]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_weights_of_classes_that_can_be_separated_stay_finite(rng):
    inputs = np.concatenate([np.ones((200, 1)), rng.standard_normal((200, 1))], axis=1)
    assert np.isfinite(logistic_regression(inputs, inputs[:, 1] > 0)).all()


@pytest.mark.stat
def test_without_dependence_p_values_are_uniform(getkey, rng):
    """False-alarm rate 1e-4: Kolmogorov's test at that level, fixed seed."""
    values = [
        success_test(getkey(), rng.standard_normal((400, 2)), rng.random(400) > 0.1)
        for _ in range(200)
    ]
    assert kstest([v.p_value for v in values], "uniform").pvalue > 1e-4
    assert abs(np.mean([v.auc for v in values]) - 0.5) < 0.04  # 5 sd


@pytest.mark.stat
@pytest.mark.parametrize("shape", ["half", "inside", "corner"])
def test_a_region_that_fails_is_found(shape, getkey, rng):
    theta = rng.standard_normal((2000, 3))
    fails = {
        "half": theta[:, 0] > 1.5,
        "inside": (theta**2).sum(1) < 0.5,
        "corner": (theta[:, 0] > 0.7) & (theta[:, 1] > 0.7),
    }[shape]
    found = success_test(getkey(), theta, ~fails)
    assert found.auc > 0.9
    assert found.p_value < 1e-10


def test_the_auc_is_that_of_scikit_learn(getkey, rng):
    """Failures by chance or by theta, half and half: an AUC between."""
    theta = rng.standard_normal((4000, 2))
    chance = rng.random(4000)
    fails = np.where(theta[:, 0] > 1, chance < 0.3, chance < 0.05)
    train, test = slice(0, 2000), slice(2000, 4000)
    reference = LogisticRegression(max_iter=1000)
    squares = np.concatenate([theta, theta**2, theta[:, :1] * theta[:, 1:]], axis=1)
    reference.fit(squares[train], ~fails[train])
    score = reference.decision_function(squares[test])
    found = success_test(getkey(), theta, ~fails)
    assert abs(found.auc - roc_auc_score(~fails[test], score)) < 0.06


@pytest.mark.parametrize("failed", [0, 9, 991, 1000])
def test_too_few_of_one_kind_tell_nothing(failed, getkey, rng):
    success = np.arange(1000) >= failed
    assert success_test(getkey(), rng.standard_normal((1000, 2)), success) is None


def test_many_coordinates_and_constant_ones(getkey, rng):
    theta = np.concatenate([rng.standard_normal((600, 30)), np.ones((600, 1))], axis=1)
    found = success_test(getkey(), theta, theta[:, 3] < 1)
    assert found.p_value < 1e-6


def test_coordinates_must_be_finite():
    with pytest.raises(ValueError, match="finite coordinates; got 1"):
        success_test(jr.key(0), np.array([[np.nan], [0.0]]), np.array([True, False]))
