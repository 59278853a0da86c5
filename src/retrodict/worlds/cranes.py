r"""Whooping cranes, 1938 to 2009: births, deaths and immigrants from yearly counts.

The females of the last wild flock are counted once a year. Between two counts the flock
follows a linear birth-death-immigration process (see ``_birth_death``): its transition
probabilities are known, so the network can be compared with the exact posterior.

One flock in thirty of the prior resembles this one, hence 60 000 simulations, most of
them in a second round where the first has not ruled the rates out.

The first count is given. Populations stop at 100 000: under the prior 3 of 8 flocks
would grow beyond all bounds; the posterior of any smaller flock is left as it was.

Source: counts of Butler et al. (2013), as collected by Hautphenne and Patch (2024),
Birth-and-death processes in Python: the BirDePy package, arXiv:2110.05067, whose
maximum-likelihood estimate the baseline reproduces.
Deviation from the source: the likelihood is the exact sum over surviving families, not
an approximation to the matrix exponential of a truncated generator.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key
from scipy.optimize import minimize

from ..model import Axis, Baseline, Derived, FigureInput, Model, Prior, Study
from ._birth_death import MOST, Rates, draw_later, log_pmf
from ._identified import what_is_known
from ._nuts import Budget, nuts


Theta = Mapping[str, Array]

FEMALES = (
    *(9, 11, 13, 8, 10, 10, 9, 11, 13, 15, 15, 17, 15, 12, 10, 12, 11, 14),
    *(12, 13, 16, 17, 18, 19, 16, 16, 21, 22, 22, 24, 25, 28, 28, 30, 25, 25),
    *(24, 29, 34, 36, 37, 38, 39, 37, 36, 38, 43, 48, 55, 67, 69, 73, 73, 66),
    *(68, 71, 66, 79, 80, 91, 91, 94, 90, 88, 93, 97, 109, 110, 118, 133, 135, 132),
)
YEARS = np.arange(1938, 1938 + len(FEMALES))
NAMES = ("lam", "mu", "nu")
MOST_NU = 5.0  # females/year, of the prior
CEILING = np.log(0.99 * MOST)

DESCRIPTION = """In 1938 nine female whooping cranes were left in the wild; in 2009
there were 132. From the yearly counts alone this study infers how many daughters a
female has in a year (lam), how likely she is to die in it (mu), and how many females
join from elsewhere (nu). The growth of the flock tells the difference of lam and mu;
that both are large, or both small, is told only by how much the counts jump from one
year to the next."""

SUMMARIES_DESCRIPTION = """The same flock of whooping cranes, but the network is shown
only the average and the variance of the yearly counts, as one might report them in a
table. How fast the flock grew is in these two numbers; how many were born and died is
not: births and deaths that balance alike look the same, so lam and mu stay tied to each
other. The baseline is the exact posterior given every count: the distance between the
two is what the summaries threw away."""

SOURCE = (
    "Annual counts of female whooping cranes, Butler et al. (2013), as collected by "
    "Hautphenne and Patch (2024), BirDePy, arXiv:2110.05067."
)


def rates(theta: Theta) -> Rates:
    """Return the yearly rates."""
    return Rates(theta["lam"], theta["mu"], theta["nu"])


def simulate_counts(key: Key[Array, ""], theta: Theta) -> Float[Array, "71"]:
    """Draw the counts of 1939 to 2009, exactly, from the count of 1938."""

    def year(count: Array, key: Key[Array, ""]) -> tuple[Array, Array]:
        count = draw_later(key, rates(theta), count, 1.0)
        return count, count

    start = jnp.asarray(FEMALES[0], theta["lam"].dtype)
    return jax.lax.scan(year, start, jr.split(key, len(FEMALES) - 1))[1]


def as_steps(counts: Any) -> Any:
    """Write a series one to one as what a network reads with ease: ``(71, 1, 2)``.

    The logarithm of a count (plus 1), and the step to it from the last, divided by the
    root of that: its variance is about lam + mu at every size of the flock.
    """
    xp = jnp if isinstance(counts, jax.Array) else np
    before = xp.concatenate([xp.full_like(counts[:1], FEMALES[0]), counts[:-1]])
    step = (counts - before) / xp.sqrt(before + 1)
    return xp.stack([xp.log1p(counts), step], -1)[:, None, :]


def moments(steps: Any) -> Any:
    """Return what the yearly steps tell at a glance, ``(10,)``.

    The mean of a step is growth times the count, plus nu, and its variance nearly
    proportional to the count: weighted least squares give both coefficients, and the
    mean square of what is left is about lam + mu. First come these estimates, in the
    coordinates that a network infers lam, mu and nu in, then growth and nu, stretched
    around zero where flocks are neither extinct nor endless; then logarithms of what is
    left and of the two sums of weights, which say how well all is known, and mean and
    end of the logarithms of the counts. Steps to the ceiling, where growth stops, do
    not count: with them a flock that explodes would seem to hardly grow.
    """
    xp = jnp if isinstance(steps, jax.Array) else np
    logs, scaled = steps[:, 0, 0], steps[:, 0, 1]
    before = xp.concatenate([xp.full_like(logs[:1], np.log1p(FEMALES[0])), logs[:-1]])
    free = xp.where(logs < CEILING, xp.ones_like(logs), 0.0)
    root = xp.exp(before / 2)  # of the count plus 1
    share, one, scaled = free * (root - 1 / root), free / root, free * scaled
    many, mixed, few = (share**2).sum(), (share * one).sum(), (one**2).sum()
    many, few = many + 0.1, few + 0.01  # an extinct flock, or one that explodes
    first, second = (share * scaled).sum(), (one * scaled).sum()
    det = many * few - mixed**2
    growth = (few * first - mixed * second) / det
    nu = (many * second - mixed * first) / det
    left = (scaled - growth * share - nu * one) ** 2
    rest = left.sum() / xp.maximum(free.sum(), 1.0)
    guesses = xp.stack([(rest + growth) / 2, (rest - growth) / 2, nu / MOST_NU])
    inside = xp.clip(guesses, 0.01, 0.99)
    logits = xp.log(inside) - xp.log1p(-inside)
    stretched = xp.stack([xp.arcsinh(growth / 0.03), xp.arcsinh(nu)])
    sizes = xp.log(xp.stack([rest + 1e-3, many, few]))
    ends = xp.stack([logs.mean(), logs[-1]])
    return xp.concatenate([logits, stretched, sizes, ends])


def as_x(counts: Any) -> dict[str, Any]:
    """Write a series of counts as the world's x: ``steps`` and their ``moments``."""
    steps = as_steps(counts)
    return {"steps": steps, "moments": moments(steps)}


