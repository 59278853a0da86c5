"""One twin, three answers: a network and a grid beside the amortized posterior."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ..model import Baseline, FigureInput, Model
from ..physics import FieldAnswer, Grid, MapAnswer, Network, Twin, fit_twin


Combination = Callable[[Mapping[str, Array]], Array]

NUM_DRAWS = 4000
ORDER = ("NPE", "NUTS", "grid", "network")  # of colors, the same in every figure


def as_baseline(
    key: Key[Array, ""],
    answer: FieldAnswer,
    combinations: Mapping[str, Combination] | None = None,
) -> Baseline:
    """Turn the answer of one representation into draws, with its diagnostics.

    Args:
        key: PRNG key.
        answer: The answer.
        combinations: Functions of the parameters that are known better than draws
            along a straight ridge tell: given at the maximum, with the sd there.
    """
    fit = answer.fit
    numbers = _diagnostics(fit) | _path(answer)
    for name, function in (combinations or {}).items():
        value, sd = _linearized(fit, function)
        numbers |= {f"{name} at the maximum": value, f"{name} sd": sd}
    return Baseline(answer.method, fit.sample(key, NUM_DRAWS), numbers)


def _linearized(fit: MapAnswer, function: Combination) -> tuple[float, float]:
    """Return a function of the parameters and its sd, where the curvature was taken."""
    with jax.enable_x64(True):
        center = jnp.asarray(fit.normal.mean)
        of = jax.value_and_grad(lambda u: function(fit.problem.theta(u)))
        value, slope = of(center)
        variance = np.asarray(slope) @ fit.normal.covariance @ np.asarray(slope)
    return float(value), float(np.sqrt(variance))


def both_fields(
    build: Callable[[Model], Twin],
    network: Network,
    grid: Grid,
    combinations: Mapping[str, Combination] | None = None,
) -> Callable[[Any, Model], Baseline]:
    """Return a baseline: the grid's answer, with the network's as its rival."""

    def baseline(key: Key[Array, ""], model: Model) -> Baseline:
        twin = build(model)
        learned = fit_twin(twin, "mlp", network=network)
        solved = fit_twin(twin, "grid", grid=grid)
        return as_rivals(key, model, (solved, learned), combinations)

    return baseline


def as_rivals(
    key: Key[Array, ""],
    model: Model,
    answers: tuple[FieldAnswer, FieldAnswer],
    combinations: Mapping[str, Combination] | None = None,
) -> Baseline:
    """Put a network's answer, the second one, beside a grid's."""
    solved, learned = (
        as_baseline(part, answer, combinations)
        for part, answer in zip(jr.split(key), answers, strict=True)
    )
    return beside(solved, (learned,), model)


def beside(exact: Baseline, rivals: tuple[Baseline, ...], model: Model) -> Baseline:
    """Put rivals beside an answer, each with its distance from it.

    Of every parameter and derived quantity: by how many standard deviations and by how
    many percent a rival's median is off, and the ratio of its standard deviation.
    """
    reference = _every(exact, model)
    measured = []
    for rival in rivals:
        numbers = dict(rival.diagnostics)
        for name, draws in _every(rival, model).items():
            middle, sd = np.median(reference[name]), np.std(reference[name])
            away = float(np.median(draws) - middle)
            numbers[f"{name} off by (sd)"] = away / float(sd)
            numbers[f"{name} off by (%)"] = 100 * away / abs(float(middle))
            numbers[f"{name} width (ratio)"] = float(np.std(draws) / sd)
        measured.append(Baseline(rival.method, rival.draws, numbers))
    return Baseline(exact.method, exact.draws, exact.diagnostics, tuple(measured))


def _every(answer: Baseline, model: Model) -> dict[str, np.ndarray]:
    return {**answer.draws, **model.derived(answer.draws)}


def _diagnostics(fit: MapAnswer) -> dict[str, float]:
    """Say how the fit ended and what share of prior variance the data removed."""
    numbers = {"converged": float(fit.converged), "seconds": round(fit.seconds, 1)}
    numbers |= {f"log-density of {k} (nats)": v for k, v in fit.terms.items()}
    shares = fit.identified.contraction
    return numbers | {f"contraction of {k}": v for k, v in shares.items()}


def _path(answer: FieldAnswer) -> dict[str, float]:
    """Tell the parameters at every scale of the equation that was tried."""
    space, numbers = answer.fit.space, {}
    for factor, point in zip(answer.relax, answer.fit.path, strict=False):
        sd = np.sqrt(np.diag(point.covariance))
        ends = [space.constrain((point.u + k * sd)[None])[0] for k in (-1, 0, 1)]
        for name, *values in zip(space.names, *ends, strict=True):
            for word, value in zip(("low", "at", "high"), values, strict=True):
                numbers[f"{name} {word} {factor:g}"] = float(value)
    return numbers


def unidentified(baseline: Baseline) -> list[str]:
    """Name the parameters that a fit's data do not determine."""
    prefix = "contraction of "
    return [
        name.removeprefix(prefix)
        for name, share in baseline.diagnostics.items()
        if name.startswith(prefix) and share < 24 / 25
    ]


