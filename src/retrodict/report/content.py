"""What a report shows, as plain values: the page knows no estimator and no world."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model import Axis
from ..trust import Informed, Verdict


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything on the page.

    Draws are dictionaries from the name of a component (``"beta"``, ``"mu[0]"``) to an
    array ``(num_samples,)``, and include derived quantities. Only ``title``,
    ``summary``, ``names`` and ``posterior`` are needed; a part without content leaves
    out its section.

    Attributes:
        title: Headline.
        field: Field of science.
        description: A paragraph for the reader.
        source: Where the data come from.
        model_name: Name of the model, as on the command line.
        seed: Seed of the run.
        budget: Number of simulations asked for.
        summary: What ``summary.json`` holds.
        verdict: What the checks say; None if they were not run.
        informed: What the data inform.
        names: Components of the inferred parameters, in flat order.
        labels: How to write a name in mathtext.
        units: Unit of a name.
        posterior: Posterior draws.
        prior: Prior draws.
        baseline: Draws of the classical method, if it ran.
        baseline_method: Name of that method.
        baseline_diagnostics: Numbers that say whether it can be trusted itself.
        observed: The observation by series.
        predictive: Simulations at posterior draws, ``(num_samples, *shape)``.
        prior_predictive: Simulations at prior draws, likewise.
        axes: How a series is drawn.
        train: Training loss, nats, ``(num_epochs, num_members)``.
        validation: The same on held-out rows.
        best_epoch: Epoch that each member was kept from, counted from 0.
        simulations: ``total``, ``counts`` by status, ``errors`` as pairs of text and
            count, ``seconds``.
        rounds: Of a posterior made in rounds: ``number``, ``budget`` and ``mass`` of
            the last region; empty of any other.
        warnings: ``(code, message, remedy)`` about the observation.
        provenance: Versions, seeds and times; the entry ``command`` reproduces the run.
        figures: ``(caption, figure)`` of the study's own, or the exception in place of
            a figure that failed.
        scores: Distances to the baseline, such as ``{"c2st": 0.53}``.
        measured: What the study measured on its posterior, by name.
    """

    title: str
    summary: Mapping[str, Any]
    names: tuple[str, ...]
    posterior: Mapping[str, np.ndarray]
    field: str = ""
    description: str = ""
    source: str = ""
    model_name: str = ""
    seed: int = 0
    budget: int = 0
    verdict: Verdict | None = None
    informed: Informed | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prior: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    baseline: Mapping[str, np.ndarray] | None = None
    baseline_method: str = ""
    baseline_diagnostics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    observed: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    predictive: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    prior_predictive: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    axes: Mapping[str, Axis] = dataclasses.field(default_factory=dict)
    train: np.ndarray | None = None
    validation: np.ndarray | None = None
    best_epoch: np.ndarray | None = None
    simulations: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rounds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[tuple[str, str, str], ...] = ()
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)
    figures: tuple[tuple[str, Any], ...] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def derived_names(self) -> tuple[str, ...]:
        """Names that have draws but were not inferred themselves."""
        return tuple(n for n in self.posterior if n not in self.names)

    def label(self, name: str) -> str:
        """How to write a name in a figure: no two names are written alike."""
        label = self.labels.get(name) or name
        if label != name and list(self.labels.values()).count(label) > 1:
            return label + name[name.find("[") :] if "[" in name else name
        return label

    def unit(self, name: str) -> str:
        """Unit of a parameter or derived quantity, empty if it has none."""
        derived = self.summary.get("derived", {}).get(name, {})
        return self.units.get(name) or derived.get("unit", "") or ""
