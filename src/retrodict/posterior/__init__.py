"""What a scientist uses: sample, log_prob, mode, summaries, and the artifact."""

from .conditioned import ConditionedPosterior, summarize
from .ellipsoids import ellipsoids
from .fit import MIN_SIMULATIONS, fit
from .fits import check_fits
from .load import load
from .posterior import Posterior
from .refine import refine
from .refined import Refined
from .restrict import restrict
from .restricted import Restricted
from .rounds import (
    can_weigh,
    explore,
    one_row,
    refined_in_region,
    simulate_in_rounds,
)
from .sequential import Sequential
from .typical import fit_typical
from .warnings import PosteriorWarning


__all__ = [
    "ConditionedPosterior",
    "MIN_SIMULATIONS",
    "Posterior",
    "PosteriorWarning",
    "Refined",
    "Restricted",
    "Sequential",
    "can_weigh",
    "check_fits",
    "ellipsoids",
    "explore",
    "fit",
    "fit_typical",
    "load",
    "one_row",
    "refine",
    "refined_in_region",
    "restrict",
    "simulate_in_rounds",
    "summarize",
]
