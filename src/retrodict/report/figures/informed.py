"""Bars of what is left of the prior, for parameters or combinations of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from . import style


@style.styled
def informed_plot(
    names: Sequence[str], here: np.ndarray | None, average: np.ndarray
) -> Figure:
    """Draw the share of the prior spread that remains.

    Args:
        names: How to write each row.
        here: Posterior sd over prior sd at the observation; None leaves the bars out.
        average: The same on average over simulations.

    Returns:
        A figure with one row each: a bar, and a diamond for the average.
    """
    count, limit = len(names), 1.25
    figure, axes = style.new_axes(4.2, 0.85 + 0.27 * max(count, 3))
    rows = np.arange(count)
    axes.barh(rows, np.ones(count), height=0.55, color=style.GRID)
    if here is not None:
        shown = np.clip(here, 0, limit)
        axes.barh(rows, shown, height=0.55, color=style.POSTERIOR_MIDDLE)
    axes.plot(np.clip(average, 0, limit), rows, "D", ms=4, color=style.INK)
    for row, value in enumerate(average if here is None else here):
        axes.text(1.28, row, f"{value:.0%}", va="center", fontsize=8, color=style.MUTED)
    axes.set_yticks(rows, [style.safe_text(n, 28) for n in names])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.45)
    axes.set_xticks([0, 0.5, 1], ["known", "half", "as before"])
    axes.set_xlabel("prior spread that remains")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    return figure
