"""Figures: the right artists, no state left behind, and no input that crashes them."""

import base64
import itertools
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from scipy import stats

import retrodict as rd
from retrodict.report import figures
from retrodict.report.figures.density import (
    density_1d,
    density_2d,
    frame,
    region_levels,
)
from retrodict.report.figures.embed import count_vertices
from retrodict.report.figures.style import axis_label, safe_text
from retrodict.report.figures.ticks import sparse_ticks


@pytest.fixture
def draws(rng):
    return {"a": rng.normal(size=800), "b": rng.gamma(2, size=800) * 1e-21}


def _bands(axes):
    return [c for c in axes.collections if isinstance(c, FillBetweenPolyCollection)]


# --- densities against closed forms ---------------------------------------------------


@pytest.mark.stat
def test_density_is_that_of_the_normal(rng):
    """Error 0.03 is 7 % of the mode; over 200 seeds the largest seen was 0.021."""
    grid, density = density_1d(rng.normal(size=4000), (-4.0, 4.0))
    assert np.abs(density - stats.norm.pdf(grid)).max() < 0.03
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.01)


def test_draws_outside_the_frame_lower_the_curve(rng):
    grid, density = density_1d(rng.uniform(-10, 10, 4000), (-1.0, 1.0))
    assert np.trapezoid(density, grid) == pytest.approx(0.1, abs=0.02)


@pytest.mark.stat
def test_regions_hold_the_mass_they_claim(rng):
    """Sampling sd of the share is 0.5 %; the tolerance of 3 points is six of them."""
    x, y = rng.normal(size=(2, 8000))
    fresh = rng.normal(size=(2, 8000))
    grid_x, grid_y, density = density_2d(x, y, (-4.5, 4.5), (-4.5, 4.5))
    low, high = region_levels(density, (0.5, 0.9))
    assert low < high
    i = np.clip(np.searchsorted(grid_x, fresh[0]), 0, 99)
    j = np.clip(np.searchsorted(grid_y, fresh[1]), 0, 99)
    assert np.mean(density[j, i] >= low) == pytest.approx(0.9, abs=0.03)
    assert np.mean(density[j, i] >= high) == pytest.approx(0.5, abs=0.03)


def test_a_crescent_keeps_its_hole(make_content):
    draws = make_content("two_moons").posterior
    x, y = draws["theta[0]"], draws["theta[1]"]
    grid_x, grid_y, density = density_2d(x, y, frame([x]), frame([y]))
    level = region_levels(density, (0.5, 0.9))[0]
    # The center between the two crescents holds no draws.
    middle = density[np.abs(grid_y).argmin(), np.abs(grid_x).argmin()]
    assert middle < 0.01 * level
    # The 90 % region of a thin crescent is a small part of the frame.
    assert np.mean(density >= level) < 0.12


def test_frame_of_nothing_and_of_a_constant():
    assert frame([np.array([np.nan])]) == (-1.0, 1.0)
    low, high = frame([np.full(10, 3.0)])
    assert low < 3.0 < high
    low, high = frame([np.zeros(10)])
    assert low < 0.0 < high


# --- figures --------------------------------------------------------------------------


def test_pair_plot_has_a_panel_for_every_pair(make_content):
    content = make_content("hare_lynx")
    figure = figures.pair_plot(
        content.posterior,
        prior=content.prior,
        reference=content.baseline,
        names=content.names[:4],
    )
    assert len(figure.axes) == 4 * 5 // 2
    texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert texts == ["posterior", "prior", "reference"]


def test_pair_plot_marks_the_truth_and_takes_labels(draws):
    figure = figures.pair_plot(
        draws, truth={"a": 0.5}, labels={"a": r"$\alpha$"}, units={"a": "1/day"}
    )
    first, corner, _ = figure.axes
    assert [list(line.get_xdata()) for line in first.lines][-1] == [0.5, 0.5]
    assert corner.get_xlabel() == r"$\alpha$ (1/day)"
    assert corner.get_ylabel() == "b"


def test_pair_plot_of_one_parameter_is_a_marginal(draws):
    assert len(figures.pair_plot(draws, names=["b"]).axes) == 1


