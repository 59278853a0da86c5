import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from retrodict.estimators import LocalAverage


def embed(field, shape=None, **options):
    net = LocalAverage(jr.key(0), "f", shape or field.shape, out_dim=8, **options)
    return np.asarray(net({"f": jnp.asarray(field)}))


@pytest.fixture
def field():
    return np.random.RandomState(0).standard_normal((12, 10)).astype(np.float32)


def test_turning_the_ring_changes_nothing(field):
    turned = embed(np.roll(field, 3, axis=1), field.shape)
    np.testing.assert_allclose(turned, embed(field), atol=1e-5)
    mixed = field[:, np.random.RandomState(1).permutation(10)]
    assert np.abs(embed(mixed, field.shape) - embed(field)).max() > 1e-3


def test_the_order_in_time_matters(field):
    assert np.abs(embed(field[::-1], field.shape) - embed(field)).max() > 1e-3


def test_channels_and_small_rings_are_taken():
    series = np.random.RandomState(0).standard_normal((30, 1, 2)).astype(np.float32)
    assert embed(series).shape == (8,)
    net = LocalAverage(jr.key(0), "f", series.shape, out_dim=8)
    assert net.radius == 0
    gradient = jax.grad(lambda f: net({"f": f}).sum())(jnp.asarray(series))
    assert np.isfinite(gradient).all()


def test_a_single_time_is_refused():
    with pytest.raises(ValueError, match=r"shape: .*'f'; got \(1, 5\)"):
        LocalAverage(jr.key(0), "f", (1, 5))
