"""Few, short tick labels, for panels the size of a stamp."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator


def sparse_ticks(axes: Axes, which: str, count: int) -> None:
    """Leave at most about ``count`` ticks on the ``"x"`` or ``"y"`` axis."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(count, prune="both", min_n_ticks=2))
    limits = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis.set_major_formatter(FuncFormatter(_formatter(limits)))


def _formatter(limits: tuple[float, float]) -> Callable[[float, int | None], str]:
    """Format ticks without an offset text, which small panels have no room for."""
    largest, span = max(map(abs, limits)), abs(limits[1] - limits[0])
    ratio = largest / span if span > 0 else 1.0
    digits = int(np.clip(np.ceil(np.log10(max(ratio, 1.0))) + 2, 2, 10))

    def write(value: float, position: int | None = None) -> str:
        del position
        text = f"{value:.{digits}g}" if abs(value) > 1e-9 * span else "0"
        if "e" in text and 1 <= abs(value) < 1e5:
            text = f"{float(text):.0f}"  # 200, not 2e+02
        return text.replace("-", "\N{MINUS SIGN}")

    return write
