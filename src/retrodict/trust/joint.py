"""Checks of all parameters together: density regions, distances, dependence."""

import jax.random as jr
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from scipy.stats import norm

from ..diagnostics import (
    candidate_features,
    central_levels,
    ecdf,
    joint_ratio_test,
    normal_scores,
    num_context,
    uniformity_grid,
    uniformity_p_value,
)
from . import thresholds, words
from .evidence import Evidence
from .family import Finding, Group
from .marginal import coverage_finding


def density_group(levels: Float[np.ndarray, " num_sims"]) -> Group:
    """Test the coverage of highest-density regions: rank of log q(theta* | x)."""
    finding = coverage_finding(
        "", "The joint posterior", "highest-density regions", levels
    )
    return Group(
        code="joint-coverage",
        findings=(finding,),
        statement="Highest-density regions hold the truth as often as they say",
        unit=words.points,
    )


def tarp_group(levels: Float[np.ndarray, " num_sims"]) -> Group:
    """Test the posterior mass around reference points that move with x (TARP)."""
    grid = uniformity_grid()
    further = float(np.mean(normal_scores(levels)))
    excess = float(np.mean(ecdf(central_levels(levels), grid) - grid))
    wide = further < excess
    finding = Finding(
        subject="",
        p_value=uniformity_p_value(levels),
        effect=float(np.max(np.abs(ecdf(levels, grid) - grid))),
        warn_at=thresholds.COVERAGE_WARN,
        fail_at=thresholds.TOO_WIDE_FAIL if wide else thresholds.COVERAGE_FAIL,
        message=words.tarp_sentence(wide),
        remedy=words.WIDE_REMEDY if wide else words.SHAPE_REMEDY,
    )
    return Group(
        code="joint-tarp",
        findings=(finding,),
        statement="Regions around random reference points (TARP) hold their share",
        unit=words.points,
    )


def dependence_group(
    names: tuple[str, ...],
    pairs: Int[np.ndarray, "num_pairs 2"],
    direction: Float[np.ndarray, "num_sims num_pairs"],
) -> Group:
    """Test whether pairs of parameters rise and fall together as the draws do."""
    titles = [(names[first], names[second]) for first, second in pairs]
    return Group(
        code="joint-dependence",
        findings=tuple(map(_dependence, titles, direction.T)),
        statement="Pairs of parameters depend on each other as the draws do",
        unit=words.direction_sds,
    )


def classifier_group(
    key: PRNGKeyArray,
    evidence: Evidence,
    features: Float[np.ndarray, "num_sims num_features"],
) -> Group:
    """Test whether a classifier can tell truths from draws (C2ST of the joint)."""
    key_waves, key_halves = jr.split(key)
    phi = candidate_features(
        key_waves,
        evidence.candidates,
        evidence.candidate_log_prob,
        features,
        num_context=num_context(features, evidence.pit.shape[1]),
    )
    p_value, shift = joint_ratio_test(key_halves, phi)
    finding = Finding(
        subject="",
        p_value=p_value,
        effect=shift,
        warn_at=thresholds.LOCAL_WARN,
        fail_at=thresholds.LOCAL_FAIL,
        message=(
            "A classifier that saw half of the test simulations tells truths from "
            "draws in the other half: the joint posterior has the wrong shape, width "
            "or place."
        ),
        remedy=words.SHAPE_REMEDY,
    )
    return Group(
        code="joint-classifier",
        findings=(finding,),
        statement="A classifier cannot tell truths from draws",
        unit=words.score_sds,
    )


def _dependence(
    pair: tuple[str, str], direction: Float[np.ndarray, " num_sims"]
) -> Finding:
    shift = float(np.mean(normal_scores(direction)))
    sign = "negatively" if shift > 0 else "positively"
    first, second = pair
    return Finding(
        subject=f"{first} and {second}",
        p_value=float(2 * norm.sf(abs(shift) * np.sqrt(len(direction)))),
        effect=abs(shift),
        warn_at=thresholds.SHIFT_WARN,
        fail_at=thresholds.SHIFT_FAIL,
        message=(
            f"The correlation of {first} and {second} is wrong: the draws relate them "
            f"too {sign}."
        ),
        remedy=words.DEPENDENCE_REMEDY,
    )
