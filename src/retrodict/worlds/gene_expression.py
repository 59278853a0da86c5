r"""Gene expression with a hidden delay: how a model that lacks it goes astray.

Messenger RNA is transcribed and decays; protein is translated from the messenger of a
time :math:`\tau` ago, because molecules must be processed and exported first:

.. math::
    \dot m = \alpha - \delta_m m, \qquad
    \dot p = \beta\, m(t - \tau) - \delta_p p,

from nothing at time 0. Both are measured every half hour for a day, with noise of 5 %
of the largest value of each. The data are synthetic, with a delay of 2 hours. The
textbook model without delay (:math:`\tau = 0`) fits them by wrong rates of protein; its
95 % intervals exclude the truth nearly always.

For a constant rate of transcription the solution is known,

.. math::
    p = \frac{\beta \alpha}{\delta_m} \Big[ \frac{1 - e^{-\delta_p s}}{\delta_p}
        - \frac{e^{-\delta_m s} - e^{-\delta_p s}}{\delta_p - \delta_m} \Big],
    \quad s = \max(t - \tau, 0),

which is the likelihood of the baseline and the test of the solver.

Source: Monk (2003), Oscillatory expression of Hes1, p53, and NF-kappaB driven by
transcriptional time delays, doi:10.1016/S0960-9822(03)00494-9, without feedback.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..model import Axis, Baseline, FigureInput, Model, Prior, Study
from ..simulations import simulate
from ._dde import solve_delay
from ._nuts import Budget, nuts


Theta = Mapping[str, Array]

TRUTH = {"al": 10.0, "dm": 0.5, "be": 5.0, "dp": 0.2, "tau": 2.0}
MEDIANS = {"al": 12.0, "dm": 0.6, "be": 4.0, "dp": 0.25}
TIMES = np.arange(1, 49) / 2  # hours
STEP = 0.1  # hours; relative error of both species below 1e-3
NOISE = 0.05
OBSERVED_SEED = 5
NUM_SETS = 200
NUM_CLIMBS = 100

DESCRIPTION = """A gene is switched on; its messenger RNA (al: made per hour, dm: decays
per hour) is translated to protein (be, dp) after a delay tau, which no one has put into
the textbook model. Synthetic data with a delay of 2 hours show what happens: the model
without delay still fits, with rates of protein that are wrong by nearly a half and
intervals that are far too sure. The model with the delay among its parameters finds all
five."""


def protein(theta: Theta, times: Float[np.ndarray, " times"]) -> Float[Array, " times"]:
    """Return the protein in closed form."""
    dm, dp = theta["dm"], theta["dp"]
    s = jnp.maximum(times - theta["tau"], 0.0)
    # (e^{-dm s} - e^{-dp s}) / (dp - dm), also where the two rates are equal
    slow, gap = jnp.minimum(dm, dp), jnp.abs(dp - dm)
    small = gap < 1e-6
    ratio = -jnp.expm1(-gap * s) / jnp.where(small, 1.0, gap)
    bracket = jnp.exp(-slow * s) * jnp.where(small, s, ratio)
    return theta["be"] * theta["al"] / dm * (-jnp.expm1(-dp * s) / dp - bracket)


def messenger(
    theta: Theta, times: Float[np.ndarray, " times"]
) -> Float[Array, " times"]:
    """Return the messenger RNA in closed form."""
    return theta["al"] / theta["dm"] * -jnp.expm1(-theta["dm"] * times)


def expression(theta: Theta) -> Float[Array, "48 2"]:
    """Solve the delay equations; return messenger and protein at :data:`TIMES`."""

    def vector_field(t: Array, y: Array, past: Array) -> Array:
        del t  # the promoter stays on
        made = jnp.stack([theta["al"], theta["be"] * past[0]])
        return made - jnp.stack([theta["dm"], theta["dp"]]) * y

    every = round(float(TIMES[0]) / STEP)
    states = solve_delay(
        vector_field, 2, theta["tau"], step=STEP, num_steps=every * len(TIMES)
    )
    return states[every - 1 :: every]


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "48"]]:
    """Draw the two measured series."""
    states = expression(theta)
    noise = NOISE * states.max(0) * jr.normal(key, states.shape, states.dtype)
    m, p = (states + noise).T
    return {"mrna": m, "protein": p}


def observed_series() -> dict[str, np.ndarray]:
    """Return the synthetic observation; the same on every machine."""
    theta = {name: np.float64(value) for name, value in TRUTH.items()}
    s = np.maximum(TIMES - theta["tau"], 0)
    dm, dp = theta["dm"], theta["dp"]
    m = theta["al"] / dm * -np.expm1(-dm * TIMES)
    gone = (np.exp(-dm * s) - np.exp(-dp * s)) / (dp - dm)
    p = theta["be"] * theta["al"] / dm * (-np.expm1(-dp * s) / dp - gone)
    rng = np.random.RandomState(OBSERVED_SEED)
    noisy = [v + NOISE * v.max() * rng.standard_normal(v.shape) for v in (m, p)]
    return dict(zip(("mrna", "protein"), noisy, strict=True))


def log_likelihood(theta: Theta) -> Float[Array, ""]:
    """Return the log-density of the observation, in nats, from the closed form."""
    observed, total = observed_series(), jnp.zeros(())
    curves = messenger(theta, TIMES), protein(theta, TIMES)
    for curve, values in zip(curves, observed.values(), strict=True):
        law = dist.Normal(curve, NOISE * jnp.maximum(curve.max(), 1e-6))
        total += law.log_prob(values).sum()
    return total


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Sample the exact posterior, and measure how the textbook model goes astray."""
    key_nuts, key_sets = jr.split(key)
    budget = Budget(num_warmup=500, num_samples=1000)
    found = nuts(key_nuts, model, log_likelihood, budget)
    numbers = without_delay(key_sets)
    return Baseline(found.method, found.draws, {**found.diagnostics, **numbers})


