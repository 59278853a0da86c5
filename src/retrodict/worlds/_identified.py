"""What the data tell of parameters and what only of combinations, for a caption."""

from collections.abc import Mapping

import jax.random as jr
import numpy as np

from ..model import Prior
from ..trust import identifiability


NUM_PRIOR = 4000


def what_is_known(prior: Prior, draws: Mapping[str, np.ndarray]) -> str:
    """Return the sentences of the identifiability report.

    Args:
        prior: Prior of the parameters, each a single number.
        draws: Posterior draws of each.
    """
    before = prior.sample(jr.key(0), NUM_PRIOR)
    report = identifiability(
        np.column_stack([before[name] for name in prior.names]),
        np.column_stack([draws[name] for name in prior.names]),
        names=tuple(prior.names),
    )
    return " ".join(report.sentences)
