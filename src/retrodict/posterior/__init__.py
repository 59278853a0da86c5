"""What a scientist uses: sample, log_prob, mode, summaries, and the artifact."""

from .conditioned import ConditionedPosterior, summarize
from .fit import fit
from .load import load
from .posterior import Posterior
from .refined import Refined, refine
from .restricted import Restricted, restrict
from .typical import fit_typical
from .warnings import PosteriorWarning


__all__ = [
    "ConditionedPosterior",
    "Posterior",
    "PosteriorWarning",
    "Refined",
    "Restricted",
    "fit",
    "fit_typical",
    "load",
    "refine",
    "restrict",
    "summarize",
]
