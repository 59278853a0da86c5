"""What the data inform, with nuisances whose worth is known in closed form."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict.model import Model, Nuisance, Prior
from retrodict.simulations import simulate
from retrodict.trust import informed, validate
from retrodict.trust.informed import Informed
from retrodict.trust.nuisance import nuisance_coordinates, width_if_known
from trust.linear_gaussian import normal_draws, normal_log_prob


DESIGN = np.array([[1.0, 0.3, 0.0, 0.5], [0.0, 1.0, 0.4, -0.2], [0.8, 0.5, 0.0, 1.0]])
NOISE = 0.3  # theta is a and b; the third row belongs to the nuisance


@pytest.fixture(scope="module")
def model():
    def simulator(key, theta):
        every = jnp.stack([theta["a"], theta["b"], theta["offset"]])
        return every @ DESIGN + NOISE * jr.normal(key, (4,))

    normal = dist.Normal(0.0, 1.0)
    return Model(Prior(a=normal, b=normal, offset=Nuisance(normal)), simulator)


def _covariance(design, noise_covariance):
    precision = np.eye(2) + design @ np.linalg.solve(noise_covariance, design.T)
    return np.linalg.inv(precision)


FIXED = NOISE**2 * np.eye(4)
MARGINAL = FIXED + np.outer(DESIGN[2], DESIGN[2])
COVARIANCE = _covariance(DESIGN[:2], MARGINAL)
EXACT_RATIO = np.sqrt(np.diag(_covariance(DESIGN[:2], FIXED)) / np.diag(COVARIANCE))


class Marginal:
    """The exact posterior of a and b, offset marginalized."""

    def _mean(self, xs):
        return np.asarray(xs) @ np.linalg.solve(MARGINAL, DESIGN[:2].T) @ COVARIANCE

    def sample(self, key, xs, num_samples):
        rng = np.random.default_rng(np.asarray(jr.key_data(key)))
        return normal_draws(rng, self._mean(xs), COVARIANCE, num_samples)

    def log_prob(self, theta, xs):
        return normal_log_prob(theta, self._mean(xs), COVARIANCE)


@pytest.mark.stat
def test_fixed_nuisances_narrow_by_the_closed_form(model):
    """Shares .60 and .91 in closed form; 1000 rows, error of a ratio about .02."""
    verdict = validate(Marginal(), model, num_samples=64, seed=0)
    found = verdict.calibration.width_if_known
    np.testing.assert_allclose(found, EXACT_RATIO, atol=0.06)
    assert verdict.verdict == "trusted", verdict.to_dict()
    sims = simulate(model, 300, seed=1)
    draws = Marginal().sample(jr.key(0), np.asarray(sims.x)[:1], 500)[0]
    report = informed(jr.key(1), Marginal(), sims, draws, found)
    assert "Not knowing offset widens the posterior" in report.nuisance_sentence
    assert f"a {found[0]:.2f}" in report.nuisance_sentence
    told = report.to_dict()
    assert told["width_if_nuisances_known"]["a"] == pytest.approx(found[0])
    prior_sd = sims.targets.std(axis=0)
    expected = np.sqrt(np.diag(COVARIANCE)) / prior_sd
    np.testing.assert_allclose(report.average.remaining, expected, rtol=0.05)


def test_without_nuisances_nothing_is_said(model):
    every = Model(model.prior, lambda key, t: t["a"], infer=["a", "b", "offset"])
    theta = {name: np.zeros(5) for name in ("a", "b", "offset")}
    assert nuisance_coordinates(every, theta).shape == (5, 0)
    assert width_if_known(np.full((5, 1), 0.5), np.zeros((5, 0)), np.zeros((5, 0))) is (
        None
    )


def test_useless_knowledge_is_called_that(model):
    rng = np.random.default_rng(0)
    found = width_if_known(
        rng.random((900, 1)),
        rng.standard_normal((900, 4)),
        rng.standard_normal((900, 3)),
    )
    assert found[0] > 0.98
    sims = simulate(model, 100, seed=1)
    draws = rng.standard_normal((500, 2))
    report = informed(jr.key(1), Marginal(), sims, draws, np.array([0.99, 1.0]))
    assert report.nuisance_sentence == "Knowing offset would make no interval narrower."
    many = Informed(report.here, report.average, tuple("uvwxyz"), {"a": 0.5})
    assert "u, v, w and 3 more nuisances" in many.nuisance_sentence


def test_modes_that_mirror_each_other_are_no_ridge(model):
    """Exchangeable a and b, well known as a pair: two narrow modes, far apart."""
    normal = dist.Normal(0.0, 1.0)
    mirrored = Model(
        Prior(a=normal, b=normal), lambda key, theta: theta["a"] + theta["b"]
    )
    declared = mirrored.with_symmetries([{"a": "b", "b": "a"}])

    class Mirrored(Marginal):
        def sample(self, key, xs, num_samples):
            rng = np.random.default_rng(0)
            pair = np.sort(rng.normal([-1.0, 1.0], 0.05, (len(xs), num_samples, 2)))
            return np.where(rng.random((len(xs), num_samples, 1)) < 0.5, pair, -pair)

    def report(of):
        sims = simulate(of, 300, seed=1)
        draws = Mirrored().sample(jr.key(0), np.asarray(sims.x)[:1], 500)[0]
        return informed(jr.key(1), Mirrored(), sims, draws)

    untold, told = report(mirrored), report(declared)
    assert untold.here.ridges
    assert not told.here.ridges
    assert max(told.here.remaining) < 0.1 < min(untold.here.remaining)
    assert "(a = b, b = a)" in told.symmetry_sentence
    assert not untold.symmetry_sentence
