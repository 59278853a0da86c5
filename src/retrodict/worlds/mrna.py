r"""Transfected cells: one amortized network, a hundred posteriors of two modes each.

Single cells are given messenger RNA of a green fluorescent protein; each cell's light
is recorded for 30 hours. From a time :math:`t_0` on, messenger decays and protein is
made and decays,

.. math::
    p(t) = \frac{k}{\delta - \gamma} \big(e^{-\gamma s} - e^{-\delta s}\big),
    \quad s = \max(t - t_0, 0), \qquad
    y = \log(p + \mathrm{offset}) + N(0, \sigma^2).

The formula does not change when :math:`\delta` and :math:`\gamma` are exchanged: which
is the decay of messenger and which of protein cannot be told from one cell. Every
posterior has two modes of equal weight, mirror images of each other. The model declares
it, and the network learns one of them. It is shown not the trace but its least-squares
fit, see ``_light_curve``. The onset
:math:`t_0` lumps uptake, translation and maturation; it is not a delay of
transcription. In the part ``no_onset`` it is fixed to 0, which the data contradict;
there the network reads the trace.

Parameters are natural logarithms: of rates per hour (de, ga), of fluorescence (k per
hour, offset), of hours (t0).

Source: Fröhlich et al. (2018), npj Systems Biology and Applications 4:42, data
doi:10.5281/zenodo.1228898 (CC BY-SA 4.0), eGFP, first 100 cells.
"""

import csv
import gzip
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from .._core.errors import DataError, ModelError
from ..diagnostics import c2st
from ..model import Axis, Baseline, FigureInput, Model, Prior, Study
from ._light_curve import (
    MEANS,
    NAMES,
    TIMES,
    VARIANCES,
    Theta,
    fit_trace,
    fitted_curve,
    log_light,
)
from ._nuts import Budget, nuts


Cells = Mapping[str, np.ndarray]  # traces of log fluorescence
Fits = Mapping[str, Mapping[str, np.ndarray]]

FOLDER = "mrna_transfection"
FILE = "froehlich2018_20160427_eGFP_first100cells.csv.gz"
NUM_CURVES = 300  # posterior draws of a band
LEVELS = (0.05, 0.5, 0.95)
QUARTILES = {"lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75}
NUM_COMPARED = 500  # draws of a cell and of its mirror image that a classifier sees

DESCRIPTION = """A hundred cells are given the same messenger RNA and begin to glow.
From the light of each cell over 30 hours, this study infers how fast messenger and
protein decay (de and ga), how strongly the cell translates (k), when it begins (t0),
its background (offset) and the noise (sigma); all are natural logarithms. de and ga can
be exchanged without changing the curve: each posterior has two modes. One network,
trained once on least-squares fits of simulated cells, answers for every cell."""

NO_ONSET = """The same cells, by a model in which they glow from the first minute on (no
onset t0). The network learns this model as well as the other; whether the data speak
against it is told by simulating again at the posterior."""

SOURCE = (
    "Fröhlich et al. (2018), npj Syst Biol Appl 4:42, doi:10.5281/zenodo.1228898, "
    "eGFP, first 100 cells (CC BY-SA 4.0)."
)


def trace_simulator(
    key: Key[Array, ""], theta: Theta
) -> dict[str, Float[Array, "180"]]:
    """Draw one cell: the logarithm of its fluorescence."""
    curve = log_light(theta)
    noise = jr.normal(key, curve.shape, curve.dtype)
    return {"log_light": curve + jnp.exp(theta["sigma"]) * noise}


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "11"]]:
    """Draw one cell and fit its curve."""
    return {"fit": fit_trace(trace_simulator(key, theta)["log_light"])}


def fit_cells(cells: Cells) -> dict[str, dict[str, Float[np.ndarray, "11"]]]:
    """Return what the network is shown of each cell."""
    traces = jnp.asarray(np.stack(list(cells.values())), jnp.float32)
    fits = np.asarray(jax.jit(jax.vmap(fit_trace))(traces), float)
    return {name: {"fit": fit} for name, fit in zip(cells, fits, strict=True)}


