"""The learned regression: valid p-values, and power where a linear one is blind."""

import jax.random as jr
import numpy as np
import pytest

from retrodict.diagnostics import dependence_test, prediction_test


def _data(seed, num=600, noise=0.5):
    """Truth minus posterior, in sds: a product of two columns that are symmetric."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((num, 4))
    signal = x[:, 0] * np.sign(x[:, 1])
    z = np.sqrt(1 - noise**2) * signal + noise * rng.standard_normal(num)
    return np.stack([z, rng.standard_normal(num)], axis=1), x


@pytest.mark.stat
def test_p_values_are_valid_whatever_is_fitted():
    """P(p <= .05) <= .05 by Markov; 100 tries at two columns, bound five sds above."""
    found = []
    for seed in range(100):
        rng = np.random.default_rng([seed, 1])
        z, x = rng.standard_normal((200, 2)), rng.standard_normal((200, 8))
        found.append(prediction_test(jr.key(seed), z, x).p_value)
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 5 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(np.array(found) <= 0.01) <= 0.045


def test_a_product_is_found_where_a_linear_regression_sees_nothing():
    z, x = _data(0)
    found = prediction_test(jr.key(0), z, x)
    linear = dependence_test(z, np.concatenate([x, x**2], axis=1))
    assert linear.p_value[0] > 1e-3
    assert found.p_value[0] < 1e-6
    assert found.p_value[1] > 0.05
    assert 0.5 < found.remaining[0] < 0.9  # .5 is all that can be known
    assert found.remaining[1] == pytest.approx(1.0, abs=0.05)


def test_a_linear_truth_is_known_to_its_noise():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1000, 4))
    z = (0.95 * x[:, 0] + np.sqrt(1 - 0.95**2) * rng.standard_normal(1000))[:, None]
    found = prediction_test(jr.key(0), z, x)
    assert found.remaining[0] == pytest.approx(np.sqrt(1 - 0.95**2), rel=0.1)
    assert found.p_value[0] < 1e-100


@pytest.mark.parametrize(("num", "columns"), [(30, 4), (100, 0)])
def test_nothing_is_claimed_of_nothing(num, columns):
    rng = np.random.default_rng(0)
    z, x = rng.standard_normal((num, 2)), np.zeros((num, columns))
    found = prediction_test(jr.key(0), z, x)
    np.testing.assert_array_equal(found.p_value, 1.0)
    np.testing.assert_array_equal(found.remaining, 1.0)
