"""The bijection of x: its inverse, its Jacobian, and the choice of functions."""

import numpy as np
import pytest
from scipy import stats

from retrodict.estimators import Columns


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.stack(
        [
            1e3 + 2 * rng.standard_normal(2000),
            np.exp(3 * rng.standard_normal(2000)),
            5 + 1e-4 * rng.standard_t(2, 2000),
            rng.poisson(4.0, 2000),
            np.full(2000, 7.5),
        ],
        axis=1,
    )


def test_each_entry_has_the_function_that_tames_it(rows):
    columns = Columns.fit(rows)
    assert columns.kinds.tolist()[:3] == [0, 1, 2]
    assert columns.whole.tolist() == [False, False, False, True, False]


def test_undo_returns_the_rows(rows):
    columns = Columns.fit(rows)
    coordinates, _ = columns.apply(rows, np.random.default_rng(1))
    np.testing.assert_allclose(columns.undo(coordinates), rows, rtol=1e-9, atol=1e-12)
    middle, _ = columns.apply(rows)
    np.testing.assert_allclose(columns.undo(middle), rows, rtol=1e-9, atol=1e-12)


def test_coordinates_have_unit_scale(rows):
    coordinates, _ = Columns.fit(rows).apply(rows, np.random.default_rng(1))
    np.testing.assert_allclose(coordinates.mean(0), 0.0, atol=0.05)
    np.testing.assert_allclose(coordinates.std(0)[:4], 1.0, atol=0.05)


def test_log_det_is_that_of_the_jacobian(rows):
    """Against central differences, entry by entry; whole numbers have slope one."""
    columns = Columns.fit(rows)
    some = rows[:20]
    _, log_det = columns.apply(some)
    total = np.zeros(len(some))
    for entry in range(4):
        step = 1e-6 * np.maximum(np.abs(some[:, entry]), 1e-3)
        moved = [some.copy(), some.copy()]
        moved[0][:, entry] -= step
        moved[1][:, entry] += step
        low, high = (columns.apply(m)[0][:, entry] for m in moved)
        total += np.log((high - low) / (2 * step))
    np.testing.assert_allclose(log_det, total, atol=1e-3)


def test_a_density_of_coordinates_is_one_of_x():
    """A lognormal: coordinates are normal, and the Jacobian gives its density back."""
    x = stats.lognorm(0.5, scale=3.0).ppf((np.arange(5000) + 0.5) / 5000)[:, None]
    columns = Columns.fit(x)
    coordinates, log_det = columns.apply(x)
    found = stats.norm.logpdf(coordinates[:, 0]) + log_det
    expected = stats.lognorm(0.5, scale=3.0).logpdf(x[:, 0])
    np.testing.assert_allclose(found, expected, atol=5e-3)
