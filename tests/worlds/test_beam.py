"""The beam against the textbook, quadrature and its own record."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate

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


@pytest.mark.worlds
def test_all_answers_agree_for_constant_stiffness():
    """Deterministic but for NUTS, whose mean has error .03 sd: 3 sigma within .1."""
    study = load_world("beam").parts["constant"]()
    assert study.baseline is not None
    exact_answer = study.baseline(jr.key(0), study.model)
    mean, sd = exact_answer.draws["EI_0"].mean(), exact_answer.draws["EI_0"].std()
    for rival in exact_answer.rivals:
        draws = rival.draws["EI_0"]
        assert abs(draws.mean() - mean) < 0.1 * sd, rival.method
        assert abs(draws.std() / sd - 1) < 0.15, rival.method
