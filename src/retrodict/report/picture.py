"""A picture on the page: an encoded figure with its words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import figures
from .text import short


@dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
        source: A ``data:`` URI, empty if drawing failed.
        alt: What there is to see, for those who cannot.
        width: Natural width in pixels.
        height: Natural height in pixels.
        error: Why it could not be drawn.
    """

    source: str
    alt: str
    width: int = 0
    height: int = 0
    error: str = ""


@dataclass(frozen=True)
class Illustration:
    """Pictures that share a caption.

    Attributes:
        pictures: One or more.
        caption: Says what is shown and how to read it.
        layout: ``"side"`` (caption beside), ``"row"`` or ``"tiles"`` (many small).
        zoom: Whether a phone offers to enlarge it.
    """

    pictures: tuple[Picture, ...]
    caption: str
    layout: str = "side"
    zoom: bool = False


def picture(alt: str, draw: Callable[[], Any]) -> Picture:
    """Draw and encode; if that fails, say so in place of the figure."""
    try:
        source, width, height = _encoded(draw)
    # A figure function may be the user's own and raise anything. It must not cost the
    # report of a run that took hours.
    except Exception as error:  # noqa: BLE001
        return Picture("", alt, error=short(f"{type(error).__name__}: {error}", 300))
    return Picture(source, alt, width, height)


def _encoded(draw: Callable[[], Any]) -> tuple[str, int, int]:
    with np.errstate(all="ignore"):
        figure = draw()
        source = figures.data_uri(figure)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return source, width, height
