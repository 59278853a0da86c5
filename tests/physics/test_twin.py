"""Twins: the loss term by term, and the heat equation inverted both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

import retrodict as rd
from retrodict._core.errors import ModelError
from retrodict.physics import Grid, Network, Sensor, Twin, fit_twin, network_problem
from retrodict.physics.fields import NetworkField


WHERE = np.linspace(-0.9, 0.9, 10)


def heat(**changes):
    """The diffusivity of a rod from ten noiseless temperatures at the end, truth 1."""

    def equation(d, theta):
        source = jnp.exp(-d.t) * (1 - jnp.pi**2) * jnp.sin(jnp.pi * d.x)
        return d.u_t - theta["C"] * d.u_xx + source

    def constrain(point, raw):
        return jnp.sin(jnp.pi * point.x) + point.t * (1 - point.x**2) * raw

    values = np.sin(np.pi * WHERE) * np.exp(-1)
    sensor = Sensor({"x": WHERE, "t": np.ones(10)}, values, 1e-5)
    options = {
        "domain": {"x": (-1.0, 1.0), "t": (0.0, 1.0)},
        "equation": equation,
        "prior": rd.Prior(C=dist.LogNormal(0.0, 1.0)),
        "sensors": (sensor,),
        "derivatives": ("t", "xx"),
        "constrain": constrain,
        "start": {"C": 2.0},
    }
    return Twin(**(options | changes))


def exact(points):
    return np.sin(np.pi * points[:, 0]) * np.exp(-points[:, 1])


def test_every_term_is_a_log_density():
    twin, settings = heat(), Network(hidden=(6,), deep=True, weight_scale=3.0)
    points = np.array([[0.1, 0.2], [-0.5, 0.9], [0.7, 0.4]])
    problem = network_problem(twin, settings, points)
    field = NetworkField(twin.domain, 1, twin.constrain, (6,), ("x", "t"))
    with jax.enable_x64(True):
        weights = field.init(jax.random.key(1))
        found = problem.log_densities({"C": 1.3}, weights)
        residuals = []
        for x, t in points:

            def u(x, t):
                return field(weights, jnp.stack([x, t]))[0]

            source = np.exp(-t) * (1 - np.pi**2) * np.sin(np.pi * x)
            rate = jax.grad(u, 1)(x, t)
            bend = jax.grad(jax.grad(u, 0), 0)(x, t)
            residuals.append(float(rate - 1.3 * bend + source))
        seen = [float(field(weights, jnp.array([x, 1.0]))[0]) for x in WHERE]
        flat = np.concatenate([np.ravel(a) for layer in weights for a in layer])
    norm = scipy.stats.norm
    expected = {
        "residual": norm.logpdf(residuals, 0, 1e-4).sum(),
        "data": norm.logpdf(twin.sensors[0].values, seen, 1e-5).sum(),
        "parameter prior": scipy.stats.lognorm.logpdf(1.3, 1.0),
        "weight prior": norm.logpdf(flat, 0, 3.0).sum(),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, abs(value))
        assert abs(float(found[name]) - value) / scale < 1e-10, name


GRID_POINTS = np.stack(
    np.meshgrid(np.linspace(-1, 1, 21), np.linspace(0.05, 1, 20)), axis=-1
).reshape(-1, 2)


def relative_error(answer):
    error = answer.predict(GRID_POINTS)[:, 0] - exact(GRID_POINTS)
    return np.linalg.norm(error) / np.linalg.norm(exact(GRID_POINTS))


def test_heat_on_a_grid():
    answer = fit_twin(heat(), "grid", grid=Grid(nodes=41, step=5e-4))
    assert abs(answer.fit.theta["C"] - 1) < 1e-4
    assert relative_error(answer) < 2e-5
    assert answer.fit.converged


def test_heat_by_a_network():
    answer = fit_twin(heat(), "mlp", network=Network(slopes=(0.5, 4.0)))
    assert answer.fit.converged
    assert len(answer.fit.path) == len(answer.relax) == 3
    assert abs(answer.fit.theta["C"] - 1) < 1e-4
    assert relative_error(answer) < 1e-5


def test_misuse_is_refused():
    with pytest.raises(ModelError, match=r"field: .*'mpl'"):
        fit_twin(heat(), "mpl")
    lost = Sensor({"x": WHERE}, np.zeros(10), 1.0)
    with pytest.raises(ModelError, match=r"Sensor.points: .*'t'"):
        fit_twin(heat(sensors=(lost,)), "grid")
