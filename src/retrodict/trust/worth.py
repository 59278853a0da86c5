"""What another measurement would be worth: which widths it would leave.

Simulations of the model are given together with what another measurement would read in
each. Where the truth lies in its posterior, the one from x alone, is predicted from x
and then from x and the measurement: the share of the width that is left (see
`retrodict.trust.nuisance`) is computed for every parameter and for the combinations
that x knows on average, best known first. So a ridge is seen to end, or not to.
"""

from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float

from .._core.errors import DataError
from .._core.seeds import check_seed, stream_key
from ..diagnostics import flatten_output, pit_values, sbc_ranks, summary_features
from ..simulations import Simulations
from .identifiability import coordinates, identifiability
from .nuisance import width_if_known
from .validate import Posterior


NUM_DRAWS = 128
# Widths that shrink by less are not worth a sentence.
WORTH_TELLING = 0.9


@dataclass(frozen=True)
class Worth:
    """What is left of every width once another measurement is known.

    Attributes:
        names: Parameters, then combinations of them.
        remaining: Share of the width that would be left, by name, in (0, 1].
    """

    names: tuple[str, ...]
    remaining: tuple[float, ...]

    @property
    def sentence(self) -> str:
        """Say what the measurement would help, and how much."""
        rows = zip(self.names, self.remaining, strict=True)
        helped = sorted((left, name) for name, left in rows if left < WORTH_TELLING)
        if not helped:
            return "The measurement would tell nothing that x does not tell already."
        told = "; ".join(f"{name} to {left:.2f}" for left, name in helped[:5])
        return f"The measurement would shrink widths by these factors: {told}."


def worth(
    posterior: Posterior, simulations: Simulations, extra: Any, *, seed: int = 0
) -> Worth:
    """Estimate what another measurement would add to x.

    Args:
        posterior: The posterior from x alone.
        simulations: Simulations it was not trained on, 500 or more.
        extra: What the measurement reads in each of them: an array with one row per
            simulation, or a dictionary of such.
        seed: Seed of the draws.

    Raises:
        DataError: If rows do not fit, or are too few to tell.
    """
    good = simulations.status == 0
    flat = flatten_output(extra)
    if len(flat) != len(simulations):
        raise DataError(
            f"extra: Expected one row for each of {len(simulations)} simulations; got "
            f"{len(flat)}."
        )
    rows, keys = simulations.ok(), jr.split(stream_key(check_seed(seed), "worth"), 3)
    draws = np.asarray(posterior.sample(keys[0], rows.x, NUM_DRAWS), np.float64)
    names = tuple(simulations.model.target_names)
    known = identifiability(rows.targets, draws, names=names)
    log = np.array(known.logarithmic)
    mixed = [d for d in known.directions if np.count_nonzero(d.coefficients) > 1]
    weights = np.array([d.coefficients for d in mixed]).reshape(-1, len(names))
    theta, draws = (
        np.concatenate([t, t @ weights.T], axis=-1)
        for t in (coordinates(rows.targets, log), coordinates(draws, log))
    )
    pit = pit_values(keys[2], sbc_ranks(keys[1], theta, draws), NUM_DRAWS)
    left = _left(pit, summary_features(flatten_output(rows.x)), flat[good])
    return Worth((*names, *(d.name for d in mixed)), tuple(float(v) for v in left))


def _left(
    pit: Float[np.ndarray, "n d"],
    features: Float[np.ndarray, "n k"],
    extra: Float[np.ndarray, "n m"],
) -> Float[np.ndarray, " d"]:
    found = width_if_known(pit, features, summary_features(extra))
    if found is None:
        raise DataError(
            f"simulations: Expected five for every feature of x and extra; got "
            f"{len(pit)}. Simulate more, or summarize."
        )
    return found
