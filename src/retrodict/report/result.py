"""What a run found, and its summary as plain values, equal for equal seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .._core.version import package_version
from ..model import Baseline, Study
from ..posterior import ConditionedPosterior, Posterior
from ..simulations import Simulations
from ..trust import Informed, Verdict
from .summary import agreement, strict_json, summarize_baseline, summarize_draws


SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything a run produced.

    Attributes:
        study: What was run.
        seed: Seed of everything.
        budget: Simulations asked for.
        simulations: The training simulations.
        posterior: The amortized posterior.
        verdict: Whether it can be trusted.
        informed: What the data inform.
        at: The posterior at the observation.
        draws: Draws of the targets, ``(n, *shape)`` by name.
        derived: Draws of the derived quantities.
        predictive: Simulations at posterior draws, by series; may be empty.
        baseline: The classical answer, if it was asked for and there is one.
        scores: Distances between posterior and baseline.
        measured: What the study measured on its posterior.
        observations: Draws for every named observation of the study.
        timings: Seconds of every step.
        command: How the run was started.
        out: The folder of the files.
    """

    study: Study
    seed: int
    budget: int
    simulations: Simulations
    posterior: Posterior
    verdict: Verdict
    informed: Informed
    at: ConditionedPosterior
    draws: Mapping[str, np.ndarray]
    derived: Mapping[str, np.ndarray]
    predictive: Mapping[str, np.ndarray]
    baseline: Baseline | None
    scores: Mapping[str, float]
    measured: Mapping[str, float] = field(default_factory=dict)
    observations: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    timings: Mapping[str, float]
    command: str
    out: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds: strict JSON, equal for equal seeds."""
        model = self.study.model
        content = {
            "schema": SCHEMA,
            "model": model.name,
            "version": package_version(),
            "seed": self.seed,
            "budget": self.budget,
            "warnings": [warning.code for warning in self.at.warnings],
            "parameters": summarize_draws(self.draws, model.units),
            "derived": summarize_draws(self.derived, model.units),
        }
        if self.posterior.record.rounds:
            content["rounds"] = dict(self.posterior.record.rounds)
        if self.baseline is not None:
            other = summarize_baseline(model, self.baseline, self.scores)
            answers = (c["parameters"] | c["derived"] for c in (content, other))
            other["agreement"] = agreement(*answers)
            content["baseline"] = other
        if self.observations:
            content["observations"] = self._observations()
        if self.measured:
            # Beside the classical answer too: claims are read in one place.
            for place in (content, content.get("baseline", {})):
                place["measured"] = dict(self.measured)
        content |= {
            "identifiability": self.informed.to_dict(),
            "validation": self.verdict.to_dict(),
            "timings": {name: round(value, 3) for name, value in self.timings.items()},
        }
        return strict_json(content)

    def _observations(self) -> list[dict[str, Any]]:
        model = self.study.model
        targets = {field.name for field in model.targets.fields}
        rows = []
        for name, draws in self.observations.items():
            groups = {"parameters": {}, "derived": {}}
            for quantity, values in draws.items():
                group = "parameters" if quantity in targets else "derived"
                groups[group][quantity] = values
            row = {k: summarize_draws(v, model.units) for k, v in groups.items()}
            rows.append({"name": name} | row)
        return rows