def read_cells(folder: Path) -> dict[str, Float[np.ndarray, "180"]]:
    """Read the traces of all cells, as logarithms.

    Args:
        folder: The data folder, or its part ``mrna_transfection``.

    Raises:
        DataError: If the file is missing or is not a table of 180 times.
    """
    places = [folder / FOLDER / FILE, folder / FILE]
    found = [place for place in places if place.is_file()]
    if not found:
        raise DataError(f"--data: Expected {places[0]} or {places[1]}; got neither.")
    try:
        with gzip.open(found[0], "rt") as lines:
            header, *rows = csv.reader(lines)
        table = np.array(rows, float)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{found[0]}: Expected a table of numbers; {error}.") from error
    if table.shape[0] != len(TIMES) or table.min() <= 0:
        raise DataError(
            f"{found[0]}: Expected {len(TIMES)} rows of positive numbers; got the "
            f"shape {table.shape} and the smallest {table.min()}."
        )
    return dict(zip(header[1:], np.log(table[:, 1:]).T, strict=True))


def log_likelihood(theta: Theta, y: Float[np.ndarray, "180"]) -> Float[Array, ""]:
    """Return the log-density of one trace, in nats."""
    law = dist.Normal(log_light(theta), jnp.exp(theta["sigma"]))
    return law.log_prob(y).sum()


def baseline(
    key: Key[Array, ""], model: Model, y: Float[np.ndarray, "180"] | None = None
) -> Baseline:
    """Sample the exact posterior of one trace, both modes by the declared symmetry.

    Raises:
        ModelError: If there is no trace, which a fit does not give back.
    """
    if y is None:
        raise ModelError(
            "baseline: Expected the trace of a cell; got its fit alone. Give --data "
            "DIR, or --no-baseline."
        )
    of_theta = partial(log_likelihood, y=y)
    budget = Budget(num_warmup=600, num_samples=1000)
    return replace(nuts(key, model, of_theta, budget), method="NUTS, mirrored")


def measure_modes(
    key: Key[Array, ""], model: Model, posterior: Any, fits: Fits
) -> dict[str, float]:
    """Return how many cells have both modes, and medians over the population."""
    xs = {"fit": np.stack([x["fit"] for x in fits.values()])}
    draws = posterior.sample(key, xs, 2000)
    names = list(model.target_names)
    first, second = names.index("de"), names.index("ga")
    mirrored = draws.copy()
    mirrored[..., [first, second]] = draws[..., [second, first]]
    mass = (draws[..., first] > draws[..., second]).mean(1)
    scores = [
        c2st(one[:NUM_COMPARED], other[NUM_COMPARED : 2 * NUM_COMPARED])
        for one, other in zip(draws, mirrored, strict=True)
    ]
    numbers = {
        "cells": float(len(fits)),
        "cells with mass of de > ga in [.4, .6] (%)": 100
        * float(((mass >= 0.4) & (mass <= 0.6)).mean()),
        "C2ST of draws against mirrored draws, median": float(np.median(scores)),
        "C2ST of draws against mirrored draws, 90 % of cells below": float(
            np.quantile(scores, 0.9)
        ),
        "cells with that C2ST below .55 (%)": 100
        * float(np.mean(np.less(scores, 0.55))),
    }
    return numbers | _population(draws, names)


def _population(draws: np.ndarray, names: list[str]) -> dict[str, float]:
    """Return quartiles over cells of each cell's posterior median, in plain units."""
    slow = np.minimum(*(draws[..., names.index(n)] for n in ("de", "ga")))
    fast = np.maximum(*(draws[..., names.index(n)] for n in ("de", "ga")))
    told = {
        "slower decay (1/h)": slow,
        "faster decay (1/h)": fast,
        "onset (h)": draws[..., names.index("t0")],
        "noise": draws[..., names.index("sigma")],
    }
    return {
        f"{name}, {word} of the cells": float(
            np.exp(np.quantile(np.median(values, axis=1), level))
        )
        for name, values in told.items()
        for word, level in QUARTILES.items()
    }


