"""The width of a flow's base: what held-out rows say, by closed forms."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import pytest
import scipy.stats as stats

from retrodict.training import train_ensemble
from retrodict.training.base_scale import PRIOR_SD, PROBE, HeldOut, fit_base_scale
from trainings import SMALL, mixture_log_prob


DIM = 3
OVERFIT = dataclasses.replace(
    SMALL,
    num_members=1,
    num_layers=2,
    flow_width=16,
    embedding_width=32,
    epochs=30,
    batch_size=16,
    learning_rate=1e-2,
    weight_decay=0.0,
    validation_fraction=0.3,
    linear_start=False,
)


def _normal_members(noise):
    """Rows whose noise under every member is given, with a volume of their own."""
    volume = np.linspace(-2, 2, noise.shape[1])
    losses = -stats.norm.logpdf(noise).sum(-1) - volume
    at_probe = -stats.norm.logpdf(noise, scale=PROBE).sum(-1) - volume
    return HeldOut.probed(losses.astype("f4"), at_probe.astype("f4"), noise.shape[-1])


def test_two_bases_tell_how_far_out_the_noise_lies():
    noise = np.random.default_rng(0).standard_normal((2, 50, DIM))
    found = _normal_members(noise)
    np.testing.assert_allclose(found.squares, (noise**2).sum(-1), rtol=1e-4, atol=1e-4)


def test_the_loss_with_another_base_is_that_of_the_mixture():
    noise = np.random.default_rng(1).standard_normal((2, 50, DIM))
    volume = np.linspace(-2, 2, 50)
    each = stats.norm.logpdf(noise, scale=1.3).sum(-1) + volume
    expected = -np.log(np.exp(each).mean(0)).sum()
    found = _normal_members(noise).loss(math.log(1.3))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sd", [0.85, 1.25])
def test_the_scale_of_one_member_is_the_root_mean_square(sd):
    """In closed form, with the prior to second order (1e-3 of a log-scale below)."""
    num = 4000
    noise = sd * np.random.default_rng(2).standard_normal((1, num, DIM))
    most_likely = 0.5 * math.log((noise**2).mean())
    information = 2 * num * DIM
    expected = most_likely * information / (information + PRIOR_SD**-2)
    # half a standard error if it is widened, a whole one if it is narrowed
    error = (information + PRIOR_SD**-2) ** -0.5
    expected += 0.5 * error if sd > 1 else error
    found = math.log(fit_base_scale(_normal_members(noise)))
    assert found == pytest.approx(expected, abs=2e-3)


def test_a_base_that_is_right_is_hardly_ever_narrowed():
    """Of 400 with 100 rows each a sixth would be by more than a standard error."""
    rng = np.random.default_rng(3)
    drawn = rng.standard_normal((400, 1, 100, DIM))
    scales = np.array([fit_base_scale(_normal_members(noise)) for noise in drawn])
    assert np.mean(scales < 1) < 0.16
    assert np.mean(scales == 1) > 0.1
    assert scales.mean() < 1.02


def test_few_rows_move_little_and_outliers_are_bounded():
    noise = np.zeros((1, 2, DIM))
    assert 0.95 < fit_base_scale(_normal_members(noise)) < 1.05
    noise = np.full((1, 50, DIM), 1e3)
    assert fit_base_scale(_normal_members(noise)) < 1.75


def test_losses_that_are_not_finite_leave_the_base_alone():
    for bad in (np.nan, np.inf):
        rows = np.full((2, 10), bad)
        assert fit_base_scale(HeldOut.probed(rows, rows, DIM)) == 1.0


def _data(num, seed):
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((num, 4)).astype(np.float32)
    clean = np.concatenate([value, value**2], axis=1)
    x = clean + 0.5 * rng.standard_normal(clean.shape)
    return value, {"x": x.astype(np.float32)}


def _arrays(member):
    return jax.tree.leaves(eqx.filter(member, eqx.is_array))


def test_a_network_that_over_reads_its_rows_predicts_fresh_ones_better():
    """Weights are the same to the bit; the gain is a dozen standard errors."""
    data, fresh = _data(600, 0), _data(20_000, 1)
    raw = dataclasses.replace(OVERFIT, fit_base_scale=False)
    wide, plain = (
        train_ensemble(jr.key(0), *data, settings).members[0]
        for settings in (OVERFIT, raw)
    )
    assert wide.density.base_scale.value > 1.05
    assert plain.density.base_scale.value == 1
    base = plain.density.base_scale
    same = eqx.tree_at(lambda m: m.density.base_scale, wide, base)
    for left, right in zip(_arrays(same), _arrays(plain), strict=True):
        np.testing.assert_array_equal(left, right)
    gained = mixture_log_prob([wide], *fresh) - mixture_log_prob([plain], *fresh)
    assert gained.mean() > 12 * gained.std() / math.sqrt(len(gained))


def test_an_ensemble_is_judged_as_a_mixture_which_needs_less():
    data = _data(600, 0)
    three = dataclasses.replace(OVERFIT, num_members=3)
    scales = [
        float(member.density.base_scale.value)
        for settings in (OVERFIT, three)
        for member in train_ensemble(jr.key(0), *data, settings).members
    ]
    assert scales[1] == scales[2] == scales[3] < scales[0]


def test_a_density_without_such_a_base_is_left_as_it_is():
    other = dataclasses.replace(OVERFIT, density="mixture_density", epochs=1)
    found = train_ensemble(jr.key(0), *_data(100, 0), other)
    assert np.isfinite(mixture_log_prob(found.members, *_data(100, 1))).all()


def test_other_members_tell_how_unusual_the_shared_rows_are():
    """Alike members on rows that are 1.2 times as far out as those of two others."""
    rng = np.random.default_rng(4)
    ordinary = [_normal_members(rng.standard_normal((1, 4000, DIM))) for _ in range(2)]
    noise = np.repeat(1.2 * rng.standard_normal((1, 4000, DIM)), 2, axis=0)
    shared = _normal_members(noise)
    alone, corrected = fit_base_scale(shared), fit_base_scale(shared, ordinary)
    assert math.log(alone) == pytest.approx(math.log(1.2), abs=0.03)
    assert math.log(corrected) == pytest.approx(math.log(1.2) / 3, abs=0.03)
