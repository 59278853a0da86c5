"""One step, against the exponential and against scipy."""

import numpy as np
from scipy.integrate import RK45

from retrodict._core.runge_kutta import along, rk4_slope


def test_a_step_is_the_exponential_to_fourth_order():
    """The step of y' = y is the Taylor polynomial of degree four."""
    h = 0.3
    new = along(1.0, rk4_slope(lambda _, y: y, 1.0, h), h)
    assert np.isclose(new, sum(h**k / f for k, f in enumerate([1, 1, 2, 6, 24])))


def test_parts_of_the_step_are_times_and_states_are_trees():
    """y' = t^3 is integrated exactly by Simpson's weights; scipy agrees on a pair."""
    h = 0.5
    slope = rk4_slope(lambda part, y: {"a": (part * h) ** 3}, {"a": 0.0}, h)
    assert np.isclose(h * slope["a"], h**4 / 4)

    def rate(t, y):
        return np.array([y[1], -np.sin(y[0])])

    y = np.array([0.3, 0.1])
    solver = RK45(rate, 0.0, y, 0.05, rtol=1e-10, atol=1e-12)
    while solver.status == "running":
        solver.step()
    found = along(y, rk4_slope(rate, y, 0.05), 0.05)
    np.testing.assert_allclose(found, solver.y, atol=1e-8)


def test_a_known_first_slope_is_not_computed_again():
    def rate(part, y):
        assert part > 0
        return y

    assert np.isclose(
        rk4_slope(rate, 1.0, 0.1, first=1.0), (np.exp(0.1) - 1) / 0.1, 1e-5
    )
