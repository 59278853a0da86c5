r"""A column of soil: how fast does heat go down, here and half a meter deeper?

The temperature :math:`T(z, t)` between two sensors that are taken as boundary obeys

.. math::
    T_t = (\kappa(z)\, T_z)_z, \qquad \log \kappa \text{ linear in } z,

so that the diffusivity at 5 and at 50 cm are the unknowns. Sensors at 10, 20, 30 and
40 cm are the data. The initial profile is interpolated, and the first day is left out,
in which it is forgotten.

The simulator solves the equation by Crank and Nicolson's scheme on 37 nodes. What the
amortized network sees of the temperatures are their projections on slow and fast
echoes of the boundary, and how much is left over: the response of a linear equation.
The physics-informed network has coefficients that depend on depth, of echoes that
depend on time: a decaying mode of the column is exactly such an echo.

Data: hourly soil temperatures of July 2016 in Fargo, North Dakota Agricultural Weather
Network; ``--data DIR`` is the folder that holds the file.
Source: Carslaw and Jaeger (1959), Conduction of Heat in Solids, 2.6; Crank and Nicolson
(1947), Proc. Camb. Phil. Soc. 43:50.
Deviation: readings every third hour, errors taken as independent. They are not: three
hours later four fifths of an error are still there.
"""

import csv
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import scipy.interpolate
from jaxtyping import Array, Float, Key

from .._core.errors import DataError
from ..model import Axis, Baseline, FigureInput, Model, Prior, Study
from ..physics import FieldAnswer, Grid, Network, Sensor, Twin, fit_twin
from ._twin import answers_figure, as_rivals, sweep_figure


Theta = Mapping[str, Array]

TOP, BOTTOM = 5.0, 50.0  # cm
SENSORS = np.array([10.0, 20.0, 30.0, 40.0])  # cm
HIDDEN = 30.0  # cm, the sensor that a second fit must predict
PROFILE = np.array([TOP, *SENSORS, BOTTOM])
NODES = np.linspace(TOP, BOTTOM, 37)
SUBSTEPS = 2  # per hour
SKIP, EVERY = 24, 3  # hours
ECHOES = (1.5, 4.0, 10.0, 25.0, 60.0)  # hours: what the amortized network sees
# Hours: of the physics-informed network, for the top, the bottom and the start.
MODES_TOP = (0.1, 0.18, 0.33, 0.6, 1.1, 2.0, 3.6, 6.6, 12.0, 22.0, 40.0)
MODES_BOTTOM = (0.2, 0.4, 0.8, 1.5, 3.0, 5.5, 11.0, 20.0, 40.0)
MODES_START = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
FADE = 6.0  # hours, after which the interpolated start has gone from what is given
FINE = 8  # knots per hour of what the network is given
FILE = "fargo_soil_temperature_2016_07_hourly.csv"
COLUMNS = [f"T{depth:.0f}cm" for depth in PROFILE]

DESCRIPTION = """Thermometers in the ground are read every hour for a month, at depths
from 5 to 50 cm. The upper and the lower one are taken as given, and those between say
how fast heat travels: this study infers the thermal diffusivity of the soil at 5 and at
50 cm, with its logarithm linear between. The errors of the model are correlated in time
(water moves, the soil has layers), while it takes them as independent: the error bars
are too small. The same equation is also solved on a grid and by a physics-informed
network. Without --data the observation is synthetic, ten days long."""


