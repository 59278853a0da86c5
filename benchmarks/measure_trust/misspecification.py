"""Is x_obs like the simulations?

Linear-Gaussian model with 3 parameters and 20 summaries, noise half the prior's spread.
A posterior is trained with the default settings of `fit` for one network; its alarm is
what `posterior.at(x_obs).warnings` holds.
"""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from rows import rate

import retrodict as rd


DESIGN = np.random.default_rng(3).normal(size=(3, 20)) / np.sqrt(3)
NOISE = 0.5
NUM = 1000


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
    """Return the text of the alarm at each row of x, or None."""
    found = []
    for x in xs:
        warnings = [w for w in posterior.at(x).warnings if w.code.startswith("W-ood")]
        found.append(" ".join(w.message for w in warnings) if warnings else None)
    return found


def measure(repetitions):
    posterior = rd.fit(rd.simulate(model(), 10_000, seed=0), effort="fast")
    usual = warned(posterior, fresh(1))
    yield rate("False alarm: in-distribution draws", _count(usual), NUM, most=0.02)
    wide = warned(posterior, fresh(2, noise=2 * NOISE))
    yield rate("Noise variance × 4", _count(wide), NUM, least=0.90)
    xs, rng = fresh(3)[:repetitions], np.random.default_rng(4)
    column = rng.integers(20, size=len(xs))
    sd = np.sqrt((DESIGN**2).sum(0) + NOISE**2)
    xs[np.arange(len(xs)), column] += (rng.choice([-10, 10], len(xs))) * sd[column]
    moved = warned(posterior, xs)
    named = sum(
        message is not None and f" x[{c}] (" in message
        for c, message in zip(column, moved, strict=True)
    )
    yield rate(
        "One of 20 summaries 10 sd off: alarm", _count(moved), len(xs), least=0.99
    )
    yield rate("One of 20 summaries 10 sd off: named", named, len(xs), least=0.99)


def _count(messages):
    return sum(message is not None for message in messages)
