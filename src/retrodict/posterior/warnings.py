"""What can be wrong with one observation, each with a stable code and a remedy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from ..diagnostics import ALARM_LEVEL, OutlierReference
from .provenance import failure_words
from .record import Record, XSpec


@dataclass(frozen=True)
class PosteriorWarning:
    """One thing to know before using the posterior at an observation.

    Attributes:
        code: Stable name, such as ``"W-ood"``.
        message: What was found, with its number.
        remedy: What to do about it.
    """

    code: str
    message: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return asdict(self)


def observation_warnings(
    reference: OutlierReference,
    z: Mapping[str, np.ndarray],
    x_spec: XSpec,
    record: Record,
) -> tuple[PosteriorWarning, ...]:
    """Judge a standardized observation and the simulations it is compared with.

    Args:
        reference: What simulated x look like.
        z: Standardized series ``(1, ...)``.
        x_spec: Structure of x, to name its entries.
        record: Counts of failed simulations.
    """
    found = []
    result = reference.check(flat_series(z)[0])
    if result.p_value < ALARM_LEVEL:
        names = column_names(z, x_spec)
        worst = [
            f"{names[column]} ({deviation:+.1f} sd)"
            for column, deviation in zip(result.columns, result.deviations, strict=True)
            if abs(deviation) > 3
        ][:3]
        where = f" Furthest off: {', '.join(worst)}." if worst else ""
        found.append(
            PosteriorWarning(
                "W-ood",
                "The observation is unlike the simulations the network learned from "
                f"(p = {result.p_value:.2g}; alarm below {ALARM_LEVEL}).{where}",
                "Compare the observation with prior predictive simulations: widen the "
                "prior, or add to the simulator what it lacks. Until then do not rely "
                "on this posterior.",
            )
        )
    words = failure_words(record.counts, record.failures)
    if words:
        found.append(
            PosteriorWarning(
                "W-failed-simulations",
                words,
                "Look at the parameters of the failed rows; mend the simulator there, "
                "or leave that region out of the prior knowingly (retrodict.restrict).",
            )
        )
    return tuple(found)


def flat_series(z: Mapping[str, np.ndarray]) -> np.ndarray:
    """Join standardized series to ``(n, columns)``, in the order of their names."""
    parts = [z[name].reshape(len(z[name]), -1) for name in sorted(z)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def column_names(z: Mapping[str, np.ndarray], x_spec: XSpec) -> list[str]:
    """Name the columns of :func:`flat_series` after the entries of x."""
    names = []
    for series in sorted(z):
        shape = x_spec.shapes[series]
        entries = [f"{series}{list(i) if i else ''}" for i in np.ndindex(*shape)]
        missing = x_spec.structure[series].missing
        presence = [f"presence of {entry}" for entry in entries] if missing else []
        if missing and z[series].ndim > 2:  # channels, then their masks, row by row
            rows = np.array([entries, presence]).reshape(
                2, -1, z[series].shape[-1] // 2
            )
            names += rows.transpose(1, 0, 2).ravel().tolist()
            continue
        extra = int(np.prod(z[series].shape[1:])) - len(entries) - len(presence)
        logs = [f"log {series} (column {i})" for i in range(extra)]
        names += entries + logs + presence
    return names
