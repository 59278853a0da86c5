"""Checks of each parameter by itself: bias, width and shape of its posterior.

All three look at the PIT values of simulation-based calibration. The general shape test
would find bias and width too, but the directed ones find smaller errors and say what
they are.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from ..diagnostics import (
    central_levels,
    ecdf,
    normal_scores,
    uniformity_grid,
    uniformity_p_value,
)
from . import thresholds, words
from .family import Finding, Group


Pit = Float[np.ndarray, "num_sims theta_dim"]


def bias_group(names: tuple[str, ...], pit: Pit) -> Group:
    """Test the mean normal score of each parameter: is the posterior off-center?"""
    return Group(
        code="marginal-bias",
        findings=tuple(map(_bias, names, pit.T)),
        statement="Each posterior is centered on the truth on average",
        unit=words.posterior_sds,
    )


def width_group(names: tuple[str, ...], pit: Pit) -> Group:
    """Test the coverage of central intervals: does each mean what it says?"""
    return Group(
        code="marginal-width",
        findings=tuple(map(_width, names, pit.T)),
        statement="Central intervals hold the truth as often as they say",
        unit=words.points,
    )


def shape_group(names: tuple[str, ...], pit: Pit) -> Group:
    """Test all PIT values for uniformity: any other error of a marginal."""
    return Group(
        code="marginal-shape",
        findings=tuple(map(_shape, names, pit.T)),
        statement="Ranks of the truth are uniform",
        unit=words.points,
    )


def _bias(name: str, pit: Float[np.ndarray, " num_sims"]) -> Finding:
    shift = float(np.mean(normal_scores(pit)))
    return Finding(
        subject=name,
        # Scores are exactly N(0, 1), so their mean is exactly N(0, 1/n).
        p_value=float(2 * norm.sf(abs(shift) * np.sqrt(len(pit)))),
        effect=abs(shift),
        warn_at=thresholds.SHIFT_WARN,
        fail_at=thresholds.SHIFT_FAIL,
        message=words.bias_sentence(name, shift),
        remedy=words.BIAS_REMEDY,
    )


def _width(name: str, pit: Float[np.ndarray, " num_sims"]) -> Finding:
    return coverage_finding(name, name, "central intervals", central_levels(pit))


def coverage_finding(
    subject: str, title: str, regions: str, levels: Float[np.ndarray, " num_sims"]
) -> Finding:
    """Test a coverage curve and tell it where it is farthest off."""
    grid = uniformity_grid()
    coverage = ecdf(levels, grid)
    deviation = coverage - grid
    worst = deviation[np.argmax(np.abs(deviation))]
    narrow = bool(worst < 0)
    return Finding(
        subject=subject,
        p_value=uniformity_p_value(levels),
        effect=float(abs(worst)),
        warn_at=thresholds.COVERAGE_WARN,
        fail_at=thresholds.COVERAGE_FAIL if narrow else thresholds.TOO_WIDE_FAIL,
        message=words.coverage_sentence(title, regions, grid, coverage),
        remedy=words.NARROW_REMEDY if narrow else words.WIDE_REMEDY,
    )


def _shape(name: str, pit: Float[np.ndarray, " num_sims"]) -> Finding:
    return rank_finding(
        name, f"Ranks of the truth among draws of {name} are not uniform but", pit
    )


def rank_finding(
    subject: str, opening: str, pit: Float[np.ndarray, " num_sims"]
) -> Finding:
    """Test values that should be uniform, and name the shape they have instead."""
    grid = uniformity_grid()
    shape = words.shape_words(
        float(np.mean(normal_scores(pit))), grid, ecdf(central_levels(pit), grid)
    )
    wide = shape == words.TOO_WIDE
    return Finding(
        subject=subject,
        p_value=uniformity_p_value(pit),
        effect=float(np.max(np.abs(ecdf(pit, grid) - grid))),
        warn_at=thresholds.COVERAGE_WARN,
        fail_at=thresholds.TOO_WIDE_FAIL if wide else thresholds.COVERAGE_FAIL,
        message=f"{opening} {shape}.",
        remedy=words.WIDE_REMEDY if wide else words.SHAPE_REMEDY,
    )
