"""Calibration at one observation, of posteriors that are known in closed form.

A normal mean with unit prior and noise: the posterior at x is N(x/2, 1/2). One seed
each; the family of checks raises a false alarm in 2 % of cases.
"""

import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict._core.errors import ModelError
from retrodict.model import Derived
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
def test_an_error_near_the_observation_alone_is_found(model):
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


def test_the_density_of_the_prior_must_be_known():
    square = Derived(lambda t: t["theta"] ** 2, support="positive")
    asked = normal_pair(derive={"square": square}, infer=["square"])
    with pytest.raises(ModelError, match=r"square.*infer"):
        replicates(Gaussian(), asked, X_OBS, 20)