def measure_fit(
    key: Key[Array, ""], model: Model, posterior: Any, cells: Cells
) -> dict[str, float]:
    """Return the share of cells that speak against the model.

    The discrepancy is the sum of products of successive residuals, over the noise: it
    is near 0 for independent noise, and large where a curve misses the data for hours.
    It is compared with the same of simulations at the same posterior draws (Gelman et
    al. 1996, posterior predictive assessment).
    """
    traces = np.stack(list(cells.values()))
    key_draw, key_noise = jr.split(key)
    draws = posterior.sample(key_draw, {"log_light": traces}, 200)
    theta = model.unflatten(draws)

    def discrepancies(key: Key[Array, ""], theta: Theta, y: Array) -> tuple:
        sigma = jnp.exp(theta["sigma"])
        seen = (y - log_light(theta)) / sigma
        again = jr.normal(key, seen.shape, seen.dtype)
        return tuple(jnp.sum(r[1:] * r[:-1]) for r in (seen, again))

    keys = jr.split(key_noise, draws.shape[:2])
    over_draws = jax.vmap(discrepancies, in_axes=(0, 0, None))
    rows = {name: jnp.asarray(values) for name, values in theta.items()}
    compiled = jax.jit(jax.vmap(over_draws))
    seen, again = compiled(keys, rows, jnp.asarray(traces))
    p = np.asarray(again >= seen).mean(1)
    known = len(posterior.at({"log_light": traces[0]}).warnings)
    return {
        "cells": float(len(cells)),
        "cells that contradict the model, p < .01 (%)": float(100 * (p < 0.01).mean()),
        "warnings about the first cell": float(known),
    }


def cells_and_rates(inputs: FigureInput) -> tuple[str, Any]:
    """Draw, for all cells, the two rates of decay as the network knows them."""
    from ..report.figures import style  # a world is simulated without matplotlib

    with style.house_style():
        figure, axes = style.new_axes(4.8, 4.4)
        for draws in inputs.observations.values():
            axes.plot(
                draws["de"][:40],
                draws["ga"][:40],
                ".",
                color=style.POSTERIOR,
                ms=1.5,
                alpha=0.3,
                rasterized=True,
            )
        first = next(iter(inputs.observations.values()), inputs.draws)
        axes.plot(first["de"][:300], first["ga"][:300], ".", color=style.BASELINE, ms=2)
        ends = (-6.5, 0.5)
        axes.plot(ends, ends, ":", color=style.MUTED, lw=0.8)
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        axes.set(xlabel=r"$\log\delta$ (1/h)", ylabel=r"$\log\gamma$ (1/h)")
    caption = (
        f"The two rates of decay, 40 posterior draws for each of "
        f"{len(inputs.observations)} cells (blue), and more for the first (orange). "
        "Every cell has two modes, mirror images across the dotted line: which rate "
        "belongs to messenger and which to protein cannot be told."
    )
    return caption, figure


