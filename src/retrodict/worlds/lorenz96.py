r"""Lorenz 96: the climate of a chaotic system tells its forcing, its weather does not.

Forty variables on a ring obey the equations of Lorenz (see ``_lorenz96``) with unknown
forcing F; they start anywhere and are seen with noise N(0, 1). Two trajectories of
almost the same F part after a few units of time, so that no likelihood of a long window
can be climbed (the part ``landscape``); averages over a window, which no chaos touches,
tell F to within one percent. The default study learns from six averages chosen by hand,
the part ``embedding`` from the field itself, the part ``two_scale`` four parameters of
the system with fast variables.

Source: Lorenz (1996), Predictability: a problem partly solved; inference from summaries
as in Hakkarainen et al. (2012), doi:10.5194/npg-19-127-2012. Baseline: Wood (2010),
Statistical inference for noisy nonlinear ecological dynamic systems, Nature 466
(synthetic likelihood).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..model import Axis, Baseline, FigureInput, Model, Prior, Study
from ..simulations import simulate_at
from ._lorenz96 import (
    NUM_SITES,
    SUMMARIES,
    integrate,
    integrate_numpy,
    settle,
    summarize,
    truth_numpy,
)
from ._lorenz96_landscape import landscape_study
from ._lorenz96_two_scale import two_scale_study


Theta = Mapping[str, Array]

LOW, HIGH = 4.0, 14.0
TRUTH = 8.0
WINDOW = 20.0  # units of time
INTERVAL = 0.1
OBSERVED_SEED = 96
NUM_WINDOWS = 200
SIDES = "across: 40 sites on the ring; down: 20 units of time"

DESCRIPTION = """Forty variables on a ring, a toy atmosphere: each is blown along by its
neighbours, damped, and driven by the same constant forcing F. For F near 8 it is
chaotic: after a week the weather depends on digits that nobody knows. Still, its
climate, the averages over a window of 20 time units (about 100 days), tells F. This
study learns to read F from six averages of noisy observations; the data are synthetic,
made with F = 8."""

EMBEDDING_DESCRIPTION = """The same toy atmosphere, but no one has chosen what to look
at: a network with one periodic convolution over the ring, averaged over all sites and
times, learns its own summaries from the noisy field. The answer should be at least as
sharp as that of six averages chosen by hand."""


def noisy_field(
    key: Key[Array, ""], F: Array, *, interval: float, window: float
) -> Float[Array, "times sites"]:
    """Draw a window of the attractor, seen with noise N(0, 1)."""
    key_start, key_noise = jr.split(key)
    count = round(window / interval)
    field = integrate(settle(key_start, F), F, interval=interval, num_saves=count)
    return field + jr.normal(key_noise, field.shape, field.dtype)


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "6"]]:
    """Draw the six averages of one window."""
    field = noisy_field(key, theta["F"], interval=INTERVAL, window=WINDOW)
    return {"averages": summarize(field)}


def field_simulator(
    key: Key[Array, ""], theta: Theta
) -> dict[str, Float[Array, "200 40"]]:
    """Draw one window of the noisy field."""
    return {"field": noisy_field(key, theta["F"], interval=INTERVAL, window=WINDOW)}


def observed_field() -> Float[np.ndarray, "200 40"]:
    """Return the synthetic observation, made with F = 8; the same on every machine."""
    start = truth_numpy(TRUTH, OBSERVED_SEED)
    count = round(WINDOW / INTERVAL)
    field = integrate_numpy(start, TRUTH, interval=INTERVAL, num_saves=count)
    noise = np.random.RandomState(OBSERVED_SEED + 1).standard_normal(field.shape)
    return field + noise


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Fit a Gaussian likelihood of the six averages, and check the simulator's moments.

    A first pass over the prior finds the neighbourhood; a second fits the mean as a
    quadratic in F and one covariance there.
    """
    del model
    x_obs = summarize(observed_field())
    key_wide, key_near, key_draw, key_check = jr.split(key, 4)
    wide = _synthetic(key_wide, x_obs, np.linspace(LOW, HIGH, 41), degree=6)
    center = float(np.sum(wide[0] * wide[1]))
    low, high = max(center - 0.5, LOW), min(center + 0.5, HIGH)
    grid, mass = _synthetic(key_near, x_obs, np.linspace(low, high, 21), degree=2)
    cells = np.random.default_rng(np.asarray(jr.key_data(key_draw)))
    draws = cells.choice(grid, 10_000, p=mass)
    draws += (grid[1] - grid[0]) * (cells.random(len(draws)) - 0.5)
    numbers = moments(key_check, 8.0) | moments(jr.fold_in(key_check, 1), 10.0)
    return Baseline("Gaussian synthetic likelihood", {"F": draws}, numbers)


