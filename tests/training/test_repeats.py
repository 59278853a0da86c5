"""Repeated measurements are found, and nothing else is taken for them."""

import tracemalloc

import numpy as np
import pytest

from retrodict.bench import load_task
from retrodict.simulations import simulate
from retrodict.training.repeats import have_more_in_common, repeated_rows


def _rows(seed, *, odd=None, count=1000):
    """Return theta and four pairs; one entry may be odd in one way."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1, 1, (count, 2))
    pairs = theta[:, None] + rng.standard_normal((count, 4, 2))
    if odd == "mean":
        pairs[:, 3, 1] += 0.25
    elif odd == "spread":
        pairs[:, 3, 1] *= 1.25
    elif odd == "slope":
        pairs[:, 3, 1] += theta[:, 0]
    elif odd == "scatter":
        pairs[:, 3, 1] = 1.3 * theta[:, 0] * rng.standard_normal(count)
    elif odd == "pairing":
        pairs[:, 3, 1] = theta[:, 1] + pairs[:, 3, 0] - theta[:, 0]
    return theta, pairs.reshape(count, 8)


def test_four_pairs_are_four_rows():
    assert repeated_rows(*_rows(0)) == 4


def test_rows_of_equal_law_are_seldom_missed():
    """200 data sets: at most 1 % of each are missed by design, 7 of 200 by chance."""
    found = [repeated_rows(*_rows(seed, count=300)) for seed in range(200)]
    assert sum(rows != 4 for rows in found) <= 7  # false alarm of this test: .1 %


def test_entries_that_go_together_in_pairs_are_pairs():
    """Eight entries of one law, of which two and two depend on each other."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, (1000, 1))
    common, own = rng.standard_normal((2, 1000, 4, 2))
    pairs = theta[:, None] + common[..., :1] + 0.5 * own
    assert repeated_rows(theta, pairs.reshape(1000, 8)) == 4


@pytest.mark.parametrize("odd", ["mean", "spread", "slope", "scatter", "pairing"])
def test_an_odd_entry_forbids_it(odd):
    assert repeated_rows(*_rows(0, odd=odd)) == 1


def test_few_simulations_show_nothing():
    assert repeated_rows(*_rows(0, count=150)) == 1


def test_counts_with_ties_are_compared():
    rng = np.random.default_rng(0)
    rate = rng.uniform(1, 4, (1000, 1))
    assert repeated_rows(rate, rng.poisson(rate, (1000, 6)).astype(float)) == 6


@pytest.mark.parametrize(
    ("task", "rows"),
    [("slcp", 4), ("gaussian_linear", 1), ("two_moons", 1), ("sir", 1)],
)
def test_of_the_tasks_slcp_alone_repeats_itself(task, rows):
    sims = simulate(load_task(task).model, 1000, seed=0)
    assert repeated_rows(np.asarray(sims.targets), np.asarray(sims.x)) == rows


def test_independent_rows_have_nothing_more_in_common():
    """A bound of .1 is four standard errors; 1200 correlations, false alarms .07."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 300, 4, 2))
    assert not any(map(have_more_in_common, noise))


@pytest.mark.parametrize("what", ["shift", "size", "other entry"])
def test_what_rows_have_in_common_is_seen(what):
    """Correlations of .2 to .4, with a standard error of .03."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((300, 4, 2))
    common = rng.standard_normal((300, 1))
    if what == "shift":
        noise[..., 0] += 0.5 * common
    elif what == "size":
        noise[..., 1] *= np.exp(0.6 * common)
    else:
        noise[:, :2, 0] += 0.9 * common
        noise[:, 2:, 1] += 0.9 * common
    noise /= noise.std((0, 1))
    assert have_more_in_common(noise)


def test_many_rows_need_less_in_common_to_be_seen():
    """Of 40 rows a correlation of .05 makes a mean of all three times as uncertain."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((300, 40, 1))
    assert not have_more_in_common(noise)
    noise += 0.23 * rng.standard_normal((300, 1, 1))
    assert have_more_in_common(noise / noise.std())


def test_noise_that_is_no_number_shows_nothing_to_rely_on():
    assert have_more_in_common(np.full((300, 4, 2), np.nan))


def test_many_columns_are_compared_in_little_memory():
    """Of 400 entries all pairs would be 1.9 GB for each product."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, (3000, 1))
    x = theta + rng.standard_normal((3000, 400))
    tracemalloc.start()
    assert repeated_rows(theta, x) == 400
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e8
