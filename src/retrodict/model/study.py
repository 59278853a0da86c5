"""A study: a model with its data, baseline, text and figures; what a report needs."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .model import Model


@dataclass(frozen=True)
class Axis:
    """How one series of x is drawn.

    Attributes:
        values: Position of each entry along the axis, such as days.
        label: Name and unit of the axis.
        ylabel: Name and unit of the values.
        names: What each entry is, if they are separate numbers: then they are drawn as
            bars side by side, not as a curve.

    Raises:
        ValueError: If there are names, but not one of each entry.
    """

    values: np.ndarray
    label: str
    ylabel: str
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.names and len(self.names) != len(self.values):
            raise ValueError(
                f"names: Expected one of each of {len(self.values)} values; got "
                f"{list(self.names)}."
            )


@dataclass(frozen=True)
class Baseline:
    """What a classical method found for the same model and data.

    Attributes:
        method: Name of the method, such as ``"NUTS on the exact likelihood"``.
        draws: Posterior draws ``(n, *shape)`` of each sampled parameter.
        diagnostics: Numbers that say whether the method itself can be trusted, such
            as the largest R-hat.
        rivals: Answers of further methods to the same question, shown beside.
    """

    method: str
    draws: Mapping[str, np.ndarray]
    diagnostics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    rivals: tuple["Baseline", ...] = ()


@dataclass(frozen=True)
class FigureInput:
    """What a figure of a study may draw.

    Attributes:
        observed: The observation, as a dictionary of series.
        draws: Posterior draws ``(n, *shape)`` of targets and derived quantities.
        predictive: Simulated series ``(n, *x_shape)`` at posterior draws.
        baseline: The classical answer, if it was computed.
        measured: The numbers that the study measured on its posterior.
        observations: Draws of the targets for every named observation of the study.
        posterior: The amortized posterior, for a figure that asks it about other data.
    """

    observed: Mapping[str, np.ndarray]
    draws: Mapping[str, np.ndarray]
    predictive: Mapping[str, np.ndarray]
    baseline: Baseline | None
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)
    observations: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(
        default_factory=dict
    )
    posterior: Any = None


@dataclass(frozen=True)
class Study:
    """A model with everything that makes its report worth reading.

    Attributes:
        model: Prior, simulator, observation and question.
        title: Headline of the report.
        field: Field of science.
        description: A paragraph for the reader.
        source: Where the data come from.
        budget: Number of simulations to train on by default.
        rounds: Rounds that they are spent in by default, each nearer to the
            observation. One makes a posterior for any observation.
        baseline: ``(key, model) -> Baseline``, a classical answer to compare with.
        axes: How each series of x is drawn, by name (``"x"`` if x is one array).
        figures: Functions ``FigureInput -> (caption, matplotlib Figure)``.
        load: Reads data that are not shipped: from a data folder to the observation,
            or to a whole study where the model itself depends on the data.
        parts: Other runs of the same world, by name; each returns a study.
        measure: ``(key, model, posterior) -> numbers by name``, for what a study claims
            about its posterior at other data than the observation.
        observations: More observations that the one posterior is asked about, by name.
        show: Maps x (one, or rows of many) to the series that the report draws, where x
            itself is not what a reader would draw.
        training: Settings of the training that differ from the default, by name.
        num_validation: Test simulations of the verdict.
        minutes: About how long a run takes, with its baseline, on one core.
    """

    model: Model
    title: str = ""
    field: str = ""
    description: str = ""
    source: str = ""
    budget: int = 10_000
    rounds: int = 1
    baseline: Callable[[Any, Model], Baseline] | None = None
    axes: Mapping[str, Axis] = dataclasses.field(default_factory=dict)
    figures: tuple[Callable[[FigureInput], tuple[str, Any]], ...] = ()
    load: Callable[[Path], Any] | None = None
    parts: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    measure: Callable[[Any, Model, Any], Mapping[str, float]] | None = None
    observations: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    show: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]] | None = None
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    num_validation: int = 1000
    minutes: float = 1.0
