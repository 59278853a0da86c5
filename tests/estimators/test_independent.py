"""Independent normal entries, known exactly or to a cell, against SciPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict.estimators import Cells, Independent


LOCATION, SCALE = np.array([0.3, -2.0, 1.0]), np.array([0.5, 3.0, 1.0])


@pytest.fixture(scope="module")
def density():
    """Three entries with fixed locations and scales, whatever the condition."""
    plain = Independent(jr.key(0), 6, 2)
    bias = jnp.asarray(np.concatenate([LOCATION, np.log(SCALE)]), jnp.float32)
    return eqx.tree_at(lambda d: d.head.bias, plain, bias)


def _log_prob(density, middle, half):
    values = jnp.asarray(np.concatenate([middle, half], axis=1), jnp.float32)
    return np.asarray(density.log_prob_rows(values, jnp.zeros(2)), np.float64)


def test_an_entry_that_is_known_exactly_has_a_density(density):
    middle = np.random.default_rng(0).normal(scale=3, size=(100, 3))
    found = _log_prob(density, middle, np.zeros((100, 3)))
    exact = stats.norm(LOCATION, SCALE).logpdf(middle).sum(1)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.parametrize("half", [1e-6, 1e-3, 0.01, 0.3, 4.0])
def test_a_cell_has_a_mass(density, half):
    """Out to 20 sd on either side, in float32: within .1 % of the log, or .01."""
    middle = LOCATION + SCALE * np.linspace(-20, 20, 81)[:, None]
    found = _log_prob(density, middle, np.full(middle.shape, half))
    law = stats.norm(LOCATION, SCALE)
    below = law.logcdf(middle + half), law.logcdf(middle - half)
    above = law.logsf(middle - half), law.logsf(middle + half)
    right = middle > LOCATION
    far, near = (np.where(right, a, b) for a, b in zip(above, below, strict=True))
    with np.errstate(divide="ignore"):
        mass = far + np.log(-np.expm1(near - far))
    thin = law.logpdf(middle) + np.log(2 * half)
    exact = np.where(half < 1e-2 * SCALE, thin, mass).sum(1)
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=0.01)


def test_a_cell_without_a_lower_edge_has_all_that_is_below(density):
    edge = LOCATION + SCALE * np.linspace(-20, 20, 81)[:, None]
    found = _log_prob(density, edge, np.full(edge.shape, -1.0))
    exact = stats.norm(LOCATION, SCALE).logcdf(edge).sum(1)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("half", [-1.0, 0.0, 1e-4, 0.3])
def test_gradients_are_finite_far_from_the_location(density, half):
    far = jnp.concatenate([jnp.full(3, 60.0), jnp.full(3, half)])
    for value in (far, -far if half >= 0 else far):
        value = value.at[3:].set(half)
        gradient = eqx.filter_grad(lambda d, v=value: d.log_prob(v, jnp.zeros(2)))
        leaves = jax.tree.leaves(gradient(density))
        assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_draws_have_the_locations_and_scales(density):
    """Of 40 000 draws within 4.5 standard errors; false-alarm rate below 1e-4."""
    noise = jr.normal(jr.key(1), (40_000, 3))
    drawn, half = jnp.split(density.from_base_rows(noise, jnp.zeros(2)), 2, axis=1)
    assert not half.any()
    assert (np.abs(drawn.mean(0) - LOCATION) < 4.5 * SCALE / 200).all()
    np.testing.assert_allclose(drawn.std(0), SCALE, rtol=4.5 / np.sqrt(80_000))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.stack(
        [rng.poisson(2.0, 500), rng.normal(size=500), rng.binomial(900, 0.4, 500)],
        axis=1,
    )


def test_cells_return_the_rows(rows):
    cells = Cells.fit(rows)
    assert cells.counts.tolist() == [True, False, True]
    coordinates, _ = cells.apply(rows)
    assert coordinates.shape[1] == cells.num_coordinates
    np.testing.assert_allclose(cells.undo(coordinates), rows, rtol=1e-9)


def test_cells_of_an_entry_fill_the_line(rows):
    cells = Cells.fit(rows)
    every = np.stack([np.arange(60.0), np.zeros(60), np.arange(60.0)], axis=1)
    middle, half = np.split(cells.apply(every)[0], 2, axis=1)
    assert (half[0] == [-1, 0, -1]).all()
    high, low = middle + half, middle - half
    np.testing.assert_allclose(low[2:, [0, 2]], high[1:-1, [0, 2]])
    np.testing.assert_allclose(middle[0, [0, 2]], low[1, [0, 2]])
    for point in (low + 1e-6, high - 1e-6):
        points = np.concatenate([point, half], axis=1)
        np.testing.assert_array_equal(cells.undo(points)[1:, 0], every[1:, 0])


def test_what_no_count_can_be_is_the_nearest(rows):
    """An observation may hold a number that no simulation can."""
    odd = rows[:1].copy()
    odd[0, 0] = -3
    zero = odd.copy()
    zero[0, 0] = 0
    cells = Cells.fit(rows)
    np.testing.assert_array_equal(cells.apply(odd)[0], cells.apply(zero)[0])


def test_the_determinant_is_that_of_the_entries_known_exactly(rows):
    cells = Cells.fit(rows)
    _, log_det = cells.apply(rows)
    np.testing.assert_allclose(log_det, -np.log(rows[:, 1].std()), rtol=1e-6)
