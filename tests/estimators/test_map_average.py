import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from retrodict.estimators import MapAverage


@pytest.fixture
def embedding():
    return MapAverage(jr.key(0), "maps", (32, 32, 2), width=4, out_dim=5)


def test_it_reads_every_scale(embedding):
    assert len(embedding.local) == 3  # 32, 16 and 8 pixels
    field = jr.normal(jr.key(1), (32, 32, 2))
    out = embedding({"maps": field})
    assert out.shape == (embedding.out_dim,)
    assert embedding.direct_dim == 0
    gradient = jax.grad(lambda e: e({"maps": field}).sum(), allow_int=True)(embedding)
    for filters in gradient.local:
        for layer in (filters.one, filters.two, filters.nonlinear):
            assert np.abs(layer.weight).max() > 0


def test_a_periodic_pattern_may_stand_anywhere(embedding):
    """A wave that fits the map 4 times: moved by half a wavelength and back."""
    rows, columns = np.mgrid[:32, :32]
    wave = np.cos(2 * np.pi * rows / 8) + np.cos(2 * np.pi * columns / 8)
    field = jnp.stack([wave, 0.5 * wave], -1)
    one = embedding({"maps": field})
    two = embedding({"maps": jnp.roll(field, (8, 16), (0, 1))})
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_directions_do_not_matter(turns, mirrored):
    """A map of 9 pixels is read in patches that a rotation maps onto each other."""
    embedding = MapAverage(jr.key(0), "maps", (9, 9, 2), width=4, out_dim=5)
    field = jr.normal(jr.key(1), (9, 9, 2))
    turned = jnp.rot90(field, turns)
    turned = turned.swapaxes(0, 1) if mirrored else turned
    one, two = (embedding({"maps": f}) for f in (field, turned))
    np.testing.assert_allclose(one, two, atol=1e-5)
    moved = embedding({"maps": field.at[0, 0, 0].add(1.0)})
    assert np.abs(one - moved).max() > 1e-3


def test_products_make_it_see_a_variance():
    """Averages of products tell noise of sd 1 from noise of sd 1.2 in one map."""
    embedding = MapAverage(jr.key(0), "maps", (64, 64, 1), width=8, out_dim=4)
    run = jax.jit(jax.vmap(lambda field: embedding({"maps": field})))
    noise = jr.normal(jr.key(2), (40, 64, 64, 1))
    one, two = np.asarray(run(noise)), np.asarray(run(1.2 * noise))
    apart = one.mean(0) - two.mean(0)
    distance = np.sqrt(apart @ np.linalg.solve(np.cov(one.T), apart))
    assert distance > 2  # in sds of one map; found 2.7


def test_an_outrageous_value_stays_finite(embedding):
    field = jnp.zeros((32, 32, 2)).at[3, 4, 1].set(1e30)
    assert np.isfinite(embedding({"maps": field})).all()


@pytest.mark.parametrize("shape", [(32, 32), (4, 32, 2), (32, 32, 2, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"Expected .height, width, channels."):
        MapAverage(jr.key(0), "maps", shape)
