"""Turn a figure into a ``data:`` URI that an ``<img>`` element can show.

An SVG inside ``<img>`` rather than inline in the page: it keeps its own namespace of
ids (two inlined figures would clash), it cannot run scripts or load anything, whatever
a study's own figure function put into it, and it takes alternative text.
"""

import base64
import io
import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .style import house_style


#: Above this many path vertices an SVG is larger and slower than a bitmap.
MAX_VERTICES = 40_000
_DPI = 200  # of bitmaps, also those within an SVG


def data_uri(figure: Figure, *, max_vertices: int = MAX_VERTICES) -> str:
    """Encode a figure as SVG, or as PNG if it has too many points.

    The same figure gives the same bytes on every call: no dates, no random ids.
    """
    if count_vertices(figure) > max_vertices:
        options: dict[str, Any] = {"format": "png"}
        kind, metadata = "image/png", {"Software": None}
    else:
        options = {"format": "svg"}
        kind, metadata = "image/svg+xml", {"Date": None, "Creator": None}
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # A name in a script that the font lacks shows boxes; that is no reason to
        # stop a report, which also has the name as text.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not")
        figure.savefig(buffer, metadata=metadata, dpi=_DPI, **options)
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def count_vertices(figure: Figure) -> int:
    """Count the points of the lines, areas and markers in a figure."""
    total = 0
    for axes in figure.axes:
        for line in axes.lines:
            total += np.size(line.get_xdata())
        for collection in axes.collections:
            paths = sum(np.size(path.vertices) // 2 for path in collection.get_paths())
            total += max(paths, np.size(collection.get_offsets()) // 2)
        total += sum(np.size(p.get_path().vertices) // 2 for p in axes.patches)
    return total
