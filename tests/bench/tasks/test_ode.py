import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retrodict.bench.tasks._ode import solve_rk4


def oscillator(state):
    position, velocity = state
    return velocity, -position


def end_error(steps):
    with jax.enable_x64(True):
        start = (jnp.asarray(1.0), jnp.asarray(0.0))
        position, _ = solve_rk4(
            oscillator, start, interval=0.5, steps=steps, num_saves=11
        )
        return np.abs(np.asarray(position) - np.cos(0.5 * np.arange(11))).max()


def test_the_error_falls_with_the_fourth_power_of_the_step():
    assert np.log2(end_error(4) / end_error(8)) == pytest.approx(4, abs=0.1)


def test_many_small_steps_in_float32_lose_no_accuracy():
    """Plain sums of 20 000 steps would be wrong by 1e-5 and more."""
    grown = solve_rk4(
        lambda _: jnp.asarray(0.1),
        jnp.asarray(7.0),
        interval=1.0,
        steps=2000,
        num_saves=11,
    )
    np.testing.assert_allclose(grown, 7 + 0.1 * np.arange(11), rtol=1.2e-7)