def test_pair_plot_of_draws_without_a_density():
    same = {"a": np.ones(50), "b": np.ones(50), "c": np.full(50, np.nan)}
    assert figures.data_uri(figures.pair_plot(same)).startswith("data:image/svg")


def test_pair_plot_says_what_is_wrong(draws):
    with pytest.raises(ValueError, match="got none for 'c'"):
        figures.pair_plot(draws, names=["a", "c"])
    with pytest.raises(ValueError, match=r"Expected 1 to 12 names; got 0\."):
        figures.pair_plot({})
    with pytest.raises(ValueError, match=r"got 13\. Choose some"):
        figures.pair_plot({str(i): draws["a"] for i in range(13)})


def test_marginal_plot(draws):
    axes = figures.marginal_plot(
        draws["a"], prior=draws["a"] * 3, reference=draws["a"], label="a", unit="m"
    ).axes[0]
    assert len(axes.lines) == 2
    assert len(_bands(axes)) == 2
    assert axes.get_xlabel() == "a (m)"


def test_predictive_plot_has_bands_points_and_circles(rng):
    expected = rng.normal(size=(400, 14))
    observed = np.zeros(14)
    observed[3], observed[5] = 9.0, np.nan
    axes = figures.predictive_plot(expected, observed, label="day", ylabel="boys").axes[
        0
    ]
    assert len(_bands(axes)) == 2
    circled = axes.lines[-1]
    assert list(circled.get_xdata()) == [4]
    assert axes.get_xlabel() == "day"
    low, high = np.quantile(expected, (0.05, 0.95), axis=0)
    outline = _bands(axes)[0].get_paths()[0].vertices
    assert outline[:, 1].min() == pytest.approx(low.min())
    assert outline[:, 1].max() == pytest.approx(high.max())


def test_predictive_plot_of_two_numbers_draws_no_curve(rng):
    axes = figures.predictive_plot(rng.normal(size=(100, 2)), np.zeros(2)).axes[0]
    assert not _bands(axes)
    assert len(axes.collections) == 2


@pytest.mark.parametrize(("word", "angle"), [("a", 0.0), ("a long name", 30.0)])
def test_predictive_plot_of_named_numbers_draws_no_curve(rng, word, angle):
    names = [f"{word} {i}" for i in range(8)]
    drawn = rng.normal(size=(100, 8))
    axes = figures.predictive_plot(drawn, np.zeros(8), names=names).axes[0]
    ticks = axes.get_xticklabels()
    assert [tick.get_text() for tick in ticks] == names
    assert {tick.get_rotation() for tick in ticks} == {angle}
    assert not [line for line in axes.lines if line.get_linestyle() == "-"]


def test_predictive_plot_says_which_shapes_differ(rng):
    with pytest.raises(ValueError, match=r"got \(9, 4\) and \(3,\)"):
        figures.predictive_plot(rng.normal(size=(9, 4)), np.zeros(3))


def test_predictive_plot_with_an_entry_that_never_was_simulated(rng):
    expected = rng.normal(size=(50, 8))
    expected[:, 2] = np.nan
    figures.data_uri(figures.predictive_plot(expected, np.zeros(8)))
    assert not figures.outside(expected, np.zeros(8)).any()


def test_field_plot_shows_three_images(rng):
    words = {"label": "across: km", "ylabel": "heat (K)"}
    figure = figures.field_plot(rng.normal(size=(30, 8, 9)), np.zeros((8, 9)), **words)
    assert [len(axes.images) for axes in figure.axes[:3]] == [1, 1, 1]
    assert figure.get_supxlabel() == "across: km"
    bars = [axes.get_xlabel() for axes in figure.axes[3:]]
    assert bars == ["heat (K)", "heat (K)", ""]


def test_ecdf_plot_draws_ecdf_minus_uniform(make_content):
    found = make_content().verdict.calibration
    axes = figures.ecdf_plot(
        found.pit, found.ecdf_grid, found.ecdf_low, found.ecdf_high, names=found.names
    ).axes[0]
    curve = next(line for line in axes.lines if line.get_label() == "beta")
    expected = stats.ecdf(found.pit[:, 0]).cdf.evaluate(found.ecdf_grid)
    np.testing.assert_allclose(curve.get_ydata(), expected - found.ecdf_grid)


