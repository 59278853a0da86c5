"""Calibration at one observation, of posteriors that are known in closed form.

A normal mean with unit prior and noise: the posterior at x is N(x/2, 1/2). One seed
each; the family of checks raises a false alarm in 2 % of cases.
"""

import jax.random as jr
import numpy as np
import pytest
from scipy import stats

import retrodict as rd
from retrodict.model import Derived
from retrodict.posterior import Restricted
from retrodict.trust import Updated, replicates, validate_at
from trust.normal_pair import Gaussian, Widened, normal_pair


X_OBS = np.array(3.0)  # of which the prior gives few: 1 in 60 is as large


@pytest.fixture(scope="module")
def model():
    return normal_pair()


def narrow_above():
    """Exact where nearly all simulations from the prior lie, too narrow at x_obs."""
    return Widened(lambda x: np.where(x > 1.5, 0.6, 1.0))


@pytest.mark.stat
def test_an_exact_posterior_is_trusted(model):
    verdict = validate_at(Gaussian(), model, X_OBS, num_samples=64)
    assert verdict.verdict == "trusted", verdict.to_dict()
    assert verdict.num_simulations == 1000
    # Given two observations a third of the prior's variance is left.
    np.testing.assert_allclose(verdict.calibration.contraction, 2 / 3, atol=0.05)


@pytest.mark.stat
@pytest.mark.parametrize("asked", ["model", "derived"])
def test_an_error_near_the_observation_alone_is_found(asked, request):
    model = request.getfixturevalue(asked)
    verdict = validate_at(narrow_above(), model, X_OBS, num_samples=64)
    assert verdict.verdict != "trusted"
    assert any("too narrow" in check.message for check in verdict.checks)


def test_the_posterior_given_two_observations_is_that_of_the_closed_form(model):
    """N((x1 + x2)/3, 1/3). 1024 pool draws, 500 observations: to a tenth of an sd."""
    updated, found = replicates(Gaussian(), model, X_OBS, 500)
    assert isinstance(updated, Updated)
    theta = found.targets[:, 0]
    # Truths are draws at x_obs, simulated at: KS tests at level 1e-4.
    sd = np.sqrt(0.5)
    assert stats.kstest(theta, stats.norm(X_OBS / 2, sd).cdf).pvalue > 1e-4
    assert stats.kstest(found.x, stats.norm(X_OBS / 2, np.sqrt(1.5)).cdf).pvalue > 1e-4
    near = np.abs(found.x - X_OBS / 2) < 1.5  # farther out the pool has few draws
    xs = found.x[near][:50]
    mean, sd = (X_OBS + xs) / 3, np.sqrt(1 / 3)
    draws = updated.sample(jr.key(0), xs, 2000)[..., 0]
    assert np.abs((draws.mean(1) - mean) / sd).max() < 0.15
    np.testing.assert_allclose(draws.std(1), sd, rtol=0.15)
    points = draws[:, :20, None]
    exact = stats.norm(mean[:, None], sd).logpdf(points[..., 0])
    np.testing.assert_allclose(updated.log_prob(points, xs), exact, atol=0.15)


@pytest.fixture(scope="module")
def derived():
    """The same, where the density of the prior of the target is not told."""
    same = Derived(lambda t: t["theta"], support="real")
    return normal_pair(derive={"same": same}, infer=["same"])


@pytest.mark.stat
def test_a_derived_target_is_judged_in_the_cut_prior(derived):
    """Truths are those of the prior within 99 % of the draws; KS test at level 1e-4."""
    cut, found = replicates(Gaussian(), derived, X_OBS, 500)
    theta, half = found.targets[:, 0], stats.norm.ppf(0.995) * np.sqrt(0.5)
    ends = _ends(cut.region)
    np.testing.assert_allclose(ends, X_OBS / 2 + half * np.array([-1, 1]), atol=0.2)
    assert stats.kstest(theta, stats.truncnorm(*ends).cdf).pvalue > 1e-4
    verdict = validate_at(Gaussian(), derived, X_OBS, num_samples=64)
    assert verdict.verdict == "trusted", verdict.to_dict()


class Elsewhere(Widened):
    """Exact but for x below 1, where it is far from every truth."""

    def __init__(self):
        super().__init__(np.ones_like)

    def _at(self, xs):
        x, sd = super()._at(xs)
        return np.where(x < 1, 100.0, x), sd


def test_what_is_left_out_is_told(derived):
    """Two in three of the runs whose theta is like those at x_obs have x below 1."""
    cut, found = replicates(Elsewhere(), derived, X_OBS, 300)
    assert isinstance(cut, Restricted)
    assert 0.25 < len(found) / 300 < 0.45
    assert (found.x >= 1).all()
    verdict = validate_at(
        Elsewhere(), derived, X_OBS, num_simulations=300, num_samples=64
    )
    check = verdict.checks[-1]
    assert (check.code, check.status) == ("posterior-reaches", "warn")
    assert f"For {300 - len(found)} of 300" in check.message
    assert verdict.verdict == "caution"
    exact = validate_at(Gaussian(), derived, X_OBS, num_simulations=300, num_samples=64)
    assert exact.checks[-1].status == "pass"


def test_a_posterior_that_is_elsewhere_cannot_be_judged(derived):
    lost = Elsewhere()
    lost._at = lambda xs: (
        np.where(np.isclose(xs, X_OBS), X_OBS, 100.0).reshape(-1, 1),
        np.full((len(xs), 1), 0.5),
    )
    with pytest.raises(rd.DataError, match="reaches the truth of at least 20 of 100"):
        replicates(lost, derived, X_OBS, 100)


def _ends(region):
    grid = np.linspace(-2, 5, 70_001)
    inside = grid[region.contains(grid[:, None])]
    return np.array([inside.min(), inside.max()])
