r"""Leave a region where simulations fail out of the prior, knowingly.

Failed simulations are dropped from training. Where failure depends on theta, a network
then learns the posterior of the prior *given success*,
:math:`p(\theta)\,P(\text{success}|\theta)`, which nobody wrote down. Here the region is
written down: a quadratic score of theta that most of what succeeds exceeds. The
restricted prior :math:`p(\theta)\,1_R(\theta) / P(R)` is sampled and has a density.

Source: Lueckmann et al. (2017), Flexible statistical inference for mechanistic models
of neural dynamics, arXiv:1711.01861, sec. 2.3 (restriction to valid simulations).
Deviations from the source: a logistic regression on quadratic features instead of a
network; the region is a part of the prior, not a proposal.
"""

from dataclasses import replace

import numpy as np

from .._core.errors import DataError
from .._core.quadratic import quadratic_features
from .._core.seeds import stream_key
from ..diagnostics import logistic_regression
from ..model import Model, Region
from ..simulations import Simulations
from .provenance import DEPENDS_LEVEL, failure_facts


NUM_MASS = 200_000  # prior draws behind the mass of the region
LEAST_MASS = 0.01


def restrict(simulations: Simulations, *, kept: float = 0.99) -> Model:
    """Return the model with its prior restricted to where simulations succeed.

    Args:
        simulations: Simulations of which some failed.
        kept: Fraction of what succeeds that the region must hold, judged on
            simulations that the region was not fitted to.

    Returns:
        The same model with another prior, whose ``region`` says what it is and how much
        of the prior it holds. Simulate it anew.

    Raises:
        DataError: If failure does not depend on theta, so that there is no region to
            leave out, or too few failed; or if less than 1 % of the prior is left.
        ValueError: If ``kept`` is not in (0, 1).
    """
    if not 0 < kept < 1:
        raise ValueError(f"kept: Expected a fraction in (0, 1); got {kept}.")
    facts = failure_facts(simulations)
    if facts.get("p_value", 1.0) >= DEPENDS_LEVEL:
        raise DataError(
            "simulations: Expected failures that depend on theta; got "
            f"{facts}. There is no region to leave out: mend the simulator."
        )
    model = simulations.model
    space = model.prior.space
    theta = space.flatten(simulations.theta)
    u, success = space.unconstrain(theta), simulations.status == 0
    fitted = np.arange(len(u)) % 2 == 0
    mean, scale = u.mean(0), np.where(u.std(0) > 0, u.std(0), 1.0)
    features = quadratic_features((u - mean) / scale)
    weights = logistic_regression(features[fitted], success[fitted])
    scores = features[~fitted & success] @ weights
    weights[0] -= np.quantile(scores, 1 - kept)  # the feature that is constant
    region = Region(space, mean, scale, weights[:, None])
    draws = model.prior.sample(stream_key(simulations.seed, "region"), NUM_MASS)
    mass = float(region.contains(space.flatten(draws)).mean())
    if mass < LEAST_MASS:
        raise DataError(
            f"simulations: Expected a region that holds at least {LEAST_MASS:.0%} of "
            f"the prior; got {mass:.2%}. Narrow the prior by hand."
        )
    return model.restricted(replace(region, mass=mass))
