"""Posterior predictive: what the fitted model expects to see, against what was seen."""

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from . import style


_MANY_POINTS = 60
_LONG_NAMES = 40  # characters in all, beyond which they do not stand side by side
_FAR = 30.0  # times what was observed: beyond, the axis is logarithmic


@style.styled
def predictive_plot(
    predictive: np.ndarray,
    observed: np.ndarray,
    *,
    values: np.ndarray | None = None,
    label: str = "",
    ylabel: str = "",
    names: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw 50 % and 90 % predictive bands of one series under the observed points.

    Args:
        predictive: Simulations at posterior draws, ``(num_samples, length)``.
        observed: The series that was observed, ``(length,)``; NaN leaves a gap.
        values: Where along the horizontal axis; by default 1, 2, 3, ...
        label: Name and unit of the horizontal axis.
        ylabel: Name and unit of the vertical axis.
        names: What each entry is; entries with names are drawn as separate bars.
        title: Written above.

    Returns:
        A figure with one axes.

    Raises:
        ValueError: If the lengths differ (message names both shapes).
    """
    predictive, observed = _checked(predictive, observed)
    if values is None or np.shape(values) != observed.shape:
        values = np.arange(1, len(observed) + 1)
    figure, axes = style.new_axes(5.0, 3.1)
    bands = _quantiles(predictive, (0.05, 0.25, 0.5, 0.75, 0.95))
    is_curve = len(observed) > 5 and len(names) != len(observed)
    if is_curve:
        _bands(axes, values, bands)
    else:
        _intervals(axes, values, bands, names)
    _points(axes, values, observed, outside(predictive, observed))
    _logarithmic_if_far(axes, bands, observed)
    axes.set_xlabel(style.safe_text(label, 60))
    axes.set_ylabel(style.safe_text(ylabel, 40))
    if title:
        axes.set_title(style.safe_text(title, 60))
    axes.grid(axis="y")
    if is_curve and np.all(np.mod(values, 1) == 0):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # no year 1902.5
    figure.legend(
        loc="outside upper right",
        ncols=5,
        fontsize=7.5,
        handlelength=1.1,
        handletextpad=0.5,
        columnspacing=1,
    )
    return figure


@style.styled
def field_plot(
    predictive: np.ndarray,
    observed: np.ndarray,
    *,
    label: str = "",
    ylabel: str = "",
    title: str = "",
) -> Figure:
    """Show an observed image beside the predictive mean and their standardized gap.

    Args:
        predictive: Simulations at posterior draws, ``(num_samples, height, width)``.
        observed: The image that was observed, ``(height, width)``.
        label: What runs across and what down, written below.
        ylabel: Name and unit of the values.
        title: Written above.

    Returns:
        A figure with three images: observed, expected, and (observed - expected) / sd.
    """
    mean, sd = predictive.mean(axis=0), predictive.std(axis=0)
    gap = np.divide(observed - mean, sd, out=np.zeros_like(mean), where=sd > 0)
    low, high = np.nanquantile(np.stack([observed, mean]), (0.005, 0.995))
    figure = style.new_figure(6.4, 2.6, layout="constrained")
    images = (observed, mean, gap)
    heads = ("observed", "expected", "difference / sd")
    for axes, image, head in zip(figure.subplots(1, 3), images, heads, strict=True):
        signed = image is gap
        shown = axes.imshow(
            image,
            cmap="RdBu_r" if signed else "cividis",
            vmin=-4 if signed else low,
            vmax=4 if signed else high,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set(title=head, xticks=[], yticks=[])
        bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.9, aspect=24)
        bar.ax.tick_params(labelsize=7)
        bar.ax.locator_params(nbins=4)
        bar.ax.spines[:].set_visible(False)
        bar.set_label("" if signed else style.safe_text(ylabel, 40), fontsize=7)
    if label:
        figure.supxlabel(style.safe_text(label, 90), fontsize=8)
    if title:
        figure.suptitle(style.safe_text(title, 60), x=0.01, ha="left", fontsize=9.5)
    return figure


def outside(predictive: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Mark the observed points that lie outside the central 90 % of the predictive."""
    low, high = _quantiles(predictive, (0.05, 0.95))
    return (observed < low) | (observed > high)


def _quantiles(draws: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    with warnings.catch_warnings():
        # An entry that is NaN in every simulation has no band; it is left blank.
        warnings.filterwarnings("ignore", message="All-NaN slice")
        return np.nanquantile(draws, levels, axis=0)


def _checked(
    predictive: np.ndarray, observed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    predictive = np.asarray(predictive, dtype=np.float64)
    observed = np.atleast_1d(np.asarray(observed, dtype=np.float64))
    if predictive.ndim == 1:
        predictive = predictive[:, None]
    if observed.ndim != 1 or predictive.shape[1:] != observed.shape:
        raise ValueError(
            "Expected predictive of shape (num_samples, length) and observed of shape "
            f"(length,); got {predictive.shape} and {observed.shape}."
        )
    return predictive, observed


def _bands(axes: Axes, values: np.ndarray, bands: np.ndarray) -> None:
    low, lower, median, upper, high = bands
    axes.fill_between(
        values, low, high, color=style.POSTERIOR_LIGHT, lw=0, label="90 % band"
    )
    axes.fill_between(
        values, lower, upper, color=style.POSTERIOR_MIDDLE, lw=0, label="50 % band"
    )
    axes.plot(values, median, color=style.POSTERIOR, lw=1.3, label="median")
    axes.margins(x=0.02)


def _intervals(
    axes: Axes, values: np.ndarray, bands: np.ndarray, names: Sequence[str]
) -> None:
    """Draw a handful of unrelated numbers as separate bars, not as a curve."""
    low, lower, median, upper, high = bands
    axes.vlines(values, low, high, color=style.POSTERIOR_LIGHT, lw=12)
    axes.vlines(values, lower, upper, color=style.POSTERIOR_MIDDLE, lw=12)
    axes.plot(values, median, "_", ms=12, color=style.POSTERIOR, label="median")
    axes.plot([], [], "s", color=style.POSTERIOR_LIGHT, label="90 % band")
    axes.plot([], [], "s", color=style.POSTERIOR_MIDDLE, label="50 % band")
    axes.set_xticks(values)
    if len(names) == len(values):
        slant = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        slant = slant if sum(map(len, names)) > _LONG_NAMES else {}
        axes.set_xticklabels([style.safe_text(name) for name in names], **slant)
    margin = 0.6 * float(np.diff(values).mean()) if len(values) > 1 else 0.6
    axes.set_xlim(values[0] - margin, values[-1] + margin)


def _logarithmic_if_far(axes: Axes, bands: np.ndarray, observed: np.ndarray) -> None:
    """Let points be seen under bands that reach many times as far, as a prior's may."""
    seen, drawn = (values[np.isfinite(values)] for values in (observed, bands))
    if not (len(seen) and len(drawn)):
        return
    if seen.min() > 0 <= drawn.min() and drawn.max() > _FAR * seen.max():
        least = float(seen.min())
        axes.set_yscale("symlog", linthresh=10 ** np.floor(np.log10(least)))
        axes.set_ylim(bottom=0)


def _points(
    axes: Axes, values: np.ndarray, observed: np.ndarray, out: np.ndarray
) -> None:
    size = 5.0 if len(observed) <= _MANY_POINTS else 2.5
    axes.plot(
        values,
        observed,
        "o",
        ms=size,
        color=style.INK,
        mec="white",
        mew=0.6 if size > 4 else 0.0,
        label="observed",
        clip_on=False,
        zorder=4,
    )
    if out.any():
        axes.plot(
            np.asarray(values)[out],
            observed[out],
            "o",
            ms=size + 3.5,
            mfc="none",
            mec=style.BASELINE,
            mew=1.3,
            label="outside 90 %",
            zorder=5,
        )
