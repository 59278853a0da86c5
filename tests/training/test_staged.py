"""An embedding that one network learns, and members that are trained on it."""

import dataclasses

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import pytest

from densities import with_base
from retrodict.estimators import Staged, trainable
from retrodict.training import train_ensemble, train_staged
from retrodict.training.settings import num_raced
from trainings import SMALL, mixture_log_prob


SETTINGS = dataclasses.replace(
    SMALL,
    flow_width=16,
    context_dim=4,
    epochs=8,
    batch_size=64,
    grid_embedding="local_average",
    embedding_epochs=2,
)


def _fields(num=3000, seed=0):
    """Rings of noise around a number, and a vector that says nothing."""
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((num, 1)).astype(np.float32)
    field = value[:, :, None] + 2 * rng.standard_normal((num, 4, 5))
    idle = rng.standard_normal((num, 2)).astype(np.float32)
    return value, {"field": field.astype(np.float32)[..., None], "idle": idle}


@pytest.fixture(scope="module")
def trained():
    return train_staged(jr.key(0), *_fields(), SETTINGS)


def test_members_read_x_as_they_read_its_summaries(trained):
    value, x = _fields()
    rows = trained.held_out[0]
    assert all((other == rows).all() for other in trained.held_out)
    held = value[rows], {k: v[rows] for k, v in x.items()}
    count = num_raced(len(rows), 3)
    raced = [with_base(member, 1.0) for member in trained.members[:count]]
    assert trained.score == pytest.approx(
        -mixture_log_prob(raced, *held).mean(), abs=1e-4
    )


def test_all_members_have_one_embedding_that_is_not_trained(trained):
    fronts = [
        jax.tree.leaves(eqx.filter(m.embedding.front.value, eqx.is_array))
        for m in trained.members
    ]
    for front in fronts[1:]:
        for one, other in zip(fronts[0], front, strict=True):
            np.testing.assert_array_equal(one, other)
    network = trained.members[0]
    assert isinstance(network.embedding, Staged)
    free = eqx.filter(network, trainable(network))
    assert not jax.tree.leaves(free.embedding.front)


def test_networks_trained_as_a_whole_are_not_staged():
    with pytest.raises(ValueError, match=r"candidates: .*got 2. Use train_staged"):
        train_ensemble(jr.key(0), *_fields(50), SETTINGS)


def test_the_posterior_is_right(trained):
    """Exact: the mean of 20 cells has noise 2/sqrt(20), so that -log q is known.

    Of the .9 nats that x tells about the value, a tenth may be lost. The exact loss of
    4000 fresh rows is estimated on the same rows: chance enters by the network alone,
    whose seed is fixed.
    """
    value, x = _fields(4000, seed=1)
    variance = 1 / (1 + 20 / 4)
    mean = x["field"].mean((1, 2, 3)) * 20 / 4 * variance
    exact = -0.5 * ((value[:, 0] - mean) ** 2 / variance + np.log(2 * np.pi * variance))
    lost = exact.mean() - mixture_log_prob(trained.members, value, x).mean()
    assert lost < 0.09


def test_the_first_network_is_kept_if_it_predicts_better(trained):
    assert trained.settings == SETTINGS
    brief = dataclasses.replace(SETTINGS, epochs=1, linear_start=False)
    kept = train_staged(jr.key(0), *_fields(), brief)
    assert (kept.settings.epochs, kept.settings.embedding_epochs) == (2, 0)
    assert len(kept.members) == kept.settings.num_members == 1
    assert not isinstance(kept.members[0].embedding, Staged)
