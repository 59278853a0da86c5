"""The compiled loop: what it returns, keeps apart, and does not depend on."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from densities import with_base
from retrodict._core.errors import DataError
from retrodict.estimators import trainable
from retrodict.training import (
    build_estimator,
    npe_loss,
    program,
    race,
    train_ensemble,
)
from retrodict.training.build import split_series, vector_edges
from retrodict.training.entrants import find_winner
from retrodict.training.loop import Run, learning_rates
from retrodict.training.member import flatten
from retrodict.training.program import State, row_losses, take_step
from retrodict.training.rows import Rows
from trainings import SMALL, linear_data


@pytest.fixture(scope="module")
def trained():
    return train_ensemble(jr.key(0), *linear_data(), SMALL)


def test_a_compiler_without_our_options_compiles_without_them(monkeypatch):
    monkeypatch.setattr(
        program, "compiler_options", lambda brief: {"xla_of_old": brief}
    )
    settings = dataclasses.replace(SMALL, num_members=1, epochs=1, num_layers=2)
    alone = train_ensemble(jr.key(0), *linear_data(), settings)
    assert np.isfinite(alone.validation).all()


def _leaves(members):
    return jax.tree.leaves([eqx.filter(m, eqx.is_array) for m in members])


@pytest.mark.parametrize("threads", [1, 3])
def test_weights_do_not_depend_on_the_number_of_threads(trained, threads, monkeypatch):
    monkeypatch.setattr("retrodict.training.ensemble._num_threads", lambda: threads)
    again = train_ensemble(jr.key(0), *linear_data(), SMALL)
    for one, two in zip(_leaves(trained.members), _leaves(again.members), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(trained.validation, again.validation)


def test_another_key_gives_other_weights(trained):
    other = train_ensemble(jr.key(1), *linear_data(), SMALL)
    assert not np.array_equal(trained.validation, other.validation)


def test_members_have_their_own_weights_and_validation_parts(trained):
    assert trained.train.shape == trained.validation.shape == (6, 3)
    parts = [set(part.tolist()) for part in trained.held_out]
    assert [len(part) for part in parts] == [40, 40, 40]
    assert parts[0] == parts[1] == parts[2]  # few rows: all are raced on the same
    first = [np.asarray(m.embedding.first.weight) for m in trained.members]
    assert not np.array_equal(first[0], first[1])
    assert (trained.skipped == 0).all()


def test_more_than_half_of_the_members_hold_out_the_same_rows():
    """3000 rows hold out 300: one member is raced, with two more the base is fitted."""
    settings = dataclasses.replace(SMALL, num_members=5, epochs=1)
    parts = train_ensemble(jr.key(0), *linear_data(3000), settings).held_out
    parts = [tuple(part.tolist()) for part in parts]
    assert parts[0] == parts[1] == parts[2]
    assert len(set(parts)) == 3


def test_the_best_weights_are_returned(trained):
    """The validation loss of what is returned is the lowest of the history."""
    value, x = linear_data()
    rows = Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    for m, member in enumerate(trained.members):
        member = with_base(member, 1.0)  # that of the training
        found = row_losses(member, rows.take(trained.held_out[m])).mean()
        np.testing.assert_allclose(found, trained.validation[:, m].min(), rtol=1e-5)


def test_the_last_weights_are_not_returned_when_they_are_worse():
    """Training far too long on 60 rows ends worse than its best epoch."""
    settings = dataclasses.replace(
        SMALL,
        num_members=1,
        epochs=60,
        learning_rate=2e-2,
        batch_size=16,
        fit_base_scale=False,
    )
    value, x = linear_data(60)
    trained = train_ensemble(jr.key(0), value, x, settings)
    history = trained.validation[:, 0]
    assert history[-1] > history.min() + 0.1
    rows = Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    found = row_losses(trained.members[0], rows.take(trained.held_out[0])).mean()
    np.testing.assert_allclose(found, history.min(), rtol=1e-5)


def test_training_learns(trained):
    """Without x the best loss is the entropy of a standard normal; x must help."""
    entropy = np.log(2 * np.pi * np.e)
    assert (trained.validation.min(0) < entropy - 0.3).all()


@pytest.mark.parametrize("held_out", [1, 100, 1024, 1500])
def test_row_losses_are_those_of_the_rows(trained, held_out):
    value, x = linear_data(1600, seed=3)
    rows = Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
    index = jnp.asarray(np.random.default_rng(0).permutation(1600)[:held_out])
    part = rows.take(index)
    each = jax.jit(jax.vmap(trained.members[0].log_prob))(part.value, part.x)
    losses = eqx.filter_jit(row_losses)(trained.members[0], part)
    np.testing.assert_allclose(losses, -np.asarray(each), rtol=1e-4, atol=1e-4)
    found = losses.mean()
    np.testing.assert_allclose(
        eqx.filter_jit(npe_loss)(trained.members[0], part.value, part.x),
        found,
        rtol=1e-4,
    )


def _step(gradient, weights, decay, state=None):
    start = State(weights, optax.scale_by_adam().init(weights), jnp.asarray(0))
    return take_step(state or start, gradient, jnp.asarray(0.1), decay, 5.0)


def test_weight_decay_acts_on_matrices_only():
    estimator = build_estimator(jr.key(0), SMALL, {"x": (3,)}, None, 2)
    member = flatten(estimator)
    weights = np.ones_like(member.weights)
    state = _step(
        jnp.zeros(weights.size), jnp.asarray(weights), jnp.asarray(member.matrices)
    )
    decayed = eqx.filter(
        member.layout.build(state.weights, member.fixed), trainable(estimator)
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(decayed):
        shaping = ".density.layers" in jax.tree_util.keystr(path)
        matrix = 0.99 if shaping else 0.9
        np.testing.assert_allclose(leaf, matrix if leaf.ndim > 1 else 1.0, rtol=1e-6)


def test_a_constant_shape_stays_constant():
    """Only the location of the density follows x, before training and after."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3)).astype(np.float32)
    value = (x[:, :2] + np.abs(x[:, :2]) * rng.standard_normal((200, 2))) * 0.5
    settings = dataclasses.replace(SMALL, constant_shape=True, epochs=3)
    trained = train_ensemble(jr.key(0), value.astype(np.float32), {"x": x}, settings)
    for network in trained.members:
        noise = jnp.array([[0.0, 0.0], [1.0, -1.0], [2.0, 0.3]])
        context = jax.vmap(network.embedding)({"x": jnp.array(x[:5])})
        draw = jax.vmap(network.density.from_base, (0, None))
        values = jax.vmap(draw, (None, 0))(noise, context)
        shapes = values - values[:, :1]
        np.testing.assert_allclose(shapes, shapes[:1].repeat(5, 0), atol=1e-5)
        assert np.ptp(np.asarray(values[:, 0]), axis=0).min() > 1e-3


