import jax.random as jr
import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.stats import genpareto, norm

from retrodict.diagnostics import (
    ALARM_LEVEL,
    OutlierReference,
    fit_outlier_reference,
)
from retrodict.diagnostics._tail import tail_p_values


NUM_SUMMARIES = 20


def _simulate(rng, num, noise=0.5):
    """3 parameters, 20 summaries of unit prior spread, noise half of that."""
    design = np.random.default_rng(7).normal(size=(3, NUM_SUMMARIES))
    design /= np.linalg.norm(design, axis=0)
    signal = rng.normal(size=(num, 3)) @ design
    return signal + noise * rng.normal(size=(num, NUM_SUMMARIES))


@pytest.fixture(scope="module")
def reference():
    return fit_outlier_reference(jr.key(0), _simulate(np.random.default_rng(0), 5000))


@pytest.mark.stat
def test_false_alarms(reference):
    """Nominal 1 %; 2 % on 4000 observations is 6 binomial sds above."""
    p = reference.p_values(_simulate(np.random.default_rng(1), 4000))
    assert np.mean(p < ALARM_LEVEL) <= 0.02
    assert np.mean(p < 0.5) > 0.2


@pytest.mark.stat
def test_one_moved_summary_is_found_and_named(reference):
    rng = np.random.default_rng(2)
    x = _simulate(rng, 1000)
    moved = rng.integers(0, NUM_SUMMARIES, 1000)
    x[np.arange(1000), moved] += 10 * np.sqrt(1.25) * rng.choice([-1, 1], 1000)
    assert np.mean(reference.p_values(x) < ALARM_LEVEL) >= 0.99
    results = [reference.check(row) for row in x[:300]]
    named = [r.columns[0] == j for r, j in zip(results, moved[:300], strict=True)]
    assert np.mean(named) >= 0.99
    # Ten sds are beyond all simulations: the p-value must not stop at 1/n.
    assert np.median([r.p_value for r in results]) < 1e-6
    assert all(abs(r.deviations[0]) > 5 for r in results)


@pytest.mark.stat
def test_larger_noise_is_found(reference):
    x = _simulate(np.random.default_rng(3), 2000, noise=1.0)
    assert np.mean(reference.p_values(x) < ALARM_LEVEL) >= 0.90


def test_broken_collinearity_is_found_where_no_single_column_is_off():
    rng = np.random.default_rng(0)

    def simulate(num):
        first = rng.normal(size=(num, 2))
        return np.concatenate([first, first.sum(axis=1, keepdims=True)], axis=1)

    reference = fit_outlier_reference(jr.key(1), simulate(2000))
    result = reference.check(np.array([1.0, 1.0, -1.0]))
    assert result.p_value < 1e-4
    assert result.p_column > 0.05


@pytest.mark.stat
@pytest.mark.parametrize("power", [-21, 0, 21])
def test_ugly_columns(power):
    """Heavy tails, counts, a constant, a duplicate, zeros; nominal 1 %, bound 2 %."""

    def simulate(rng, num):
        tails = rng.lognormal(0, 1.5, size=(num, 3))
        counts = rng.poisson(0.3, size=(num, 2))
        constant = np.full((num, 1), 3.7)
        zeros = np.zeros((num, 1))
        columns = [tails, counts, constant, tails[:, :1], zeros]
        return np.concatenate(columns, axis=1) * 10.0**power

    reference = fit_outlier_reference(
        jr.key(2), simulate(np.random.default_rng(0), 3000)
    )
    p = reference.p_values(simulate(np.random.default_rng(1), 4000))
    assert np.mean(p < ALARM_LEVEL) <= 0.02
    for column in (5, 7):
        x = simulate(np.random.default_rng(2), 1)[0]
        x[column] += 1e-3 * 10.0**power
        result = reference.check(x)
        assert result.p_value < 1e-6
        assert result.columns[0] == column


@pytest.mark.stat
def test_more_columns_than_simulations():
    """A random walk of 1500 steps, 300 simulations: bound 4 % for nominal 1 %."""
    rng = np.random.default_rng(0)
    walks = rng.normal(size=(800, 1500)).cumsum(axis=1)
    reference = fit_outlier_reference(jr.key(0), walks[:300])
    assert np.mean(reference.p_values(walks[300:]) < ALARM_LEVEL) <= 0.04
    jump = walks[300].copy()
    jump[700:] += 500
    assert reference.check(jump).p_value < ALARM_LEVEL


def test_round_trip_through_bytes_is_exact(reference):
    x = _simulate(np.random.default_rng(4), 50, noise=0.9)
    stored = load(
        save({k: np.ascontiguousarray(v) for k, v in reference.to_arrays().items()})
    )
    again = OutlierReference.from_arrays(stored)
    np.testing.assert_array_equal(again.p_values(x), reference.p_values(x))
    assert again.check(x[0]) == reference.check(x[0])


def test_equal_keys_give_equal_references():
    x = _simulate(np.random.default_rng(0), 200)
    first, second = (fit_outlier_reference(jr.key(5), x).to_arrays() for _ in "ab")
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_single_precision_simulations_are_accepted():
    x = _simulate(np.random.default_rng(0), 200).astype(np.float32)
    assert 0 < fit_outlier_reference(jr.key(0), x).check(x[0]).p_value <= 1


@pytest.mark.stat
def test_tail_p_values_follow_the_tail():
    """Within a factor of 10 at one in a million, from 20 000 held-out values."""
    held_out = np.sort(np.random.default_rng(0).exponential(size=20_000))
    values = -np.log([0.5, 1e-2, 1e-4, 1e-6])
    p = tail_p_values(held_out, values)
    np.testing.assert_allclose(np.log10(p[:2]), np.log10([0.5, 1e-2]), atol=0.1)
    np.testing.assert_allclose(np.log10(p[2:]), [-4, -6], atol=1.0)
    heavy = genpareto(0.3)
    held_out = np.sort(heavy.rvs(size=20_000, random_state=1))
    p = tail_p_values(held_out, heavy.isf(np.array([1e-4, 1e-5])))
    np.testing.assert_allclose(np.log10(p), [-4, -5], atol=1.0)


def test_tail_p_values_decrease_even_for_constant_statistics():
    grid = np.linspace(-5, 50, 400)
    for held_out in (np.sort(norm.rvs(size=500, random_state=0)), np.zeros(100)):
        p = tail_p_values(held_out, grid)
        assert np.all(np.diff(p) <= 1e-15)
        assert p[-1] < 1e-3
        assert p[0] == 1.0


def test_errors_name_argument_and_value(reference):
    with pytest.raises(ValueError, match="20 numbers per simulation; got shape"):
        reference.check(np.zeros(19))
    with pytest.raises(ValueError, match="got 2 non-finite"):
        reference.check(np.array([np.nan, np.inf] + [0.0] * 18))
    with pytest.raises(ValueError, match=r"got x of shape \(49, 2\)"):
        fit_outlier_reference(jr.key(0), np.zeros((49, 2)))
    with pytest.raises(ValueError, match=r"got 0\.2 and 3000"):
        fit_outlier_reference(jr.key(0), np.zeros((99, 2)), num_references=3000)
    with pytest.raises(ValueError, match="Expected arrays"):
        OutlierReference.from_arrays({"center": np.zeros(2)})
