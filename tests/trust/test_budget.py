"""The budget adviser, against learning curves that are known."""

import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict._core.errors import DataError
from retrodict.model import Model, Prior
from retrodict.simulations import simulate
from retrodict.trust import advise_budget
from retrodict.trust.budget import fit_learning_curve
from trust.test_weights import SMALL


NUMBERS = np.array([500, 1000, 2000, 4000])


def _scores(limit, slope, exponent, noise=0.02, seed=0):
    """Judges with a spread of their own, which is common to all networks."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal(1000)
    mean = limit - slope * NUMBERS[:, None] ** -float(exponent)
    return mean + own + noise * rng.standard_normal((4, 1000))


def test_a_power_law_is_found_again():
    """Doubling wins b (n^-c - (2n)^-c) = 0.23 nats; the limit needs b/.05 = n^c."""
    found = fit_learning_curve(NUMBERS, _scores(1.0, 50.0, 0.5))
    guess, least, most = found.gain_doubled
    exact = 50 * (4000**-0.5 - 8000**-0.5)
    assert guess == pytest.approx(exact, rel=0.1)
    assert least <= exact <= most
    assert found.needed == pytest.approx((50 / 0.05) ** 2, rel=0.5)
    assert "would help" in found.sentence
    assert found.to_dict()["numbers"] == NUMBERS.tolist()


def test_flat_and_falling_curves_ask_for_nothing():
    for slope in (0.0, -20.0):
        found = fit_learning_curve(NUMBERS, _scores(1.0, slope, 1.0))
        assert "would change little" in found.sentence
        assert found.gain_doubled[2] < 0.05
        assert found.needed < 3 * NUMBERS[-1]


def test_what_a_few_points_cannot_tell_is_not_told():
    found = fit_learning_curve(NUMBERS, _scores(1.0, 5.0, 0.25))
    assert "more than 400000" in found.sentence


@pytest.mark.slow
def test_networks_are_trained_on_parts():
    prior = Prior(theta=dist.Normal(0.0, 1.0))
    model = Model(prior, lambda key, t: t["theta"] + jr.normal(key, (2,)))
    found = advise_budget(simulate(model, 600, seed=0), settings=SMALL)
    assert found.numbers.tolist() == [60, 120, 240, 480]
    assert np.isfinite(found.scores).all()
    assert found.sentence.startswith("More simulations than 480")
    with pytest.raises(DataError, match=r"Expected 600 or more .* got 599"):
        advise_budget(simulate(model, 599, seed=0))