def test_steps_follow_adamw():
    """Ten steps equal those of optax.adamw with clipping."""
    rng = np.random.default_rng(0)
    gradients = jnp.asarray(10 * rng.standard_normal((10, 7)), jnp.float32)
    weights = jnp.asarray(rng.standard_normal(7), jnp.float32)
    chain = optax.chain(
        optax.clip_by_global_norm(5.0), optax.adamw(0.1, weight_decay=0.3)
    )
    theirs, memory = weights, chain.init(weights)
    ours = State(weights, optax.scale_by_adam().init(weights), jnp.asarray(0))
    for gradient in gradients:
        updates, memory = chain.update(gradient, memory, theirs)
        theirs = theirs + updates
        ours = _step(gradient, None, jnp.full(7, 0.3), ours)
    np.testing.assert_allclose(ours.weights, theirs, rtol=1e-5)


def test_steps_that_are_not_finite_are_skipped_and_counted():
    weights = jnp.ones(3)
    state = _step(jnp.array([1.0, jnp.nan, 1.0]), weights, jnp.ones(3))
    np.testing.assert_array_equal(state.weights, weights)
    assert int(state.skipped) == 1
    assert int(state.adam.count) == 0


def test_the_rate_rises_and_falls_to_zero():
    rates = learning_rates(SMALL, 1000)
    assert rates.shape == (1000,)
    assert rates.argmax() == 49
    np.testing.assert_allclose(rates.max(), SMALL.learning_rate)
    assert (np.diff(rates[:50]) > 0).all()
    assert (np.diff(rates[50:]) <= 0).all()
    assert rates[-1] < 1e-6 * SMALL.learning_rate


