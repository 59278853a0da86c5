"""Calibration: are stated uncertainties as often right as they say?"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy import stats

from . import style
from .bars import share_bars, share_rows


_BAND_PROBABILITY = 0.99
_PERCENT = PercentFormatter(1.0, decimals=0, symbol=" %")


@style.styled
def ecdf_plot(
    pit: np.ndarray,
    grid: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    names: Sequence[str],
) -> Figure:
    """Draw how far the distribution of ranks is from uniform, for every parameter.

    Args:
        pit: Rank of the truth among posterior draws, scaled to [0, 1],
            ``(num_simulations, theta_dim)``.
        grid: Where the band is given, in [0, 1].
        low: Lower end of the simultaneous band of the ECDF difference.
        high: Upper end.
        names: How to write each parameter.

    Returns:
        A figure with one curve per parameter: ECDF minus the diagonal.
    """
    figure, axes = style.new_axes(4.6, 3.1)
    grid, low, high = (np.asarray(a, dtype=np.float64) for a in (grid, low, high))
    axes.fill_between(grid, low, high, color=style.EXPECTED, lw=0, label="expected")
    axes.axhline(0, color=style.FAINT, lw=0.8)
    named = len(names) <= len(style.CYCLE)
    for index, name in enumerate(names):
        curve = _ecdf(pit[:, index], grid) - grid
        loud = named or bool(np.any((curve < low) | (curve > high)))
        color = style.CYCLE[index % len(style.CYCLE)] if loud else style.PRIOR
        text = style.safe_text(name, 16) if loud else None
        axes.plot(grid, curve, color=color, lw=1.4 if loud else 0.8, label=text)
    reach = 1.25 * max(np.abs(c).max() for c in [low, high, *_curves(pit, grid)])
    axes.set(xlim=(0, 1), ylim=(-reach, reach))
    axes.set_xlabel("rank of the truth among posterior draws (scaled)")
    axes.set_ylabel("ECDF − uniform")
    _legend_outside(figure, len(names) + 1)
    return figure


@style.styled
def rank_plot(pit: np.ndarray, *, name: str, num_bins: int = 20) -> Figure:
    """Draw a histogram of the scaled ranks of one parameter.

    The grey band holds each bar with probability 99 % if the posterior is calibrated.

    Args:
        pit: Scaled ranks, ``(num_simulations,)``.
        name: How to write the parameter.
        num_bins: Number of bars.

    Returns:
        A small figure with one axes.
    """
    figure = style.new_figure(2.5, 1.75)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.04, right=0.96, bottom=0.14, top=0.84)
    counts, edges = np.histogram(pit, bins=num_bins, range=(0, 1))
    tail = (1 - _BAND_PROBABILITY) / 2
    low, middle, high = stats.binom.ppf([tail, 0.5, 1 - tail], len(pit), 1 / num_bins)
    axes.axhspan(low, high, color=style.EXPECTED, lw=0)
    axes.axhline(middle, color=style.MUTED, lw=0.7)
    unusual = (counts < low) | (counts > high)
    colors = np.where(unusual, style.BASELINE, style.POSTERIOR_MIDDLE)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colors, ec="white")
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], ylim=(0, 1.15 * max(high, counts.max())))
    axes.set_title(style.safe_text(name))
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    return figure


@style.styled
def coverage_plot(
    levels: np.ndarray,
    coverage: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    tarp: np.ndarray | None = None,
) -> Figure:
    """Draw how often a credible region of each level holds the truth.

    Args:
        levels: Nominal credible levels in [0, 1].
        coverage: Share of test simulations whose truth lies inside that region.
        low: Lower end of the band expected under calibration.
        high: Upper end.
        tarp: The same share for regions around random points, a dashed line.

    Returns:
        A square figure; below the diagonal is over-confident, above it is cautious.
    """
    figure, axes = style.new_axes(3.6, 3.1)
    axes.fill_between(levels, low, high, color=style.EXPECTED, lw=0, label="expected")
    axes.plot([0, 1], [0, 1], color=style.FAINT, lw=0.8)
    axes.plot(levels, coverage, color=style.POSTERIOR, lw=1.7, label="measured")
    if tarp is not None:
        axes.plot(levels, tarp, color=style.CYCLE[2], lw=1.1, ls="--", label="TARP")
    quiet = {"color": style.MUTED, "fontsize": 8, "style": "italic"}
    axes.text(0.96, 0.06, "over-confident", ha="right", **quiet)
    axes.text(0.04, 0.92, "over-cautious", **quiet)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.set_xlabel("stated credibility")
    axes.set_ylabel("how often the truth is inside")
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.3))
    return figure


@style.styled
def contraction_plot(contraction: np.ndarray, *, names: Sequence[str]) -> Figure:
    """Draw how much narrower than its prior each parameter's posterior is on average.

    Args:
        contraction: 1 - posterior variance / prior variance, per parameter.
        names: How to write each parameter.

    Returns:
        A figure with one horizontal bar per parameter, 0 (nothing learned) to 1.
    """
    figure, axes = share_rows(len(names), 3.6)
    ticks = ("nothing", "half", "everything")
    share_bars(axes, names, contraction, contraction, ticks=ticks)
    axes.set_xlabel("prior uncertainty removed by the data")
    return figure


def _ecdf(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), grid, side="right") / max(len(values), 1)


def _curves(pit: np.ndarray, grid: np.ndarray) -> list[np.ndarray]:
    return [_ecdf(column, grid) - grid for column in np.asarray(pit).T]


def _legend_outside(figure: Figure, entries: int) -> None:
    figure.legend(
        loc="outside upper left",
        ncols=min(entries, 5),
        handlelength=1.3,
        columnspacing=1.2,
    )
