r"""Would more simulations help, and about how many?

Networks are trained on parts of the simulations, each twice the one before, and scored
by the mean log-density of the truth at simulations that none of them saw. To the scores
a learning curve is fitted,

.. math:: s(n) = s_\infty - b\, n^{-c}, \qquad b \ge 0,

by weighted least squares for every exponent c between .25 and 1.5; all exponents whose
:math:`\chi^2` is within one of the best make the range that is told.

Source: Cortes et al. (1993), Learning curves: asymptotic values and rate of
convergence, NIPS 6 (the power law); Viering, Loog (2023), The shape of learning curves,
arXiv:2103.10948 (that it is the most common).
Deviations from the source: in log-density rather than error rate.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .._core.errors import DataError
from .._core.seeds import check_seed, numpy_generator, stream_key
from ..posterior import fit
from ..simulations import Simulations, take_rows
from ..training import Settings


EXPONENTS = np.linspace(0.25, 1.5, 26)
FRACTIONS = (0.125, 0.25, 0.5, 1.0)
HELD_OUT, MAX_HELD_OUT = 0.2, 2000
MIN_SIMULATIONS = 600
# Fewer nats than this are not worth a simulation: intervals change by two percent.
CLOSE = 0.05
TRAINING_NOISE = 0.02  # nats by which equal trainings differ
MANY = 100  # times as many simulations is more than a curve of four points can tell


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Held-out score against the number of simulations, fitted.

    Attributes:
        numbers: Simulations trained on.
        scores: Mean held-out log-density, nats.
        errors: Standard errors of their differences, noise of training included.
        limits: Limit for many simulations of every curve that fits.
        slopes: Factor b of these.
        exponents: Exponent c of these; the best fit is the first of all three.
    """

    numbers: Int[np.ndarray, " num_points"]
    scores: Float[np.ndarray, " num_points"]
    errors: Float[np.ndarray, " num_points"]
    limits: Float[np.ndarray, " num_curves"]
    slopes: Float[np.ndarray, " num_curves"]
    exponents: Float[np.ndarray, " num_curves"]

    @property
    def gain_doubled(self) -> tuple[float, float, float]:
        """Nats that twice as many simulations would win: best guess, least, most."""
        num = float(self.numbers[-1])
        shrink = num**-self.exponents - (2 * num) ** -self.exponents
        gains = self.slopes * shrink
        return float(gains[0]), float(gains.min()), float(gains.max())

    @property
    def needed(self) -> float:
        """Simulations that come within .05 nats of the limit, by the best fit."""
        if self.slopes[0] <= 0:
            return float(self.numbers[-1])
        log_n = math.log(self.slopes[0] / CLOSE) / self.exponents[0]
        return max(math.exp(min(log_n, 60.0)), float(self.numbers[-1]))

    @property
    def sentence(self) -> str:
        """Say in plain words whether more simulations would help."""
        num = int(self.numbers[-1])
        guess, least, most = self.gain_doubled
        told = f"{guess:+.2f} nats (between {least:.2f} and {most:.2f})"
        if most < CLOSE:
            return (
                f"More simulations than {num} would change little: twice as many win "
                f"{told} of log-density."
            )
        if self.needed >= MANY * num:
            many = f"more than {_rounded(float(MANY * num))}"
        else:
            many = f"about {_rounded(self.needed)}"
        start = "would help" if guess >= CLOSE else "may help"
        return (
            f"More simulations than {num} {start}: twice as many win {told} of "
            f"log-density, and {many} would come within {CLOSE} nats of the limit."
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the points and the advice as plain values for JSON."""
        return {
            "numbers": self.numbers.tolist(),
            "scores": self.scores.tolist(),
            "gain_doubled": list(self.gain_doubled),
            "needed": self.needed,
            "sentence": self.sentence,
        }


def advise_budget(
    simulations: Simulations, *, settings: Settings | None = None, seed: int = 0
) -> LearningCurve:
    """Estimate whether more simulations would help, by training on parts of these.

    Args:
        simulations: The simulations at hand.
        settings: Architecture and schedule; by default the first choice of `fit` for
            one network, at every number of simulations.
        seed: Seed of the parts and trainings.

    Raises:
        DataError: If fewer than 600 simulations can be used.
    """
    good = simulations.ok()
    if len(good) < MIN_SIMULATIONS:
        raise DataError(
            f"simulations: Expected {MIN_SIMULATIONS} or more that can be used; got "
            f"{len(good)}. Simulate more; so few always gain from more."
        )
    key = stream_key(check_seed(seed), "budget")
    order = numpy_generator(key).permutation(len(good))
    held_out = min(int(HELD_OUT * len(good)), MAX_HELD_OUT)
    judges, rest = good[np.sort(order[:held_out])], order[held_out:]
    numbers = np.array([int(part * len(rest)) for part in FRACTIONS])
    scores = []
    for number in numbers:
        part = good[np.sort(rest[:number])]
        posterior = fit(part, seed=seed, settings=settings, effort="fast")
        xs = take_rows(judges.x, np.arange(held_out))
        scores.append(posterior.log_prob(judges.targets[:, None], xs)[:, 0])
    return fit_learning_curve(numbers, np.stack(scores))


def fit_learning_curve(
    numbers: Int[np.ndarray, " num_points"],
    scores: Float[np.ndarray, "num_points num_judges"],
) -> LearningCurve:
    """Fit a power law to scores of the same held-out simulations.

    Args:
        numbers: Simulations trained on, ascending.
        scores: Log-density of every held-out truth, nats.
    """
    # Judges are the same for all: their own spread cancels, that of differences stays.
    gaps = scores - scores[-1]
    errors = np.hypot(gaps.std(axis=1) / np.sqrt(scores.shape[1]), TRAINING_NOISE)
    mean, weight = scores.mean(axis=1), 1 / errors
    found = []
    for exponent in EXPONENTS:
        basis = np.stack([np.ones(len(numbers)), -(numbers.astype(float) ** -exponent)])
        limit, slope = np.linalg.lstsq((basis * weight).T, mean * weight, rcond=None)[0]
        if slope < 0:
            limit, slope = np.average(mean, weights=weight**2), 0.0
        misfit = np.sum((weight * (mean - limit - slope * basis[1])) ** 2)
        found.append((misfit, limit, slope, exponent))
    found.sort(key=lambda curve: curve[0])
    kept = np.array([curve[1:] for curve in found if curve[0] <= found[0][0] + 1])
    return LearningCurve(numbers, mean, errors, *kept.T)


def _rounded(number: float) -> str:
    """Write a number of simulations with one digit: more would be pretense."""
    size = 10 ** int(math.log10(number))
    return f"{round(number / size) * size:.0f}"
