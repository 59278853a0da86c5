r"""How wide the base of a trained flow should be: what held-out simulations say.

A network that over-reads its simulations maps the theta of others further out than a
standard normal reaches. One number mends most of it: with a base of standard deviation
s instead of 1 the density of member m at row i is

.. math:: \log q_{m,s} = \log q_{m,1} + \tfrac12 |z_{mi}|^2 (1 - s^{-2}) - d \log s ,

where z is what the flow makes of theta and d its dimension. The s is taken at which
members that hold out the same rows, more than half of an ensemble, have the highest
mean log-density there as a mixture; other members tell how far those rows are out of
the ordinary. To be over-confident is worse than to be as much too wide: half a standard
error is added, and a base is narrowed only by what exceeds a whole one.

Source: Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks,
arXiv:1706.04599, sec. 4.2 (temperature scaling, of classifiers).
Deviations from the source: the base of a flow in the place of logits; a mixture; a
prior on log s, because a few rows say little; the standard errors.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp


PRIOR_SD = 0.05  # of log s
MAX_LOG_SCALE = 0.5
PROBE = 2.0  # a second base to evaluate: two losses of a row tell its |z|


class HeldOut(NamedTuple):
    """Rows that no member was trained on, as members with a standard normal base do.

    Attributes:
        losses: -log q, ``(members, rows)``, nats.
        squares: Squared distance of the noise from zero, ``(members, rows)``.
        dim: Dimension of theta.
    """

    losses: Float[np.ndarray, "members rows"]
    squares: Float[np.ndarray, "members rows"]
    dim: int

    @classmethod
    def probed(
        cls,
        losses: Float[np.ndarray, "members rows"],
        at_probe: Float[np.ndarray, "members rows"],
        dim: int,
    ) -> "HeldOut":
        """Tell squares from the losses with a base of 1 and with one of ``PROBE``."""
        losses, at_probe = (np.asarray(v, np.float64) for v in (losses, at_probe))
        with np.errstate(invalid="ignore"):  # of a member that never had a finite loss
            gained = losses - at_probe + dim * math.log(PROBE)
        return cls(losses, 2 * gained / (1 - PROBE**-2), dim)

    def is_finite(self) -> bool:
        """Say whether every loss is a number, as those of untrained members are not."""
        return bool(np.isfinite(self.losses).all() and np.isfinite(self.squares).all())

    def singly(self) -> list["HeldOut"]:
        """Return each member with the same rows."""
        pairs = zip(self.losses, self.squares, strict=True)
        return [HeldOut(one[None], square[None], self.dim) for one, square in pairs]

    def loss(self, log_scale: float) -> float:
        """Return the summed loss of the mixture with another base."""
        nearer = 0.5 * self.squares * -math.expm1(-2 * log_scale)
        log_q = nearer - self.losses - self.dim * log_scale
        each = np.asarray(logsumexp(log_q, axis=0)) - math.log(len(log_q))
        return -float(each.sum())


def fit_base_scale(shared: HeldOut, alone: Sequence[HeldOut] = ()) -> float:
    """Return the standard deviation of the base, a little on the wide side.

    Args:
        shared: Members that hold out the same rows.
        alone: Other members, one each, with rows of their own. What they say differs
            from what single members say of the shared rows by chance alone, and that
            is taken off.
    """
    if not all(part.is_finite() for part in (shared, *alone)):
        return 1.0
    singles = np.mean([_most_likely(part) for part in shared.singly()])
    parts = [singles, *map(_most_likely, alone)]
    log_scale = _most_likely(shared) + float(np.mean(parts) - singles)
    # what normal noise tells of log s: two for each of its numbers
    num_rows = len(parts) * shared.losses.shape[1]
    information = 2 * shared.dim * num_rows + PRIOR_SD**-2
    return math.exp(_wide_side(log_scale, information**-0.5))


def _most_likely(rows: HeldOut) -> float:
    def objective(log_scale: float) -> float:
        return rows.loss(log_scale) + 0.5 * (log_scale / PRIOR_SD) ** 2

    bounds = (-MAX_LOG_SCALE, MAX_LOG_SCALE)
    found: Any = minimize_scalar(objective, bounds=bounds, method="bounded")
    return float(found.x)


def _wide_side(log_scale: float, error: float) -> float:
    """Lean to the wide side, and narrow by no more than is sure."""
    wider = log_scale + 0.5 * error
    return wider if wider > 0 else min(wider + 0.5 * error, 0.0)
