import importlib

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict._core.errors import DataError
from retrodict._core.seeds import numpy_generator
from retrodict.model import Derived, Model, Prior
from retrodict.simulations import simulate
from retrodict.trust import validate
from trust.linear_gaussian import normal_draws, normal_log_prob


DESIGN = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]])
NOISE = 0.6
COVARIANCE = np.linalg.inv(np.eye(2) + DESIGN @ DESIGN.T / NOISE**2)


def _simulator(key, theta):
    mean = jnp.stack([theta["a"], theta["b"]]) @ DESIGN
    return {"x": mean + NOISE * jr.normal(key, (3,)), "junk": jnp.zeros(())}


@pytest.fixture
def model():
    prior = Prior(a=dist.Normal(0.0, 1.0), b=dist.Normal(0.0, 1.0))
    return Model(prior, _simulator, name="linear")


class Exact:
    """The exact posterior, with its width as a knob; remembers what it was asked."""

    def __init__(self, width=1.0, first=0, dim=2):
        self.covariance = width**2 * COVARIANCE[first:, first:]
        self.first = first
        self.dim = dim
        self.shapes = []

    def _mean(self, xs):
        mean = np.asarray(xs["x"], dtype=float) @ DESIGN.T @ COVARIANCE / NOISE**2
        return mean[:, self.first :]

    def sample(self, key, xs, num_samples):
        self.shapes.append((len(xs["x"]), num_samples))
        rng = numpy_generator(key)
        return normal_draws(rng, self._mean(xs), self.covariance, num_samples)

    def log_prob(self, theta, xs):
        return normal_log_prob(theta, self._mean(xs), self.covariance)


@pytest.mark.stat
def test_exact_posterior_is_trusted_and_narrow_one_rejected(model):
    """One seed each; false alarm at most 2 %, power above 99 %."""
    verdict = validate(Exact(), model, num_simulations=500, num_samples=64)
    assert verdict.verdict == "trusted", verdict.to_dict()
    assert verdict.calibration.names == ("a", "b")
    assert verdict.num_simulations == 500
    narrow = validate(Exact(0.7), model, num_simulations=500, num_samples=64)
    assert narrow.verdict == "rejected"
    assert "over-confident (U-shaped ranks)" in narrow.checks[0].message


def test_same_seed_same_verdict_and_other_seed_other_numbers(model):
    first, again, other = (
        validate(Exact(), model, num_simulations=50, num_samples=16, seed=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.calibration.pit, again.calibration.pit)
    assert first.to_dict() == again.to_dict()
    assert not np.array_equal(first.calibration.pit, other.calibration.pit)


def test_test_simulations_are_not_the_training_ones(model):
    train = simulate(model, 100, seed=3)
    seen = []

    class Spy(Exact):
        def sample(self, key, xs, num_samples):
            seen.append(np.array(xs["x"]))
            return super().sample(key, xs, num_samples)

    validate(Spy(), model, num_simulations=100, num_samples=16, seed=3)
    tested = np.concatenate(seen)
    assert not np.isin(tested[:, 0], np.asarray(train.x["x"])[:, 0]).any()


def test_blocks_are_bounded_and_of_one_shape(model, monkeypatch):
    # The package binds the function under the module's name.
    module = importlib.import_module("retrodict.trust.validate")
    monkeypatch.setattr(module, "BLOCK_DRAWS", 1000)
    posterior = Exact()
    verdict = validate(posterior, model, num_simulations=101, num_samples=32)
    assert verdict.num_simulations == 101
    assert len(posterior.shapes) > 1
    assert len(set(posterior.shapes)) == 1
    rows, num_samples = posterior.shapes[0]
    assert rows * (num_samples + 1) <= 1000 + num_samples


def test_given_simulations_are_used_and_failures_counted(model):
    def sometimes(key, theta):
        x = _simulator(key, theta)
        return {**x, "x": jnp.where(theta["a"] > 0.3, jnp.nan, x["x"])}

    failing = Model(model.prior, sometimes, name="sometimes")
    sims = simulate(failing, 200, seed=5, stream="validation")
    verdict = validate(Exact(), failing, simulations=sims, num_samples=16)
    check = next(c for c in verdict.checks if c.code == "simulations-succeed")
    num_failed = len(sims) - sims.num_ok
    assert check.status == "warn"
    assert check.message.startswith(f"{num_failed} of 200")
    assert verdict.num_simulations == sims.num_ok
    with pytest.raises(DataError, match=r"at least 20 test simulations .* of 20"):
        validate(Exact(), failing, num_simulations=20)


def test_derived_target_is_judged_in_flat_order():
    prior = Prior(a=dist.Normal(0.0, 1.0), b=dist.Normal(0.0, 1.0))
    derive = {"copy": Derived(lambda theta: theta["b"] * 1.0, support="real")}
    model = Model(prior, _simulator, derive=derive, infer=["copy"])
    verdict = validate(
        Exact(first=1), model, num_simulations=300, num_samples=32, seed=1
    )
    assert verdict.calibration.names == ("copy",)
    assert verdict.verdict == "trusted", verdict.to_dict()


def test_wrong_posterior_is_a_clear_error(model):
    with pytest.raises(
        ValueError, match=r"draws of shape \(50, 16, 2\).*got \(50, 16, 1\)"
    ):
        validate(Exact(first=1), model, num_simulations=50, num_samples=16)


def test_single_precision_posterior_is_fine(model):
    class Single(Exact):
        def sample(self, key, xs, num_samples):
            return super().sample(key, xs, num_samples).astype(np.float32)

        def log_prob(self, theta, xs):
            return jax.numpy.asarray(super().log_prob(theta, xs), dtype=jnp.float32)

    verdict = validate(Single(), model, num_simulations=50, num_samples=16)
    assert verdict.calibration.pit.dtype == np.float64
