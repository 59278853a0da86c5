import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from retrodict.estimators import (
    MLP,
    Convolution,
    Estimator,
    Joined,
    Plain,
    SplineCoupling,
    trainable,
)
from retrodict.estimators.mlp import quantile_edges


def _edges(columns, bins=6):
    rows = np.random.default_rng(0).standard_normal((200, columns))
    return quantile_edges(rows, bins)


@pytest.mark.parametrize(
    ("shape", "layers"),
    [((50, 1), 5), ((3, 2), 0), ((1000, 3), 8), ((16, 16, 2), 3), ((40, 7, 1), 2)],
)
def test_convolutions_embed_series_and_images(shape, layers, getkey):
    embedding = Convolution(getkey(), "y", shape, out_dim=12)
    assert len(embedding.layers) == layers
    x = jr.normal(getkey(), (5, *shape))
    out = jax.jit(jax.vmap(lambda item: embedding({"y": item})))(x)
    assert out.shape == (5, 12)
    assert embedding.out_dim == 12
    assert np.isfinite(out).all()
    assert len(np.unique(np.asarray(out)[:, 0])) == 5


def test_entries_of_any_size_embed_to_moderate_numbers(getkey):
    """Scalers clip at 1e6: neither embedding may hand such numbers on."""
    x = jnp.array([1.0, 1e6])[:, None, None] * jr.normal(getkey(), (2, 50, 1))
    embeddings = (
        Convolution(getkey(), "y", (50, 1), out_dim=12),
        MLP(getkey(), _edges(50), width=16, context_dim=12),
        Plain(getkey(), 50, width=16, depth=2),
    )
    for embedding, item in zip(embeddings, (x, x[..., 0], x[..., 0]), strict=True):
        out = np.abs(jax.jit(jax.vmap(lambda v, e=embedding: e({"y": v})))(item))
        assert out[1].max() < 100 * out[0].max()


@pytest.mark.parametrize("plain", [False, True])
def test_the_perceptron_embeds_all_series_in_the_order_of_their_names(plain, getkey):
    embedding = (
        Plain(getkey(), 5, width=4, depth=2)
        if plain
        else MLP(getkey(), _edges(5), width=16, context_dim=4)
    )
    a, b = jnp.arange(2.0), jnp.arange(3.0)
    out = embedding({"b": b, "a": a})
    assert out.shape == (embedding.out_dim,) == (9,)
    np.testing.assert_array_equal(out[4:], [0, 1, 0, 1, 2])  # passed on as they are
    np.testing.assert_array_equal(out, embedding({"a": a, "b": b}))
    joined = jnp.concatenate([a, b])
    np.testing.assert_array_equal(out, embedding({"only": joined}))


def test_parts_side_by_side_read_their_own_series(getkey):
    parts = [
        Convolution(getkey(), "image", (8, 8, 1), out_dim=6),
        MLP(getkey(), _edges(3), width=16, context_dim=4),
    ]
    joined = Joined(parts, [("image",), ("v",)])
    x = {"v": jnp.ones(3), "image": jnp.ones((8, 8, 1))}
    out = joined(x)
    assert out.shape == (joined.out_dim,) == (13,)
    assert joined.direct_dim == 3
    np.testing.assert_array_equal(out[:6], parts[0](x))
    np.testing.assert_array_equal(out[6:], parts[1]({"v": x["v"]}))


def test_features_are_the_piecewise_linear_code(getkey):
    edges = np.array([[-1.0, 0.0, 2.0]], np.float32)
    embedding = MLP(getkey(), edges, width=8, context_dim=2)
    for value, code in (
        (-3.0, (0.0, 0.0)),
        (-0.25, (0.75, 0.0)),
        (1.0, (1.0, 0.5)),
        (5.0, (1.0, 1.0)),
    ):
        found = embedding.code(jnp.array([value]))
        np.testing.assert_allclose(found, [code[0] - 0.5, code[1] - 0.5])


@pytest.mark.parametrize("kind", ["constant", "discrete", "normal", "heavy", "tiny"])
def test_quantile_edges_increase(kind):
    rng = np.random.default_rng(1)
    rows = {
        "constant": np.full((300, 2), 3.0),
        "discrete": rng.integers(0, 2, (300, 2)),
        "normal": rng.standard_normal((300, 2)),
        "heavy": np.sinh(rng.standard_cauchy((300, 2)).clip(-8, 8)),
        "tiny": 1e-20 * rng.standard_normal((300, 2)),
    }[kind]
    edges = quantile_edges(rows, 6)
    assert edges.shape == (2, 7)
    assert edges.dtype == np.float32
    assert (np.diff(edges, axis=1) > 0).all()
    if kind == "normal":
        expected = np.quantile(rows, np.linspace(0, 1, 7), axis=0).T
        np.testing.assert_allclose(edges, expected, atol=2e-2)


def test_the_edges_are_not_trained(getkey):
    estimator = Estimator(
        MLP(getkey(), _edges(3), width=16, context_dim=4),
        SplineCoupling(getkey(), 2, 7, width=8, direct_dim=3),
    )
    weights = eqx.filter(estimator, trainable(estimator))
    assert weights.embedding.edges.value is None
    assert weights.embedding.first.weight is not None

    def loss(estimator):
        return -estimator.log_prob(jnp.ones(2), {"x": jnp.ones(3)})

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(estimator)
    assert not np.asarray(gradient.embedding.edges.value).any()
