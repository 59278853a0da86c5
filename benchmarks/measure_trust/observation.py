"""Tests at one observation: local classifier and posterior SBC.

`rd.validate(posterior, model, x_obs=...)` with 1000 test simulations of a
linear-Gaussian model with 3 parameters; the tests at x_obs join the family. Twenty
repetitions each, with an observation of its own. The power is what it is: a test at one
observation sees less than an average over all, and posterior SBC least.
"""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from rows import Row, rate

import retrodict as rd
from retrodict._core.seeds import numpy_generator
from trust.linear_gaussian import informative, normal_draws, normal_log_prob


LINEAR = informative()
LOCAL = ("observation-classifier", "observation-sbc")


def simulator(key, theta):
    mean = jnp.stack([theta["a"], theta["b"], theta["c"]]) @ LINEAR.design
    return mean + LINEAR.noise * jr.normal(key, (6,))


MODEL = rd.Model(rd.Prior(**{n: dist.Normal(0.0, 1.0) for n in "abc"}), simulator)


class Scaled:
    """The exact posterior, its width a function of x."""

    def __init__(self, width):
        self.width = width

    def _mean(self, xs):
        return LINEAR.mean(np.asarray(xs, float))

    def sample(self, key, xs, num_samples):
        mean = self._mean(xs)
        draws = normal_draws(
            numpy_generator(key), 0 * mean, LINEAR.covariance, num_samples
        )
        return mean[:, None] + self.width(xs)[:, None, None] * draws

    def log_prob(self, theta, xs):
        mean, width = self._mean(xs), self.width(xs)[:, None]
        white = mean[:, None] + (theta - mean[:, None]) / width[..., None]
        density = normal_log_prob(white, mean, LINEAR.covariance)
        return density - theta.shape[-1] * np.log(width)


def one_sided(xs):
    """Narrow where the first summary is positive, wide where it is negative."""
    return np.where(np.asarray(xs)[:, 0] > 0, 0.7, 1.4)


def measure(repetitions):
    del repetitions
    exact = Scaled(lambda xs: np.ones(len(xs)))
    found = [_validate(exact, seed, sign=0) for seed in range(20)]
    count = sum(verdict.verdict != "trusted" for verdict in found)
    yield rate("False alarm: exact posterior, averages and x_obs", count, 20, most=0.04)
    for width, word, name in (
        (lambda xs: np.full(len(xs), 0.8), "too narrow:", "sd × 0.8"),
        (one_sided, "too narrow:", "narrow for half of all x, at such an x"),
    ):
        found = [_validate(Scaled(width), seed, sign=1) for seed in range(20)]
        for code in LOCAL:
            count = sum(_says(verdict, code, word) for verdict in found)
            claim = f"{name}: called too narrow by {code}"
            yield Row(claim, f"{count / 20:.0%} ({count} of 20)", "reported", True)


def _validate(posterior, seed, *, sign):
    x = np.asarray(rd.simulate(MODEL, 50, seed=seed, stream="observed").x, float)
    x_obs = x[0] if not sign else x[np.argmax(x[:, 0] * sign > 0.5)]
    return rd.validate(posterior, MODEL, num_samples=64, seed=seed, x_obs=x_obs)


def _says(verdict, code, word):
    check = next(c for c in verdict.checks if c.code == code)
    return check.status != "pass" and word in check.message
