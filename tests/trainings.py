"""A training of seconds: its settings, its simulations, and what came of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from retrodict.estimators import Estimator
from retrodict.training import Settings


SMALL = Settings(
    num_members=3,
    num_layers=1,
    num_bins=4,
    flow_width=8,
    embedding_width=16,
    context_dim=8,
    num_blocks=1,
    epochs=6,
    batch_size=32,
)


_LIKELIHOOD = import_module("retrodict.training.fit_surrogate")
_FLOWS, _NORMAL = _LIKELIHOOD._flows, _LIKELIHOOD.normal_settings


def shorten_likelihoods(
    patch: pytest.MonkeyPatch, factor: int, *, raced: bool = False
) -> None:
    """Let likelihoods learn for a part of their epochs, by default without a race.

    Flows have two layers, which compile sooner than four or six.
    """

    def short(settings: Settings) -> Settings:
        return replace(settings, epochs=max(settings.epochs // factor, 3))

    def flows(rows, num_members):
        found = _FLOWS(rows, num_members)
        kept = found if raced else found[:1]
        return tuple(short(replace(settings, num_layers=2)) for settings in kept)

    patch.setattr(_LIKELIHOOD, "_flows", flows)
    patch.setattr(
        _LIKELIHOOD, "normal_settings", lambda *a, **k: short(_NORMAL(*a, **k))
    )


def linear_data(
    num: int = 400, seed: int = 0
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return standard normal values, and three noisy sums of them."""
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((num, 2)).astype(np.float32)
    x = value @ np.array([[1, 0, 1], [0, 1, 1]]) + 0.5 * rng.standard_normal((num, 3))
    return value, {"x": x.astype(np.float32)}


def mixture_log_prob(
    members: Sequence[Estimator], value: np.ndarray, x: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log-density of rows under the mean of members."""
    x = {name: jnp.asarray(series) for name, series in x.items()}
    each = [np.asarray(m.log_prob_rows(jnp.asarray(value), x)) for m in members]
    return logsumexp(np.array(each, np.float64), axis=0) - math.log(len(each))
