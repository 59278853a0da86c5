"""Frequentist coverage at fixed theta beside the Bayesian average.

theta ~ N(0, 1), x ~ N(theta, 1): the posterior N(x/2, 1/2) is exact, its 90 % interval
is a perfect credible interval and no confidence interval. 2000 repetitions each; the
bound is four standard errors about the closed form.
"""

import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from rows import Row
from scipy import stats

import retrodict as rd
from retrodict.trust import frequentist_coverage
from trust.test_recalibrate import Gaussian


NUM = 2000


def measure(repetitions):
    del repetitions
    prior = rd.Prior(theta=dist.Normal(0.0, 1.0))
    model = rd.Model(prior, lambda key, t: t["theta"] + jr.normal(key, ()))
    truths = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    table = frequentist_coverage(
        Gaussian(), model, {"theta": truths}, num_repetitions=NUM
    )
    half = stats.norm.ppf(0.95) * np.sqrt(0.5)
    center = stats.norm(-truths / 2, 0.5)
    exact = center.cdf(half) - center.cdf(-half)
    shares = [*table.marginal[:, 0], table.bayesian_marginal[0]]
    titles = [f"theta = {t:g}" for t in truths] + ["theta drawn from the prior"]
    for title, share, truth in zip(titles, shares, [*exact, 0.9], strict=True):
        error = 4 * np.sqrt(truth * (1 - truth) / NUM) + 0.002
        claim = f"90 % credible interval holds the truth, {title}"
        bound = f"{truth:.1%} ± {error:.1%}"
        yield Row(claim, f"{share:.1%}", bound, abs(share - truth) <= error)
