"""The compiled loop: what it returns, keeps apart, and does not depend on."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from retrodict._core.errors import DataError
from retrodict.estimators import trainable
from retrodict.training import Settings, build_estimator, npe_loss, train_ensemble
from retrodict.training.build import split_series, vector_edges
from retrodict.training.loop import Rows, make_optimizer, validation_loss


SMALL = Settings(
    num_members=3,
    num_layers=1,
    num_bins=4,
    flow_width=8,
    embedding_width=16,
    context_dim=8,
    num_blocks=1,
    epochs=6,
    batch_size=32,
    dropout=0.1,
)


def _data(num=400, seed=0):
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((num, 2)).astype(np.float32)
    x = value @ np.array([[1, 0, 1], [0, 1, 1]]) + 0.5 * rng.standard_normal((num, 3))
    return value, {"x": x.astype(np.float32)}


@pytest.fixture(scope="module")
def trained():
    return train_ensemble(jr.key(0), *_data(), SMALL)


def _leaves(members):
    return jax.tree.leaves([eqx.filter(m, eqx.is_array) for m in members])


@pytest.mark.parametrize("threads", [1, 3])
def test_weights_do_not_depend_on_the_number_of_threads(trained, threads, monkeypatch):
    monkeypatch.setattr("retrodict.training.ensemble._num_threads", lambda: threads)
    again = train_ensemble(jr.key(0), *_data(), SMALL)
    for one, two in zip(_leaves(trained.members), _leaves(again.members), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(trained.validation, again.validation)


def test_another_key_gives_other_weights(trained):
    other = train_ensemble(jr.key(1), *_data(), SMALL)
    assert not np.array_equal(trained.validation, other.validation)


def test_members_have_their_own_weights_and_validation_parts(trained):
    assert trained.train.shape == trained.validation.shape == (6, 3)
    parts = [set(part.tolist()) for part in trained.held_out]
    assert [len(part) for part in parts] == [40, 40, 40]
    assert parts[0] != parts[1] != parts[2] != parts[0]
    first = [np.asarray(m.embedding.first.weight) for m in trained.members]
    assert not np.array_equal(first[0], first[1])
    assert (trained.skipped == 0).all()


def test_the_best_weights_are_returned(trained):
    """The validation loss of what is returned is the lowest of the history."""
    value, x = _data()
    rows = Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    for m, member in enumerate(trained.members):
        found = validation_loss(member, rows, jnp.asarray(trained.held_out[m]))
        np.testing.assert_allclose(found, trained.validation[:, m].min(), rtol=1e-5)


def test_the_last_weights_are_not_returned_when_they_are_worse():
    """Training far too long on 60 rows ends worse than its best epoch."""
    settings = dataclasses.replace(
        SMALL, num_members=1, epochs=60, learning_rate=2e-2, dropout=0.0, batch_size=16
    )
    value, x = _data(60)
    trained = train_ensemble(jr.key(0), value, x, settings)
    history = trained.validation[:, 0]
    assert history[-1] > history.min() + 0.1
    rows = Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    found = validation_loss(trained.members[0], rows, jnp.asarray(trained.held_out[0]))
    np.testing.assert_allclose(found, history.min(), rtol=1e-5)


def test_training_learns(trained):
    """Without x the best loss is the entropy of a standard normal; x must help."""
    entropy = np.log(2 * np.pi * np.e)
    assert (trained.validation.min(0) < entropy - 0.3).all()


@pytest.mark.parametrize("held_out", [1, 100, 1024, 1500])
def test_the_validation_loss_is_a_mean_over_its_rows(trained, held_out):
    value, x = _data(1600, seed=3)
    rows = Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    index = jnp.asarray(np.random.default_rng(0).permutation(1600)[:held_out])
    part = rows.take(index)
    each = jax.jit(jax.vmap(trained.members[0].log_prob))(part.value, part.x)
    found = eqx.filter_jit(validation_loss)(trained.members[0], rows, index)
    np.testing.assert_allclose(found, -np.mean(np.asarray(each, float)), rtol=1e-5)
    np.testing.assert_allclose(
        eqx.filter_jit(npe_loss)(trained.members[0], part.value, part.x),
        found,
        rtol=1e-4,
    )


def test_weight_decay_acts_on_matrices_only():
    optimizer = make_optimizer(dataclasses.replace(SMALL, weight_decay=0.5), 100)
    weights = {"matrix": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = optimizer.init(weights)
    for _ in range(3):
        updates, state = optimizer.update(zeros, state, weights)
        weights = jax.tree.map(jnp.add, weights, updates)
    assert (weights["matrix"] < 1).all()
    assert (weights["bias"] == 1).all()


def test_steps_that_are_not_finite_are_skipped_and_counted():
    optimizer = make_optimizer(SMALL, 100)
    weights = {"a": jnp.ones((2, 2))}
    state = optimizer.init(weights)
    updates, state = optimizer.update({"a": jnp.full((2, 2), jnp.nan)}, state, weights)
    assert not np.asarray(updates["a"]).any()
    assert int(state.total_notfinite) == 1


@pytest.mark.faults
def test_bad_rows_are_survived_or_refused():
    value, x = _data()
    alone = dataclasses.replace(SMALL, num_members=1)
    held_out = train_ensemble(jr.key(0), value, x, alone).held_out[0]
    value[np.setdiff1d(np.arange(400), held_out)[0]] = np.nan
    trained = train_ensemble(jr.key(0), value, x, alone)
    assert trained.skipped.tolist() == [6]  # its batch, once an epoch
    for leaf in _leaves(trained.members):
        assert np.isfinite(leaf).all()
    value[held_out[0]] = np.nan  # nothing tells which weights are best
    with pytest.raises(DataError, match="loss was never finite"):
        train_ensemble(jr.key(0), value, x, alone)


def test_too_few_simulations_are_refused():
    with pytest.raises(DataError, match=r"at least 12.*got 8"):
        train_ensemble(jr.key(0), *_data(8), SMALL)


def test_a_batch_is_never_larger_than_the_data():
    settings = dataclasses.replace(SMALL, num_members=1, batch_size=4096, epochs=2)
    trained = train_ensemble(jr.key(0), *_data(50), settings)
    assert np.isfinite(trained.train).all()


def test_series_choose_their_embedding():
    shapes = {"a": (3,), "b": (20, 1), "c": (8, 8, 2), "d": (1,)}
    assert split_series(shapes) == (["a", "d"], ["b", "c"])
    estimator = build_estimator(jr.key(0), SMALL, shapes, None, 2)
    rng = np.random.default_rng(0)
    x = {
        name: jnp.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()
    }
    assert estimator.embedding.out_dim == 3 * SMALL.context_dim
    z = {name: rng.standard_normal((100, *shape)) for name, shape in shapes.items()}
    edges = vector_edges(z, SMALL)
    assert edges.shape == (4, SMALL.feature_bins + 1)
    assert vector_edges({"b": z["b"]}, SMALL) is None
    estimator = build_estimator(jr.key(0), SMALL, shapes, edges, 2)
    assert np.isfinite(eqx.filter_jit(estimator.log_prob)(jnp.zeros(2), x))
    weights = eqx.filter(estimator, trainable(estimator))
    assert len(jax.tree.leaves(weights)) > 10
