"""Pictures of the calibration: the evidence behind the verdict."""

import numpy as np

from ..trust import Calibration
from . import figures
from .content import ReportContent
from .picture import Illustration, picture
from .text import listed, number, short


_MAX_TILES = 24


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
