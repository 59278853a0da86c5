r"""Influenza in an English boarding school, January and February 1978.

One boy of 763 is infected on day 0; the number of boys in bed is counted on days 1 to
14. The infection follows the equations of Kermack and McKendrick,

.. math::
    \dot S = -\beta S I / N, \qquad \dot I = \beta S I / N - \gamma I,

and the count of day :math:`t` is negative binomial with mean :math:`I(t)` and variance
:math:`I + \phi^{-1} I^2`.

What is clipped: the mean is kept in [1e-6, 763] boys. Both bounds are beyond what a
count could notice; the upper one is exact, because :math:`S + I \le N`. The inverse
concentration is kept above 1e-6, where a negative binomial is a Poisson distribution.

Source: Anonymous (1978), Influenza in a boarding school, British Medical Journal
1:578; model and priors after Grinsztajn et al. (2021), Bayesian workflow for disease
transmission modeling in Stan, arXiv:2006.02985.
Deviation from the source: the equations are solved for the logarithms of S and I,
which at equal step is ten times as accurate.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..model import Axis, Baseline, Derived, Model, Prior, Study
from ._nuts import Budget, nuts
from ._ode import solve_rk4


Theta = Mapping[str, Array]

NUM_BOYS = 763
IN_BED = (3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4)
STEPS_PER_DAY = 8  # relative error of I(t) at prior draws below 1e-4, in float32
SMALLEST_MEAN = 1e-6
SMALLEST_PHI_INV = 1e-6

DESCRIPTION = """In January 1978 influenza reached an English boarding school, probably
with one boy; within two weeks 512 of its 763 boys had been ill. From nothing but the
number of boys in bed each day, this study infers how fast the infection spread (beta),
how fast boys recovered (gamma) and how far the daily counts scatter around the epidemic
curve (phi_inv). The ratio beta/gamma is the basic reproduction number R0: how many
others one ill boy infects while everyone is still susceptible."""

SOURCE = (
    "Influenza in a boarding school, British Medical Journal 1:578 (1978); series "
    "in_bed of the data set influenza_england_1978_school (R package outbreaks)."
)


def infected(theta: Theta) -> Float[Array, "14"]:
    """Return the expected number of infected boys on days 1 to 14."""
    beta, gamma = theta["beta"], theta["gamma"]
    log_total = float(np.log(NUM_BOYS))

    def vector_field(state: tuple[Array, Array]) -> tuple[Array, Array]:
        log_s, log_i = state
        # The cap is exact for the true solution and keeps absurd rates finite.
        infection = beta * jnp.exp(jnp.minimum(log_i, log_total) - log_total)
        return -infection, beta * jnp.exp(log_s - log_total) - gamma

    start = (
        jnp.full_like(beta, np.log(NUM_BOYS - 1)),
        jnp.zeros_like(beta),
    )
    _, log_i = solve_rk4(vector_field, start, steps=STEPS_PER_DAY, num_saves=14)
    return jnp.exp(jnp.clip(log_i, float(np.log(SMALLEST_MEAN)), log_total))


def observation(theta: Theta) -> dist.Distribution:
    """Return the law of the daily counts, which simulator and likelihood share."""
    concentration = 1 / jnp.maximum(theta["phi_inv"], SMALLEST_PHI_INV)
    return dist.NegativeBinomial2(infected(theta), concentration)


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "14"]]:
    """Draw one outbreak: the number of boys in bed on each of 14 days."""
    counts = jnp.asarray(observation(theta).sample(key), theta["beta"].dtype)
    return {"in_bed": counts}


def log_likelihood(theta: Theta) -> Float[Array, ""]:
    """Return the log-probability of the counts of 1978, in nats."""
    return jnp.sum(observation(theta).log_prob(jnp.asarray(IN_BED)))


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Sample the exact posterior with NUTS."""
    return nuts(key, model, log_likelihood, Budget(num_warmup=400, num_samples=1000))


def study() -> Study:
    """Build the influenza study."""
    prior = Prior(
        beta=dist.TruncatedNormal(2.0, 1.0, low=0.0),
        gamma=dist.TruncatedNormal(0.4, 0.5, low=0.0),
        phi_inv=dist.Exponential(5.0),
        units={"beta": "1/day", "gamma": "1/day"},
        labels={"beta": r"$\beta$", "gamma": r"$\gamma$", "phi_inv": r"$1/\phi$"},
    )
    derive = {
        "R0": Derived(
            lambda theta: theta["beta"] / theta["gamma"],
            support="positive",
            label="$R_0$",
        ),
        "recovery_time": Derived(
            lambda theta: 1 / theta["gamma"],
            support="positive",
            unit="days",
            label=r"recovery time $1/\gamma$",
        ),
    }
    observed = {"in_bed": np.array(IN_BED, dtype=float)}
    model = Model(prior, simulator, observed=observed, derive=derive, name="influenza")
    return Study(
        model=model,
        title="Influenza in a boarding school, 1978",
        field="epidemiology",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=30_000,
        baseline=baseline,
        axes={"in_bed": Axis(np.arange(1, 15), "day", "boys in bed")},
    )
