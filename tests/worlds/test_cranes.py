import csv

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats
from scipy.linalg import expm

from retrodict.worlds import _birth_death as birth_death
from retrodict.worlds import cranes


POINT = (0.1812, 0.1489, 0.3157)


def rates(point=POINT):
    return birth_death.Rates(*map(jnp.asarray, point))


def pmf(point, start, time, size=400):
    with jax.enable_x64(True):
        after = np.arange(float(size))
        before = np.full(size, float(start))
        return np.exp(
            np.asarray(birth_death.log_pmf(rates(point), before, after, time))
        )


def test_the_series_is_that_of_the_data_set(data_folder):
    file = data_folder / "whooping_cranes" / "whooping_crane_females.csv"
    with file.open() as rows:
        pairs = [(int(r["year"]), int(r["count"])) for r in csv.DictReader(rows)]
    assert pairs == list(zip(cranes.YEARS, cranes.FEMALES, strict=True))


def test_the_transition_law_has_its_known_sum_and_moments():
    p, j = pmf(POINT, 20, 5.0), np.arange(400)
    mean = p @ j
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert mean == pytest.approx(25.2185611, abs=1e-7)
    assert p @ j**2 - mean**2 == pytest.approx(45.5017321, abs=1e-6)


@pytest.mark.parametrize("point", [POINT, (0.3, 0.3, 1.0), (0.2, 0.6, 2.0)])
def test_the_transition_law_is_the_exponential_of_the_generator(point):
    """Equal rates included, where the formula is a limit."""
    lam, mu, nu = point
    n = np.arange(300.0)
    up, down = lam * n + nu, mu * n
    generator = np.diag(up[:-1], 1) + np.diag(down[1:], -1) - np.diag(up + down)
    expected = expm(generator * 1.5)[12, :100]
    np.testing.assert_allclose(pmf(point, 12, 1.5, 100), expected, atol=1e-12)


@pytest.mark.stat
@pytest.mark.parametrize("sampler", ["exact", "events", "leaps"])
def test_samplers_follow_the_transition_law(sampler):
    """Chi-squared at level 1e-4 for three samplers: 3e-4.

    Leaps of a hundredth of a year are biased by far less than 2000 draws can show.
    """
    draw = {
        "exact": lambda key: birth_death.draw_later(key, rates(), jnp.array(9.0), 1.0),
        "events": lambda key: birth_death.draw_by_events(
            key, rates(), jnp.array(9.0), 1.0
        ),
        "leaps": lambda key: birth_death.draw_by_leaps(
            key, rates(), jnp.array(9.0), time=1.0, leaps=100
        ),
    }[sampler]
    draws = np.asarray(jax.jit(jax.vmap(draw))(jr.split(jr.key(3), 2000)))
    p = pmf(POINT, 9, 1.0, 60)
    counts = np.bincount(draws.astype(int), minlength=60)[:60]
    common = p * 2000 > 5
    seen = np.append(counts[common], counts[~common].sum())
    expected = np.append(p[common], p[~common].sum())
    assert stats.chisquare(seen, 2000 * expected / expected.sum()).pvalue > 1e-4


def test_the_estimate_is_the_published_one():
    """BirDePy: .1812, .1489, .3157, standard errors .0317, .0294, .4768."""
    estimate, errors = cranes.maximum_likelihood()
    np.testing.assert_allclose(estimate, POINT, atol=5.1e-5)
    np.testing.assert_allclose(errors, (0.0317, 0.0294, 0.4768), atol=1.1e-4)


def test_steps_are_the_counts():
    counts = np.array(cranes.FEMALES[1:], float)
    x = {"steps": cranes.as_steps(counts)}
    np.testing.assert_array_equal(cranes.as_counts(x)["females"], counts)
    rows = {"steps": np.stack([x["steps"]] * 2)}
    assert cranes.as_counts(rows)["females"].shape == (2, 71)


def test_moments_are_the_rates_of_a_long_lived_flock():
    """The estimate of growth over 400 flocks is within 4 standard errors: 1e-4.

    In a year of growth the variance of a step is .377 per head, not lam + mu = .35, and
    immigrants add to it in small flocks.
    """
    theta = {"lam": jnp.array(0.2), "mu": jnp.array(0.15), "nu": jnp.array(3.0)}
    draw = jax.jit(jax.vmap(lambda key: cranes.simulator(key, theta)["moments"]))
    found = np.asarray(draw(jr.split(jr.key(8), 400)), float)
    lam, mu = 1 / (1 + np.exp(-found[:, 0])), 1 / (1 + np.exp(-found[:, 1]))
    growth = 0.03 * np.sinh(found[:, 3])
    np.testing.assert_allclose(lam - mu, growth, atol=1e-4)
    error = growth.std() / 20
    assert abs(growth.mean() - np.expm1(0.05)) < 4 * error + 0.002
    assert 0.36 < (lam + mu).mean() < 0.42


def test_steps_to_the_ceiling_do_not_count():
    """A flock that grows by 40 % a year for ever: growth is .4, not an average of 0."""
    counts = np.minimum(9 * 1.4 ** np.arange(1, 72.0), birth_death.MOST)
    moments = cranes.as_x(counts)["moments"]
    assert 0.03 * np.sinh(moments[3]) == pytest.approx(0.4, abs=0.01)


def test_growth_without_bound_stops():
    theta = {"lam": jnp.array(0.99), "mu": jnp.array(0.01), "nu": jnp.array(5.0)}
    counts = np.asarray(cranes.simulate_counts(jr.key(0), theta))
    assert np.isfinite(counts).all()
    assert counts[-1] == birth_death.MOST
