r"""An embedding that was learned before, and a perceptron on what it says.

A network learns an embedding of a large x much sooner than it learns what the embedded
x means for theta. So the embedding :math:`s(x)` of one network is kept as it is, its
entries are standardized, and a density is trained anew on them, which costs no more
than for any short x.

Source: learned summaries as in Jiang, Wu, Zheng, Wong (2017), Learning summary
statistic for approximate Bayesian computation, Statistica Sinica 27, followed by a
separate estimate as in Alsing, Charnock, Feeney, Wandelt (2019), arXiv:1903.00007.
Deviations from the source: the summaries are the context of a posterior estimator
instead of a regression of theta, so that they keep what is not in the mean.
"""

from collections.abc import Mapping

import equinox as eqx
from jaxtyping import Array, Float

from ._base import AbstractEmbedding, Frozen


SUMMARIES = "summaries"


class Staged(AbstractEmbedding):
    """Embed x by an embedding that is no longer trained, then by a perceptron.

    Attributes:
        front: The embedding that is kept, :class:`Frozen`.
        mean: Mean of its entries over the simulations, likewise.
        precision: One over their standard deviations; 0 for an entry that is constant.
        back: Reads the standardized entries as the series ``"summaries"``.
    """

    front: Frozen
    mean: Frozen
    precision: Frozen
    back: AbstractEmbedding
    out_dim: int = eqx.field(static=True)
    direct_dim: int = eqx.field(static=True)

    def __init__(
        self,
        front: AbstractEmbedding,
        mean: Float[Array, " summaries"],
        precision: Float[Array, " summaries"],
        back: AbstractEmbedding,
    ):
        self.front, self.mean = Frozen(front), Frozen(mean)
        self.precision = Frozen(precision)
        self.back = back
        self.out_dim = back.out_dim
        self.direct_dim = back.direct_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        standardized = (self.front.value(x) - self.mean.value) * self.precision.value
        return self.back({SUMMARIES: standardized})