def trace_beside_curves(
    inputs: FigureInput, trace: Float[np.ndarray, "180"]
) -> tuple[str, Any]:
    """Draw a trace less the median curve of the network, and bands of the curves."""
    from ..report.figures import style

    def curves(draws: Mapping[str, np.ndarray]) -> np.ndarray:
        theta = {name: jnp.asarray(draws[name][:NUM_CURVES]) for name in NAMES}
        return np.quantile(np.asarray(jax.vmap(log_light)(theta)), LEVELS, axis=0)

    low, median, high = curves(inputs.draws)
    with style.house_style():
        figure, axes = style.new_axes(5.6, 3.3)
        axes.fill_between(
            TIMES,
            low - median,
            high - median,
            color=style.POSTERIOR_MIDDLE,
            lw=0,
            label="network, 90 %",
        )
        axes.plot(TIMES, trace - median, ".", color=style.INK, ms=3, label="measured")
        if inputs.baseline is not None:
            low, _, high = curves(inputs.baseline.draws) - median
            axes.plot(TIMES, low, color=style.BASELINE, lw=0.8, label="NUTS, 90 %")
            axes.plot(TIMES, high, color=style.BASELINE, lw=0.8)
        axes.set(xlabel="time (hours)", ylabel="log fluorescence − median curve")
        axes.legend()
    caption = (
        "The first cell, less the median curve of the network: what was measured "
        "(black), and where the curve without noise runs, by the network (blue) and by "
        "NUTS on the exact likelihood (orange). Points that leave zero together, for "
        "hours, are not the independent noise that the model has."
    )
    return caption, figure


def study() -> Study:
    """Build the study; the cells come from ``--data DIR``."""
    return Study(
        model=_model(NAMES, simulator, None),
        title="Transfected cells: two modes in each",
        field="cell biology",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=100_000,
        baseline=baseline,
        axes=_axes("log fluorescence, fitted"),
        show=show,
        load=load,
        parts={"no_onset": no_onset_study},
        minutes=20.0,
    )


def show(x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the fitted curves, of one cell or of many."""
    fits = jnp.asarray(x["fit"], jnp.float32)
    curve = jnp.vectorize(fitted_curve, signature="(n)->(t)")
    return {"log_light": np.asarray(curve(fits[..., :5]), float)}


def load(folder: Path) -> Study:
    """Return the study with the cells in ``folder``."""
    cells = read_cells(folder)
    fits = fit_cells(cells)
    name, trace = next(iter(cells.items()))
    return replace(
        study(),
        model=_model(NAMES, simulator, fits[name]),
        baseline=partial(baseline, y=trace),
        figures=(partial(trace_beside_curves, trace=trace), cells_and_rates),
        measure=partial(measure_modes, fits=fits),
        observations=fits,
    )


def no_onset_study() -> Study:
    """Build the study without an onset."""
    names = tuple(name for name in NAMES if name != "t0")

    def load(folder: Path) -> Study:
        cells = read_cells(folder)
        trace = next(iter(cells.values()))
        return replace(
            blank,
            model=_model(names, trace_simulator, {"log_light": trace}),
            baseline=partial(baseline, y=trace),
            measure=partial(measure_fit, cells=cells),
        )

    blank = replace(
        study(),
        model=_model(names, trace_simulator, None),
        title="Transfected cells without an onset: the wrong model",
        description=" ".join(NO_ONSET.split()),
        budget=20_000,
        axes=_axes("log fluorescence"),
        show=None,
        load=load,
        parts={},
        minutes=5.0,
    )
    return blank


def _axes(words: str) -> dict[str, Axis]:
    return {"log_light": Axis(TIMES, "time (hours)", words)}


def _model(names: tuple[str, ...], simulator: Any, observed: Any) -> Model:
    units = dict(zip(NAMES, ("log 1/h",) * 2 + ("log 1/h", "log h"), strict=False))
    laws = {
        name: dist.Normal(mean, float(np.sqrt(variance)))
        for name, mean, variance in zip(NAMES, MEANS, VARIANCES, strict=True)
    }
    labels = {
        "de": r"$\log\delta$",
        "ga": r"$\log\gamma$",
        "k": r"$\log k$",
        "t0": r"$\log t_0$",
        "offset": "log offset",
        "sigma": r"$\log\sigma$",
    }
    prior = Prior(
        **{name: laws[name] for name in names},
        units={k: v for k, v in units.items() if k in names},
        labels={name: labels[name] for name in names},
    )
    name = "mrna" if "t0" in names else "mrna_no_onset"
    exchange = {"de": "ga", "ga": "de"}
    model = Model(prior, simulator, observed=observed, name=name)
    return model.with_symmetries([exchange])
