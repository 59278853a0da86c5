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
it, and the network learns one of them. The onset
:math:`t_0` lumps uptake, translation and maturation; it is not a delay of
transcription. In the part ``no_onset`` it is fixed to 0, which the data contradict.

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

from .._core.errors import DataError
from ..diagnostics import c2st
from ..model import Axis, Baseline, FigureInput, Model, Prior, Study
from ._nuts import Budget, nuts


Theta = Mapping[str, Array]
Cells = Mapping[str, Mapping[str, np.ndarray]]

FOLDER = "mrna_transfection"
FILE = "froehlich2018_20160427_eGFP_first100cells.csv.gz"
TIMES = np.arange(1, 181) / 6  # hours
NAMES = ("de", "ga", "k", "t0", "offset", "sigma")
MEANS = (-3.0, -3.0, 5.0, 0.0, 0.0, -1.0)
VARIANCES = (5.0, 5.0, 11.0, 2.0, 6.0, 2.0)

DESCRIPTION = """A hundred cells are given the same messenger RNA and begin to glow.
From the light of each cell over 30 hours, this study infers how fast messenger and
protein decay (de and ga), how strongly the cell translates (k), when it begins (t0),
its background (offset) and the noise (sigma); all are natural logarithms. de and ga can
be exchanged without changing the curve: each posterior has two modes. One network,
trained once, answers for every cell."""

NO_ONSET = """The same cells, by a model in which they glow from the first minute on (no
onset t0). The network learns this model as well as the other; whether the data speak
against it is told by simulating again at the posterior."""

SOURCE = (
    "Fröhlich et al. (2018), npj Syst Biol Appl 4:42, doi:10.5281/zenodo.1228898, "
    "eGFP, first 100 cells (CC BY-SA 4.0)."
)


def log_light(theta: Theta) -> Float[Array, "180"]:
    """Return the logarithm of the fluorescence without noise at :data:`TIMES`."""
    de, ga = jnp.exp(theta["de"]), jnp.exp(theta["ga"])
    onset = jnp.exp(theta["t0"]) if "t0" in theta else 0.0
    s = jnp.maximum(TIMES - onset, 0.0)
    slow, gap = jnp.minimum(de, ga), jnp.abs(de - ga)
    # (1 - e^{-gap s}) / gap, which is s where the two rates are equal
    product = gap * s
    near = product < 1e-3
    safe = jnp.where(near, 1.0, product)
    ratio = jnp.where(near, 1 - product / 2, -jnp.expm1(-safe) / safe)
    log_p = theta["k"] - slow * s + jnp.log(jnp.maximum(s * ratio, 1e-30))
    log_p = jnp.where(s > 0, log_p, -jnp.inf)
    return jnp.logaddexp(log_p, theta["offset"])


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "180"]]:
    """Draw one cell: the logarithm of its fluorescence."""
    curve = log_light(theta)
    noise = jr.normal(key, curve.shape, curve.dtype)
    return {"log_light": curve + jnp.exp(theta["sigma"]) * noise}


def read_cells(folder: Path) -> dict[str, dict[str, np.ndarray]]:
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
    logs = np.log(table[:, 1:]).T
    return {name: {"log_light": y} for name, y in zip(header[1:], logs, strict=True)}


def log_likelihood(theta: Theta, y: Float[np.ndarray, "180"]) -> Float[Array, ""]:
    """Return the log-density of one trace, in nats."""
    law = dist.Normal(log_light(theta), jnp.exp(theta["sigma"]))
    return law.log_prob(y).sum()


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Sample the exact posterior of one cell, both modes by the declared symmetry."""
    observed = model.observed or {}
    of_theta = partial(log_likelihood, y=np.asarray(observed["log_light"]))
    budget = Budget(num_warmup=600, num_samples=1000)
    return replace(nuts(key, model, of_theta, budget), method="NUTS, mirrored")


def measure_modes(
    key: Key[Array, ""], model: Model, posterior: Any, cells: Cells
) -> dict[str, float]:
    """Return how many cells have both modes, and medians over the population."""
    xs = {"log_light": np.stack([cell["log_light"] for cell in cells.values()])}
    draws = posterior.sample(key, xs, 2000)
    names = list(model.target_names)
    first, second = names.index("de"), names.index("ga")
    mirrored = draws.copy()
    mirrored[..., [first, second]] = draws[..., [second, first]]
    mass = (draws[..., first] > draws[..., second]).mean(1)
    scores = [
        c2st(one[:1000], other[1000:])
        for one, other in zip(draws, mirrored, strict=True)
    ]
    numbers = {
        "cells": float(len(cells)),
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
        for word, level in (("lower quartile", 0.25), ("median", 0.5), ("upper", 0.75))
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
    xs = {"log_light": np.stack([cell["log_light"] for cell in cells.values()])}
    key_draw, key_noise = jr.split(key)
    draws = posterior.sample(key_draw, xs, 200)
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
    seen, again = compiled(keys, rows, jnp.asarray(xs["log_light"]))
    p = np.asarray(again >= seen).mean(1)
    known = len(posterior.at(cells[next(iter(cells))]).warnings)
    return {
        "cells": float(len(cells)),
        "cells that contradict the model, p < .01 (%)": float(100 * (p < 0.01).mean()),
        "warnings about the first cell": float(known),
    }


def cells_and_curves(inputs: FigureInput) -> tuple[str, Any]:
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
        ends = (-9, 3)
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


def study() -> Study:
    """Build the study; the cells come from ``--data DIR``."""
    return Study(
        model=_model(NAMES, None),
        title="Transfected cells: two modes in each",
        field="cell biology",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=150_000,
        baseline=baseline,
        axes={"log_light": Axis(TIMES, "time (hours)", "log fluorescence")},
        figures=(cells_and_curves,),
        load=load,
        parts={"no_onset": no_onset_study},
        minutes=20.0,
    )


def load(folder: Path) -> Study:
    """Return the study with the cells in ``folder``."""
    cells = read_cells(folder)
    return replace(
        study(),
        model=_model(NAMES, next(iter(cells.values()))),
        measure=partial(measure_modes, cells=cells),
        observations=cells,
    )


def no_onset_study() -> Study:
    """Build the study without an onset."""
    names = tuple(name for name in NAMES if name != "t0")

    def load(folder: Path) -> Study:
        cells = read_cells(folder)
        return replace(
            blank,
            model=_model(names, next(iter(cells.values()))),
            measure=partial(measure_fit, cells=cells),
        )

    blank = replace(
        study(),
        model=_model(names, None),
        title="Transfected cells without an onset: the wrong model",
        description=" ".join(NO_ONSET.split()),
        figures=(),
        budget=20_000,
        load=load,
        parts={},
    )
    return blank


def _model(names: tuple[str, ...], observed: Any) -> Model:
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
