"""Is x_obs like the simulations?

Linear-Gaussian model with 3 parameters and 20 summaries, noise half the prior's spread.
An ensemble of three is trained with the first settings of `fit`; an alarm is any of
the warnings `W-ood` (entries of x), `W-ood-embedding` and `W-disagreement` that
`posterior.at(x_obs).warnings` holds. Their nominal rate of false alarms is 1.2 %
together; the last two see what reaches the networks, the first sees noise as well.
"""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from rows import Row, rate

import retrodict as rd


DESIGN = np.random.default_rng(3).normal(size=(3, 20)) / np.sqrt(3)
NOISE = 0.5
NUM = 1000
CODES = ("W-ood", "W-ood-embedding", "W-disagreement")


def simulator(key, theta):
    mean = jnp.stack([theta["a"], theta["b"], theta["c"]]) @ DESIGN
    return mean + NOISE * jr.normal(key, (20,))


def model():
    prior = rd.Prior(**{name: dist.Normal(0.0, 1.0) for name in "abc"})
    return rd.Model(prior, simulator, name="linear")


def fresh(seed, noise=NOISE):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(NUM, 3)) @ DESIGN + noise * rng.normal(size=(NUM, 20))


def warned(posterior, xs):
    """Return the messages of the alarms at each row of x, by their codes."""
    return [{w.code: w.message for w in posterior.at(x).warnings} for x in xs]


def measure(repetitions):
    simulations = rd.simulate(model(), 10_000, seed=0)
    posterior = rd.fit(simulations, effort="fast", num_members=3)
    usual = warned(posterior, fresh(21))
    yield rate("False alarm: in-distribution draws", _count(usual), NUM, most=0.02)
    wide = warned(posterior, fresh(22, noise=2 * NOISE))
    yield rate("Noise variance × 4", _count(wide), NUM, least=0.90)
    yield from _by_code("noise variance × 4", wide)
    xs, rng = fresh(23)[:repetitions], np.random.default_rng(24)
    column = rng.integers(20, size=len(xs))
    sd = np.sqrt((DESIGN**2).sum(0) + NOISE**2)
    xs[np.arange(len(xs)), column] += (rng.choice([-10, 10], len(xs))) * sd[column]
    moved = warned(posterior, xs)
    named = sum(
        f" x[{c}] (" in messages.get("W-ood", "")
        for c, messages in zip(column, moved, strict=True)
    )
    yield rate(
        "One of 20 summaries 10 sd off: alarm", _count(moved), len(xs), least=0.99
    )
    yield rate("One of 20 summaries 10 sd off: named", named, len(xs), least=0.99)
    yield from _by_code("one of 20 summaries 10 sd off", moved)


def _by_code(case, found):
    for code in CODES:
        count = sum(code in messages for messages in found)
        text = f"{count / len(found):.1%} ({count} of {len(found)})"
        yield Row(f"{case}: alarms of {code}", text, "reported", True)


def _count(found):
    return sum(bool(messages) for messages in found)
