"""Plain words for what the checks find, and what to do about it."""

import numpy as np
from jaxtyping import Float


MORE_SIMULATIONS = (
    "Train on more simulations (twice as many is a fair step) or with more ensemble "
    "members, and validate again."
)
NARROW_REMEDY = (
    "Do not report these intervals as they stand. " + MORE_SIMULATIONS + " Networks "
    "that memorize few simulations are typically over-confident."
)
WIDE_REMEDY = (
    "The intervals are safe but wider than the data allow. "
    + MORE_SIMULATIONS
    + " A larger network or a better summary of x may help."
)
BIAS_REMEDY = (
    MORE_SIMULATIONS + " If it stays, look for parameters on very different scales "
    "or for heavy tails in x."
)
SHAPE_REMEDY = (
    "Use a more flexible estimator (more layers or knots). " + MORE_SIMULATIONS
)
DEPENDENCE_REMEDY = (
    "Do not read the joint posterior or functions of both parameters from these "
    "draws. Use a more flexible estimator. " + MORE_SIMULATIONS
)
INFORMATION_REMEDY = (
    "The network does not use all of x. Check the scale of x and the embedding, train "
    "longer, and look whether the training loss fell at all. " + MORE_SIMULATIONS
)
LOCAL_WIDTH_REMEDY = (
    "Widths are right on average only. " + MORE_SIMULATIONS + " Check whether x_obs is "
    "in a region with few simulations."
)

OBSERVATION_REMEDY = (
    "The posterior at x_obs itself is off, whatever it is on average. Add simulations "
    "with parameters drawn from this posterior. " + MORE_SIMULATIONS
)


def percent(share: float) -> str:
    """Write a share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


TOO_NARROW = "too narrow: over-confident (U-shaped ranks)"
TOO_WIDE = "too wide: under-confident (∩-shaped ranks)"


def width_words(deviation: float) -> str:
    """Name a coverage error by its sign: negative is too narrow."""
    return TOO_NARROW if deviation < 0 else TOO_WIDE


def points(share: float) -> str:
    """Write a difference of probabilities in points, percents of probability."""
    return f"{100 * share:.1f} points"


def posterior_sds(size: float) -> str:
    """Write a shift of a posterior."""
    return f"{size:.2f} posterior sd"


def direction_sds(size: float) -> str:
    """Write a shift of the direction in which a pair of parameters lies."""
    return f"{size:.2f} sd of the pair's direction"


def rms_sds(size: float) -> str:
    """Write a shift that differs from x to x."""
    return f"{size:.2f} posterior sd rms"


def rms_scores(size: float) -> str:
    """Write a change of coverage that differs from x to x."""
    return f"{size:.2f} normal scores rms"


def narrower(size: float) -> str:
    """Write by how much intervals could shrink."""
    return f"{100 * size:.1f} % of the width"


def score_sds(size: float) -> str:
    """Write a shift of a classifier's score."""
    return f"{size:.2f} sd of the classifier's score"


def density_error(size: float) -> str:
    """Write a relative error of the density."""
    return f"{100 * size:.0f} % rms of the density"


def tarp_sentence(wide: bool) -> str:
    """Tell what distances from reference points say of the draws."""
    opening = "Seen from random reference points (TARP), the truth lies"
    if wide:
        return f"{opening} nearer than its draws too often: they are spread too far."
    return (
        f"{opening} otherwise than its draws: they are too narrow, off-center or of "
        "the wrong shape."
    )


def coverage_sentence(
    subject: str,
    regions: str,
    grid: Float[np.ndarray, " num_levels"],
    coverage: Float[np.ndarray, " num_levels"],
) -> str:
    """Tell a coverage error at the level where it is largest."""
    worst = int(np.argmax(np.abs(coverage - grid)))
    off = coverage[worst] - grid[worst]
    return (
        f"{subject} is {width_words(off)}. Its {grid[worst]:.0%} {regions} hold the "
        f"truth in {percent(coverage[worst])} of test simulations."
    )


def bias_sentence(name: str, shift: float) -> str:
    """Tell in which direction a marginal is biased: a positive shift is too low."""
    side = "low" if shift > 0 else "high"
    return (
        f"{name} is biased {side} (sloped ranks): its posterior lies too {side} on "
        "average."
    )


def shape_words(
    mean_score: float,
    grid: Float[np.ndarray, " num_levels"],
    central: Float[np.ndarray, " num_levels"],
) -> str:
    """Classify the shape of a rank distribution from its central coverage."""
    inner = float(np.interp(0.5, grid, central - grid))
    outer = float(np.interp(0.95, grid, central - grid))
    average = float(np.mean(central - grid))
    if abs(mean_score) > 0.05 and abs(mean_score) > 2 * abs(average):
        return "sloped: the posterior lies too " + ("low" if mean_score > 0 else "high")
    if inner > 0.01 > -0.005 > outer:
        return "peaked with full ends: the tails are too light"
    if inner < -0.01 < 0.005 < outer:
        return "hollow with empty ends: the tails are too heavy"
    if abs(average) > 0.01:
        return width_words(average)
    return "uneven: the posterior has the wrong shape (skew or modes)"