def _synthetic(
    key: Key[Array, ""], x_obs: np.ndarray, nodes: np.ndarray, *, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of F and the posterior mass of its points."""
    repeats = 4200 // len(nodes)
    F = np.repeat(nodes, repeats)
    simulate = jax.jit(jax.vmap(lambda key, F: simulator(key, {"F": F})["averages"]))
    keys = jr.split(key, len(F))
    x = np.asarray(simulate(keys, F.astype(np.float32)), np.float64)
    fit = np.polynomial.Polynomial.fit
    grid = np.linspace(nodes[0], nodes[-1], 2001)
    curves = [fit(F, column, degree) for column in x.T]
    rest = x - np.stack([curve(F) for curve in curves], 1)
    distance = np.stack([curve(grid) for curve in curves], 1) - x_obs
    precision = np.linalg.inv(np.cov(rest.T))
    log_density = -0.5 * np.einsum("gi,ij,gj->g", distance, precision, distance)
    mass = np.exp(log_density - log_density.max())
    return grid, mass / mass.sum()


def moments(key: Key[Array, ""], F: float) -> dict[str, float]:
    """Return moments without noise, and how well energy balances (percent)."""

    def member(key: Key[Array, ""]) -> Array:
        forcing = jnp.asarray(F, jnp.float32)
        start = settle(key, forcing)
        field = integrate(start, forcing, interval=0.5, num_saves=400)
        return jnp.stack([field.mean(), (field**2).mean()])

    found = jax.jit(jax.vmap(member))(jr.split(key, 100))
    mean, square = np.asarray(found, np.float64).mean(0)
    return {
        f"F = {F:g}: mean of x": mean,
        f"F = {F:g}: variance of x": square - mean**2,
        f"F = {F:g}: imbalance of energy (%)": 100 * abs(square / (F * mean) - 1),
    }


def measure(key: Key[Array, ""], model: Model, posterior: Any) -> dict[str, float]:
    """Return how sharp the answer is at F = 8: one window may be a lucky one."""
    key_simulate, key_draw = jr.split(key)
    x = simulate_at(key_simulate, model, {"F": np.full(NUM_WINDOWS, TRUTH)})
    draws = posterior.sample(key_draw, x, 1000)[..., 0]
    error = draws.mean(1) - TRUTH
    return {
        "fresh windows with F = 8": float(len(draws)),
        "posterior sd of F, mean over windows": float(draws.std(1).mean()),
        "error of the posterior mean, rms over windows": float(
            np.sqrt((error**2).mean())
        ),
    }


def weather(inputs: FigureInput) -> tuple[str, Any]:
    """Draw the observed field: time against the ring."""
    del inputs
    from ..report.figures import style  # a world is simulated without matplotlib

    field = observed_field()
    with style.house_style():
        figure, axes = style.new_axes(7.2, 2.8)
        image = axes.imshow(
            field.T,
            aspect="auto",
            origin="lower",
            extent=(0, WINDOW, 0, NUM_SITES),
            cmap="RdBu_r",
            vmin=-12,
            vmax=12,
        )
        axes.set(xlabel="time (units of 5 days)", ylabel="site on the ring")
        figure.colorbar(image, ax=axes, label="x, with noise")
    caption = (
        "The observed weather: 40 sites on a ring (vertical) over 20 units of time "
        "(horizontal), seen with noise of standard deviation 1. Waves travel, grow and "
        "break, and never repeat; only their statistics tell the forcing."
    )
    return caption, figure


def study() -> Study:
    """Build the study of six averages chosen by hand."""
    observed = {"averages": summarize(observed_field())}
    prior = Prior(F=dist.Uniform(LOW, HIGH), labels={"F": "$F$"})
    axis = Axis(np.arange(1, 7), "", "average (units of x, x²)", SUMMARIES)
    return Study(
        model=Model(prior, simulator, observed=observed, name="lorenz96"),
        title="Lorenz 96: the forcing of a chaotic atmosphere",
        field="chaos",
        description=" ".join(DESCRIPTION.split()),
        source="Synthetic, made with F = 8; equations of Lorenz (1996).",
        budget=20_000,
        baseline=baseline,
        axes={"averages": axis},
        figures=(weather,),
        measure=measure,
        parts={
            "embedding": embedding_study,
            "landscape": landscape_study,
            "two_scale": two_scale_study,
        },
        minutes=3.0,
    )


def embedding_study() -> Study:
    """Build the study that learns its summaries from the field."""
    base = study()
    model = Model(
        base.model.prior,
        field_simulator,
        observed={"field": observed_field()},
        name="lorenz96_embedding",
    )
    return replace(
        base,
        model=model,
        title="Lorenz 96: learned summaries of the field",
        description=" ".join(EMBEDDING_DESCRIPTION.split()),
        axes={"field": Axis(np.arange(NUM_SITES), SIDES, "x, with noise")},
        parts={},
        training={
            "grid_embedding": "local_average",
            "context_dim": 32,
            "embedding_epochs": 8,
        },
        minutes=7.0,
    )
