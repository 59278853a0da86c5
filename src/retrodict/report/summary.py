"""``summary.json``: the whole result as plain values, equal for equal seeds."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model import Baseline, Model
from ..posterior import ConditionedPosterior, summarize
from ..trust import Verdict


SCHEMA = 1


def component_draws(
    draws: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Split draws ``(n, *shape)`` of named quantities into components ``(n,)``."""
    parts = {}
    for name, values in draws.items():
        if values.ndim == 1:
            parts[name] = values
            continue
        for index in np.ndindex(*values.shape[1:]):
            parts[f"{name}[{','.join(map(str, index))}]"] = values[
                (slice(None), *index)
            ]
    return parts


def summarize_draws(
    draws: Mapping[str, np.ndarray], units: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Summarize every component of draws ``(n, *shape)``, each with its unit."""
    return {
        name: summarize(values, units.get(name.partition("[")[0], ""))
        for name, values in component_draws(draws).items()
    }


def build_summary(
    *,
    model: Model,
    version: str,
    seed: int,
    budget: int,
    at: ConditionedPosterior,
    draws: Mapping[str, np.ndarray],
    derived: Mapping[str, np.ndarray],
    verdict: Verdict,
    baseline: Baseline | None,
    scores: Mapping[str, float],
    timings: Mapping[str, float],
) -> dict[str, Any]:
    """Gather the content of ``summary.json``.

    Args:
        model: What was inferred.
        version: Version of retrodict.
        seed: Seed of the run.
        budget: Simulations asked for.
        at: Posterior at the observation, for its warnings.
        draws: Posterior draws of the targets, ``(n, *shape)`` by name.
        derived: The same of derived quantities.
        verdict: What the checks say.
        baseline: The classical answer, if it was computed.
        scores: Distances between the two.
        timings: Seconds of every step.
    """
    summary = {
        "schema": SCHEMA,
        "model": model.name,
        "version": version,
        "seed": seed,
        "budget": budget,
        "warnings": [warning.code for warning in at.warnings],
        "parameters": summarize_draws(draws, model.units),
        "derived": summarize_draws(derived, model.units),
    }
    if baseline is not None:
        summary["baseline"] = _summarize_baseline(model, baseline, scores)
    summary |= {
        "validation": verdict.to_dict(),
        "timings": {name: round(value, 3) for name, value in timings.items()},
    }
    return _strict(summary)


def _strict(value: Any) -> Any:
    """Make a value strict JSON, which has no NaN and no infinity: they become null."""
    if isinstance(value, Mapping):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _summarize_baseline(
    model: Model, baseline: Baseline, scores: Mapping[str, float]
) -> dict[str, Any]:
    names = [field.name for field in model.targets.fields]
    own = model.derived(baseline.draws)
    every = {**baseline.draws, **own}
    others = {n: v for n, v in own.items() if n not in names}
    return {
        "method": baseline.method,
        "parameters": summarize_draws({n: every[n] for n in names}, model.units),
        "derived": summarize_draws(others, model.units),
        "diagnostics": {k: float(v) for k, v in baseline.diagnostics.items()},
        "scores": {k: float(v) for k, v in scores.items()},
    }
