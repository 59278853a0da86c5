"""Correction against posteriors whose right width is known in closed form."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from retrodict._core.errors import DataError
from retrodict.model import Derived, Model, Prior
from retrodict.simulations import simulate
from retrodict.trust import Bridge, recalibrate
from retrodict.trust.bridge import reference_of
from retrodict.trust.recalibrate import adjusted_levels
from trust.normal_pair import Gaussian, normal_pair


@pytest.fixture(scope="module")
def model():
    return normal_pair()


@pytest.fixture(scope="module")
def simulations(model):
    return simulate(model, 2000, seed=0, stream="recalibrate")


def test_bridge_has_the_density_of_a_tempered_gaussian(model):
    """q^b p^(1-b) of two normals is a normal: its precision is the weighted mean."""
    narrow, xs = Gaussian(0.6), np.array([0.8])
    bridge = Bridge(narrow, reference_of(model, np.zeros((1, 1))), power=0.7)
    precision = 0.7 / narrow.sd**2 + 0.3
    exact = stats.norm(0.7 * 0.4 / narrow.sd**2 / precision, precision**-0.5)
    theta = np.linspace(-1.0, 2.0, 7)[None, :, None]
    # Z is a mean over 128 draws with relative sd .03: five of those.
    np.testing.assert_allclose(
        bridge.log_prob(theta, xs)[0], exact.logpdf(theta[0, :, 0]), atol=0.15
    )
    draws = bridge.sample(jr.key(0), np.full(200, 0.8), 50).ravel()
    # Draws of one x come from one pool of 100: about 10 000 of 20 000 count.
    assert draws.mean() == pytest.approx(exact.mean(), abs=5 * exact.std() / 100)
    assert draws.std() == pytest.approx(exact.std(), rel=0.05)


def test_bridge_with_a_share_of_prior_integrates_to_one(model):
    bridge = Bridge(Gaussian(0.5), reference_of(model, np.zeros((1, 1))), 0.8, 0.2)
    grid = np.linspace(-8, 8, 4001)[None, :, None]
    density = np.exp(bridge.log_prob(grid, np.array([1.0])))[0]
    assert density.sum() * 16 / 4000 == pytest.approx(1.0, abs=0.1)
    assert bridge.log_prob(np.full((1, 1, 1), 7.0), np.array([1.0]))[0, 0] > -30


def test_share_of_prior_is_drawn(model):
    bridge = Bridge(Gaussian(0.01), reference_of(model, np.zeros((1, 1))), 1.0, 0.3)
    draws = bridge.sample(jr.key(0), np.zeros(400), 50)
    outside = np.mean(np.abs(draws) > 0.1)
    # .3 of the mass, less the .08 of N(0,1) within .1; sd .0032, six of those.
    assert outside == pytest.approx(0.3 * 0.92, abs=0.02)


@pytest.mark.stat
def test_narrow_posterior_leaves_with_coverage_and_a_better_score(simulations):
    """One seed; each level is below its bound with probability .001."""
    found = recalibrate(Gaussian(0.6), simulations, proof_fraction=0.5)
    proof = found.proof
    assert not (proof.before >= proof.least).any()
    assert proof.covers
    assert (proof.after < proof.credible_levels + 0.15).all()  # not the prior
    assert proof.log_score_after > proof.log_score_before
    assert 1.2 < proof.width_ratio[0] < 2.2  # the truth is 1 / .6
    exact = stats.norm(0, np.sqrt(0.5)).entropy()
    assert proof.log_score_after == pytest.approx(-exact, abs=0.1)
    assert "used for nothing else" in proof.headline
    assert proof.to_dict()["covers"] is True


@pytest.mark.stat
def test_exact_posterior_is_hardly_touched(simulations):
    """On seven other seeds all cover, and intervals are 1.03 to 1.10 times as wide."""
    proof = recalibrate(Gaussian(), simulations).proof
    assert proof.covers
    assert proof.width_ratio[0] < 1.25  # one standard error of caution at 12 levels
    assert proof.log_score_after > proof.log_score_before - 0.1


@pytest.mark.stat
def test_marginal_intervals_hold_the_truth_on_other_simulations(model, simulations):
    """A biased posterior has its 80 % interval moved; sd of the share is .013."""

    class Biased(Gaussian):
        def sample(self, key, xs, num_samples):
            return super().sample(key, xs, num_samples) + 0.4

        def log_prob(self, theta, xs):
            return super().log_prob(theta - 0.4, xs)

    found = recalibrate(Biased(), simulations)
    fresh = simulate(model, 1000, seed=9)
    low, high = np.moveaxis(found.quantiles(jr.key(1), fresh.x, [0.1, 0.9]), 1, 0)
    inside = (fresh.targets >= low) & (fresh.targets <= high)
    assert inside.mean() == pytest.approx(0.8, abs=0.06)
    below = np.mean(fresh.targets < low)
    assert below == pytest.approx(0.1, abs=0.05)


def test_levels_are_rounded_away_from_the_center():
    pit = (np.arange(1, 10) / 10)[:, None]
    read = adjusted_levels(pit, np.array([0.01, 0.14, 0.5, 0.86, 0.99]))
    np.testing.assert_allclose(read[:, 0], [0.0, 0.1, 0.5, 0.9, 1.0])


def test_derived_targets_are_widened_toward_a_normal_fit():
    prior = Prior(a=dist.LogNormal(0.0, 0.5), b=dist.LogNormal(0.0, 0.5))
    product = Derived(lambda t: t["a"] * t["b"], support="positive")
    model = Model(
        prior,
        lambda key, t: jnp.log(t["a"] * t["b"]) + jr.normal(key, ()),
        derive={"ab": product},
        infer=["ab"],
    )
    theta = simulate(model, 4000, seed=0).targets
    reference = reference_of(model, theta)
    assert model.target_prior() is None
    exact = stats.lognorm(np.sqrt(0.5))
    grid = np.linspace(0.2, 5, 9)[:, None]
    # The fit's sd is (q95 - q05) / 2, that is 1.64 times the normal's: wide on purpose.
    wide = stats.lognorm(1.645 * np.sqrt(0.5))
    np.testing.assert_allclose(
        reference.log_prob(grid), wide.logpdf(grid[:, 0]), atol=0.15
    )
    assert reference.log_prob(np.array([[-1.0]]))[0] == -np.inf
    assert reference.draw(jr.key(0), 100).min() > 0
    assert exact.median() == pytest.approx(np.median(theta), rel=0.1)


def test_too_few_simulations_and_bad_fractions_are_refused(simulations):
    with pytest.raises(DataError, match=r"Expected 100 or more .* got 50 and 50"):
        recalibrate(Gaussian(), simulations[:100])
    with pytest.raises(ValueError, match=r"proof_fraction: .* got 1\.5"):
        recalibrate(Gaussian(), simulations, proof_fraction=1.5)
