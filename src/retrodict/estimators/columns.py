r"""Bring the entries of x to the real line so that a density can be learned there.

A density of x needs a bijection, unlike a network that only reads x: every entry is
mapped by one monotone function, the identity, a logarithm or an inverse hyperbolic
sine, as its tails demand, and then standardized. Entries that are
whole numbers are made continuous by uniform noise, :math:`y = x + u`, which
:math:`\lfloor y \rfloor` undoes.

Source: Theis, van den Oord, Bethge (2016), arXiv:1511.01844, sec. 3.1 (uniform noise).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from .standardize import Affine


CLEARLY = 0.8  # a logarithm is taken if it lowers the kurtosis below this part
HEAVY = 5.0  # kurtosis above which an entry is squashed
MAX_SQUASHED = 40.0  # an entry that far off in asinh is at e^40 scales


@dataclass(frozen=True)
class Columns:
    """A bijection from rows of x to standardized real coordinates.

    Attributes:
        kinds: 0 identity, 1 logarithm, 2 inverse hyperbolic sine; per entry.
        whole: Which entries are whole numbers.
        counts: Which of them are never below zero.
        center: Median and spread of the bulk, before squashing.
        scale: Mean and scale afterwards.
    """

    kinds: Int[np.ndarray, " columns"]
    whole: np.ndarray
    counts: np.ndarray
    center: Affine
    scale: Affine

    @classmethod
    def fit(cls, x: Float[np.ndarray, "n columns"], *, bend: bool = True) -> "Columns":
        """Choose the function of every entry from rows of x.

        Args:
            x: Rows of x.
            bend: Whether it may be another one than the identity.
        """
        x = x.astype(np.float64)
        whole = (x == np.round(x)).all(0)
        low, median, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
        spread = np.where(high > low, (high - low) / 1.349, x.std(0))
        center = Affine(median, np.where(spread > 0, spread, 1.0))
        positive = (x > 0).all(0) & ~whole
        tails = np.stack(
            [
                _kurtosis(x),
                np.where(positive, _kurtosis(np.log(np.where(positive, x, 1))), np.inf),
            ]
        )
        logs = tails[1] < CLEARLY * tails[0]
        kinds = bend * np.where(logs, 1, np.where(tails[0] > HEAVY, 2, 0))
        plain = Affine(np.zeros(len(low)), np.ones(len(low)))
        bare = cls(kinds, whole, are_counts(x), center, plain)
        return replace(bare, scale=Affine.fit(bare._bend(x + 0.5 * whole)[0]))

    @property
    def num_coordinates(self) -> int:
        """How many coordinates a row has."""
        return len(self.kinds)

    def apply(
        self,
        x: Float[np.ndarray, "n columns"],
        rng: np.random.Generator | None = None,
    ) -> tuple[Float[np.ndarray, "n columns"], Float[np.ndarray, " n"]]:
        """Return coordinates and log |det d coordinates / dx| of rows.

        Args:
            x: Rows of x.
            rng: Draws the noise of whole numbers; without it they sit half a step up.
        """
        noise = (0.5 if rng is None else rng.uniform(size=x.shape)) * self.whole
        bent, log_det = self._bend(x.astype(np.float64) + noise)
        safe = np.where(self.scale.scale > 0, self.scale.scale, 1.0)
        return self.scale.apply(bent), log_det - np.log(safe).sum()

    def undo(
        self, coordinates: Float[np.ndarray, "n columns"]
    ) -> Float[np.ndarray, "n columns"]:
        """Map coordinates back to rows of x."""
        bent = self.scale.undo(coordinates)
        squashed = np.clip(bent, -MAX_SQUASHED, MAX_SQUASHED)
        x = np.where(
            self.kinds == 1,
            np.exp(np.clip(bent, -700.0, 700.0)),
            np.where(self.kinds == 2, self.center.undo(np.sinh(squashed)), bent),
        )
        x = np.where(self.whole, np.floor(x), x)
        return np.where(self.counts, np.maximum(x, 0.0), x)

    def _bend(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logs = np.log(np.maximum(np.where(self.kinds == 1, x, 1.0), 1e-300))
        centred = self.center.apply(x)
        squashed = np.arcsinh(centred)
        slope = -0.5 * np.log1p(centred**2) - np.log(self.center.scale)
        bent = np.where(self.kinds == 1, logs, np.where(self.kinds == 2, squashed, x))
        log_det = np.where(self.kinds == 1, -logs, np.where(self.kinds == 2, slope, 0))
        return bent, log_det.sum(1)


def are_counts(x: Float[np.ndarray, "n columns"]) -> Bool[np.ndarray, " columns"]:
    """Say which columns hold whole numbers, none below zero."""
    return ((x == np.round(x)) & (x >= 0)).all(0)


def _kurtosis(x: np.ndarray) -> np.ndarray:
    """Return the fourth standardized moment of every column; 3 if normal."""
    centred = x - x.mean(0)
    variance = np.mean(centred**2, axis=0)
    return np.mean(centred**4, axis=0) / np.where(variance > 0, variance, 1.0) ** 2