def test_ecdf_plot_of_many_names_only_those_outside(rng):
    pit = rng.uniform(size=(400, 12))
    pit[:, 7] **= 3
    grid = np.linspace(0, 1, 51)
    half = np.full(51, 0.15)
    axes = figures.ecdf_plot(
        pit, grid, -half, half, names=[f"p{i}" for i in range(12)]
    ).axes[0]
    assert [t for t in axes.get_legend_handles_labels()[1] if t != "expected"] == ["p7"]


@pytest.mark.stat
def test_rank_plot_marks_bars_outside_the_band(rng):
    """Calibrated bars: seed fixed; U-shape: the outer bars are 20 sd high."""
    pit = stats.norm.cdf(1.6 * rng.normal(size=2000))
    axes = figures.rank_plot(pit, name="a").axes[0]
    colors = [bar.get_facecolor() for bar in axes.patches if bar.get_width() < 0.1]
    assert len(colors) == 20
    assert colors[0] == colors[-1] == mpl.colors.to_rgba("#cf5f12")
    assert sum(b.get_height() for b in axes.patches if b.get_width() < 0.1) == 2000


def test_coverage_contraction_and_training(make_content):
    content = make_content()
    found = content.verdict.calibration
    axes = figures.coverage_plot(
        found.credible_levels, found.coverage, found.coverage_low, found.coverage_high
    ).axes[0]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), found.coverage)
    axes = figures.contraction_plot(found.contraction, names=found.names).axes[0]
    assert [t.get_text() for t in axes.texts] == ["97%", "69%", "41%"]
    axes = figures.training_plot(
        content.train, content.validation, content.best_epoch
    ).axes[0]
    circles = [line for line in axes.lines if line.get_marker() == "o"]
    assert [int(c.get_xdata()[0]) - 1 for c in circles] == list(content.best_epoch)


@pytest.mark.parametrize(("reach", "scale"), [(20.0, "linear"), (1e4, "symlog")])
def test_bands_that_reach_far_leave_the_points_to_be_seen(rng, reach, scale):
    """A prior predictive up to 1e4 over points of 1 to 9 is drawn on logarithms."""
    bands = rng.uniform(0, reach, (200, 9))
    axes = figures.predictive_plot(bands, np.arange(1.0, 10)).axes[0]
    assert axes.get_yscale() == scale


def test_bands_without_a_number_are_drawn():
    figure = figures.predictive_plot(np.full((20, 9), np.nan), np.arange(1.0, 10))
    assert figure.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("here", [None, np.array([0.2, 1.4])])
def test_informed_plot_has_a_row_each(here):
    figure = figures.informed_plot(["a", "b"], here, np.array([0.1, 0.9]))
    (axes,) = figure.axes
    assert len(axes.patches) == (2 if here is None else 4)
    assert max(bar.get_width() for bar in axes.patches) <= 1.25  # clipped
    shown = {text.get_text() for text in axes.texts}
    assert shown == ({"10%", "90%"} if here is None else {"20%", "140%"})


def test_training_plot_of_one_member_that_diverged():
    losses = np.full(5, np.nan)
    figure = figures.training_plot(losses, losses, np.array(2))
    assert figures.data_uri(figure).startswith("data:image/svg")


# --- safety ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        r"$\foo$",
        r"$\frac{$",
        "$",
        "a $ b $ c",
        "x" * 10_000,
        "$" + "x" * 10_000 + "$",
        "$" + "{" * 30 + "}" * 30 + "$",
        "\x00\n\t",
        "\u202e\u05e9\u05dc\u05d5\u05dd",
        "日本語 🙂",
        r"\$",
        "",
    ],
)
def test_any_name_can_be_drawn(name, draws, rng):
    figure = figures.pair_plot(
        {name: draws["a"]}, units={name: name}, legend={"posterior": name}
    )
    assert figures.data_uri(figure).startswith("data:image/svg+xml;base64,")
    figure = figures.predictive_plot(
        rng.normal(size=(20, 9)), np.zeros(9), label=name, ylabel=name, title=name
    )
    figures.data_uri(figure)
    figures.data_uri(figures.rank_plot(rng.uniform(size=50), name=name))


