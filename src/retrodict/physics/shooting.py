r"""Fit a law to a long series piece by piece: multiple shooting.

The series is cut into windows, each with an initial state of its own that is unknown
too. A window's end must meet the start of the next: a term of its own, whose scale
falls as the horizon grows. One window is a free run of the whole series.

Source: Bock (1983), in Numerical Treatment of Inverse Problems, 95; for Neural ODEs
Massaroli et al. (2021), arXiv:2106.03885.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from .._core.errors import ModelError
from ..model import Prior
from .law import Law
from .problem import Problem
from .term import Term


@dataclass(frozen=True, eq=False)
class Series:
    """A forced, partially observed time series, one sample per step of the law.

    Attributes:
        inputs: ``(n, num_inputs)``, constant from a sample to the next.
        values: Measurements ``(n, num_outputs)``; NaN where there is none.
        observe: ``state -> outputs``.
        sigma: Standard deviation of a measurement, or the name of the parameter it is.
    """

    inputs: np.ndarray
    values: np.ndarray
    observe: Callable[[Array], Array]
    sigma: float | str


@dataclass(frozen=True, eq=False)
class Learned:
    """What is unknown of a law.

    Attributes:
        init: ``key -> weights`` of the learned part.
        scale: Prior standard deviation of its weights.
        prior: Parameters of the known part; None if there are none.
        start_scale: Prior standard deviation of every initial state about its guess.
    """

    init: Callable[[Key[Array, ""]], Any]
    scale: float = 1.0
    prior: Prior | None = None
    start_scale: float = 10.0


def shooting_problem(
    law: Law,
    series: Series,
    learned: Learned,
    guess: Callable[[np.ndarray], np.ndarray],
    *,
    window: int,
    joint_sigma: float = 0.01,
) -> Problem:
    """Write the fit of a law to a series as a problem over weights and initial states.

    Args:
        law: The law, whose step is the sampling interval.
        series: What was measured.
        learned: What is unknown of the law.
        guess: ``output -> state``, where the initial state of a window is looked for,
            given the measurement there.
        window: Samples per window; a window as long as the series is a free run.
        joint_sigma: By how much a window's end may miss the next one's start.

    Returns:
        A problem whose weights are ``{"law": ..., "starts": (num_windows, dim)}``,
        the latter relative to the guess.

    Raises:
        ModelError: If there are fewer than two samples in a window or in the series.
    """
    count = len(series.values)
    if not window >= 2 or count < 2:
        raise ModelError(
            f"window: Expected at least 2 samples per window; got {window} of a series "
            f"of {count}."
        )
    firsts = np.arange(0, count - 1, min(window, count))
    length = min(window, count)
    rows = _rows(series, guess, firsts, length)
    scales = {"law": learned.scale, "starts": learned.start_scale}

    def init(key: Key[Array, ""]) -> dict[str, Any]:
        shape = (len(firsts), rows["guess"].shape[1])
        return {"law": learned.init(key), "starts": jnp.zeros(shape)}

    def run(theta: Any, weights: Any, row: Any) -> Array:
        start = row["guess"] + weights["starts"][row["index"]]
        return law.solve(theta, weights["law"], start, row["inputs"])

    def data(theta: Any, weights: Any, row: Any) -> Any:
        seen = jax.vmap(series.observe)(run(theta, weights, row)[:-1])
        sigma = theta[series.sigma] if isinstance(series.sigma, str) else series.sigma
        # A missing value is no evidence: its scale is one and its residual zero.
        scale = jnp.where(row["known"], sigma, 1.0)
        return dist.Normal(jnp.where(row["known"], seen, 0.0), scale), row["values"]

    def joint(theta: Any, weights: Any, row: Any) -> Any:
        end = run(theta, weights, row)[-1]
        following = row["next"] + weights["starts"][row["index"] + 1]
        return dist.Normal(end, joint_sigma), following

    terms = [Term("data", data, rows)]
    if len(firsts) > 1:
        inner = {k: v[:-1] for k, v in rows.items()}
        inner["next"] = rows["guess"][1:]
        terms.append(Term("continuity", joint, inner))
    return Problem(terms, prior=learned.prior, init=init, weight_scale=scales)


def _rows(
    series: Series,
    guess: Callable[[np.ndarray], np.ndarray],
    firsts: np.ndarray,
    length: int,
) -> dict[str, np.ndarray]:
    """Cut a series into windows, the last one padded with what is not known."""
    values = np.asarray(series.values, float)
    padding = firsts[-1] + length - len(values)
    values = np.pad(values, ((0, padding), (0, 0)), constant_values=np.nan)
    inputs = np.pad(np.asarray(series.inputs, float), ((0, padding), (0, 0)), "edge")
    filled = _filled(values)
    windows = firsts[:, None] + np.arange(length)
    return {
        "index": np.arange(len(firsts)),
        "guess": np.stack([guess(filled[first]) for first in firsts]),
        "inputs": inputs[windows],
        "values": np.nan_to_num(values[windows]),
        "known": np.isfinite(values[windows]),
    }


def _filled(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Fill gaps from the last known value, for a first guess only."""
    filled = values.copy()
    for row in range(1, len(filled)):
        gap = ~np.isfinite(filled[row])
        filled[row, gap] = filled[row - 1, gap]
    return np.nan_to_num(filled)
