"""Bars of what is left of the prior, for parameters or combinations of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from . import style
from .bars import share_bars, share_rows


REACH = 1.25  # posteriors can be a little wider than the prior


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
    figure, axes = share_rows(len(names), 4.2)
    told = average if here is None else here
    ticks = ("known", "half", "as before")
    share_bars(axes, names, here, told, reach=REACH, letters=28, ticks=ticks)
    shown = np.clip(average, 0, REACH)
    axes.plot(shown, np.arange(len(names)), "D", ms=4, color=style.INK)
    axes.set_xlabel("prior spread that remains")
    return figure
