r"""A real heater and the sensor beside it: what can one temperature tell?

A transistor heats (power :math:`P`), a sensor follows, the room cools:

.. math::
    C_H \dot T_H &= U_a (T_a - T_H) + U_b (T_S - T_H) + P, \\
    C_S \dot T_S &= U_b (T_H - T_S),

of which only :math:`T_S` is seen. From rest its step response is that of two time
constants,

.. math::
    T_S(t) = T_a + \frac{P}{U_a} \left(1 - \frac{\tau_1 e^{-t/\tau_1} - \tau_2
    e^{-t/\tau_2}}{\tau_1 - \tau_2}\right), \qquad
    \tau_1 \tau_2 = \frac{A}{U_a}, \quad \tau_1 + \tau_2 = \frac{B}{U_a},

with :math:`A = C_H C_S / U_b` and :math:`B = C_H + C_S (1 + U_a/U_b)`: three numbers
for four parameters. :math:`C_H, C_S, U_b` cannot be told apart by any amount of such
data.

The observation is the temperature every 10 s, and how long the heater has been watched;
readings of the future are zero. One network thus answers at every moment of a run.

Data: the Temperature Control Lab step test of J. C. Kantor's course CBE 30338 (heater 1
stepped to 50 %); ``--data DIR`` is the folder that holds ``Step_Test_Data.csv``.
Source: Park et al. (2020), Benchmark temperature microcontroller for process dynamics
and control, Comput. Chem. Eng. 135:106736.
Deviation: readings are thinned from 1 to 10 s: they are rounded to .32 °C and their
errors are correlated, so that independent errors every second would be far too small.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from .._core.errors import DataError
from ..model import Axis, Derived, FigureInput, Model, Prior, Study
from ..physics import Grid, Network, Sensor, Twin
from ._twin import answers_figure, both_fields, sweep_figure


Theta = Mapping[str, Array]

POWER = 0.00016 * 200 * 50  # W
TIMES = np.arange(10.0, 800.0, 10.0)  # s
FILE = "Step_Test_Data.csv"
HORIZONS = (100.0, 200.0, 400.0, 800.0)  # s

DESCRIPTION = """A small heater is switched to half power and the temperature of the
sensor beside it is read for 800 s. The heater's own temperature is not seen. This study
infers the heat capacities of heater and sensor (C_H, C_S), the loss to the room (U_a)
and the contact between the two (U_b). The equations say that only three combinations
leave a trace in the data: U_a, A = C_H C_S / U_b and B = C_H + C_S (1 + U_a/U_b); C_H,
C_S and U_b themselves remain undetermined along a ridge. The errors of the readings are
correlated (rounding, drafts), while the model takes them as independent: the error bars
are too small by a factor that this study does not know. Without --data the observation
is synthetic."""


def rise(theta: Theta) -> Float[Array, "79"]:
    """Return the sensor's temperature above the room's at :data:`TIMES`, kelvin."""
    loss = theta["U_a"]
    product, total = combination_a(theta) / loss, combination_b(theta) / loss
    # The discriminant is positive for every theta; rounding must not make it zero.
    root = jnp.sqrt(jnp.maximum(total**2 - 4 * product, 1e-6 * total**2))
    slow = (total + root) / 2
    fast = product / slow
    times = jnp.asarray(TIMES, jnp.result_type(loss))
    decay = slow * jnp.exp(-times / slow) - fast * jnp.exp(-times / fast)
    return POWER / loss * (1 - decay / (slow - fast))


def combination_a(theta: Theta) -> Array:
    """Return A = C_H C_S / U_b, J s/K."""
    return theta["C_H"] * theta["C_S"] / theta["U_b"]


def combination_b(theta: Theta) -> Array:
    """Return B = C_H + C_S (1 + U_a/U_b), J/K."""
    return theta["C_H"] + theta["C_S"] * (1 + theta["U_a"] / theta["U_b"])


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
    """Draw what is known of a run at some moment: readings so far, and the time."""
    key_noise, key_time = jr.split(key)
    exact = rise(theta)
    noisy = exact + theta["sigma"] * jr.normal(key_noise, exact.shape, exact.dtype)
    count = jr.randint(key_time, (), 5, len(TIMES) + 1)
    # Half of all rows have seen everything, where most questions are asked.
    whole = jr.bernoulli(jr.fold_in(key_time, 1))
    count = jnp.where(whole, len(TIMES), count)
    seen = jnp.arange(len(TIMES)) < count
    watched = jnp.asarray(count * 10, exact.dtype)
    return {"rise": jnp.where(seen, noisy, 0), "watched": watched[None]}


def observe(rises: Float[np.ndarray, "79"], seconds: float) -> dict[str, np.ndarray]:
    """Return the observation of a run watched for so many seconds."""
    seen = seconds >= TIMES
    return {
        "rise": np.where(seen, rises, 0.0),
        "watched": np.array([10.0 * seen.sum()]),
    }


def show(x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the readings of one run or of many, NaN where they are still to come."""
    seen = np.asarray(x["watched"]) >= TIMES
    return {"rise": np.where(seen, np.asarray(x["rise"], np.float64), np.nan)}


