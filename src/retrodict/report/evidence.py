"""Pictures of the calibration: the evidence behind the verdict."""

import numpy as np

from ..trust import Calibration
from . import figures
from .content import ReportContent
from .picture import Illustration, picture
from .text import listed, number, short


_MAX_TILES, _MAX_BARS = 24, 16
_INFORMED_CAPTION = (
    "How much of the prior spread (sd, of logarithms where a parameter is positive) is "
    "left: an empty row is known, a full one untouched. Blue: at your observation; "
    "diamonds: on average over simulations. With several parameters, also for their "
    "uncorrelated combinations, best known first: a short row of a combination above "
    "long rows of its parameters is a ridge, along which the data cannot decide."
)


def calibration(content: ReportContent) -> list[Illustration]:
    """Draw what the test simulations say about the error bars."""
    if content.verdict is None:
        return []
    found = content.verdict.calibration
    words = [content.label(n) for n in found.names]
    return [
        _uniformity(found, words),
        _ranks(found, words),
        _contraction(found, words),
    ]


def informed(content: ReportContent) -> Illustration | None:
    """Draw which parameters and combinations the data inform."""
    found = content.informed
    if found is None:
        return None
    names = [content.label(n) for n in found.here.names[:_MAX_BARS]]
    parameters = picture(
        "Share of the prior spread that remains, for each parameter.",
        lambda: figures.informed_plot(
            names,
            np.array(found.here.remaining[:_MAX_BARS]),
            np.array(found.average.remaining[:_MAX_BARS]),
        ),
    )
    if len(found.here.names) == 1:
        return Illustration((parameters,), _INFORMED_CAPTION)
    chosen = found.average.directions
    if len(chosen) > _MAX_BARS:  # the best known and the least known
        chosen = chosen[: _MAX_BARS // 2] + chosen[-_MAX_BARS // 2 :]
    combinations = picture(
        "Share of the prior spread that remains, for each combination of parameters.",
        lambda: figures.informed_plot(
            [direction.name for direction in chosen],
            None,
            np.array([direction.remaining for direction in chosen]),
        ),
    )
    return Illustration((parameters, combinations), _INFORMED_CAPTION, layout="row")


def _uniformity(found: Calibration, words: list[str]) -> Illustration:
    at_90 = float(np.interp(0.9, found.credible_levels, found.coverage))
    ecdf = picture(
        "Difference between the distribution of ranks and the uniform one, for "
        f"{listed(found.names)}, with the band expected under calibration.",
        lambda: figures.ecdf_plot(
            found.pit, found.ecdf_grid, found.ecdf_low, found.ecdf_high, names=words
        ),
    )
    coverage = picture(
        f"Expected coverage: regions of 90 % credibility hold the truth {at_90:.1%} of "
        "the time.",
        lambda: figures.coverage_plot(
            found.credible_levels,
            found.coverage,
            found.coverage_low,
            found.coverage_high,
            tarp=found.tarp_coverage,
        ),
    )
    caption = (
        "Are the error bars honest? First: in each test simulation the true value is "
        "ranked among posterior draws; the curves show how far these ranks are from "
        "evenly spread. Calibrated curves stay inside the grey band. Second: how often "
        "posterior regions of a given credibility hold the true parameters: on the "
        "diagonal is honest, below it over-confident. Regions that claim 90 % hold the "
        f"truth {100 * at_90:.1f} % of the time. Dashed: the same for regions "
        "around random points (TARP), which also notice what highest-density regions "
        "miss."
    )
    return Illustration((ecdf, coverage), caption, layout="row")


def _ranks(found: Calibration, words: list[str]) -> Illustration:
    tiles = tuple(
        picture(
            f"Histogram of ranks of {short(name, 40)}.",
            lambda i=i: figures.rank_plot(found.pit[:, i], name=words[i]),
        )
        for i, name in enumerate(found.names[:_MAX_TILES])
    )
    caption = (
        "Ranks of the true value among posterior draws, one histogram per parameter, "
        f"over {number(len(found.pit))} test simulations. Flat is right. High at both "
        "ends: over-confident, the error bars are too small. High in the middle: too "
        "cautious. A slope: biased. A calibrated bar stays in the grey band with "
        "probability 99 %; others are orange."
    )
    return Illustration(tiles, caption, layout="tiles")


def _contraction(found: Calibration, words: list[str]) -> Illustration:
    drawn = picture(
        "Share of the prior variance that the data remove, per parameter.",
        lambda: figures.contraction_plot(found.contraction, names=words),
    )
    caption = (
        "How much the data teach, on average over the test simulations: one minus the "
        "ratio of posterior to prior variance. A parameter near zero is not identified "
        "by data of this kind: its posterior is its prior, and more training does not "
        "change that."
    )
    return Illustration((drawn,), caption)
