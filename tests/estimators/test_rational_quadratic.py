import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retrodict.estimators.rational_quadratic import (
    MIN_SLOPE,
    num_parameters,
    spline_forward,
    spline_inverse,
)


BOUND = 5.0
BINS = pytest.mark.parametrize("num_bins", [1, 2, 10])
SIZES = pytest.mark.parametrize("size", [0.1, 1.0, 5.0])


def _parameters(num_bins, size, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(size * rng.standard_normal(num_parameters(num_bins)))


def _spline(value, parameters):
    """One spline at one number."""
    out, log_slope = spline_forward(value[None], parameters, BOUND)
    return out[0], log_slope[0]


def _forward(values, parameters):
    return jax.vmap(lambda v: _spline(v, parameters))(values)


@BINS
def test_zero_parameters_are_the_identity(num_bins):
    values = jnp.linspace(-8.0, 8.0, 201)
    out, log_slope = _forward(values, jnp.zeros(num_parameters(num_bins)))
    np.testing.assert_allclose(out, values, atol=1e-5)
    np.testing.assert_allclose(log_slope, 0.0, atol=1e-5)


@BINS
@SIZES
def test_the_inverse_undoes_the_spline(num_bins, size):
    with jax.enable_x64(True):
        parameters = _parameters(num_bins, size)
        values = jnp.linspace(-7.0, 7.0, 501)
        out, log_slope = _forward(values, parameters)
        rows = jnp.repeat(parameters[:, None], len(out), 1)  # a batch of one spline
        back = spline_inverse(out[None], rows, BOUND)[0]
        # where the slope is small, rounding errors grow by its inverse
        room = 1e-12 * (1 + jnp.exp(-log_slope))
        assert (jnp.abs(back - values) <= 100 * room).all()


@BINS
@SIZES
def test_log_slopes_are_those_of_autodiff(num_bins, size):
    with jax.enable_x64(True):
        parameters = _parameters(num_bins, size)
        values = jnp.linspace(-6.9, 6.9, 301)
        _, log_slope = _forward(values, parameters)
        slope = jax.vmap(jax.grad(lambda v: _spline(v, parameters)[0]))
        np.testing.assert_allclose(jnp.exp(log_slope), slope(values), rtol=1e-9)


@BINS
@SIZES
def test_splines_increase_onto_the_interval(num_bins, size):
    parameters = _parameters(num_bins, size)
    values = jnp.linspace(-BOUND, BOUND, 2001)
    out, log_slope = _forward(values, parameters)
    assert (np.diff(out) >= 0).all()
    assert np.isfinite(log_slope).all()
    np.testing.assert_allclose(out[jnp.array([0, -1])], [-BOUND, BOUND], rtol=1e-6)
    outside = jnp.array([-50.0, -5.001, 5.001, 1e8])
    np.testing.assert_array_equal(_forward(outside, parameters)[0], outside)


@BINS
def test_the_map_and_its_slope_have_no_jump(num_bins):
    with jax.enable_x64(True):
        parameters = _parameters(num_bins, 2.0, seed=num_bins)
        values = jnp.linspace(-6.0, 6.0, 200_001)
        out, log_slope = _forward(values, parameters)
        step = float(values[1] - values[0])
        assert np.abs(np.diff(out)).max() <= 1.01 * step * np.exp(log_slope.max())
        assert np.abs(np.diff(np.exp(log_slope))).max() < 0.05 * np.exp(log_slope.max())


def test_gradients_are_finite_at_knots_edges_and_large_parameters():
    zeros = jnp.zeros(num_parameters(4))
    knots = jnp.array([-5.0, -2.5, 0.0, 2.5, 5.0, 30.0, -1e6])
    for parameters in (zeros, _parameters(4, 30.0), _parameters(4, 1e3)):
        for which in (0, 1):
            gradient = jax.grad(lambda v, p, w=which: _spline(v, p)[w], (0, 1))
            for leaf in jax.vmap(gradient, (0, None))(knots, parameters):
                assert np.isfinite(leaf).all()


def test_slopes_have_a_floor():
    parameters = jnp.full(num_parameters(4), -1e3).at[:8].set(0.0)
    values = jnp.linspace(-4.9, 4.9, 99)
    _, log_slope = _forward(values, parameters)
    assert np.exp(log_slope).min() >= 0.9 * MIN_SLOPE


def test_many_splines_share_an_array_of_parameters():
    each = [_parameters(4, 1.0, seed) for seed in range(3)]
    values = jnp.array([-1.0, 0.3, 2.0])
    together = spline_forward(values, jnp.stack(each, axis=1).ravel(), BOUND)
    alone = jnp.array([_spline(v, p) for v, p in zip(values, each, strict=True)]).T
    np.testing.assert_allclose(together, alone, rtol=1e-5)
