r"""Snowshoe hare and Canada lynx: the pelts of the Hudson's Bay Company, 1900 to 1920.

Hares :math:`u` feed lynx :math:`v` by the equations of Lotka and Volterra,

.. math::
    \dot u = (\alpha - \beta v)\, u, \qquad \dot v = (-\gamma + \delta u)\, v,

and each count of pelts is log-normal about the population: :math:`\log y_{t,k} \sim
N(\log z_k(t), \sigma_k)`, in 1900 about the unknown initial state :math:`z_{0,k}`.
Populations and pelts are in thousands.

What is clipped: pelts are recorded in [0.01, 10 000] thousand, ten pelts to ten
million. The prior is wide: without limits 4 % of its counts lie below (extinction as
good as complete) and .2 % above, down to e^-500. A deterministic limit on x leaves the
posterior of any observation inside the limits exactly as it was. The logarithm of a
population is kept below 50 while integrating, against overflow.

Accuracy: of 200 prior draws none is wrong by more than a tenth of its noise (largest
relative error of a population 1e-3, median 1e-5), against a float64 solution.

Source: Howard (2009), Modeling basic population dynamics; model and priors after
Carpenter (2018), Predator-prey population dynamics: the Lotka-Volterra model in Stan;
data: posteriordb, hudson_lynx_hare.
Deviation from the source: the equations are solved for the logarithms of both
populations, which cannot become negative and need smaller steps only in violent cycles.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..model import Axis, Baseline, Derived, FigureInput, Model, Prior, Study
from ._nuts import Budget, nuts
from ._ode import solve_rk4


Theta = Mapping[str, Array]

YEARS = np.arange(1900, 1921)
HARE = (
    *(30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1),
    *(40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7),
)
LYNX = (
    *(4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4),
    *(8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6),
)
FEWEST_PELTS, MOST_PELTS = 0.01, 10_000.0  # thousands
LARGEST_LOG = 50.0
RATES = ("alpha", "beta", "gamma", "delta", "z0_1", "z0_2")
STEPS_PER_YEAR = 64  # with half as many, 1 of 1000 prior draws is wrong by 5 %
BASELINE_STEPS_PER_YEAR = 8  # where the posterior lives: relative error below 1e-4

DESCRIPTION = """For two centuries the Hudson's Bay Company wrote down how many pelts
its trappers brought in. Hares and lynx rise and fall together, the lynx a year or two
behind, about once in ten years. This study infers the rates of the simplest law that
makes such a cycle: hares multiply at rate alpha and are eaten at rate beta per lynx;
lynx starve at rate gamma and multiply at rate delta per hare. sigma_1 and sigma_2 are
the scatter of hare and lynx pelts, z0_1 and z0_2 the populations of 1900."""

SOURCE = (
    "Hudson's Bay Company pelts in thousands, Elton and Nicholson (1942), as collected "
    "by Howard (2009); posteriordb data set hudson_lynx_hare."
)


def _law(theta: Theta) -> Callable[[tuple[Array, Array]], tuple[Array, Array]]:
    """Return the vector field of the log populations."""

    def vector_field(state: tuple[Array, Array]) -> tuple[Array, Array]:
        hare, lynx = (jnp.exp(jnp.minimum(log, LARGEST_LOG)) for log in state)
        growth = theta["alpha"] - theta["beta"] * lynx
        return growth, theta["delta"] * hare - theta["gamma"]

    return vector_field


def log_populations(
    theta: Theta, steps: int
) -> tuple[Float[Array, "21"], Float[Array, "21"]]:
    """Return the log populations of hare and lynx (thousands), 1900 to 1920."""
    start = (jnp.log(theta["z0_1"]), jnp.log(theta["z0_2"]))
    later = solve_rk4(_law(theta), start, steps=steps, num_saves=20)
    hare, lynx = (jnp.append(a, b) for a, b in zip(start, later, strict=True))
    return hare, lynx


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "21"]]:
    """Draw the pelts of 21 years: ``hare`` and ``lynx``, thousands."""
    hare, lynx = observation(theta, STEPS_PER_YEAR)
    key_hare, key_lynx = jr.split(key)
    x = {"hare": hare.sample(key_hare), "lynx": lynx.sample(key_lynx)}
    low, high = np.log(FEWEST_PELTS), np.log(MOST_PELTS)
    return {k: jnp.exp(jnp.clip(v, low, high)) for k, v in x.items()}


def observation(
    theta: Theta, steps: int
) -> tuple[dist.Distribution, dist.Distribution]:
    """Return the distributions of the log pelts of hare and lynx."""
    hare, lynx = log_populations(theta, steps)
    return dist.Normal(hare, theta["sigma_1"]), dist.Normal(lynx, theta["sigma_2"])


def log_likelihood(theta: Theta) -> Float[Array, ""]:
    """Return the log-density of the recorded pelts (per thousand pelts), in nats."""
    total = jnp.zeros(())
    series = (np.array(HARE), np.array(LYNX))
    distributions = observation(theta, BASELINE_STEPS_PER_YEAR)
    for values, distribution in zip(series, distributions, strict=True):
        log_values = np.log(values)
        total += (distribution.log_prob(log_values) - log_values).sum()
    return total


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Sample the exact posterior with NUTS."""
    return nuts(key, model, log_likelihood, Budget(num_warmup=600, num_samples=1000))


