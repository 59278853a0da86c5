"""The posterior of several parameters at a glance: marginals and every pair."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..components import component_draws, component_words
from . import style
from .density import density_1d, density_2d, frame, region_levels
from .ticks import sparse_ticks


Draws = Mapping[str, np.ndarray]
Limits = tuple[float, float]

_MASSES = (0.5, 0.9)
_MAX_PARAMETERS = 12
_LINE = 0.14  # height of a line of a label, inches
_CHARACTER = 0.062  # width of a character, inches


@style.styled
def pair_plot(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    legend: Mapping[str, str] | None = None,
) -> Figure:
    """Draw marginals on the diagonal and 50 % and 90 % regions of every pair below.

    Args:
        draws: Posterior draws by name, each ``(num_samples, *shape)``, paired by row,
            as ``posterior.at(x_obs).sample(key, num_samples)`` returns them. Those of a
            vector are split into components ``"mu[0]"``, ``"mu[1]"``.
        prior: Prior draws, shown as a grey area behind the marginals.
        reference: Draws of another method, shown as orange lines.
        truth: True values, where known, shown as thin dark lines.
        labels: How to write each name (mathtext is fine; what does not parse is shown
            as it is), such as ``model.labels``.
        units: Unit of each name, such as ``model.units``.
        names: Which parameters or components, in which order; by default all.
        legend: Words for ``"posterior"``, ``"prior"``, ``"reference"``.

    Returns:
        A figure; save it with ``figure.savefig``.

    Raises:
        ValueError: If a name has no draws, or if there are none or more than 12 names
            (message gives the number).

    Example:
        >>> prior = model.prior.sample(jax.random.key(0), 500)
        >>> figure = pair_plot(prior, truth={"a": 0.0})
    """
    draws = component_draws(draws)
    prior, reference = (component_draws(d) if d else None for d in (prior, reference))
    names = _checked_names(draws, names)
    labels = _indexed(component_words(names, labels or {}))
    units = component_words(names, units or {})
    extra = [reference] if reference else []
    limits = {
        n: frame([draws[n], *(r[n] for r in extra if n in r)], tail=0.001)
        for n in names
    }
    most = int(_panel(len(names)) / _CHARACTER)
    words = [style.axis_label(labels[n] or n, units[n], most) for n in names]
    figure, grid = _grid(len(names), max(word.count("\n") for word in words))
    for i, row in enumerate(names):
        _marginal(grid[i, i], row, limits[row], draws, prior, reference)
        for j, column in enumerate(names[:i]):
            box = limits[column], limits[row]
            _pair(grid[i, j], (column, row), box, draws, reference)
    one = {name: np.asarray(value)[None] for name, value in (truth or {}).items()}
    _mark_truth(grid, names, {n: v[0] for n, v in component_draws(one).items()})
    _finish(grid, words)
    _add_legend(figure, len(names), prior, reference, legend or {})
    return figure


@style.styled
def marginal_plot(
    draws: np.ndarray,
    *,
    prior: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    label: str = "",
    unit: str = "",
) -> Figure:
    """Draw the density of one quantity, over its prior and a reference if given.

    Args:
        draws: Posterior draws, any shape; entries that are not finite are left out.
        prior: Prior draws, a grey area.
        reference: Draws of another method, an orange line.
        label: How to write the quantity.
        unit: Its unit.

    Returns:
        A small figure with one axes.
    """
    one = {"q": draws}
    figure, axes = style.new_axes(2.7, 1.9)
    others = [reference] if reference is not None else []
    _marginal(
        axes,
        "q",
        frame([draws, *others], tail=0.001),
        one,
        {"q": prior} if prior is not None else None,
        {"q": reference} if reference is not None else None,
    )
    sparse_ticks(axes, "x", 4)
    axes.set_xlabel(style.axis_label(label, unit))
    return figure


def _indexed(labels: Mapping[str, str]) -> dict[str, str]:
    """Add the index where the components of a vector have one label."""
    shared = [label for label in labels.values() if label]
    return {
        name: label + name[name.index("[") :]
        if "[" in name and shared.count(label) > 1
        else label
        for name, label in labels.items()
    }


def _checked_names(draws: Draws, names: Sequence[str] | None) -> list[str]:
    chosen: list[str] = []
    for name in draws if names is None else names:
        parts = [n for n in draws if n.partition("[")[0] == name]
        chosen += [name] if name in draws else parts or [name]
    missing = [n for n in chosen if n not in draws]
    if missing:
        raise ValueError(
            f"Expected draws for every name; got none for {missing[0]!r}. "
            f"There are draws for {list(draws)[:8]}."
        )
    if not 1 <= len(chosen) <= _MAX_PARAMETERS:
        raise ValueError(
            f"Expected 1 to {_MAX_PARAMETERS} names; got {len(chosen)}. "
            "Choose some with names=[...]."
        )
    return chosen


def _panel(count: int) -> float:
    """Return the side of one panel, inches."""
    return {1: 2.6, 2: 2.0, 3: 1.65, 4: 1.4, 5: 1.25}.get(count, 1.05)


def _grid(count: int, more_lines: int) -> tuple[Figure, np.ndarray]:
    panel = _panel(count)
    left, bottom, top, right = (
        0.75 + more_lines * _LINE,
        (0.55 if count < 4 else 0.75) + more_lines * _LINE,
        0.38 if count == 1 else 0.12,
        0.12,
    )
    width, height = left + count * panel + right, bottom + count * panel + top
    figure = style.new_figure(width, height)
    grid = figure.subplots(count, count, squeeze=False)
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=0.09,
        hspace=0.09,
    )
    for i, j in zip(*np.triu_indices(count, 1), strict=True):
        grid[i, j].remove()
    return figure, grid


def _marginal(
    axes: Axes,
    name: str,
    limits: Limits,
    draws: Draws,
    prior: Draws | None,
    reference: Draws | None,
) -> None:
    if prior is not None and name in prior:
        grid, density = density_1d(prior[name], limits, least=7.0)
        axes.fill_between(grid, density, color=style.PRIOR, alpha=0.45, lw=0)
    grid, density = density_1d(draws[name], limits)
    axes.fill_between(grid, density, color=style.POSTERIOR_LIGHT, lw=0, alpha=0.85)
    axes.plot(grid, density, color=style.POSTERIOR, lw=1.5)
    if reference is not None and name in reference:
        axes.plot(*density_1d(reference[name], limits), color=style.BASELINE, lw=1.2)
    axes.set_xlim(limits)
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _pair(
    axes: Axes,
    names: tuple[str, str],
    limits: tuple[Limits, Limits],
    draws: Draws,
    reference: Draws | None,
) -> None:
    x, y = (np.asarray(draws[n], dtype=np.float64).reshape(-1) for n in names)
    grid_x, grid_y, density = density_2d(x, y, *limits)
    levels = region_levels(density, _MASSES)
    if _increasing([*levels, float(density.max())]):
        colors = [style.POSTERIOR_LIGHT, style.POSTERIOR_MIDDLE]
        filled = [*levels, float(density.max()) * 1.001]
        axes.contourf(grid_x, grid_y, density, levels=filled, colors=colors)
        axes.contour(
            grid_x,
            grid_y,
            density,
            levels=levels,
            colors=style.POSTERIOR,
            linewidths=0.7,
        )
    else:  # draws on a line or a point have no density to contour
        axes.plot(x[:500], y[:500], ".", ms=2, color=style.POSTERIOR)
    if reference is not None and all(n in reference for n in names):
        _outline(axes, reference[names[0]], reference[names[1]], limits)
    axes.set(xlim=limits[0], ylim=limits[1])


def _outline(
    axes: Axes, x: np.ndarray, y: np.ndarray, limits: tuple[Limits, Limits]
) -> None:
    grid_x, grid_y, density = density_2d(np.asarray(x), np.asarray(y), *limits)
    levels = region_levels(density, _MASSES)
    if _increasing([*levels, float(density.max())]):
        axes.contour(
            grid_x,
            grid_y,
            density,
            levels=levels,
            colors=style.BASELINE,
            linewidths=1.1,
        )


def _increasing(levels: Sequence[float]) -> bool:
    return len(levels) > 1 and bool(np.all(np.diff(levels) > 0))


def _mark_truth(
    grid: np.ndarray, names: Sequence[str], truth: Mapping[str, float]
) -> None:
    for i, row in enumerate(names):
        for j, column in enumerate(names[: i + 1]):
            if column in truth:
                grid[i, j].axvline(truth[column], color=style.INK, lw=0.8)
            if row in truth and j < i:
                grid[i, j].axhline(truth[row], color=style.INK, lw=0.8)


def _finish(grid: np.ndarray, labels: Sequence[str]) -> None:
    count = len(labels)
    small = count > 5
    for i in range(count):
        for j in range(i + 1):
            axes = grid[i, j]
            bottom, left = i == count - 1, j == 0 and i > 0
            sparse_ticks(axes, "x", 3)
            if j < i:
                sparse_ticks(axes, "y", 3)
                for side in ("top", "right"):
                    axes.spines[side].set_visible(True)
            axes.tick_params(
                labelbottom=bottom, labelleft=left, labelsize=7 if small else 8
            )
            if bottom:
                axes.set_xlabel(labels[j], fontsize=8 if small else 9)
                axes.tick_params(axis="x", labelrotation=40 if count > 3 else 0)
            if left:
                axes.set_ylabel(labels[i], fontsize=8 if small else 9)
    grid[0, 0].figure.align_labels()


def _add_legend(
    figure: Figure,
    count: int,
    prior: Draws | None,
    reference: Draws | None,
    words: Mapping[str, str],
) -> None:
    entries: list[tuple[object, str]] = [
        (
            Patch(facecolor=style.POSTERIOR_LIGHT, edgecolor=style.POSTERIOR),
            words.get("posterior", "posterior"),
        )
    ]
    if prior is not None:
        entries.append(
            (Patch(color=style.PRIOR, alpha=0.45), words.get("prior", "prior"))
        )
    if reference is not None:
        line = Line2D([], [], color=style.BASELINE, lw=1.3)
        entries.append((line, words.get("reference", "reference")))
    handles, texts = zip(*entries, strict=True)
    size = {1: 7.5, 2: 8.0, 3: 8.5}.get(count, 9.5)
    figure.legend(
        handles,
        [style.safe_text(t, 40) for t in texts],
        loc="upper right",
        ncols=2 if count == 1 else 1,
        fontsize=size,
        bbox_to_anchor=(0.985, 0.985),
    )
