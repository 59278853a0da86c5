"""Teach a posterior by pairs from the prior and a learned likelihood.

A few simulations show the likelihood better than the posterior where the simulator only
moves and scales a simple shape. The likelihood is learned from them, any number of
pairs is drawn from the prior and from it, and an ensemble is trained on both. It is
kept only if it predicts theta better for real simulations that neither has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ..estimators import Affine, VectorScaler, apply_scalers
from ..model import Model
from ..training import (
    Settings,
    Trained,
    default_settings,
    fit_surrogate,
    train_ensemble,
)


NUM_SYNTHETIC = 20_000  # at least
PER_SIMULATION = 4  # synthetic pairs, of many simulations
REAL_SHARE = 0.2  # of the training rows, at least
MAX_SIMULATIONS = 15_000  # measured to help at 1000 and 10 000; then time counts
MAX_MEMBERS = 5  # more average out what few simulations leave to chance; these are many
MAX_COLUMNS = 64  # a density of more entries is no longer learned from few simulations


@dataclass(frozen=True)
class Pairs:
    """Simulations as a network sees them, and how they were brought there.

    Attributes:
        value: ``(n, dim)`` standardized, unconstrained theta, float32.
        x: Series of x, not standardized.
        scale: Standardizer of unconstrained theta.
        scalers: Standardizers of x, by series.
    """

    value: Float[np.ndarray, "n dim"]
    x: Mapping[str, np.ndarray]
    scale: Affine
    scalers: Mapping[str, Any]


def can_synthesize(pairs: Pairs) -> bool:
    """Say whether x is short enough, and simulations few enough, to be worth it."""
    vectors = all(
        isinstance(pairs.scalers[name], VectorScaler)
        and series.ndim == 2
        and np.isfinite(series).all()
        for name, series in pairs.x.items()
    )
    columns = sum(int(keep.sum()) for keep in _informative(pairs).values())
    few = len(pairs.value) <= MAX_SIMULATIONS
    return vectors and few and columns <= MAX_COLUMNS


def with_synthetic(
    key: Key[Array, ""], model: Model, pairs: Pairs, first: Trained
) -> Trained:
    """Return the better of a trained ensemble and one that saw synthetic pairs too.

    Args:
        key: PRNG key.
        model: The prior that more theta are drawn from.
        pairs: The simulations.
        first: The ensemble trained on them alone.
    """
    key_likelihood, key_theta, key_x, key_train = jr.split(key, 4)
    held_out = first.held_out[0]
    rest = np.setdiff1d(np.arange(len(pairs.value)), held_out)
    names = sorted(pairs.x)
    columns = join_columns(pairs.x)
    keep = np.concatenate([kept for _, kept in sorted(_informative(pairs).items())])
    likelihood = fit_surrogate(
        key_likelihood, pairs.value[rest], columns[rest][:, keep]
    )
    count = max(NUM_SYNTHETIC, PER_SIMULATION * len(rest))
    value = pairs.scale.apply(_draw_targets(key_theta, model, count))
    value = value.astype(np.float32)
    drawn = columns[np.resize(rest, count)].astype(np.float64)
    drawn[:, keep] = likelihood.sample(key_x, value)  # the others do not know theta
    ends = np.cumsum([pairs.x[name].shape[1] for name in names])[:-1]
    synthetic = dict(zip(names, np.split(drawn, ends, axis=1), strict=True))
    again = np.tile(rest, max(1, round(REAL_SHARE * len(value) / len(rest))))
    x = {
        name: np.concatenate([pairs.x[name], pairs.x[name][again], synthetic[name]])
        for name in names
    }
    value = np.concatenate([pairs.value, pairs.value[again], value])
    settings = _settings(len(value), first.settings)
    z = apply_scalers(pairs.scalers, x)
    second = train_ensemble(key_train, value, z, settings, held_out=held_out)
    better = second if second.score < first.score else first
    return replace(
        better,
        compile_s=sum(t.compile_s for t in (first, likelihood, second)),
        train_s=sum(t.train_s for t in (first, likelihood, second)),
    )


def _informative(pairs: Pairs) -> dict[str, np.ndarray]:
    """Return which entries of each series the networks see."""
    return {name: scaler.plain.scale > 0 for name, scaler in pairs.scalers.items()}


def join_columns(series: Mapping[str, np.ndarray]) -> Float[np.ndarray, "n columns"]:
    """Return the entries of all series side by side, in the order of their names."""
    return np.concatenate([series[name] for name in sorted(series)], axis=1)


def _draw_targets(
    key: Key[Array, ""], model: Model, count: int
) -> Float[np.ndarray, "n dim"]:
    theta = model.prior.sample(key, count)
    targets = model.flatten({**theta, **model.derived(theta)})
    return model.targets.unconstrain(targets)


def _settings(count: int, first: Settings) -> Settings:
    base = default_settings(count, 1, num_members=min(first.num_members, MAX_MEMBERS))
    return replace(base, num_layers=first.num_layers)
