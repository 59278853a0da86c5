r"""Which parameters the data determine, and along which ridge they do not.

The posterior's covariance is compared with the prior's in unconstrained coordinates:
contraction :math:`1 - \sigma^2_{post}/\sigma^2_{prior}` per parameter, and the
eigenvectors of the posterior covariance in units of the prior, from the most to the
least determined combination.

Source: contraction as in Schad, Betancourt and Vasishth (2021), arXiv:1904.12765.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from ..model import Prior, Space
from .gaussian import NormalInSpace


# A posterior a fifth as wide as the prior, or wider: contraction below 1 - 1/25. A bent
# ridge is wider than its curvature at one point admits.
IDENTIFIED_FROM = 24 / 25
NUM_PRIOR_DRAWS = 4000


@dataclass(frozen=True, eq=False)
class Identified:
    """What the data say about each parameter and each combination.

    Attributes:
        contraction: Share of the prior variance removed by the data, by component.
        unidentified: Components with a contraction below 24/25.
        directions: Unit vectors of the prior-standardized coordinates, one per row,
            the best determined first.
        widths: Posterior sd along each, in prior sds.
    """

    contraction: dict[str, float]
    unidentified: tuple[str, ...]
    directions: Float[np.ndarray, "dim dim"]
    widths: Float[np.ndarray, " dim"]


def identify(prior: Prior | None, posterior: NormalInSpace) -> Identified:
    """Compare a posterior with the prior of the same parameters."""
    if prior is None:
        return Identified({}, (), np.zeros((0, 0)), np.zeros(0))
    space = prior.space
    draws = space.flatten(prior.sample(jax.random.key(0), NUM_PRIOR_DRAWS))
    sd = np.std(space.unconstrain(draws), axis=0)
    covariance = posterior.covariance / sd[:, None] / sd
    values, vectors = np.linalg.eigh(covariance)
    shares = 1 - np.diag(covariance)
    names = _coordinates(space)
    contraction = {n: float(s) for n, s in zip(names, shares, strict=True)}
    weak = tuple(n for n, share in contraction.items() if share < IDENTIFIED_FROM)
    return Identified(contraction, weak, vectors.T, np.sqrt(np.maximum(values, 0)))


def _coordinates(space: Space) -> list[str]:
    """Name the unconstrained coordinates; a simplex has fewer than components."""
    names = []
    for field in space.fields:
        size = field.support.unconstrained_size
        same = size == field.size
        names += (
            field.components if same else [f"{field.name}~{i}" for i in range(size)]
        )
    return names