@dataclass(frozen=True, eq=False)
class Series:
    """Hourly temperatures at the depths of :data:`PROFILE`, °C, ``(hours, 6)``."""

    values: Float[np.ndarray, "hours 6"]

    @property
    def hours(self) -> Float[np.ndarray, " hours"]:
        """Time of every row."""
        return np.arange(float(len(self.values)))

    @property
    def used(self) -> np.ndarray:
        """Rows that are data."""
        return np.arange(SKIP, len(self.values), EVERY)

    @property
    def ends(self) -> Float[np.ndarray, "hours 2"]:
        """Temperatures of the boundary."""
        return self.values[:, [0, -1]]

    @cached_property
    def directions(self) -> Float[np.ndarray, "num_used num_echoes"]:
        """Orthonormal directions that span echoes of the boundary."""
        start = np.exp(-self.hours / 10)
        columns = [np.ones_like(start), start, self.ends]
        columns += [_echo(self.ends, tau) for tau in ECHOES]
        matrix = np.column_stack(columns)[self.used]
        return np.linalg.qr(matrix)[0]

    def observe(self, seen: Any, xp: Any = np) -> dict[str, Any]:
        """Reduce temperatures ``(num_used, 4)`` to what the network sees."""
        q = xp.asarray(self.directions, seen.dtype)
        response = q.T @ seen
        rest = xp.mean((seen - q @ response) ** 2, axis=0)
        return {"response": response.T, "left_over": 0.5 * xp.log(rest)}

    def show(self, x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the temperatures that a reduced observation stands for."""
        seen = np.asarray(x["response"]) @ self.directions.T
        return {f"{z:.0f} cm": seen[..., i, :] for i, z in enumerate(SENSORS)}


def _echo(values: Float[np.ndarray, "n k"], tau: float) -> np.ndarray:
    """Filter series, linear between samples, by a first-order lag; zero at the start.

    Args:
        values: The series.
        tau: Time constant in samples.
    """
    keep = np.exp(-1 / tau)
    values, echo = values - values[0], np.zeros_like(values)
    for row in range(1, len(values)):
        rise = values[row] - values[row - 1]
        fresh = (1 - keep) * values[row - 1] + rise * (1 - tau * (1 - keep))
        echo[row] = keep * echo[row - 1] + fresh
    return echo


def diffusivity(theta: Theta, z: Any) -> Array:
    """Return kappa at a depth in cm, cm²/h."""
    upper, lower = jnp.log(theta["kappa_5"]), jnp.log(theta["kappa_50"])
    return jnp.exp(upper + (lower - upper) * (z - TOP) / (BOTTOM - TOP))


def temperatures(series: Series, theta: Theta) -> Float[Array, "hours 4"]:
    """Solve the equation and return the temperature at the sensors at every hour."""
    dtype = jnp.result_type(theta["kappa_5"])
    gap, step = NODES[1] - NODES[0], 1 / SUBSTEPS
    between = diffusivity(theta, jnp.asarray((NODES[1:] + NODES[:-1]) / 2, dtype))
    flow = between * (step / 2 / gap**2)
    middle = jnp.diag(flow[:-1] + flow[1:])
    inner = jnp.diag(flow[1:-1], 1) + jnp.diag(flow[1:-1], -1) - middle
    one = jnp.eye(len(NODES) - 2, dtype=dtype)
    backward = jnp.linalg.inv(one - inner)
    advance = backward @ (one + inner)
    sides = backward[:, jnp.array([0, -1])] * flow[jnp.array([0, -1])]
    fine = np.linspace(0, series.hours[-1], SUBSTEPS * (len(series.hours) - 1) + 1)
    ends = scipy.interpolate.CubicSpline(series.hours, series.ends)(fine)
    forcing = jnp.asarray(ends[1:] + ends[:-1], dtype)
    start = scipy.interpolate.CubicSpline(PROFILE, series.values[0])(NODES[1:-1])
    where = np.searchsorted(NODES, SENSORS) - 1

    def move(state: Array, both: Array) -> tuple[Array, Array]:
        state = advance @ state + sides @ both
        return state, state[where]

    first = jnp.asarray(start, dtype)
    later = jax.lax.scan(move, first, forcing)[1][SUBSTEPS - 1 :: SUBSTEPS]
    return jnp.concatenate([first[where][None], later])


def make_simulator(series: Series) -> Any:
    """Return the simulator of a column with the given boundary."""

    def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
        exact = temperatures(series, theta)[jnp.asarray(series.used)]
        noise = jr.normal(key, exact.shape, exact.dtype)
        return series.observe(exact + theta["sigma"] * noise, jnp)

    return simulator


@dataclass(frozen=True, eq=False)
class Spline:
    """A cubic spline of arrays, which can be compiled and differentiated.

    Attributes:
        knots: Where the values are.
        values: One row per knot.
    """

    knots: Float[np.ndarray, " n"]
    values: np.ndarray

    @cached_property
    def coefficients(self) -> np.ndarray:
        """Coefficients of the cubics, highest power first."""
        return scipy.interpolate.CubicSpline(self.knots, self.values).c

    def __call__(self, x: Array) -> Array:
        """Evaluate at one point."""
        last = len(self.knots) - 2
        row = jnp.clip(jnp.searchsorted(self.knots, x, side="right") - 1, 0, last)
        c = jnp.asarray(self.coefficients)[:, row]
        d = x - jnp.asarray(self.knots)[row]
        return ((c[0] * d + c[1]) * d + c[2]) * d + c[3]


def twin(series: Series, prior: Prior, sensors: Float[np.ndarray, " k"]) -> Twin:
    """Write the column as a twin that knows the readings of some sensors."""
    in_time = _known_in_time(series)
    first = series.values[0]
    excess = first - np.interp(PROFILE, [TOP, BOTTOM], first[[0, -1]])
    in_depth = Spline(PROFILE, excess)

    def equation(d: Any, theta: Any) -> Array:
        kappa = diffusivity(theta, d.z)
        slope = kappa * jnp.log(theta["kappa_50"] / theta["kappa_5"]) / (BOTTOM - TOP)
        return d.u_t - kappa * d.u_zz - slope * d.u_z

    def constrain(point: Any, raw: Array) -> Array:
        now, part = in_time(point.t), (point.z - TOP) / (BOTTOM - TOP)
        # Splines have kinks in their curvature, which no network could take back.
        start = in_depth(point.z) * jnp.exp(-point.t / FADE)
        known = (1 - part) * now[0] + part * now[1] + start
        return (known + 4 * part * (1 - part) * jnp.dot(now[2:], raw))[None]

    columns = np.searchsorted(PROFILE, sensors)
    z, t = np.meshgrid(sensors, series.hours[series.used])
    values = series.values[series.used][:, columns]
    points = {"z": z.ravel(), "t": t.ravel()}
    return Twin(
        domain={"z": (TOP, BOTTOM), "t": (0.0, float(series.hours[-1]))},
        equation=equation,
        prior=prior,
        sensors=(Sensor(points, values.ravel(), "sigma"),),
        derivatives=("t", "z", "zz"),
        constrain=constrain,
        residual_sigma=_violation,
        channels=in_time.values.shape[1] - 2,
    )


def _known_in_time(series: Series) -> Spline:
    """Return the boundary, then its echoes and those of the start, over time."""
    fine = np.linspace(0, series.hours[-1], FINE * (len(series.hours) - 1) + 1)
    ends = scipy.interpolate.CubicSpline(series.hours, series.ends)(fine)
    top, bottom = ends[:, :1], ends[:, 1:]
    columns = [ends, ends - ends[0]]
    columns += [_echo(top, FINE * mode) for mode in MODES_TOP]
    columns += [_echo(bottom, FINE * mode) for mode in MODES_BOTTOM]
    columns += [-np.expm1(-fine / mode) for mode in MODES_START]
    return Spline(fine, np.column_stack(columns))


# °C/h; a fine day warms the ground by 2. The features follow the equation to .0003.
RESIDUAL = 0.005


def _violation(point: Any) -> Array:
    """Return the scale of the residual: the start is interpolated, not a solution."""
    return RESIDUAL + jnp.exp(-point.t / 3)


NETWORK = Network(
    hidden=(24,),
    slopes=(0.5, 12.0),
    inputs=("z",),
    collocation=1500,
    relax=(100.0, 10.0, 1.0),
)
GRID = Grid(nodes=13, step=0.25)


def predict(
    answer: FieldAnswer, series: Series, depth: float
) -> Float[np.ndarray, " num_used"]:
    """Return the temperature that a fit expects at a depth at the times of the data."""
    hours = series.hours[series.used]
    return answer.predict(np.column_stack([np.full(len(hours), depth), hours]))[:, 0]


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits of both fields to a column, each made when it is first asked for.

    Attributes:
        series: The column.
        prior: Prior of the parameters.
    """

    series: Series
    prior: Prior
    _made: dict[tuple[str, bool], FieldAnswer] = dataclasses.field(default_factory=dict)

    def of(self, name: str, *, partial: bool = False) -> FieldAnswer:
        """Return the fit of one field, ``partial`` without the sensor at 30 cm."""
        if (name, partial) not in self._made:
            sensors = SENSORS[SENSORS != HIDDEN] if partial else SENSORS
            whole = twin(self.series, self.prior, sensors)
            fitted = fit_twin(whole, name, grid=GRID, network=NETWORK)
            self._made[name, partial] = fitted
        return self._made[name, partial]

    def baseline(self, key: Key[Array, ""], model: Model) -> Baseline:
        """Return the grid's answer, with the network's as its rival."""
        return as_rivals(key, model, (self.of("grid"), self.of("mlp")))

    def errors(self) -> dict[str, float]:
        """Return how well both fit, and predict a sensor they were not shown, °C."""
        numbers, seen = {}, self.series.values[self.series.used]
        for name in ("grid", "mlp"):
            whole, partial = self.of(name), self.of(name, partial=True)
            misfits = [
                predict(whole, self.series, z) - seen[:, i + 1]
                for i, z in enumerate(SENSORS)
            ]
            numbers[f"rmse_{name}"] = _rms(np.concatenate(misfits))
            unseen = predict(partial, self.series, HIDDEN) - seen[:, 3]
            numbers[f"rmse_30cm_unseen_{name}"] = _rms(unseen)
        return numbers


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def read(folder: Path) -> Series:
    """Read the hourly temperatures.

    Raises:
        DataError: If the file is missing, or has other columns or gaps.
    """
    path = folder / FILE if (folder / FILE).exists() else folder / "soil_heat" / FILE
    if not path.exists():
        raise DataError(f"--data: Expected {FILE} in {folder}; there is no such file.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) < 2 * SKIP or not set(COLUMNS) <= rows[0].keys():
        found = sorted(rows[0]) if rows else "no rows"
        raise DataError(
            f"{path}: Expected the columns {COLUMNS}, two days at least; got {found}."
        )
    try:
        values = np.array([[float(row[name]) for name in COLUMNS] for row in rows])
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: Expected a number in every row; {error}.") from None
    return Series(values)


def all_answers(inputs: FigureInput) -> tuple[str, Any]:
    """Draw the answers of all methods."""
    labels = {
        "kappa_5": r"$\kappa$ at 5 cm (cm²/h)",
        "kappa_50": r"$\kappa$ at 50 cm (cm²/h)",
    }
    note = (
        "NPE gives the whole posterior given a summary of the readings, by a scheme of "
        "second order; grid and network a normal distribution of the logarithms, by "
        "differences of fourth order and by a field that may violate the equation by "
        "0.005 °C/h. All three take errors as independent."
    )
    return answers_figure(inputs, labels, note)


def sweep(inputs: FigureInput) -> tuple[str, Any]:
    """Draw how the network's answer settles as the equation gets exact."""
    labels = {"kappa_5": r"$\kappa_5$ (cm²/h)", "kappa_50": r"$\kappa_{50}$ (cm²/h)"}
    return sweep_figure(inputs, labels, RESIDUAL, "°C/h")


def study() -> Study:
    """Build the study of a synthetic column; ``--data`` brings the real one."""
    return _study(_synthetic())


def load(folder: Path) -> Study:
    """Return the study of the real column."""
    return _study(read(folder))


def _study(series: Series) -> Study:
    prior = Prior(
        kappa_5=dist.LogNormal(float(np.log(15.0)), 0.7),
        kappa_50=dist.LogNormal(float(np.log(15.0)), 0.7),
        sigma=dist.LogNormal(float(np.log(0.2)), 0.5),
        units={"kappa_5": "cm²/h", "kappa_50": "cm²/h", "sigma": "°C"},
        labels={"kappa_5": r"$\kappa_5$", "kappa_50": r"$\kappa_{50}$"},
    )
    observed = series.observe(series.values[series.used][:, 1:-1])
    fits = Fits(series, prior)
    model = Model(prior, make_simulator(series), observed=observed, name="soil")
    times = series.hours[series.used]
    return Study(
        model=model,
        title="How fast heat goes down",
        field="soil physics",
        description=" ".join(DESCRIPTION.split()),
        source="North Dakota Agricultural Weather Network, Fargo, July 2016, --data.",
        budget=10_000,
        baseline=fits.baseline,
        axes={
            f"{z:.0f} cm": Axis(times, "time (h)", "temperature (°C)") for z in SENSORS
        },
        figures=(all_answers, sweep),
        load=load,
        measure=lambda *_: fits.errors(),
        show=series.show,
        minutes=5.0,
    )


def _synthetic() -> Series:
    """Return ten days in a column like the real one, errors of 0.2 °C."""
    t = np.arange(240.0)
    top = 22 + 5 * np.sin(2 * np.pi * (t - 9) / 24) + 1.5 * np.sin(2 * np.pi * t / 150)
    bottom = 18 + 0.5 * np.sin(2 * np.pi * t / 300)
    between = np.interp(SENSORS, [TOP, BOTTOM], [top[0], bottom[0]])
    blank = Series(np.column_stack([top, np.tile(between, (len(t), 1)), bottom]))
    with jax.enable_x64(True):
        theta = {"kappa_5": jnp.asarray(11.0), "kappa_50": jnp.asarray(20.0)}
        exact = np.asarray(temperatures(blank, theta))
    noise = 0.2 * np.random.RandomState(5).standard_normal(exact.shape)
    noise[0] = 0
    return dataclasses.replace(
        blank, values=np.column_stack([top, np.round(exact + noise, 2), bottom])
    )
