"""Horizontal bars of shares, each with its number beside it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import style


HEIGHT = 0.55
LEAST_ROWS = 3  # whose room one row is given, lest its bar be a wall


def share_rows(count: int, width: float) -> tuple[Figure, Axes]:
    """Return a figure and axes high enough for some rows."""
    return style.new_axes(width, 0.85 + 0.27 * max(count, LEAST_ROWS))


def share_bars(
    axes: Axes,
    names: Sequence[str],
    filled: np.ndarray | None,
    told: np.ndarray,
    *,
    reach: float = 1.0,
    letters: int = 16,
    ticks: tuple[str, str, str],
) -> None:
    """Draw a row for every name: an empty bar, what of it is filled, and a number.

    Args:
        axes: Where.
        names: What each row is about, the first on top.
        filled: Share that is filled, if any is.
        told: Number that is written beside each bar.
        reach: Shares beyond this are cut off.
        letters: Longest name that is not shortened.
        ticks: Words for 0, one half and 1.
    """
    rows = np.arange(len(names))
    axes.barh(rows, np.ones(len(names)), height=HEIGHT, color=style.GRID)
    if filled is not None:
        shown = np.clip(np.asarray(filled, dtype=np.float64), 0, reach)
        axes.barh(rows, shown, height=HEIGHT, color=style.POSTERIOR_MIDDLE)
    for row, value in enumerate(told):
        place = (reach + 0.03, row)
        axes.text(*place, f"{value:.0%}", va="center", fontsize=8, color=style.MUTED)
    axes.set_yticks(rows, [style.safe_text(name, letters) for name in names])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    middle, half = (len(names) - 1) / 2, max(len(names), LEAST_ROWS) / 2
    axes.set_ylim(middle + half, middle - half)
    axes.set_xlim(0, reach + 0.18)
    axes.set_xticks([0, 0.5, 1], ticks)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
