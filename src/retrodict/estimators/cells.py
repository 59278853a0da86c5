r"""Counts as cells of the real line, so that no noise need make them continuous.

On the scale :math:`t(y) = 2\sqrt{y + 3/8}` a Poisson count has an sd of about one, and
the count x is the cell between :math:`t(x - 1/2)` and :math:`t(x + 1/2)`, whose mass is
its probability; zero has no lower edge. Entries that are not counts are known exactly,
in the coordinates of :class:`.Columns`.

Source: Anscombe (1948), The transformation of Poisson, binomial and negative-binomial
data, Biometrika 35, 246.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from .columns import Columns, are_counts
from .independent import BELOW
from .standardize import Affine


SHIFT = 0.375


@dataclass(frozen=True)
class Cells:
    """A map from rows of x to middles and half-widths, and back.

    Attributes:
        counts: Which entries are whole numbers, none below zero.
        columns: The bijection of the other entries.
        scale: Standardizer of counts on the scale of roots.
    """

    counts: Bool[np.ndarray, " entries"]
    columns: Columns
    scale: Affine

    @classmethod
    def fit(cls, x: Float[np.ndarray, "n entries"], *, bend: bool = True) -> "Cells":
        """Find the counts in rows of x, and their scale.

        Args:
            x: Rows of x.
            bend: As for :meth:`.Columns.fit`, of entries that are not counts.
        """
        counts = are_counts(x)
        roots = _roots(x[:, counts].astype(np.float64))
        return cls(counts, Columns.fit(x[:, ~counts], bend=bend), Affine.fit(roots))

    @property
    def num_coordinates(self) -> int:
        """How many coordinates a row has: two for each entry."""
        return 2 * len(self.counts)

    def apply(
        self,
        x: Float[np.ndarray, "n entries"],
        rng: np.random.Generator | None = None,
    ) -> tuple[Float[np.ndarray, "n two_entries"], Float[np.ndarray, " n"]]:
        """Return middles, then half-widths, and log |det d coordinates / dx|.

        Masses of cells do not depend on the coordinates: the determinant is of the
        other entries.

        Args:
            x: Rows of x; where others had counts, a number below zero is a zero.
            rng: Draws the noise of other entries that are whole numbers.
        """
        exact, log_det = self.columns.apply(x[:, ~self.counts], rng)
        count = np.maximum(x[:, self.counts].astype(np.float64), 0.0)
        high = self.scale.apply(_roots(count + 0.5))
        low = self.scale.apply(_roots(np.maximum(count - 0.5, 0.0)))
        lowest = count == 0
        middle, half = np.zeros(x.shape), np.zeros(x.shape)
        middle[:, ~self.counts] = exact
        middle[:, self.counts] = np.where(lowest, high, 0.5 * (high + low))
        half[:, self.counts] = np.where(lowest, BELOW, 0.5 * (high - low))
        return np.concatenate([middle, half], axis=1), log_det

    def undo(
        self, coordinates: Float[np.ndarray, "n two_entries"]
    ) -> Float[np.ndarray, "n entries"]:
        """Map points of the real line, given as middles, to the x of their cell."""
        middle = np.split(coordinates, 2, axis=1)[0]
        x = np.empty(middle.shape)
        x[:, ~self.counts] = self.columns.undo(middle[:, ~self.counts])
        roots = np.maximum(self.scale.undo(middle[:, self.counts]), 0.0)
        x[:, self.counts] = np.maximum(np.round((roots / 2) ** 2 - SHIFT), 0.0)
        return x


def _roots(x: np.ndarray) -> np.ndarray:
    return 2 * np.sqrt(x + SHIFT)
