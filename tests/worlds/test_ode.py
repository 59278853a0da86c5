import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retrodict.worlds._ode import solve_rk4


def oscillator(state):
    position, velocity = state
    return velocity, -position


def end_error(steps):
    with jax.enable_x64(True):
        start = (jnp.asarray(1.0), jnp.asarray(0.0))
        position, _ = solve_rk4(oscillator, start, steps=steps, num_saves=5)
        return np.abs(np.asarray(position) - np.cos(np.arange(1, 6))).max()


def test_the_error_falls_with_the_fourth_power_of_the_step():
    order = np.log2(end_error(8) / end_error(16))
    assert order == pytest.approx(4, abs=0.1)


def test_states_are_saved_at_whole_units_of_time():
    grown = solve_rk4(lambda y: 0.5 * y, jnp.asarray(2.0), steps=16, num_saves=4)
    np.testing.assert_allclose(grown, 2 * np.exp(0.5 * np.arange(1, 5)), rtol=1e-5)
