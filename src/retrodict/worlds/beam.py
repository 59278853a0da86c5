r"""A cantilever under an even load: how stiff is it, and where does it soften?

The static beam of Euler and Bernoulli,

.. math::
    (EI(x)\, w'')'' = q, \qquad w(0) = w'(0) = 0, \quad M(L) = V(L) = 0,

with :math:`M = EI\,w''` and :math:`V = M'`. The load is even and the beam statically
determinate, so :math:`M = q (L-x)^2 / 2` and

.. math::
    w(x) = \int_0^x \frac{(x-s)\, q\, (L-s)^2}{2\,EI(s)}\, ds,

here by Gauss-Legendre quadrature, exact to rounding. Stiffness is constant
(``--part constant``, 1.0 kN m²) or linear between :math:`EI_0` at the clamp and
:math:`EI_1` at the free end. The twelve displacements are synthetic: drawn once with
:math:`EI_0 = 1.2`, :math:`EI_1 = 0.7` kN m² and 2 % noise of the tip's deflection.

Source: Timoshenko (1953), History of Strength of Materials; any text on beams.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from ..model import Axis, Baseline, FigureInput, Model, Prior, Study
from ..physics import Grid, Network, Sensor, Twin
from ._nuts import Budget, nuts
from ._twin import answers_figure, beside, both_fields, sweep_figure


Theta = Mapping[str, Array]

LENGTH = 2.0  # m
LOAD = 0.02  # kN/m
TYPICAL = 1000 * LOAD * LENGTH**4 / 8  # tip deflection in mm at EI = 1 kN m²
SIGMA = 0.02 * TYPICAL  # mm
POSITIONS = np.linspace(LENGTH / 12, LENGTH, 12)
TRUTH = {"EI_0": 1.2, "EI_1": 0.7}
CONSTANT_TRUTH = {"EI_0": 1.0}
LABELS = {"EI_0": "$EI_0$ at the clamp", "EI_1": "$EI_1$ at the free end"}
# Drawn by `draw_displacements`; mm.
BENT = (-0.45, 0.58, 3.58, 5.73, 9.09, 11.92, 15.55, 20.44, 23.98, 28.86, 33.43, 35.62)
BENT_CONSTANT = (
    *(-0.36, 0.87, 4.17, 6.65, 10.37, 13.54),
    *(17.51, 22.72, 26.56, 31.73, 36.57, 39.03),
)

DESCRIPTION = """A beam is clamped at one end and carries an even load. Twelve sensors
measure, with 2 % noise, by how many millimeters it sags. From them this study infers
the bending stiffness at the clamp and at the free end: near the free end there is
hardly any bending moment, so that the stiffness there is known far less well. The data
are synthetic, with stiffness 1.2 and 0.7 kN m² (1.0 along the whole beam in the part
"constant"); the same problem is also solved by a physics-informed network,
by finite differences, and by NUTS on the exact solution."""


def stiffness(theta: Theta, x: Any) -> Any:
    """Return EI at a position, kN m²."""
    end = theta.get("EI_1", theta["EI_0"])
    return theta["EI_0"] + (end - theta["EI_0"]) * x / LENGTH


def deflection(theta: Theta) -> Float[Array, "12"]:
    """Return the exact deflections at the sensors, mm."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    s = POSITIONS[:, None] * (nodes + 1) / 2
    moment = LOAD * (LENGTH - s) ** 2 / 2
    factor = POSITIONS[:, None] / 2 * weights * (POSITIONS[:, None] - s) * moment
    dtype = jnp.result_type(theta["EI_0"])
    positions, factor = jnp.asarray(s, dtype), jnp.asarray(1000 * factor, dtype)
    return jnp.sum(factor / stiffness(theta, positions), axis=1)


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "12"]]:
    """Draw what twelve sensors measure, mm."""
    exact = deflection(theta)
    noise = jr.normal(key, (12,), exact.dtype)
    return {"deflection": exact + jnp.asarray(SIGMA, exact.dtype) * noise}


