r"""Lorenz 96 on two scales: four parameters from climate statistics.

Source: Schneider et al. (2017), doi:10.1002/2017GL076101, for problem and statistics;
errors published for neural posterior estimation with 500 simulations: mean absolute
percentage errors of the posterior mean 15.5 (F), 5.9 (h), 23.6 (c) and 9.4 (b).
Deviations from the source: variances in time are given beside the means; and four
estimates of the parameters by the balances of momentum and energy
(``_lorenz96_climate``), which need products of neighbours and the time in which a
random state settles. That is more than the published statistics, with which the mean
errors of F, h, c and b were 25, 3, 125 and 71 % here. The balances are nearly exact,
and no network learns a density of that sharpness from 500 simulations; so they are
blurred by a known noise, small beside the published errors, for which it can be
calibrated: the noisy summaries of Fearnhead and Prangle (2012),
doi:10.1111/j.1467-9868.2011.01010.x, sec. 2.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float, Key

from ..model import Axis, Model, Prior, Study
from ..simulations import simulate
from ._lorenz96 import Climate, J
from ._lorenz96_climate import climate


Theta = Mapping[str, Array]

NAMES = ("F", "h", "c", "b")
LOW, HIGH = (-2.0, -3.0, 0.1, 0.0), (20.0, 3.0, 20.0, 20.0)
TRUTH = {"F": 10.0, "h": 1.0, "c": 10.0, "b": 10.0}
DURATION = 100.0
NOISE = 0.005  # of an estimate, in standard deviations of its prior
NUM_TEST = 200
MOMENTS = ("X", "mean Y", "X²", "X mean Y", "mean Y²")
STATISTICS = tuple(f"{word} of {m}" for word in ("mean", "variance") for m in MOMENTS)
RELATIVE = "over that at truth"

DESCRIPTION = """The toy atmosphere with clouds: each of 36 slow variables drives ten
fast and small ones and is braked by their average. Four numbers set the climate: the
forcing F, the coupling h, and how much faster (c) and smaller (b) the fast variables
are. The network reads them from ten statistics of the climate over 100 units of time,
and from what the balances of momentum and energy say about the four, to half a percent
of what the prior leaves open. They are followed from a random state on: where all comes
to rest, only the settling tells how fast. A simulation costs half a second, so the
network has to learn from a few hundred."""

# What `simulator` says at the truth, seed 0, but for the blur.
OBSERVED = (
    *(2.63539, 0.101449, 19.6637, 0.669294, 0.0669286),
    *(12.6817, 0.016227, 615.669, 0.573728, 0.00441099),
)
BALANCES = (0.114176, 0.430727, -0.00635065, -3.95928e-06)


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
    """Draw the climate statistics of one run, and what the balances say, blurred."""
    key_run, key_noise = jr.split(key)
    law = Climate(*(theta[name] for name in NAMES))
    statistics, found = climate(key_run, law, DURATION)
    blur = NOISE * jr.normal(key_noise, (len(NAMES),))
    return {"statistics": statistics, "balances": scores(found) + blur}


def scores(found: Float[Array, "4"]) -> Float[Array, "4"]:
    """Return estimates as theta is learned: normal under the prior, cut at 4.3 sd."""
    low, high = jnp.asarray(LOW), jnp.asarray(HIGH)
    edge = 1e-5
    return ndtri(jnp.clip((found - low) / (high - low), edge, 1 - edge))


def estimates(balances: Any) -> np.ndarray:
    """Undo :func:`scores`."""
    low, high = np.asarray(LOW), np.asarray(HIGH)
    return low + (high - low) * np.asarray(ndtr(balances), np.float64)


def beside_truth(x: Mapping[str, Any]) -> dict[str, Any]:
    """Return statistics over those at the truth: they differ up to 100 000-fold."""
    return dict(x) | {"statistics": x["statistics"] / np.asarray(OBSERVED)}


def measure(key: Key[Array, ""], model: Model, posterior: Any) -> dict[str, float]:
    """Return errors at fresh draws from the prior, in percent.

    Of the posterior mean, and of what the balances say by themselves. The mean is
    dominated by draws near zero, where a percentage means little, so the median stands
    beside it.
    """
    key_seed, key_draws = jr.split(key)
    seed = int(jr.randint(key_seed, (), 0, 2**31 - 1))
    tests = simulate(model, NUM_TEST, seed=seed, stream="errors").ok()
    draws = posterior.sample(key_draws, tests.x, 1000)
    alone = estimates(tests.x["balances"])
    return (
        percentages("", draws.mean(1), tests.targets)
        | percentages(" by balances alone", alone, tests.targets)
        | imbalance(jr.fold_in(key, 1))
    )


def percentages(
    method: str, found: np.ndarray, targets: np.ndarray
) -> dict[str, float]:
    """Return mean and median errors of each parameter, in percent of the truth."""
    error = 100 * np.abs(found - targets) / np.abs(targets)
    return {
        f"{word} error of {name}{method} (%)": float(reduce(error[:, column]))
        for column, name in enumerate(NAMES)
        for word, reduce in (("mean", np.mean), ("median", np.median))
    }


def imbalance(key: Key[Array, ""]) -> dict[str, float]:
    """Return how well the two balances of energy hold at the truth, percent."""
    theta = Climate(*(jnp.float32(TRUTH[name]) for name in NAMES))
    run = jax.jit(jax.vmap(lambda key: climate(key, theta, DURATION)[0]))
    found = np.asarray(run(jr.split(key, 10)), np.float64).mean(0)
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
        **{
            name: dist.Uniform(*ends)
            for name, *ends in zip(NAMES, LOW, HIGH, strict=True)
        }
    )
    model = Model(
        prior,
        simulator,
        observed={
            "statistics": np.array(OBSERVED),
            "balances": np.array(BALANCES),
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
            "statistics": Axis(np.arange(1, 11), "", f"value, {RELATIVE}", STATISTICS),
            "balances": Axis(
                np.arange(1, 5), "by the balances", "estimate, prior sd", NAMES
            ),
        },
        measure=measure,
        show=beside_truth,
        num_validation=200,
        minutes=10.0,
    )
