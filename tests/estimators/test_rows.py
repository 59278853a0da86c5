"""Laws of the embeddings of sets and series: order, padding, what is missing."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import retrodict.estimators
from embeddings import (
    CHANNELS,
    OF_ROWS,
    ROWS,
    SERIES,
    SETS,
    embed,
    new_embedding,
    with_mask,
)
from retrodict.estimators import AbstractEmbedding, trainable
from retrodict.estimators.attention import NUM_HEADS, attend, attention
from retrodict.estimators.transformer import MAX_TOKENS


NAMES = pytest.mark.parametrize("name", sorted(OF_ROWS))
OTHERS = {"MLP", "Convolution", "LocalAverage", "Joined"}  # have tests of their own


def _values(seed=0, rows=ROWS):
    return np.random.default_rng(seed).standard_normal((rows, CHANNELS))


def test_every_embedding_is_under_the_laws():
    concrete = {
        name
        for name, value in vars(retrodict.estimators).items()
        if inspect.isclass(value)
        and issubclass(value, AbstractEmbedding)
        and value is not AbstractEmbedding
        and "missing" in inspect.signature(value).parameters
    }
    assert concrete == {kind.__name__ for kind in OF_ROWS.values()}
    assert not concrete & OTHERS


@NAMES
def test_every_value_counts(name, getkey):
    embedding = new_embedding(name, getkey())
    jacobian = jax.jit(jax.jacobian(lambda y: embedding({"y": y})))(
        jnp.asarray(_values(), jnp.float32)
    )
    assert jacobian.shape == (embedding.out_dim, ROWS, CHANNELS) == (6, ROWS, CHANNELS)
    assert (np.abs(np.asarray(jacobian)).max(0) > 1e-6).all()
    assert embedding.direct_dim == 0


@pytest.mark.parametrize("name", sorted(SETS))
@pytest.mark.parametrize("missing", [False, True])
def test_the_order_of_rows_changes_no_set(name, missing, getkey):
    embedding = new_embedding(name, getkey(), missing=missing)
    values = _values()
    values[3, 0] = values[5] = np.nan if missing else 0.0
    rows = with_mask(values) if missing else jnp.asarray(values, jnp.float32)
    rng = np.random.default_rng(1)
    for _ in range(5):
        np.testing.assert_allclose(
            embed(embedding, rows[rng.permutation(ROWS)]),
            embed(embedding, rows),
            atol=2e-5,
        )


@pytest.mark.parametrize("name", sorted(SERIES))
def test_the_order_of_rows_matters_in_a_series(name, getkey):
    embedding = new_embedding(name, getkey())
    rows = jnp.asarray(_values(), jnp.float32)
    difference = embed(embedding, rows[::-1]) - embed(embedding, rows)
    assert np.abs(difference).max() > 1e-2


@NAMES
def test_padding_changes_nothing(name, getkey):
    embedding = new_embedding(name, getkey(), missing=True)
    values = _values()
    values[2, 1] = np.nan
    padded = np.concatenate([values, np.full((9, CHANNELS), np.nan)])
    expected = embed(embedding, with_mask(values))
    np.testing.assert_allclose(embed(embedding, with_mask(padded)), expected, atol=2e-5)
    longer = np.concatenate([values, _values(1, 9)])
    assert np.abs(embed(embedding, with_mask(longer)) - expected).max() > 1e-2


@NAMES
def test_what_is_missing_is_not_a_zero(name, getkey):
    embedding = new_embedding(name, getkey(), missing=True)
    zero, gone = _values(), _values()
    zero[2, 1], gone[2, 1] = 0.0, np.nan
    both = [embed(embedding, with_mask(values)) for values in (zero, gone)]
    assert np.abs(both[0] - both[1]).max() > 1e-4


@NAMES
def test_an_empty_set_and_extreme_values_stay_finite(name, getkey):
    embedding = new_embedding(name, getkey(), missing=True)
    empty = with_mask(np.full((ROWS, CHANNELS), np.nan))
    far = with_mask(1e6 * _values())
    weights, fixed = eqx.partition(embedding, trainable(embedding))

    def loss(weights, y):
        return jnp.sum(eqx.combine(weights, fixed)({"y": y}) ** 2)

    program = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    near = program(weights, with_mask(_values()))[0]
    for rows in (empty, far):
        value, gradients = program(weights, rows)
        assert value < 1e4 * near
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@NAMES
def test_every_weight_learns(name, getkey):
    embedding = new_embedding(name, getkey(), missing=True)
    weights, fixed = eqx.partition(embedding, trainable(embedding))
    rows = [_values(seed) for seed in range(8)]
    for seed, values in enumerate(rows):
        values[seed % ROWS] = np.nan  # sets of one size: nothing is learned of it
    stack = jnp.stack([with_mask(values) for values in rows])

    def loss(weights):
        out = jax.vmap(lambda y: eqx.combine(weights, fixed)({"y": y}))(stack)
        return jnp.sum(jnp.sin(out))

    for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(weights)):
        assert np.isfinite(leaf).all()
        assert (np.asarray(leaf) != 0).any()


def test_long_series_are_read_in_patches(getkey):
    embedding = new_embedding("transformer", getkey(), rows=1000)
    assert embedding.patch == 16
    assert 1000 / embedding.patch <= MAX_TOKENS
    rows = jnp.asarray(_values(0, 1000), jnp.float32)
    gradient = jax.jit(jax.grad(lambda y: embedding({"y": y}).sum()))(rows)
    assert (np.asarray(gradient)[[0, 500, 999]] != 0).any(axis=1).all()


def test_attention_is_that_of_the_paper(getkey):
    """Every head against the formula written out in NumPy, absent rows left out."""
    layer = attention(getkey(), 2 * NUM_HEADS)
    queries, rows = (
        np.asarray(jr.normal(getkey(), (n, 2 * NUM_HEADS))) for n in (3, 5)
    )
    present = np.array([1, 1, 0, 1, 0], np.float32)

    def apply(linear, array):
        return array @ np.asarray(linear.weight).T + np.asarray(linear.bias)

    kept = rows[present > 0]
    q = apply(layer.query_proj, queries)
    k, v = apply(layer.key_proj, kept), apply(layer.value_proj, kept)
    heads = []
    for part in np.split(np.arange(2 * NUM_HEADS), NUM_HEADS):
        scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(2.0))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    expected = apply(layer.output_proj, np.concatenate(heads, axis=1))
    found = attend(layer, *(jnp.asarray(a) for a in (queries, rows, present)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
