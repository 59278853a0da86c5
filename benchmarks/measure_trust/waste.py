"""Calibrated, but wider than the data allow: the check `width-needed`.

1000 test simulations. A posterior that ignores four of six summaries is calibrated, and
passes every test of ranks; so does the prior where x holds the truth times a random
sign, and the sign, so that no linear regression on x sees it. Exact posteriors, of data
that inform and of data that do not, must be trusted.
"""

import numpy as np
from rows import rate
from verdict import NUM, NUM_SAMPLES, SILENT, exact, judged, linear, not_trusted

from trust.linear_gaussian import (
    LinearGaussian,
    informative,
    normal_draws,
    normal_log_prob,
)


FEW = 200


def two_of_six(seed):
    """Return the exact posterior given the first two summaries; x has all six."""
    model, rng = informative(), np.random.default_rng([seed, 15])
    part = LinearGaussian(model.design[:, :2], model.noise)
    theta, x = model.simulate(rng, NUM)
    mean, covariance = part.mean(x[:, :2]), part.covariance
    draws = normal_draws(rng, mean, covariance, NUM_SAMPLES)
    true = normal_log_prob(theta[:, None], mean, covariance)[:, 0]
    return theta, draws, true, normal_log_prob(draws, mean, covariance), x


def signed(seed):
    """Return the prior; x is the truth times a random sign, noisy, and the sign."""
    rng = np.random.default_rng([seed, 16])
    theta, sign = rng.standard_normal((NUM, 1)), rng.choice([-1.0, 1.0], (NUM, 1))
    seen = sign * theta + 0.3 * rng.standard_normal((NUM, 1))
    draws = rng.standard_normal((NUM, NUM_SAMPLES, 1))
    x = np.concatenate([seen, sign], axis=1)
    return theta, draws, -0.5 * theta[:, 0] ** 2, -0.5 * draws[..., 0] ** 2, x


def wasteful(verdict):
    return any(c.code == "width-needed" and c.status != "pass" for c in verdict.checks)


def measure(repetitions):
    for name, model in (("informative", informative()), ("uninformative", SILENT)):
        found = [judged(linear(model, exact), seed) for seed in range(repetitions)]
        for title, says in (("any check", not_trusted), ("width-needed", wasteful)):
            count = sum(map(says, found))
            claim = f"False alarm of {title}, exact posterior of {name} data"
            yield rate(claim, count, repetitions, most=0.04)
    few = min(FEW, repetitions)
    for name, case in (
        ("four of six summaries ignored", two_of_six),
        ("the prior, seen by no linear regression", signed),
    ):
        count = sum(wasteful(judged(case, seed)) for seed in range(few))
        yield rate(f"Power of width-needed: {name}", count, few, least=0.99)
