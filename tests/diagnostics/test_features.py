import numpy as np
import pytest

from retrodict.diagnostics import (
    column_names,
    flatten_output,
    standardize,
    summary_features,
)


def test_flatten_keeps_field_and_c_order():
    x = {"b": np.arange(8).reshape(2, 2, 2), "a": np.array([100.0, 200.0])}
    np.testing.assert_array_equal(
        flatten_output(x), [[0, 1, 2, 3, 100], [4, 5, 6, 7, 200]]
    )
    assert column_names(x) == ("b[0,0]", "b[0,1]", "b[1,0]", "b[1,1]", "a")
    assert column_names(np.zeros((4, 2))) == ("x[0]", "x[1]")


def test_flatten_refuses_fields_of_unequal_length():
    with pytest.raises(ValueError, match=r"got \[2, 3\]"):
        flatten_output({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(ValueError, match="no field at all"):
        flatten_output({})


@pytest.mark.parametrize("num_columns", [1, 5, 300])
def test_features_are_standard_and_few(num_columns):
    x = np.exp(3 * np.random.default_rng(0).normal(size=(200, num_columns)))
    features = summary_features(x)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features.std(axis=0), 1)
    assert 2 <= features.shape[1] <= 11


def test_features_do_not_depend_on_units():
    x = np.random.default_rng(0).normal(size=(100, 4))
    np.testing.assert_allclose(
        np.abs(summary_features(1e-21 * x)), np.abs(summary_features(x)), atol=1e-6
    )


def test_noise_level_is_a_feature():
    """A parameter that only sets the size of fluctuations must be visible."""
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(size=1000))
    features = summary_features(size[:, None] * rng.normal(size=(1000, 50)))
    correlation = [np.corrcoef(column, np.log(size))[0, 1] for column in features.T]
    assert np.max(np.abs(correlation)) > 0.9


def test_constant_and_missing_entries_are_harmless():
    x = np.random.default_rng(0).normal(size=(100, 4))
    x[:, 1], x[3, 2], x[4, 2] = 7.0, np.nan, np.inf
    assert np.isfinite(summary_features(x)).all()
    assert summary_features(np.ones((100, 3))).shape == (100, 0)
    assert summary_features(x[:10]).shape == (10, 0)


def test_standardize_leaves_constant_columns_out():
    x = np.array([[1.0, 1e-21, 3.0], [2.0, 2e-21, 3.0]])
    np.testing.assert_allclose(standardize(x), [[-1, -1], [1, 1]])