def without_delay(key: Key[Array, ""]) -> dict[str, float]:
    """Fit the model without delay to the truth and to 200 noisy data sets, percent."""
    names = tuple(MEDIANS)
    with jax.enable_x64(True):
        truth = {k: jnp.asarray(v) for k, v in TRUTH.items()}
        clean = jnp.stack([messenger(truth, TIMES), protein(truth, TIMES)])
        scale = NOISE * clean.max(1, keepdims=True)
        shape = (NUM_SETS, *clean.shape)
        sets = clean + scale * jr.normal(key, shape, float)
        fit = jax.jit(jax.vmap(lambda y: fit_textbook(y, scale)))
        logs, sds = (np.asarray(v) for v in fit(jnp.concatenate([clean[None], sets])))
    logs_truth = np.log([TRUTH[name] for name in names])
    inside = np.abs(logs[1:] - logs_truth) < 1.96 * sds[1:]
    best = np.exp(logs[0] - logs_truth)
    numbers = {
        f"no delay: {name} too low (%)": float(100 * (1 - best[i]))
        for i, name in enumerate(names)
    }
    covers = {
        f"no delay: 95 % covers {name} (%)": float(100 * inside[:, i].mean())
        for i, name in enumerate(names)
    }
    return numbers | covers


def fit_textbook(
    y: Float[Array, "2 48"], scale: Float[Array, "2 1"]
) -> tuple[Float[Array, "4"], Float[Array, "4"]]:
    """Return the least-squares fit without delay and its sds, in logarithms.

    Levenberg and Marquardt's method from the prior medians.
    """

    def residuals(logs: Array) -> Array:
        theta = dict(zip(MEDIANS, jnp.exp(logs), strict=True)) | {"tau": jnp.zeros(())}
        curves = jnp.stack([messenger(theta, TIMES), protein(theta, TIMES)])
        return ((curves - y) / scale).ravel()

    def climb(_: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        logs, damping = carry
        jacobian, r = jax.jacfwd(residuals)(logs), residuals(logs)
        normal = jacobian.T @ jacobian
        damped = normal + damping * jnp.diag(jnp.diag(normal))
        move = -jnp.linalg.solve(damped, jacobian.T @ r)
        better = jnp.sum(residuals(logs + move) ** 2) < jnp.sum(r**2)
        return (
            jnp.where(better, logs + move, logs),
            jnp.clip(damping * jnp.where(better, 0.3, 4.0), 1e-9, 1e9),
        )

    start = jnp.log(jnp.asarray(list(MEDIANS.values())))
    logs, _ = jax.lax.fori_loop(0, NUM_CLIMBS, climb, (start, jnp.asarray(1e-2)))
    jacobian = jax.jacfwd(residuals)(logs)
    return logs, jnp.sqrt(jnp.diag(jnp.linalg.inv(jacobian.T @ jacobian)))


def measure(key: Key[Array, ""], model: Model, posterior: Any) -> dict[str, float]:
    """Return how often 90 % intervals of the network cover, over 1000 data sets."""
    key_seed, key_draws = jr.split(key)
    seed = int(jr.randint(key_seed, (), 0, 2**31 - 1))
    tests = simulate(model, 1000, seed=seed, stream="coverage").ok()
    draws = posterior.sample(key_draws, tests.x, 500)
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    inside = (low < tests.targets) & (tests.targets < high)
    return {
        f"90 % interval of {name} covers (%)": float(100 * inside[:, i].mean())
        for i, name in enumerate(model.target_names)
    }


def two_answers(inputs: FigureInput) -> tuple[str, Any]:
    """Draw the protein with the fits of both models."""
    from ..report.figures import style  # a world is simulated without matplotlib

    observed = inputs.observed
    with jax.enable_x64(True):
        y = jnp.stack([observed["mrna"], observed["protein"]])
        scale = NOISE * jnp.max(y, axis=1, keepdims=True)
        textbook = dict(zip(MEDIANS, jnp.exp(fit_textbook(y, scale)[0]), strict=True))
        wrong = np.asarray(protein(textbook | {"tau": jnp.zeros(())}, TIMES))
        rows = {name: inputs.draws[name][:60] for name in TRUTH}
        right = np.asarray(jax.vmap(lambda t: protein(t, TIMES))(rows))
    with style.house_style():
        figure, axes = style.new_axes(6.4, 3.4)
        axes.plot(TIMES, right.T, color=style.POSTERIOR, alpha=0.12, lw=0.8)
        axes.plot([], [], color=style.POSTERIOR, label="with delay, 60 draws")
        axes.plot(TIMES, wrong, color=style.BASELINE, label="best fit without delay")
        axes.plot(TIMES, observed["protein"], ".", color=style.INK, label="measured")
        axes.set(xlabel="time (hours)", ylabel="protein (molecules)")
        axes.legend(loc="lower right")
    be, dp = (100 * (1 - float(textbook[n]) / TRUTH[n]) for n in ("be", "dp"))
    caption = (
        "Protein against time. The best fit without delay (orange) is wrong only in "
        f"the first hours, but its rates of translation and decay are {be:.0f} % and "
        f"{dp:.0f} % too low. Blue: the model with delay at draws of the posterior."
    )
    return caption, figure


def study() -> Study:
    """Build the study of the hidden delay."""
    prior = Prior(
        **{k: dist.LogNormal(float(np.log(v)), 0.5) for k, v in MEDIANS.items()},
        tau=dist.Uniform(0.0, 5.0),
        units={"al": "1/h", "dm": "1/h", "be": "1/h", "dp": "1/h", "tau": "h"},
        labels={
            "al": r"$\alpha$",
            "dm": r"$\delta_m$",
            "be": r"$\beta$",
            "dp": r"$\delta_p$",
            "tau": r"$\tau$",
        },
    )
    model = Model(prior, simulator, observed=observed_series(), name="gene_expression")
    return Study(
        model=model,
        title="Gene expression with a hidden delay",
        field="cell biology",
        description=" ".join(DESCRIPTION.split()),
        source="Synthetic: al 10, dm 0.5, be 5, dp 0.2 per hour, tau 2 hours.",
        budget=20_000,
        baseline=baseline,
        axes={
            "mrna": Axis(TIMES, "time (hours)", "messenger RNA (molecules)"),
            "protein": Axis(TIMES, "time (hours)", "protein (molecules)"),
        },
        figures=(two_answers,),
        measure=measure,
        minutes=4.0,
    )
