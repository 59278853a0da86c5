"""False alarms and power of the verdict, against posteriors known exactly."""

import jax.random as jr
import numpy as np
from rows import rate
from scipy import stats

from retrodict.trust import judge
from trust.linear_gaussian import (
    LinearGaussian,
    informative,
    normal_draws,
    normal_log_prob,
)


NUM = 1000
NUM_SAMPLES = 64
SILENT = LinearGaussian(np.zeros((2, 5)), 1.0)
CORRELATED = LinearGaussian(np.array([[1.0, 1.0], [1.0, 0.6]]), 0.7)


def linear(model, change, num=NUM):
    """Return seed -> arguments of ``judge``; ``change`` spoils the posterior."""

    def case(seed):
        rng = np.random.default_rng([seed, 11])
        theta, x = model.simulate(rng, num)
        mean, covariance = change(model.mean(x), model.covariance)
        draws = normal_draws(rng, mean, covariance, NUM_SAMPLES)
        true = normal_log_prob(theta[:, None], mean, covariance)[:, 0]
        return theta, draws, true, normal_log_prob(draws, mean, covariance), x

    return case


def exact(mean, covariance):
    return mean, covariance


def scaled(factor):
    return lambda mean, covariance: (mean, factor**2 * covariance)


def shifted(mean, covariance):
    return mean + 0.2 * np.sqrt(np.diag(covariance)), covariance


def prior(mean, covariance):
    return 0 * mean, np.eye(len(covariance))


def uncorrelated(mean, covariance):
    return mean, np.diag(np.diag(covariance))


def gamma_poisson(seed):
    """theta ~ Gamma(3, 1), x ~ five counts of rate theta."""
    rng = np.random.default_rng([seed, 12])
    theta = rng.gamma(3.0, 1.0, (NUM, 1))
    x = rng.poisson(theta, (NUM, 5)).astype(float)
    posterior = stats.gamma(3 + x.sum(1, keepdims=True), scale=1 / 6)
    draws = posterior.rvs((NUM, NUM_SAMPLES), random_state=rng)
    true, each = posterior.logpdf(theta), posterior.logpdf(draws)
    return theta, draws[..., None], true[:, 0], each, x


def beta_binomial(seed):
    """theta ~ Beta(2, 2), x successes of 12: discrete data."""
    rng = np.random.default_rng([seed, 13])
    theta = rng.beta(2.0, 2.0, (NUM, 1))
    x = rng.binomial(12, theta).astype(float)
    posterior = stats.beta(2 + x, 14 - x)
    draws = posterior.rvs((NUM, NUM_SAMPLES), random_state=rng)
    true, each = posterior.logpdf(theta), posterior.logpdf(draws)
    return theta, draws[..., None], true[:, 0], each, x


def lost_mode(seed):
    """theta is ±2 with equal odds, x sees its size only; q keeps the positive one."""
    rng = np.random.default_rng([seed, 14])
    theta = rng.choice([-2.0, 2.0], (NUM, 1)) + 0.3 * rng.normal(size=(NUM, 1))
    x = np.abs(theta) + 0.3 * rng.normal(size=(NUM, 1))
    mean, covariance = (x + 2) / 2, np.array([[0.045]])
    draws = normal_draws(rng, mean, covariance, NUM_SAMPLES)
    true = normal_log_prob(theta[:, None], mean, covariance)[:, 0]
    return theta, draws, true, normal_log_prob(draws, mean, covariance), x


def judged(case, seed):
    theta, draws, true, each, x = case(seed)
    return judge(jr.key(seed), theta, draws, true, each, x=x, seed=seed)


def alarms(case, repetitions, found):
    return sum(bool(found(judged(case, seed))) for seed in range(repetitions))


def not_trusted(verdict):
    return verdict.verdict != "trusted"


def says(word):
    def found(verdict):
        bad = [c.message for c in verdict.checks if c.status != "pass"]
        return any(word in message for message in bad)

    return found


def joint_alarm(verdict):
    bad = {c.code for c in verdict.checks if c.status != "pass"}
    return any(code.startswith("joint-") for code in bad)


FALSE = {
    "3 parameters, 6 summaries": linear(informative(), exact),
    "1 parameter": linear(informative(1), exact),
    "10 parameters": linear(informative(10, 12), exact),
    "100 test simulations": linear(informative(), exact, num=100),
    "uninformative: the posterior is the prior": linear(SILENT, exact),
    "Gamma-Poisson": gamma_poisson,
    "Beta-binomial": beta_binomial,
}
POWER = {
    "sd × 0.8 called too narrow": (
        linear(informative(), scaled(0.8)),
        says("too narrow:"),
        0.99,
    ),
    "sd × 1.25 called too wide": (
        linear(informative(), scaled(1.25)),
        says("too wide:"),
        0.99,
    ),
    "mean + 0.2 sd called biased high": (
        linear(informative(), shifted),
        says("biased high"),
        0.95,
    ),
    "posterior = prior, informative data": (
        linear(informative(), prior),
        not_trusted,
        0.99,
    ),
    "one of two modes lost": (lost_mode, not_trusted, 0.99),
    "right marginals, wrong correlation, by a joint test": (
        linear(CORRELATED, uncorrelated),
        joint_alarm,
        0.99,
    ),
}


def measure(repetitions):
    """Yield the rows of false alarms and of power."""
    for name, case in FALSE.items():
        count = alarms(case, repetitions, not_trusted)
        claim = f"False alarm, exact posterior: {name}"
        yield rate(claim, count, repetitions, most=0.04)
    for name, (case, found, least) in POWER.items():
        count = alarms(case, repetitions, found)
        yield rate(f"Power: {name}", count, repetitions, least=least)
