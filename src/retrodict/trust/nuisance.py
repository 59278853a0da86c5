r"""What ignoring nuisances would have done to the width of the answer.

A nuisance :math:`\nu` that is simulated but not inferred is marginalized: the posterior
is as wide as not knowing it makes it. Fixed at its prior mean, as if it were known, it
would leave the narrower width :math:`\mathrm{sd}(\theta | x, \nu)`. In test simulations
the truth of :math:`\nu` is known, so the share that is left is what a regression of the
truth's normal scores on x and :math:`\nu` leaves over, beside one on x alone:

.. math:: \sqrt{\frac{1 - R^2(z \sim x, \nu)}{1 - R^2(z \sim x)}}

with :math:`R^2` adjusted for the number of regressors. Exact for linear-Gaussian
models; elsewhere a linear regression finds a part of what knowing :math:`\nu` is worth,
so that the true share is smaller still.

Source: Saltelli et al. (2008), Global Sensitivity Analysis, section 1.2.15 (variance
left when a factor is fixed).
Deviations from the source: conditional on x, in posterior sds.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ..diagnostics import dependence_test, normal_scores
from ..model import Model, Space


def nuisance_coordinates(
    model: Model, theta: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "num_sims num_nuisances"]:
    """Return the nuisances in unconstrained coordinates; no column where none is."""
    targets = {field.name for field in model.targets.fields}
    names = set(model.prior.nuisances) - targets
    fields = tuple(f for f in model.prior.space.fields if f.name in names)
    if not fields:
        return np.zeros((len(next(iter(theta.values()))), 0))
    space = Space(fields)
    return space.unconstrain(space.flatten({f.name: theta[f.name] for f in fields}))


def width_if_known(
    pit: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
    nuisances: Float[np.ndarray, "num_sims num_nuisances"],
) -> Float[np.ndarray, " theta_dim"] | None:
    """Return the share of each posterior's width that known nuisances would leave.

    Args:
        pit: PIT values of the truth.
        features: Features of x.
        nuisances: True nuisances of the same simulations.

    Returns:
        Shares in (0, 1], or None without nuisances, or where there are fewer than five
        simulations for each regressor.
    """
    num, count = nuisances.shape
    if not count or num < 5 * (count + features.shape[1]):
        return None
    scores = normal_scores(pit)
    both = np.concatenate([features, nuisances], axis=1)
    left = [
        1 - dependence_test(scores, regressors).strength ** 2
        for regressors in (both, features)
    ]
    return np.sqrt(np.clip(left[0] / np.maximum(left[1], 1e-12), 1e-12, 1.0))