def load(folder: Path) -> dict[str, np.ndarray]:
    """Read the temperature of the step test above its start, every 10 s.

    Raises:
        DataError: If the file is missing or has other columns.
    """
    path = folder / FILE if (folder / FILE).exists() else folder / "tclab" / FILE
    if not path.exists():
        raise DataError(f"--data: Expected {FILE} in {folder}; there is no such file.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"Time", "T1"} <= rows[0].keys():
        found = sorted(rows[0]) if rows else "no rows"
        raise DataError(f"{path}: Expected the columns Time and T1; got {found}.")
    time, temperature = (np.array([float(r[k]) for r in rows]) for k in ("Time", "T1"))
    return observe(np.interp(TIMES, time, temperature) - temperature[0], 800.0)


def twin(model: Model) -> Twin:
    """Write the heater as a twin: temperatures of heater and sensor above the room."""
    observed = model.observed
    assert observed is not None
    seen = float(observed["watched"][0]) >= TIMES

    def equation(d: Any, theta: Any) -> Array:
        heater, sensor = d.u
        contact = theta["U_b"] * (heater - sensor)
        flow_heater = (POWER - theta["U_a"] * heater - contact) / theta["C_H"]
        return d.u_t - jnp.stack([flow_heater, contact / theta["C_S"]])

    readings = Sensor(
        {"t": TIMES[seen]},
        np.asarray(observed["rise"])[seen],
        "sigma",
        observe=lambda u: u[1],
    )
    return Twin(
        domain={"t": (0.0, 800.0)},
        equation=equation,
        prior=model.prior,
        sensors=(readings,),
        components=2,
        constrain=lambda point, raw: 30 * jnp.tanh(point.t / 100) * raw,
        residual_sigma=3e-5,  # K/s; the heater starts at 0.3 K/s
    )


COMBINATIONS = {"A": combination_a, "B": combination_b}
NETWORK = Network(
    hidden=(120,),
    slopes=(0.5, 20.0),
    collocation=200,
    relax=(1000.0, 100.0, 10.0, 1.0),
    max_steps=100,
)
GRID = Grid(step=2.0)


def all_answers(inputs: FigureInput) -> tuple[str, Any]:
    """Draw the answers of all methods, ridge and combinations."""
    labels = {
        "U_a": "loss to the room $U_a$ (W/K)",
        "C_H": "$C_H$ (J/K)",
        "C_S": "$C_S$ (J/K)",
        "U_b": "$U_b$ (W/K)",
    }
    note = (
        "NPE gives the whole, curved ridge; grid and network a normal distribution of "
        "the logarithms with the curvature at the most probable point, which cannot "
        "bend: along the ridge they are no guide. The network may violate the equation "
        "by 3e-5 K/s, the grid by nothing but its step. "
    )
    return answers_figure(inputs, labels, note + _at_the_maximum(inputs))


def _at_the_maximum(inputs: FigureInput) -> str:
    """Say what is known of the combinations where draws from a straight ridge err."""
    baseline = inputs.baseline
    every = [] if baseline is None else [baseline, *baseline.rivals]
    known = [
        f"{name} = {b.diagnostics[f'{name} at the maximum']:.4g} ± "
        f"{b.diagnostics[f'{name} sd']:.2g} ({b.method.split()[0].rstrip(',')})"
        for name in COMBINATIONS
        for b in every
    ]
    if not known:
        return ""
    return f"At their most probable point, though, {', '.join(known)}."


def sweep(inputs: FigureInput) -> tuple[str, Any]:
    """Draw how the network's answer settles as the equation gets exact."""
    labels = {"U_a": "$U_a$ (W/K)", "C_H": "$C_H$ (J/K)", "U_b": "$U_b$ (W/K)"}
    return sweep_figure(inputs, labels, 3e-5, "K/s")


def in_step(inputs: FigureInput) -> tuple[str, Any]:
    """Draw how the posterior narrows as readings arrive, from one network."""
    from ..report.figures import style

    rises = np.asarray(inputs.observed["rise"])
    labels = {"U_a": "$U_a$ (W/K)", "A": "A (J s/K)", "B": "B (J/K)"}
    found = []
    for seconds in HORIZONS:
        at = inputs.posterior.at(observe(rises, seconds))
        draws = at.sample(jr.key(0), 4000)
        with jax.enable_x64(True):
            theta = {k: jnp.asarray(v) for k, v in draws.items()}
            combined = {"A": combination_a(theta), "B": combination_b(theta)}
        found.append(draws | {k: np.asarray(v) for k, v in combined.items()})
    with style.house_style():
        figure = style.new_figure(7.2, 2.6, layout="constrained")
        for axis, (name, label) in zip(
            figure.subplots(1, 3), labels.items(), strict=True
        ):
            ends = np.array([np.quantile(d[name], [0.05, 0.5, 0.95]) for d in found])
            rows = np.arange(len(HORIZONS))
            axis.vlines(rows, ends[:, 0], ends[:, 2], color=style.POSTERIOR, lw=3)
            axis.plot(rows, ends[:, 1], "o", color=style.INK, ms=4)
            axis.set_xticks(rows, [f"{s:.0f}" for s in HORIZONS])
            axis.set(xlabel="watched for (s)")
            axis.set_title(label)
    caption = (
        "The twin kept in step with its object: median and 90 % interval after 100, "
        "200, 400 and 800 s of readings, all from the one trained network."
    )
    return caption, figure


def study() -> Study:
    """Build the heater study; without ``--data`` it observes a synthetic run."""
    prior = Prior(
        C_H=dist.LogNormal(float(np.log(4.0)), 1.0),
        C_S=dist.LogNormal(float(np.log(2.0)), 1.0),
        U_a=dist.LogNormal(float(np.log(0.05)), 0.5),
        U_b=dist.LogNormal(float(np.log(0.05)), 1.0),
        sigma=dist.LogNormal(float(np.log(0.2)), 0.5),
        units={"C_H": "J/K", "C_S": "J/K", "U_a": "W/K", "U_b": "W/K", "sigma": "K"},
        labels={n: f"${n}$" for n in ("C_H", "C_S", "U_a", "U_b")},
    )
    derive = {
        "A": Derived(combination_a, support="positive", unit="J s/K", label="$A$"),
        "B": Derived(combination_b, support="positive", unit="J/K", label="$B$"),
    }
    model = Model(prior, simulator, observed=_synthetic(), derive=derive, name="heater")
    return Study(
        model=model,
        title="A heater and its sensor",
        field="engineering",
        description=" ".join(DESCRIPTION.split()),
        source="Temperature Control Lab step test (J. C. Kantor, CBE 30338), --data.",
        budget=20_000,
        baseline=both_fields(twin, NETWORK, GRID, COMBINATIONS),
        axes={"rise": Axis(TIMES, "time (s)", "temperature above the room (K)")},
        figures=(all_answers, sweep, in_step),
        load=load,
        show=show,
    )


def _synthetic() -> dict[str, np.ndarray]:
    """Return a run with the parameters of a heater like the real one."""
    with jax.enable_x64(True):
        theta = {"C_H": 2.5, "C_S": 2.5, "U_a": 0.046, "U_b": 0.05}
        exact = np.asarray(rise({k: jnp.asarray(v) for k, v in theta.items()}))
    noise = np.random.RandomState(7).standard_normal(len(TIMES))
    return observe(exact + 0.2 * noise, 800.0)