def answers_figure(
    inputs: FigureInput, labels: Mapping[str, str], note: str
) -> tuple[str, Any]:
    """Draw every parameter's 90 % interval under each method, one row per parameter.

    Args:
        inputs: Draws of the posterior and the baseline with its rivals.
        labels: The quantities to draw, and how to write them.
        note: Which assumptions differ between the methods, for the caption.
    """
    # Deferred: a world is simulated without importing matplotlib.
    from ..report.figures import style

    sources = {"NPE": inputs.draws}
    baseline = inputs.baseline
    if baseline is not None:
        sources |= {b.method: b.draws for b in (baseline, *baseline.rivals)}
    with style.house_style():
        size = (7.2, 0.6 + 0.8 * len(labels))
        figure = style.new_figure(*size, layout="constrained")
        axes = np.atleast_1d(figure.subplots(len(labels), 1))
        for axis, (name, label) in zip(axes, labels.items(), strict=True):
            for row, (method, draws) in enumerate(sources.items()):
                low, middle, high = np.quantile(draws[name], [0.05, 0.5, 0.95])
                color = _color(method)
                axis.plot([low, high], [-row, -row], color=color, lw=2)
                axis.plot(middle, -row, "o", color=color, ms=4)
            axis.set(ylim=(-len(sources) + 0.4, 0.6), yticks=[], ylabel="")
            axis.set_title(label)
        handles = [
            axes[0].plot([], [], "o-", color=_color(method), label=method)[0]
            for method in sources
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(sources))
    caption = "Median and 90 % interval of every method for the same data. " + note
    if baseline is not None and unidentified(baseline):
        names = ", ".join(unidentified(baseline))
        caption += f" Not determined by these data: {names}."
    return caption, figure


def _color(method: str) -> str:
    from ..report.figures import style

    word = next((w for w in ORDER if method.startswith(w)), ORDER[0])
    return style.CYCLE[ORDER.index(word)]


def sweep_figure(
    inputs: FigureInput, labels: Mapping[str, str], scale: float, unit: str
) -> tuple[str, Any]:
    """Draw the network's answer against the scale by which the equation may fail.

    Args:
        inputs: The baseline is the grid's answer, or has it among its rivals, as the
            network's.
        labels: The parameters to draw, and how to write them.
        scale: The smallest scale of the residual.
        unit: Unit of the residual.
    """
    from ..report.figures import style

    baseline = inputs.baseline
    every = [] if baseline is None else [baseline, *baseline.rivals]
    network = next(b for b in every if "network" in b.method)
    grid = next(b for b in every if "grid" in b.method)
    first = next(iter(labels))
    words = [k.split()[-1] for k in network.diagnostics if k.startswith(f"{first} at ")]
    with style.house_style():
        figure = style.new_figure(7.2, 2.8, layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(labels)))
        for axis, (name, label) in zip(axes, labels.items(), strict=True):
            x = [float(word) * scale for word in words]
            low, at, high = (
                np.array([network.diagnostics[f"{name} {k} {word}"] for word in words])
                for k in ("low", "at", "high")
            )
            bars = np.stack([at - low, high - at])
            axis.errorbar(
                x, at, bars, fmt="o", color=_color("network"), ms=4, capsize=2
            )
            ends = np.quantile(grid.draws[name], [0.16, 0.5, 0.84])
            axis.axhspan(ends[0], ends[2], color=_color("grid"), alpha=0.2, lw=0)
            axis.axhline(ends[1], color=_color("grid"))
            axis.set(xscale="log", xlabel=f"scale of the residual ({unit})")
            axis.invert_xaxis()
            axis.set_title(label)
    caption = (
        "The network's answer with one standard deviation, as the equation may be "
        "violated less and less (to the right). Line and band: the answer of the grid, "
        "where it holds exactly. Where the points arrive there, the scale is small "
        "enough; what it adds to the bars is the price of not trusting the equation."
    )
    return caption, figure
