"""What the data inform: at the observation, on average, and with nuisances known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ..simulations import Simulations, take_rows
from .identifiability import Identifiability, identifiability
from .validate import Posterior


NUM_AVERAGED = 200
NUM_DRAWS = 200
NUM_PRIOR = 4000
# Fixed nuisances that leave more of the width than this make no difference.
NO_DIFFERENCE = 0.97


@dataclass(frozen=True)
class Informed:
    """Which parameters and combinations of them the data inform.

    Attributes:
        here: At the observation.
        average: On average over simulations.
        nuisances: The nuisances that were marginalized.
        width_if_known: Share of each parameter's width that would be left if they were
            fixed; empty where there are none, or too few test simulations to tell.
        symmetries: What was declared to be impossible to tell, in words. Everything is
            judged as one image of it: modes that mirror each other are no ridge.
    """

    here: Identifiability
    average: Identifiability
    nuisances: tuple[str, ...] = ()
    width_if_known: Mapping[str, float] = field(default_factory=dict)
    symmetries: tuple[str, ...] = ()

    @property
    def symmetry_sentence(self) -> str:
        """Say which images are judged as one; empty without symmetries."""
        if not self.symmetries:
            return ""
        return (
            "No data can tell theta from its images, which was declared "
            f"({'; '.join(self.symmetries)}): what is said here is said of one of them."
        )

    @property
    def nuisance_sentence(self) -> str:
        """Say what fixing the nuisances would have done; empty without nuisances."""
        if not self.width_if_known:
            return ""
        what = _listed(self.nuisances)
        changed = {n: v for n, v in self.width_if_known.items() if v < NO_DIFFERENCE}
        if not changed:
            return f"Knowing {what} would make no interval narrower."
        text = ", ".join(f"{name} {share:.2f}" for name, share in changed.items())
        return (
            f"Not knowing {what} widens the posterior. Fixed at the prior mean instead "
            "of marginalized, intervals would be narrower than they may be, by the "
            f"factor: {text}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        return {
            "at_observation": self.here.to_dict(),
            "average": self.average.to_dict(),
            "width_if_nuisances_known": dict(self.width_if_known),
            "nuisance_sentence": self.nuisance_sentence,
            "symmetries": list(self.symmetries),
        }


def informed(
    key: PRNGKeyArray,
    posterior: Posterior,
    simulations: Simulations,
    draws: Float[np.ndarray, "num_draws theta_dim"],
    width_if_known: Float[np.ndarray, " theta_dim"] | None = None,
    *,
    asked: Simulations | None = None,
) -> Informed:
    """Report what the data inform.

    Args:
        key: PRNG key.
        posterior: The posterior.
        simulations: Simulations from the prior, for its spread and to average over.
        draws: Draws of the posterior at the observation.
        width_if_known: From the verdict's calibration.
        asked: Other simulations to average over.
    """
    good, model = simulations.ok(), simulations.model
    asked = good if asked is None else asked.ok()
    xs = take_rows(asked.x, np.arange(min(NUM_AVERAGED, len(asked))))
    images = model.target_symmetries
    everywhere = np.asarray(posterior.sample(key, xs, NUM_DRAWS), np.float64)
    draws, everywhere = images.fold(draws), images.fold(everywhere)
    prior_draws = images.fold(good.targets[:NUM_PRIOR])
    names = tuple(model.target_names)
    targets = {field.name for field in model.targets.fields}
    shares = [] if width_if_known is None else width_if_known.tolist()
    return Informed(
        here=identifiability(prior_draws, draws, names=names),
        average=identifiability(prior_draws, everywhere, names=names),
        nuisances=tuple(n for n in model.prior.nuisances if n not in targets),
        width_if_known=dict(zip(names, shares, strict=False)),
        symmetries=tuple(images.describe(names)),
    )


def _listed(names: tuple[str, ...]) -> str:
    shown = list(names) if len(names) <= 4 else list(names[:3])
    if len(names) > 4:
        shown.append(f"{len(names) - 3} more nuisances")
    last = shown.pop()
    return f"{', '.join(shown)} and {last}" if shown else last
