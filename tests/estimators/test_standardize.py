import numpy as np
import pytest

from retrodict.estimators import (
    Affine,
    ChannelScaler,
    VectorScaler,
    apply_scalers,
    fit_scalers,
    standardized_shape,
)
from retrodict.estimators.standardize import scaler_arrays, scaler_from_arrays
from retrodict.model import Structure


def _columns(num=2000):
    """Columns of one set of rows: scale, offset, type."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(num)
    return {
        "normal": normal,
        "1e-21": 1e-21 * normal,
        "1e-200": 1e-200 * normal,
        "1e30": 1e30 * normal,
        "1e300": 1e300 * normal,
        "offset": 1e6 + normal,
        "far offset": 1e12 + normal,
        "skewed": np.exp(0.3 * normal),
    }


@pytest.mark.parametrize("name", _columns())
def test_any_scale_becomes_unit_scale(name):
    values = _columns()[name][:, None]
    affine = Affine.fit(values)
    z = affine.apply(values)[:, 0]
    exact = (values[:, 0] - values.mean()) / np.std(values / np.abs(values).max())
    exact /= np.abs(values).max()
    np.testing.assert_allclose(z, exact, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(affine.undo(affine.apply(values)), values, rtol=1e-9)
    scaled = VectorScaler.fit(values).apply(values)
    assert scaled.dtype == np.float32
    assert abs(scaled[:, 0].std() - 1) < 1e-3


@pytest.mark.parametrize("scale", [1.0, 1e-21, 1e30])
def test_float32_simulations_keep_their_spread(scale):
    values = (scale * np.random.default_rng(0).standard_normal((500, 2))).astype("f4")
    z = VectorScaler.fit(values).apply(values)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 3.7, -1e30, 1e-21, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_columns_become_zero(value, dtype):
    values = np.full((1000, 1), value, dtype)
    for scaler in (VectorScaler.fit(values), ChannelScaler.fit(values[:, None])):
        rows = values if isinstance(scaler, VectorScaler) else values[:, None]
        assert not scaler.apply(rows).any()
        assert not scaler.apply(rows + 5).any()


def test_rounding_error_is_no_spread():
    rng = np.random.default_rng(0)
    values = 1e3 * (1 + np.finfo(np.float32).eps * rng.integers(0, 2, (500, 1)))
    assert not VectorScaler.fit(values.astype(np.float32)).apply(values).any()


def test_duplicated_columns_are_scaled_alike():
    column = np.random.default_rng(0).standard_normal((500, 1))
    z = VectorScaler.fit(np.tile(column, 3)).apply(np.tile(column, 3))
    np.testing.assert_array_equal(z[:, 0], z[:, 1])
    np.testing.assert_array_equal(z[:, 0], z[:, 2])


def test_heavy_tails_are_squashed_and_keep_their_order():
    values = np.random.default_rng(0).standard_cauchy((5000, 1))
    scaler = VectorScaler.fit(values)
    assert scaler.heavy.all()
    z = scaler.apply(values)[:, 0]
    assert np.abs(z).max() < 15
    assert (np.diff(z[np.argsort(values[:, 0])]) >= 0).all()
    assert 0.5 < np.quantile(z, 0.75) - np.quantile(z, 0.25) < 2


def test_positive_columns_of_many_decades_get_their_logarithm():
    rng = np.random.default_rng(0)
    wide = 10 ** rng.uniform(-21, -15, 3000)
    counts = rng.poisson(np.exp(rng.normal(2, 2, 3000)))
    narrow = rng.uniform(1, 2, 3000)
    values = np.stack([wide, counts, narrow, -wide], axis=1)
    scaler = VectorScaler.fit(values)
    assert scaler.logged.tolist() == [True, True, False, False]
    z = scaler.apply(values)
    assert z.shape == (3000, 6)
    expected = (np.log(wide) - np.log(wide).mean()) / np.log(wide).std()
    np.testing.assert_allclose(z[:, 4], expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(z).all()


def test_an_observation_out_of_range_is_far_off_and_finite():
    rng = np.random.default_rng(0)
    for spread in (1.0, 60.0):  # of the logarithms
        values = np.exp(spread * rng.standard_normal((2000, 1)))
        scaler = VectorScaler.fit(values)
        for x in (-5.0, 0.0, 1e300):
            z = scaler.apply(np.array([[x]]))
            assert np.isfinite(z).all()
            assert np.abs(z).max() > 4


def test_series_are_scaled_by_entry_and_images_by_channel():
    rng = np.random.default_rng(0)
    x = {
        "vector": rng.normal([0, 100], [1, 5], (400, 2)),
        "number": rng.normal(3, 2, 400),
        "series": rng.normal([0, 50], [1, 9], (400, 30, 2)),
    }
    scalers = fit_scalers(x)
    assert isinstance(scalers["series"], ChannelScaler)
    z = apply_scalers(scalers, x)
    assert {k: v.shape for k, v in z.items()} == {
        "number": (400, 1),
        "vector": (400, 2),
        "series": (400, 30, 2),
    }
    for values in z.values():
        last = values.reshape(-1, values.shape[-1]).astype(float)
        np.testing.assert_allclose(last.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(last.std(0), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["vector", "grid"])
def test_a_scaler_survives_the_way_through_arrays(kind):
    rng = np.random.default_rng(0)
    shape = (300, 4) if kind == "vector" else (300, 5, 4)
    values = np.exp(rng.normal(0, [0.1, 1, 3, 9], shape))
    scaler = (VectorScaler if kind == "vector" else ChannelScaler).fit(values)
    arrays = scaler_arrays(scaler)
    assert all(isinstance(v, np.ndarray) for v in arrays.values())
    again = scaler_from_arrays(Structure(kind), arrays)
    np.testing.assert_array_equal(scaler.apply(values), again.apply(values))


STRUCTURES = {  # kind, shape of one item, the standardized shape
    "vector": ((4,), (4,)),
    "series": ((30,), (30, 1)),
    "exchangeable": ((5, 2, 3), (5, 6)),
    "image": ((8, 9), (8, 9, 1)),
    "grid": ((8, 9), (8, 9)),
}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", sorted(STRUCTURES))
def test_declared_structures_are_scaled_with_their_masks(kind, missing):
    shape, expected = STRUCTURES[kind]
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, 2.0, (500, *shape))
    gone = missing & (rng.random(x.shape) < 0.3)
    structure = {"x": Structure(kind, missing)}
    scalers = fit_scalers({"x": np.where(gone, np.nan, x)}, structure)
    z = apply_scalers(scalers, {"x": np.where(gone, np.nan, x)})["x"]
    channels = expected[-1]
    if kind != "vector":
        assert standardized_shape(shape, structure["x"]) == z.shape[1:]
    assert z.shape == (500, *expected[:-1], channels * (1 + missing))
    values = z[..., :channels].reshape(x.shape)
    assert (values[gone] == 0).all()
    there = values[~gone]
    assert abs(there.mean()) < 0.05
    assert abs(there.std() - 1) < 0.05
    if missing:
        masks = z[..., channels:].reshape(x.shape)
        np.testing.assert_array_equal(masks, ~gone)
    again = scaler_from_arrays(structure["x"], scaler_arrays(scalers["x"]))
    repeated = again.apply(np.where(gone, np.nan, x))
    np.testing.assert_array_equal(repeated, z)


def test_an_entry_that_is_never_there_is_zero_everywhere():
    x = np.full((50, 3), np.nan)
    x[:, 0] = np.exp(np.linspace(-4, 4, 50))  # with a logarithm
    scaler = fit_scalers({"x": x}, {"x": Structure("vector", missing=True)})["x"]
    z = scaler.apply(x)
    assert z.shape == (50, scaler.num_columns) == (50, 7)
    assert (z[:, [1, 2, 5, 6]] == 0).all()
    assert (z[:, 4] == 1).all()
