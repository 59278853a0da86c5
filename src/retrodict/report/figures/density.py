"""Smooth densities of draws on a grid, with a bandwidth chosen by the draws.

A normal-reference bandwidth would blur a crescent into a disc, so the width of the
smoothing is the one under which half of the draws predict the other half best.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter


_WIDTHS_1D = (2.5, 4.0, 6.0, 9.0, 13.0, 18.0)
_WIDTHS_2D = (0.8, 1.1, 1.5, 2.0, 2.8, 4.0, 5.6)
_BINS_1D = 240
_BINS_2D = 100


def frame(samples: Sequence[np.ndarray], tail: float = 0.002) -> tuple[float, float]:
    """Choose the axis range that shows all but the outermost draws of each sample."""
    ends = [np.quantile(s, (tail, 1 - tail)) for s in map(finite, samples) if s.size]
    if not ends:
        return -1.0, 1.0
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    smallest = 1e-6 * max(abs(low), abs(high)) or 1e-300
    pad = max(0.08 * (high - low), smallest)
    return float(low - pad), float(high + pad)


def finite(draws: np.ndarray) -> np.ndarray:
    """Drop NaN and infinite entries and flatten, as float64."""
    flat = np.asarray(draws, dtype=np.float64).reshape(-1)
    return flat[np.isfinite(flat)]


def density_1d(
    draws: np.ndarray, limits: tuple[float, float], *, least: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the density of draws inside ``limits``.

    Draws outside count towards the total, so the curve integrates to the share of the
    draws that lies inside: a wide prior looks as low as it is.

    Args:
        draws: Any shape; entries that are not finite are left out.
        limits: Range of the grid.
        least: Smallest width of the smoothing, in grid steps: the hard edge of a prior
            would otherwise ask for so little that its flat part looks ragged.

    Returns:
        Grid points and the density at each, in one over the unit of the draws.
    """
    edges = np.linspace(*limits, _BINS_1D + 1)
    draws = finite(draws)
    widths = [max(w, least) for w in _WIDTHS_1D]
    smooth = _smoothed((draws,), (edges,), widths)
    width = edges[1] - edges[0]
    return (edges[1:] + edges[:-1]) / 2, smooth / max(len(draws), 1) / width


def density_2d(
    x: np.ndarray,
    y: np.ndarray,
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate the joint density of paired draws, up to a constant.

    Returns:
        Grid points of x, of y, and the density with y along the first axis.
    """
    good = np.isfinite(x) & np.isfinite(y)
    edges = tuple(np.linspace(*lim, _BINS_2D + 1) for lim in (x_limits, y_limits))
    smooth = _smoothed((x[good], y[good]), edges, _WIDTHS_2D)
    centers = [(e[1:] + e[:-1]) / 2 for e in edges]
    return centers[0], centers[1], smooth.T


def region_levels(density: np.ndarray, masses: Sequence[float]) -> list[float]:
    """Find the density level of each highest-density region, widest region first."""
    ordered = np.sort(density, axis=None)[::-1]
    total = ordered.sum()
    if not total > 0:
        return []
    cumulative = np.cumsum(ordered) / total
    last = len(ordered) - 1
    return [
        float(ordered[min(int(np.searchsorted(cumulative, mass)), last)])
        for mass in sorted(masses, reverse=True)
    ]


def _smoothed(
    columns: tuple[np.ndarray, ...],
    edges: tuple[np.ndarray, ...],
    widths: Sequence[float],
) -> np.ndarray:
    """Histogram the columns and smooth with the width that predicts best."""
    even, odd = (
        np.histogramdd([c[start::2] for c in columns], bins=edges)[0]
        for start in (0, 1)
    )
    floor = 1e-12 * max(even.sum(), 1.0)

    def score(width: float) -> float:
        one, two = (gaussian_filter(h, width, mode="nearest") for h in (even, odd))
        return float(
            np.sum(odd * np.log(one + floor)) + np.sum(even * np.log(two + floor))
        )

    best = max(widths, key=score)
    return gaussian_filter(even + odd, best, mode="nearest")
