"""Draws as plain numbers, as ``summary.json`` holds them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model import Baseline, Model
from ..posterior import summarize
from .components import component_draws


def summarize_draws(
    draws: Mapping[str, np.ndarray], units: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Summarize every component of draws ``(n, *shape)``, each with its unit."""
    return {
        name: summarize(values, units.get(name.partition("[")[0], ""))
        for name, values in component_draws(draws).items()
    }


def strict_json(value: Any) -> Any:
    """Make a value strict JSON, which has no NaN and no infinity: they become null."""
    if isinstance(value, Mapping):
        return {name: strict_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def summarize_baseline(
    model: Model, baseline: Baseline, scores: Mapping[str, float]
) -> dict[str, Any]:
    """Summarize the draws of a baseline as those of the posterior are.

    Args:
        model: What was inferred.
        baseline: The classical answer.
        scores: Its distances to the posterior.
    """
    content = _of_one(model, baseline)
    content["scores"] = {k: float(v) for k, v in scores.items()}
    if baseline.rivals:
        content["rivals"] = [_of_one(model, rival) for rival in baseline.rivals]
    return content


def agreement(
    own: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    """Return how far two answers are apart, for every quantity that both have.

    Args:
        own: Summaries of the posterior, by quantity.
        other: Those of the baseline, which sets the scale.
    """
    found = {}
    for name in own.keys() & other.keys():
        one, two = own[name], other[name]
        shift, spread = one["mean"] - two["mean"], two["sd"]
        found[name] = {
            "difference": shift,
            "difference_in_sd": shift / spread if spread else math.nan,
            "sd_ratio": one["sd"] / spread if spread else math.nan,
        }
    return {name: found[name] for name in own if name in found}


def _of_one(model: Model, baseline: Baseline) -> dict[str, Any]:
    names = [field.name for field in model.targets.fields]
    own = model.derived(baseline.draws)
    every = {**baseline.draws, **own}
    others = {n: v for n, v in own.items() if n not in names}
    return {
        "method": baseline.method,
        "parameters": summarize_draws({n: every[n] for n in names}, model.units),
        "derived": summarize_draws(others, model.units),
        "diagnostics": {k: float(v) for k, v in baseline.diagnostics.items()},
    }
