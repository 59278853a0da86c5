r"""Lorenz 96 on two scales: four parameters from climate statistics.

Source: Schneider et al. (2017), doi:10.1002/2017GL076101, for problem and statistics;
errors published for neural posterior estimation with 500 simulations: mean absolute
percentage errors of the posterior mean 15.5 (F), 5.9 (h), 23.6 (c) and 9.4 (b).
Deviations from the source: variances in time are given beside the means, and three
numbers that the balances of energy say about the parameters; with 500 simulations they
gave .9 nats. The spin-up is given too: in a fifth of the box everything comes to rest,
and then no climate tells F from c.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..model import Axis, Model, Prior, Study
from ..simulations import simulate
from ._lorenz96 import Climate, J, climate_statistics


Theta = Mapping[str, Array]

NAMES = ("F", "h", "c", "b")
TRUTH = {"F": 10.0, "h": 1.0, "c": 10.0, "b": 10.0}
DURATION = 100.0
NUM_TEST = 200
STATISTICS = "means, then variances: X, mean Y, X², X mean Y, mean Y²"
RELATIVE = "over that at truth"
LARGEST = 50.0  # of a balance

DESCRIPTION = """The toy atmosphere with clouds: each of 36 slow variables drives ten
fast and small ones and is braked by their average. Four numbers set the climate: the
forcing F, the coupling h, and how much faster (c) and smaller (b) the fast variables
are. The network reads them from ten statistics of the climate over 100 units of time,
from the same of the ten units before, in which a random state settles, and from what
the balances of energy say about h, F and c. Where all comes to rest, only the settling
tells how fast. A simulation costs half a second, so it has to learn from a few
hundred."""

# Statistics of one run at the truth, seed 0, in the order of `climate_statistics`.
OBSERVED_SPIN_UP = (
    *(2.74589, 0.104979, 19.7975, 0.668622, 0.0711943),
    *(11.8276, 0.0152413, 608.725, 0.571332, 0.00644689),
)
OBSERVED = (
    *(2.5754, 0.099261, 19.19, 0.656616, 0.0656576),
    *(12.5436, 0.0162334, 587.218, 0.556628, 0.00429476),
)


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
    """Draw the climate statistics of one run, and what energy says."""
    climate = Climate(*(theta[name] for name in NAMES))
    spin_up, statistics = climate_statistics(key, climate, DURATION)
    return {
        "spin_up": spin_up,
        "statistics": statistics,
        "balances": balances(statistics),
    }


def balances(statistics: Float[Array, "10"]) -> Float[Array, "3"]:
    """Return h, and A and B with F = A + c B, by the two balances of energy.

    Ratios of what vanishes, where nothing moves, are cut at 50.
    """
    X, _, X2, XY, Y2 = statistics[:5]
    ratios = jnp.stack([J * Y2, X2, J * Y2]) / _off_zero(jnp.stack([XY, X, X]))
    return jnp.clip(ratios, -LARGEST, LARGEST)


def _off_zero(values: Array) -> Array:
    return jnp.where(jnp.abs(values) < 1e-9, 1e-9, values)


def beside_truth(x: Mapping[str, Any]) -> dict[str, Any]:
    """Return statistics over those at the truth: they differ up to 100 000-fold."""
    units = {"spin_up": OBSERVED_SPIN_UP, "statistics": OBSERVED}
    return {n: x[n] / np.asarray(units[n]) if n in units else x[n] for n in x}


def measure(key: Key[Array, ""], model: Model, posterior: Any) -> dict[str, float]:
    """Return the errors of the posterior mean at fresh draws from the prior, percent.

    The mean is dominated by draws near zero, where a percentage means little, so the
    median stands beside it.
    """
    key_seed, key_draws = jr.split(key)
    seed = int(jr.randint(key_seed, (), 0, 2**31 - 1))
    tests = simulate(model, NUM_TEST, seed=seed, stream="errors").ok()
    draws = posterior.sample(key_draws, tests.x, 1000)
    error = np.abs(draws.mean(1) - tests.targets) / np.abs(tests.targets)
    errors = {
        f"{word} error of {name} (%)": float(100 * reduce(error[:, column]))
        for column, name in enumerate(NAMES)
        for word, reduce in (("mean", np.mean), ("median", np.median))
    }
    return errors | imbalance(jr.fold_in(key, 1))


def imbalance(key: Key[Array, ""]) -> dict[str, float]:
    """Return how well the two balances of energy hold at the truth, percent."""
    climate = Climate(*(jnp.float32(TRUTH[name]) for name in NAMES))
    run = jax.jit(jax.vmap(lambda key: climate_statistics(key, climate, DURATION)))
    found = np.asarray(run(jr.split(key, 10)), np.float64)[:, 1].mean(0)
    X, _, X2, XY, Y2 = found[:5]
    slow = X2 / (TRUTH["F"] * X - TRUTH["h"] * TRUTH["c"] * XY)
    fast = Y2 / (TRUTH["h"] / J * XY)
    return {
        "imbalance of slow energy (%)": float(100 * abs(slow - 1)),
        "imbalance of fast energy (%)": float(100 * abs(fast - 1)),
    }


def two_scale_study() -> Study:
    """Build the study of the two-scale system."""
    prior = Prior(
        F=dist.Uniform(-2.0, 20.0),
        h=dist.Uniform(-3.0, 3.0),
        c=dist.Uniform(0.1, 20.0),
        b=dist.Uniform(0.0, 20.0),
    )
    model = Model(
        prior,
        simulator,
        observed={
            "spin_up": np.array(OBSERVED_SPIN_UP),
            "statistics": np.array(OBSERVED),
            "balances": np.asarray(balances(jnp.asarray(OBSERVED)), float),
        },
        name="lorenz96_two_scale",
        block_size=50,
    )
    return Study(
        model=model,
        title="Lorenz 96 on two scales",
        field="chaos",
        description=" ".join(DESCRIPTION.split()),
        source="Synthetic, made with F = 10, h = 1, c = 10, b = 10.",
        budget=500,
        axes={
            "spin_up": Axis(np.arange(1, 11), STATISTICS, f"spin-up, {RELATIVE}"),
            "statistics": Axis(np.arange(1, 11), STATISTICS, f"value, {RELATIVE}"),
            "balances": Axis(np.arange(1, 4), "h, A, B with F = A + c B", "value"),
        },
        measure=measure,
        show=beside_truth,
        num_validation=200,
        minutes=8.0,
    )