def phase_plane(inputs: FigureInput) -> tuple[str, Any]:
    """Draw hares against lynx: the cycle of the data and those of posterior draws."""
    # Deferred: a world is simulated without importing matplotlib.
    from ..report.figures import style

    orbits = list(_orbits(inputs.draws, 60))
    hare, lynx = inputs.observed["hare"], inputs.observed["lynx"]
    with style.house_style():
        figure, axes = style.new_axes(4.8, 4.0)
        for orbit in orbits:
            axes.plot(*orbit, color=style.POSTERIOR, alpha=0.15, lw=0.8)
        axes.plot(hare, lynx, "o-", color=style.INK, ms=3.5, lw=0.8)
        for year in (1900, 1903, 1904, 1920):
            at = hare[year - 1900], lynx[year - 1900]
            axes.annotate(str(year), at, xytext=(5, 4), textcoords="offset points")
        axes.set(xscale="log", yscale="log")
        axes.set(xlabel="hare pelts (thousands)", ylabel="lynx pelts (thousands)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
            axis.set_ticks([], minor=True)
    caption = (
        "The cycle in the plane of hares and lynx: recorded pelts (black), and the "
        f"orbits of {len(orbits)} posterior draws without the scatter of counts (blue)."
    )
    return caption, figure


def _orbits(
    draws: Mapping[str, np.ndarray], count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield hare and lynx populations every tenth of a year, for the first draws."""
    rows = {name: jnp.asarray(draws[name][:count], dtype=float) for name in RATES}

    def orbit(theta: Theta) -> tuple[Array, Array]:
        start = (jnp.log(theta["z0_1"]), jnp.log(theta["z0_2"]))
        law = _law(theta)

        def in_tenths(state: tuple[Array, Array]) -> tuple[Array, Array]:
            hare, lynx = law(state)
            return hare / 10, lynx / 10

        return solve_rk4(in_tenths, start, steps=4, num_saves=200)

    hare, lynx = (np.exp(np.asarray(log)) for log in jax.jit(jax.vmap(orbit))(rows))
    yield from zip(hare, lynx, strict=True)


def study() -> Study:
    """Build the hare and lynx study."""
    series = {"hare": np.array(HARE), "lynx": np.array(LYNX)}
    model = Model(
        _prior(), simulator, observed=series, derive=_derived(), name="hare_lynx"
    )
    return Study(
        model=model,
        title="Hare and lynx, 1900 to 1920",
        field="ecology",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=50_000,
        rounds=3,  # the posterior fills a hundred-millionth of the prior
        num_validation=500,
        minutes=7.0,
        baseline=baseline,
        axes={
            name: Axis(YEARS, "year", f"{name} pelts (thousands)") for name in series
        },
        figures=(phase_plane,),
    )


def _prior() -> Prior:
    return Prior(
        alpha=dist.TruncatedNormal(1.0, 0.5, low=0.0),
        beta=dist.TruncatedNormal(0.05, 0.05, low=0.0),
        gamma=dist.TruncatedNormal(1.0, 0.5, low=0.0),
        delta=dist.TruncatedNormal(0.05, 0.05, low=0.0),
        sigma_1=dist.LogNormal(-1.0, 1.0),
        sigma_2=dist.LogNormal(-1.0, 1.0),
        z0_1=dist.LogNormal(float(np.log(10)), 1.0),
        z0_2=dist.LogNormal(float(np.log(10)), 1.0),
        units={
            "alpha": "1/year",
            "beta": "1/(year · thousand lynx)",
            "gamma": "1/year",
            "delta": "1/(year · thousand hares)",
            "z0_1": "thousand",
            "z0_2": "thousand",
        },
        labels={
            "alpha": r"$\alpha$",
            "beta": r"$\beta$",
            "gamma": r"$\gamma$",
            "delta": r"$\delta$",
            "sigma_1": r"$\sigma_1$",
            "sigma_2": r"$\sigma_2$",
            "z0_1": r"$z_{0,1}$",
            "z0_2": r"$z_{0,2}$",
        },
    )


def _derived() -> dict[str, Derived]:
    return {
        "period": Derived(
            lambda theta: 2 * np.pi / jnp.sqrt(theta["alpha"] * theta["gamma"]),
            support="positive",
            unit="years",
            label="period of small cycles",
        ),
        "hare_equilibrium": Derived(
            lambda theta: theta["gamma"] / theta["delta"],
            support="positive",
            unit="thousand",
            label=r"hares at rest $\gamma/\delta$",
        ),
        "lynx_equilibrium": Derived(
            lambda theta: theta["alpha"] / theta["beta"],
            support="positive",
            unit="thousand",
            label=r"lynx at rest $\alpha/\beta$",
        ),
    }