def as_counts(x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo :func:`as_steps`, for one series or many."""
    return {"females": np.round(np.expm1(x["steps"][..., 0, 0]))}


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
    """Draw one series, as ``steps`` and ``moments``."""
    return as_x(simulate_counts(key, theta))


def summaries(counts: Float[Array, "71"]) -> dict[str, Float[Array, "1"]]:
    """Return the ``average`` and the ``variance`` of a series of counts."""
    return {"average": counts.mean()[None], "variance": counts.var()[None]}


def summary_simulator(
    key: Key[Array, ""], theta: Theta
) -> dict[str, Float[Array, "1"]]:
    """Draw one series and keep its summaries alone."""
    return summaries(simulate_counts(key, theta))


def log_likelihood(theta: Theta) -> Float[Array, ""]:
    """Return the log-probability of the counts after the first, in nats; exact."""
    counts = np.asarray(FEMALES, float)
    return log_pmf(rates(theta), counts[:-1], counts[1:], 1.0).sum()


def maximum_likelihood() -> tuple[np.ndarray, np.ndarray]:
    """Return the maximum-likelihood estimate of (lam, mu, nu) and standard errors.

    Standard errors are from the curvature at the maximum, in the rates themselves.
    """
    with jax.enable_x64(True):

        def loss(vector: Array) -> Array:
            return -log_likelihood(dict(zip(NAMES, vector, strict=True)))

        compiled = jax.jit(jax.value_and_grad(lambda logs: loss(jnp.exp(logs))))

        def value(logs: np.ndarray) -> tuple[float, np.ndarray]:
            found, gradient = compiled(jnp.asarray(logs))
            return float(found), np.asarray(gradient)

        start = np.log([0.2, 0.15, 0.5])
        best = np.exp(minimize(value, start, jac=True, tol=1e-10).x)
        curvature = np.asarray(jax.jit(jax.hessian(loss))(jnp.asarray(best)))
    return best, np.sqrt(np.diag(np.linalg.inv(curvature)))


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Sample the exact posterior given every count; note the classical estimate."""
    found = nuts(key, model, log_likelihood, Budget(num_warmup=400, num_samples=1000))
    estimate, errors = maximum_likelihood()
    numbers = {
        f"maximum likelihood {n}": float(v)
        for n, v in zip(NAMES, estimate, strict=True)
    } | {f"standard error {n}": float(v) for n, v in zip(NAMES, errors, strict=True)}
    return Baseline(found.method, found.draws, {**found.diagnostics, **numbers})


def births_and_deaths(inputs: FigureInput) -> tuple[str, Any]:
    """Draw births against deaths: what the network knows and what is exactly known."""
    # Deferred: a world is simulated without importing matplotlib.
    from ..report.figures import style

    clouds = {"network": (style.POSTERIOR, inputs.draws)}
    if inputs.baseline is not None:
        clouds["exact posterior"] = (style.BASELINE, inputs.baseline.draws)
    shown = {k: (d["lam"][:3000], d["mu"][:3000]) for k, (_, d) in clouds.items()}
    # The whole prior where the band is long, else what the draws fill.
    reach = max(float(np.quantile(values, 0.999)) for values in shown.values())
    end = min(1.15 * reach, 1.0)
    with style.house_style():
        figure, axes = style.new_axes(4.8, 4.4)
        axes.plot([0, end], [0, end], color=style.MUTED, lw=0.8, ls=":")
        place = (0.1 * end, 0.13 * end)
        axes.annotate("no growth", place, color=style.MUTED, rotation=45)
        for label, (color, _) in clouds.items():
            options = {"s": 3, "lw": 0, "alpha": 0.25, "color": color}
            axes.scatter(*shown[label], label=label, rasterized=True, **options)
        axes.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        axes.set(xlabel=r"births $\lambda$ (1/year)", ylabel=r"deaths $\mu$ (1/year)")
        legend = axes.legend(loc="upper left", markerscale=4)
        for handle in filter(None, legend.legend_handles):
            handle.set_alpha(1.0)
    exact = "Orange: the exact posterior given every yearly count. "
    exact = exact if inputs.baseline is not None else ""
    caption = (
        "Births against deaths per female and year. Blue: posterior draws of the "
        f"network. {exact}A long band "
        "along the diagonal means that growth is known, but births and deaths are not "
        "told apart. " + what_is_known(_prior(), inputs.draws)
    )
    return caption, figure


def study() -> Study:
    """Build the study of the full series."""
    observed = as_x(np.array(FEMALES[1:], float))
    axis = Axis(YEARS[1:], "year", "female cranes")
    return Study(
        model=_model(simulator, observed, "cranes"),
        title="Whooping cranes, 1938 to 2009",
        field="ecology",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=60_000,
        rounds=2,
        baseline=baseline,
        axes={"females": axis},
        figures=(births_and_deaths,),
        parts={"summaries": summaries_study},
        show=as_counts,
        training={
            "grid_embedding": "local_average",
            "num_members": 3,
            "epochs": 32,
            "learning_rate": 3e-3,
        },
        minutes=4.0,
    )


def summaries_study() -> Study:
    """Build the study of average and variance alone."""
    counts = jnp.asarray(FEMALES[1:], float)
    observed = {k: np.asarray(v, float) for k, v in summaries(counts).items()}
    one = np.arange(1)
    return Study(
        model=_model(summary_simulator, observed, "cranes_summaries"),
        title="Whooping cranes: what average and variance leave out",
        field="ecology",
        description=" ".join(SUMMARIES_DESCRIPTION.split()),
        source=SOURCE,
        budget=20_000,
        baseline=baseline,
        axes={
            "average": Axis(one, "", "count (females)", ("average",)),
            "variance": Axis(one, "", "counts squared (females²)", ("variance",)),
        },
        figures=(births_and_deaths,),
        minutes=3.0,
    )


def _prior() -> Prior:
    return Prior(
        lam=dist.Uniform(0.0, 1.0),
        mu=dist.Uniform(0.0, 1.0),
        nu=dist.Uniform(0.0, MOST_NU),
        units={"lam": "1/year", "mu": "1/year", "nu": "females/year"},
        labels={"lam": r"$\lambda$", "mu": r"$\mu$", "nu": r"$\nu$"},
    )


def _model(simulator: Any, observed: Mapping[str, np.ndarray], name: str) -> Model:
    growth = Derived(
        lambda theta: theta["lam"] - theta["mu"],
        support="real",
        unit="1/year",
        label=r"growth $\lambda - \mu$",
    )
    derive = {"growth": growth}
    return Model(_prior(), simulator, observed=observed, derive=derive, name=name)
