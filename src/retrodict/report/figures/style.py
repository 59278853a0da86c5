"""One look for every figure: palette, typography, safe text.

Figures are built with :class:`matplotlib.figure.Figure` alone, never with pyplot, so
that they leave no global state behind and need no display.
"""

import functools
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser


INK = "#1c2733"
MUTED = "#5d6b78"
FAINT = "#c6ced6"
GRID = "#e9edf1"

POSTERIOR = "#1f5a92"
POSTERIOR_MIDDLE = "#7aa6cf"
POSTERIOR_LIGHT = "#cfe0ef"
PRIOR = "#aab4be"
BASELINE = "#cf5f12"
EXPECTED = "#dfe5ea"

#: Okabe and Ito's order, darkened where the original is too pale on white.
CYCLE = (
    "#1f5a92",
    "#cf5f12",
    "#0b8464",
    "#b65a91",
    "#b98900",
    "#3c9fd6",
    "#6b5b3e",
    "#444f5a",
)

_STYLE = {
    "text.usetex": False,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same everywhere
    "font.size": 9.0,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.labelcolor": INK,
    "text.color": INK,
    "lines.linewidth": 1.4,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "figure.dpi": 100.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "retrodict",
}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_MAX_MATHTEXT = 64


@contextmanager
def house_style() -> Iterator[None]:
    """Draw inside with this module's look, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def styled(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Run a figure function inside :func:`house_style`."""

    @functools.wraps(draw)
    def wrapper(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with house_style():
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Make an empty figure of this size in inches with its own Agg canvas."""
    figure = Figure(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure with one axes whose labels are kept inside."""
    figure = new_figure(width, height, layout="constrained")
    return figure, figure.subplots()


def safe_text(text: object, limit: int = 28) -> str:
    r"""Make any string drawable: one line, short, and mathtext only where it parses.

    A name such as ``$\foo`` or ``5 $ or 6 $`` raises deep inside matplotlib, at the
    time of drawing; here its dollar signs become ordinary characters instead.
    """
    line = "".join(c if c.isprintable() else " " for c in str(text)[:1000])
    line = " ".join(line.split())
    if "$" not in line:
        return _shorten(line, limit)
    if len(line) <= _MAX_MATHTEXT and _parses(line):
        return line
    return _shorten(line, limit).replace("$", r"\$")


def axis_label(label: str, unit: str = "", most: int = 99) -> str:
    """Join a label and its unit as ``label (unit)``, both made safe.

    Args:
        label: How to write the quantity.
        unit: Its unit; left out if empty.
        most: Characters of one line. If both together are longer, the unit stands
            below the label.
    """
    first = safe_text(label)
    if not unit:
        return first
    second = f"({safe_text(unit)})"
    if len(_bare(first)) + 1 + len(_bare(second)) <= most:
        return f"{first} {second}"
    lines = [second] if "$" in second else textwrap.wrap(second, max(most, 8))
    return "\n".join([first, *lines])


def _bare(text: str) -> str:
    """Return roughly what is seen of mathtext: a command is one character."""
    return re.sub(r"\\[a-zA-Z]+", "x", text).translate(str.maketrans("", "", "${}_^"))


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


@functools.lru_cache(maxsize=1024)
def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings(), house_style():
            warnings.simplefilter("ignore")
            MathTextParser("path").parse(text)
    # Whatever the parser raises (ValueError, RecursionError, ...) the answer is no.
    except Exception:  # noqa: BLE001
        return False
    return True