def draw_displacements(truth: Mapping[str, float]) -> Float[np.ndarray, "12"]:
    """Draw the synthetic observation anew: seed 1978, rounded to .01 mm."""
    with jax.enable_x64(True):
        exact = deflection({k: jnp.asarray(v) for k, v in truth.items()})
    noise = np.random.RandomState(1978).standard_normal(12)
    return np.round(np.asarray(exact) + SIGMA * noise, 2)


def twin(model: Model) -> Twin:
    """Write the beam as a twin: slope, moment and shear are components too.

    Components are scaled to numbers about one: deflection and slope by 4 q L^4 / EI.
    """
    scale = LOAD * LENGTH**4

    def equation(d: Any, theta: Any) -> Array:
        deflected, slope, moment, shear = d.u
        bending = moment * LOAD * LENGTH**2 / stiffness(theta, d.x)
        return (
            jnp.stack(
                [
                    d.u_x[0] - slope,
                    d.u_x[1] - bending / scale,
                    d.u_x[2] - shear / LENGTH,
                    d.u_x[3] - 1 / LENGTH,
                ]
            )
            + 0 * deflected
        )

    def constrain(point: Any, raw: Array) -> Array:
        near, far = point.x / LENGTH, 1 - point.x / LENGTH
        return jnp.stack([near, near, far, far]) * raw

    assert model.observed is not None
    sensor = Sensor(
        {"x": POSITIONS},
        np.asarray(model.observed["deflection"]),
        SIGMA,
        observe=lambda u: 1000 * scale * u[0],
    )
    return Twin(
        domain={"x": (0.0, LENGTH)},
        equation=equation,
        prior=model.prior,
        sensors=(sensor,),
        derivatives=("x",),
        components=4,
        constrain=constrain,
        residual_sigma=2e-5,
    )


NETWORK = Network(hidden=(60,), collocation=60, relax=(1000.0, 100.0, 10.0, 1.0))
GRID = Grid(nodes=41)


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Sample with NUTS on the exact solution; grid and network are its rivals."""
    key_nuts, key_fields = jr.split(key)
    assert model.observed is not None
    measured = np.asarray(model.observed["deflection"])

    def log_likelihood(theta: Theta) -> Float[Array, ""]:
        return dist.Normal(deflection(theta), SIGMA).log_prob(measured).sum()

    exact = nuts(key_nuts, model, log_likelihood, Budget(num_samples=1500))
    fields = both_fields(twin, NETWORK, GRID)(key_fields, model)
    return beside(exact, (fields, *fields.rivals), model)


def all_answers(inputs: FigureInput) -> tuple[str, Any]:
    """Draw the answers of all methods."""
    labels = {k: f"{v} (kN m²)" for k, v in LABELS.items() if k in inputs.draws}
    note = (
        "NPE and NUTS give the whole posterior; grid and network a normal "
        "distribution of the logarithm of stiffness with the curvature of the maximum; "
        "the network may violate the equation by a scale of 2e-5."
    )
    return answers_figure(inputs, labels, note)


def sweep(inputs: FigureInput) -> tuple[str, Any]:
    """Draw how the network's answer settles as the equation gets exact."""
    labels = {k: f"{v} (kN m²)" for k, v in LABELS.items() if k in inputs.draws}
    return sweep_figure(inputs, labels, 2e-5, "scaled")


def study() -> Study:
    """Build the study of a beam whose stiffness is linear along its length."""
    return _study(("EI_0", "EI_1"), BENT)


def _study(ends: tuple[str, ...], bent: tuple[float, ...]) -> Study:
    prior = Prior(
        **{name: dist.LogNormal(0.0, 0.5) for name in ends},
        units=dict.fromkeys(ends, "kN m²"),
        labels={name: f"$EI_{name[-1]}$" for name in ends},
    )
    observed = {"deflection": np.array(bent)}
    model = Model(prior, simulator, observed=observed, name="beam")
    return Study(
        model=model,
        title="A beam under load",
        field="structural mechanics",
        description=" ".join(DESCRIPTION.split()),
        source="Synthetic: drawn from the model (see the description).",
        budget=5000,
        baseline=baseline,
        axes={"deflection": Axis(POSITIONS, "position (m)", "deflection (mm)")},
        figures=(all_answers, sweep),
        parts={"constant": lambda: _study(("EI_0",), BENT_CONSTANT)},
    )