def test_a_layout_undoes_what_flatten_does():
    estimator = build_estimator(jr.key(3), SMALL, {"x": (3,)}, None, 2)
    member = flatten(estimator)
    again = member.layout.build(jnp.asarray(member.weights), member.fixed)
    one, two = (jax.tree.flatten(tree) for tree in (estimator, again))
    assert one[1] == two[1]
    for left, right in zip(one[0], two[0], strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_best_schedule_of_a_race_trains_all_members():
    bad = dataclasses.replace(SMALL, learning_rate=3.0, epochs=3)
    value, x = linear_data()
    raced = train_ensemble(jr.key(0), value, x, [bad, SMALL])
    alone = train_ensemble(jr.key(0), value, x, SMALL)
    assert raced.settings == SMALL
    np.testing.assert_array_equal(raced.validation, alone.validation)
    assert train_ensemble(jr.key(0), value, x, [SMALL, bad]).settings == SMALL


def test_a_race_ends_when_longer_is_no_better():
    """The short way wins, though one that was not run would have done better."""
    short = dataclasses.replace(SMALL, num_members=7, epochs=4)
    bad = dataclasses.replace(SMALL, learning_rate=3.0, epochs=6)
    worse = dataclasses.replace(bad, epochs=8)
    never = dataclasses.replace(SMALL, epochs=8)
    value, x = linear_data(4000)
    assert race(jr.key(0), value, x, [short, never]).settings == never
    one = race(jr.key(0), value, x, [short, bad, worse, never])
    assert one.settings == short
    assert one.short
    trained = one.finish()
    assert len(trained.members) == 7
    first, *_, sixth, last = trained.held_out
    assert all(np.array_equal(first, other) for other in trained.held_out[:5])
    assert not np.array_equal(first, sixth)
    assert not np.array_equal(sixth, last)
    assert not race(jr.key(0), value, x, [bad, SMALL]).short


class Scripted:
    """Members whose losses are known: each is right on a fifth of the rows."""

    num_raced = 1

    def __init__(self, alike):
        self.alike, self.jobs = alike, []

    def train(self, jobs):
        self.jobs += jobs
        return [Run(np.zeros(1), self._losses(job), []) for job in jobs]

    def _losses(self, job):
        if job.settings.epochs in self.alike:
            return np.full(100, self.alike[job.settings.epochs])
        losses = np.full(100, 5.0)
        losses[job.number :: 5] = -15.0
        return losses


def test_short_ways_are_chosen_among_by_the_mixture_of_all():
    """Alone each of five knows a fifth of the rows: mean 1; together all: -13.4."""
    few = dataclasses.replace(SMALL, num_members=5, epochs=1)
    many = dataclasses.replace(few, epochs=2)
    long = dataclasses.replace(few, epochs=8, num_members=1)
    ensemble = Scripted({1: 0.5, 8: 2.0})
    assert find_winner(ensemble, [few, many, long]).settings == many
    assert [job.settings.epochs for job in ensemble.jobs] == [1] * 5 + [2] * 5 + [8]
    ensemble = Scripted({1: 2.0, 8: 0.0})  # longer is better: the long one wins
    assert find_winner(ensemble, [few, many, long]).settings == long
    three = dataclasses.replace(many, num_members=3)
    ensemble = Scripted({8: 2.0})
    assert len(find_winner(ensemble, [three, long]).runs) == 3


def test_the_first_of_the_longest_ways_is_tried_in_any_case():
    """The others of that length only where it is the best so far."""
    few = dataclasses.replace(SMALL, num_members=1, epochs=1)
    ways = [dataclasses.replace(few, epochs=n) for n in (1, 2, 4, 8)]
    ways.append(dataclasses.replace(ways[-1], weight_decay=0.5))
    for long, winner, tried in (
        (0.0, 8, [1, 2, 8, 8]),
        (0.7, 1, [1, 2, 8]),
    ):
        ensemble = Scripted({1: 0.5, 2: 0.8, 4: -1.0, 8: long})
        assert find_winner(ensemble, ways).settings.epochs == winner
        assert [job.settings.epochs for job in ensemble.jobs] == tried


def test_a_way_that_diverges_does_not_end_a_race():
    short = dataclasses.replace(SMALL, num_members=2, epochs=1)
    long = dataclasses.replace(short, epochs=8, num_members=1)
    ensemble = Scripted({1: np.nan, 2: np.nan, 8: 0.0})
    ways = [short, dataclasses.replace(short, epochs=2), long]
    assert find_winner(ensemble, ways).settings == long


@pytest.mark.faults
def test_bad_rows_are_survived_or_refused():
    value, x = linear_data()
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
        train_ensemble(jr.key(0), *linear_data(8), SMALL)


def test_a_batch_is_never_larger_than_thelinear_data():
    settings = dataclasses.replace(SMALL, num_members=1, batch_size=4096, epochs=2)
    trained = train_ensemble(jr.key(0), *linear_data(50), settings)
    assert np.isfinite(trained.train).all()


def test_series_choose_their_embedding():
    shapes = {"a": (3,), "b": (20, 1), "c": (8, 8, 2), "d": (1,)}
    assert split_series(shapes) == (["a", "d"], ["b", "c"])
    estimator = build_estimator(jr.key(0), SMALL, shapes, None, 2)
    rng = np.random.default_rng(0)
    x = {
        name: jnp.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()
    }
    assert estimator.embedding.out_dim == 3 * SMALL.context_dim + 4
    assert estimator.embedding.direct_dim == 4
    z = {name: rng.standard_normal((100, *shape)) for name, shape in shapes.items()}
    edges = vector_edges(z, SMALL)
    assert edges.shape == (4, SMALL.feature_bins + 1)
    assert vector_edges({"b": z["b"]}, SMALL) is None
    estimator = build_estimator(jr.key(0), SMALL, shapes, edges, 2)
    assert np.isfinite(eqx.filter_jit(estimator.log_prob)(jnp.zeros(2), x))
    weights = eqx.filter(estimator, trainable(estimator))
    assert len(jax.tree.leaves(weights)) > 10
