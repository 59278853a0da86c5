"""What can be wrong with one observation, each with a stable code and a remedy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from .provenance import failure_words
from .record import Record, XSpec
from .typical import LEVELS, Oddity


UNUSUAL_REMEDY = (
    "Compare the observation with prior predictive simulations: widen the prior, or "
    "add to the simulator what it lacks. Until then do not rely on this posterior."
)


@dataclass(frozen=True)
class PosteriorWarning:
    """One thing to know before using the posterior at an observation.

    Attributes:
        code: Stable name: ``"W-ood"``, ``"W-ood-embedding"``, ``"W-disagreement"`` or
            ``"W-failed-simulations"``.
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
    oddity: Oddity, z: Mapping[str, np.ndarray], x_spec: XSpec, record: Record
) -> tuple[PosteriorWarning, ...]:
    """Say what is wrong with an observation, and with the simulations it is held to.

    Args:
        oddity: How unusual the observation is.
        z: The standardized observation, series ``(1, ...)``.
        x_spec: Structure of x, to name its entries.
        record: Counts of failed simulations.
    """
    found = []
    if oddity.x.p_value < LEVELS["x"]:
        names = column_names(z, x_spec)
        worst = [
            f"{names[column]} ({deviation:+.1f} sd)"
            for column, deviation in zip(
                oddity.x.columns, oddity.x.deviations, strict=True
            )
            if abs(deviation) > 3
        ][:3]
        where = f" Furthest off: {', '.join(worst)}." if worst else ""
        message = (
            "The observation is unlike the simulations the network learned from "
            f"(p = {oddity.x.p_value:.2g}; alarm below {LEVELS['x']}).{where}"
        )
        found.append(PosteriorWarning("W-ood", message, UNUSUAL_REMEDY))
    if oddity.p_embedding < LEVELS["embedding"]:
        message = (
            "What the network makes of the observation lies where no simulation's "
            f"embedding does (p = {oddity.p_embedding:.2g}; alarm below "
            f"{LEVELS['embedding']}): the posterior is an extrapolation."
        )
        found.append(PosteriorWarning("W-ood-embedding", message, UNUSUAL_REMEDY))
    if oddity.p_disagreement < LEVELS["disagreement"]:
        message = (
            "The networks disagree about this observation, by "
            f"{oddity.disagreement:.2g} nats; at simulations they usually do by "
            f"{oddity.usual_disagreement:.2g} (p = {oddity.p_disagreement:.2g}; alarm "
            f"below {LEVELS['disagreement']})."
        )
        remedy = (
            "Train on more simulations like this observation, or with more networks; "
            "if entries of x are unlike the simulations too, mend that first."
        )
        found.append(PosteriorWarning("W-disagreement", message, remedy))
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


def column_names(z: Mapping[str, np.ndarray], x_spec: XSpec) -> list[str]:
    """Name the columns of ``flat_series`` after the entries of x."""
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
