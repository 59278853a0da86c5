"""The beam against the textbook, quadrature and its own record."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate

from retrodict.physics import fit_twin
from retrodict.worlds import beam, load_world


def exact(theta):
    with jax.enable_x64(True):
        arrays = {name: jnp.asarray(value) for name, value in theta.items()}
        return np.asarray(beam.deflection(arrays))


def test_constant_stiffness_bends_as_in_the_textbook():
    x, length = beam.POSITIONS, beam.LENGTH
    expected = 1000 * beam.LOAD * x**2 * (6 * length**2 - 4 * length * x + x**2) / 24
    np.testing.assert_allclose(exact({"EI_0": 1.0}), expected, rtol=1e-12)
    np.testing.assert_allclose(exact({"EI_0": 2.0}), expected / 2, rtol=1e-12)


def test_linear_stiffness_bends_as_quadrature_says():
    def integrand(s, x):
        stiffness = 1.2 + (0.7 - 1.2) * s / beam.LENGTH
        return (x - s) * beam.LOAD * (beam.LENGTH - s) ** 2 / (2 * stiffness)

    expected = [
        1000 * scipy.integrate.quad(integrand, 0, x, args=(x,), epsabs=1e-13)[0]
        for x in beam.POSITIONS
    ]
    np.testing.assert_allclose(exact(beam.TRUTH), expected, rtol=1e-10)


def test_observations_are_the_recorded_draws():
    np.testing.assert_allclose(beam.draw_displacements(beam.TRUTH), beam.BENT)
    constant = beam.draw_displacements(beam.CONSTANT_TRUTH)
    np.testing.assert_allclose(constant, beam.BENT_CONSTANT)
    part = load_world("beam").parts["constant"]()
    assert part.model.target_names == ("EI_0",)


def log_density(logs):
    """Return the exact log-density of the logarithms of stiffness, rows ``(n, 2)``."""
    with jax.enable_x64(True):
        theta = {name: np.exp(logs[:, i]) for i, name in enumerate(beam.TRUTH)}
        bent = np.asarray(jax.jit(jax.vmap(beam.deflection))(theta))
    misfit = ((bent - np.array(beam.BENT)) / beam.SIGMA) ** 2
    return -0.5 * (misfit.sum(1) + ((logs / 0.5) ** 2).sum(1))


def quadrature():
    """Return mean, sd and most probable value of both stiffnesses, on a fine grid."""
    axes = np.linspace(-0.2, 0.6, 401), np.linspace(-2.5, 1.4, 801)
    logs = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    values, theta = log_density(logs), np.exp(logs)
    weights = np.exp(values - values.max())
    weights /= weights.sum()
    mean = weights @ theta
    sd = np.sqrt(weights @ (theta - mean) ** 2)
    return mean, sd, theta[np.argmax(values - logs.sum(1))]


@pytest.mark.slow
def test_the_network_agrees_with_quadrature():
    """The mode to .03 sd, the mean to .1 sd, the width to 15 %: deterministic."""
    model = load_world("beam").model
    fit = fit_twin(beam.twin(model), "mlp", network=beam.NETWORK).fit
    mean, sd, mode = quadrature()
    found = fit.summary()
    for i, name in enumerate(beam.TRUTH):
        assert abs(float(fit.map()[name]) - mode[i]) < 0.03 * sd[i], name
        assert abs(found[name]["mean"] - mean[i]) < 0.1 * sd[i], name
        assert abs(found[name]["sd"] / sd[i] - 1) < 0.15, name


@pytest.mark.worlds
@pytest.mark.parametrize("part", ["linear", "constant"])
def test_all_answers_agree_with_nuts(part):
    """A median by NUTS has an error of .03 sd; the grid is .05 off: 2 sigma."""
    study = load_world("beam")
    study = study if part == "linear" else study.parts[part]()
    assert study.baseline is not None
    exact = study.baseline(jr.key(0), study.model)
    assert len(exact.rivals) == 2
    for rival in exact.rivals:
        for name in study.model.target_names:
            assert abs(rival.diagnostics[f"{name} off by (sd)"]) < 0.1, rival.method
            width = rival.diagnostics[f"{name} width (ratio)"]
            assert abs(width - 1) < 0.15, rival.method