def test_safe_text():
    assert safe_text(r"$\beta$") == r"$\beta$"
    assert safe_text("5 $") == r"5 \$"
    assert safe_text("two\nlines") == "two lines"
    assert safe_text("x" * 100) == "x" * 27 + "…"
    assert axis_label("a", "1/day") == "a (1/day)"
    assert axis_label("a") == "a"


def test_a_unit_that_does_not_fit_stands_below_its_label():
    unit = "1/(year · thousand lynx)"
    assert axis_label(r"$\beta$", unit, 16) == "$\\beta$\n(1/(year ·\nthousand lynx))"
    assert axis_label(r"$\alpha$", "1/year", 16) == r"$\alpha$ (1/year)"


def test_the_labels_of_many_parameters_stay_apart(rng):
    names = [f"p{i}" for i in range(8)]
    figure = figures.pair_plot(
        {name: rng.normal(size=200) for name in names},
        units=dict.fromkeys(names, "1/(year · thousand lynx)"),
    )
    figure.draw_without_rendering()
    boxes = [a.xaxis.label.get_window_extent() for a in figure.axes[-8:]]
    lefts = sorted((box.x0, box.x1) for box in boxes)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(lefts))
    assert min(box.y0 for box in boxes) >= 0


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (1e-21, 5e-21), (1e6, 1e6 + 4), (-3, -1), (0, 5e8)]
)
def test_ticks_are_few_and_distinct(low, high):
    axes = Figure().subplots()
    axes.set_xlim(low, high)
    sparse_ticks(axes, "x", 3)
    texts = [axes.xaxis.get_major_formatter()(v, 0) for v in axes.get_xticks()]
    assert 1 <= len(texts) <= 5
    assert len(set(texts)) == len(texts)


def test_hundreds_are_not_written_as_powers():
    axes = Figure().subplots()
    axes.set_xlim(0, 300)
    sparse_ticks(axes, "x", 3)
    assert axes.xaxis.get_major_formatter()(200.0, 0) == "200"


def test_many_points_become_a_bitmap(rng):
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot(rng.normal(size=500), ".")
    assert count_vertices(figure) == 500
    head, body = figures.data_uri(figure, max_vertices=499).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body).startswith(b"\x89PNG")
    assert figures.data_uri(figure).startswith("data:image/svg")


def test_the_same_figure_gives_the_same_bytes(draws):
    one, two = (figures.data_uri(figures.pair_plot(draws)) for _ in range(2))
    assert one == two
    svg = base64.b64decode(one.split(",")[1]).decode()
    assert "dc:date" not in svg


def test_figures_leave_no_state_and_ignore_the_users(draws):
    before = dict(mpl.rcParams)
    with mpl.rc_context({"axes.edgecolor": "red", "font.size": 40}):
        figure = figures.pair_plot(draws)
        uri = figures.data_uri(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert dict(mpl.rcParams) == before
    assert uri == figures.data_uri(figures.pair_plot(draws))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


# --- the pair plot as users call it ---------------------------------------------------


def _labels(figure):
    return {axes.get_xlabel() for axes in figure.axes} - {""}


def test_vectors_are_split_into_components(rng):
    draws = {"a": rng.normal(size=300), "mu": rng.normal(size=(300, 2))}
    figure = rd.pair_plot(
        draws,
        prior=draws,
        reference=draws,
        truth={"a": 0.1, "mu": [0.2, 0.3]},
        labels={"mu": r"$\mu$"},
        units={"mu": "m"},
    )
    assert len(figure.axes) == 6
    assert _labels(figure) == {"a", r"$\mu$[0] (m)", r"$\mu$[1] (m)"}
    chosen = rd.pair_plot(draws, names=["mu"])
    assert _labels(chosen) == {"mu[0]", "mu[1]"}
    assert _labels(rd.pair_plot(draws, names=["mu[1]", "a"])) == {"mu[1]", "a"}


def test_pair_plot_of_unknown_name_says_what_there_is(rng):
    with pytest.raises(ValueError, match=r"none for 'nu'.*mu\[0\]"):
        rd.pair_plot({"mu": rng.normal(size=(300, 2))}, names=["nu"])
