"""Tests at one observation: an error that averages hide is found where it is.

One seed each; false alarms 2 % for the family, power measured in the documentation.
"""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from retrodict.model import Derived
from retrodict.trust import validate
from retrodict.trust.observation import ask_at, posterior_sbc
from trust.normal_pair import Gaussian, Widened, normal_pair


@pytest.fixture(scope="module")
def model():
    return normal_pair()


def one_sided():
    """Narrow for positive x, wide for negative."""
    return Widened(lambda x: np.where(x > 0, 0.6, 1.5))


def _local(verdict):
    return {c.code: c for c in verdict.checks if c.code.startswith("observation-")}


@pytest.mark.stat
def test_exact_posterior_is_trusted_at_an_observation(model):
    verdict = validate(Gaussian(), model, num_samples=32, x_obs=np.array(0.5))
    assert set(_local(verdict)) == {"observation-classifier", "observation-sbc"}
    assert verdict.verdict == "trusted", verdict.to_dict()


@pytest.mark.stat
@pytest.mark.parametrize(("x_obs", "word"), [(1.0, "narrow"), (-1.0, "wide")])
def test_local_errors_are_named_with_their_sign(model, x_obs, word):
    verdict = validate(one_sided(), model, num_samples=32, x_obs=np.array(x_obs))
    checks = _local(verdict)
    if word == "wide":  # too weak a test of widths above one
        checks.pop("observation-sbc")
    for check in checks.values():
        assert check.status != "pass"
        assert f"too {word}:" in check.message
        assert "x_obs" in check.message
        assert "Add simulations" in check.remedy


@pytest.mark.stat
def test_posterior_sbc_is_uniform_for_an_exact_posterior(model, getkey):
    """KS test at level 1e-4, any x_obs; it is a test of the network around x_obs."""
    here = ask_at(getkey(), Gaussian(), model, np.array(2.0), np.zeros(0))
    pit = posterior_sbc(getkey(), here)
    assert pit is not None
    assert pit.shape == (1000, 1)
    assert stats.kstest(pit[:, 0], "uniform").pvalue > 1e-4


def test_posterior_sbc_is_left_out_where_the_prior_has_no_density():
    twice = {"twice": Derived(lambda t: 2 * t["theta"], support="real")}
    model = normal_pair(derive=twice, infer=["twice"])

    class Twice(Gaussian):
        def sample(self, key, xs, num_samples):
            return 2 * super().sample(key, xs, num_samples)

        def log_prob(self, theta, xs):
            return super().log_prob(theta / 2, xs) - np.log(2)

    verdict = validate(
        Twice(), model, num_simulations=200, num_samples=16, x_obs=np.array(0.5)
    )
    assert set(_local(verdict)) == {"observation-classifier"}


def test_observation_is_read_in_the_order_of_the_simulations():
    features = importlib.import_module("retrodict.trust.validate")._features
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(100, 2)), "b": rng.normal(size=100)}
    swapped = {"b": x["b"][7], "a": x["a"][7]}
    rows, one = features(x, swapped)
    assert rows.shape[0] == 100
    np.testing.assert_allclose(one, features(x, {"a": x["a"][7], "b": x["b"][7]})[1])
    assert jnp.isfinite(one).all()
