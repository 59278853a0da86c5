"""Derivatives, differences and solvers against calculus and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from retrodict.physics import Law
from retrodict.physics.differences import (
    Boundary,
    March,
    difference_matrix,
    interpolation_matrix,
)
from retrodict.physics.fields import Jet, NetworkField


def test_differences_are_exact_for_quartics():
    x = np.linspace(-1, 2, 9)
    np.testing.assert_allclose(difference_matrix(x, 1) @ x**4, 4 * x**3, atol=1e-11)
    np.testing.assert_allclose(difference_matrix(x, 2) @ x**4, 12 * x**2, atol=1e-10)


def test_interpolation_is_exact_for_cubics():
    x, points = np.linspace(0, 1, 7), np.array([0.0, 0.03, 0.51, 0.99, 1.0])
    found = interpolation_matrix(x, points) @ (x**3 - x)
    np.testing.assert_allclose(found, points**3 - points, atol=1e-13)


def test_march_solves_the_heat_equation():
    def equation(d, theta):
        return d.u_t - theta["C"] * d.u_xx

    def constrain(point, raw):
        return jnp.sin(jnp.pi * point.x) * jnp.exp(0 * point.t) + 0 * raw

    march = March(
        {"x": (-1.0, 1.0), "t": (0.0, 0.2)}, equation, constrain, 1, nodes=41, step=1e-3
    )
    with jax.enable_x64(True):
        u = np.asarray(jax.jit(lambda c: march({"C": c}, np.array([0.1, 0.2])))(0.7))
    for row, t in zip(u, (0.1, 0.2), strict=True):
        exact = np.sin(np.pi * march.nodes) * np.exp(-0.7 * np.pi**2 * t)
        np.testing.assert_allclose(row[:, 0], exact, atol=1e-5)


def test_march_solves_an_ordinary_equation():
    def equation(d, theta):
        x, v = d.u
        return d.u_t - jnp.stack([v, -theta["k"] * x - jnp.sin(d.t)])

    march = March(
        {"t": (0.0, 3.0)},
        equation,
        lambda z, raw: jnp.array([1.0, 0.0]),
        2,
        nodes=1,
        step=0.02,
    )
    times = np.array([0.3, 1.7, 3.0])
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(lambda k: march({"k": k}, times))(2.0))[:, 0]

    def rate(t, u):
        return [u[1], -2 * u[0] - np.sin(t)]

    exact = scipy.integrate.solve_ivp(
        rate, (0, 3), [1, 0], t_eval=times, rtol=1e-10, atol=1e-12
    ).y.T
    np.testing.assert_allclose(found, exact, atol=1e-7)


def test_boundary_solves_a_nonlinear_problem():
    # w'' = w^2 * a, as a system, w(0) = 0 and w'(1) = 1, against scipy's solve_bvp.
    def equation(d, theta):
        return d.u_x - jnp.stack([d.u[1], theta["a"] * d.u[0] ** 2])

    def constrain(point, raw):
        return jnp.stack([point.x * raw[0], 1 + (1 - point.x) * raw[1]])

    with jax.enable_x64(True):
        nodes = np.linspace(0, 1, 201)
        solve = Boundary("x", nodes, equation, constrain, 2)
        found = np.asarray(jax.jit(lambda a: solve({"a": a}))(3.0))
    exact = scipy.integrate.solve_bvp(
        lambda x, y: np.stack([y[1], 3 * y[0] ** 2]),
        lambda a, b: np.array([a[0], b[1] - 1]),
        nodes,
        np.ones((2, 201)) * 0.3,
        tol=1e-8,
    ).sol(nodes)[0]
    np.testing.assert_allclose(found[:, 0], exact, atol=2e-5)


def test_jet_differentiates_a_network_with_hard_constraints():
    domain = {"x": (-1.0, 1.0), "t": (0.0, 2.0)}
    hidden, inputs = (5, 5), ("x", "t")
    field = NetworkField(domain, 2, lambda z, raw: raw * z.t + z.x**2, hidden, inputs)
    point, h = np.array([0.3, 0.7]), 1e-4
    with jax.enable_x64(True):
        weights = field.init(jax.random.key(0))
        jet = field.jet(weights, jnp.asarray(point), ("t", "xx"))

        def at(x, t):
            return np.asarray(field(weights, jnp.array([x, t])))

        slope = (at(0.3, 0.7 + h) - at(0.3, 0.7 - h)) / (2 * h)
        bend = (at(0.3 + h, 0.7) - 2 * at(0.3, 0.7) + at(0.3 - h, 0.7)) / h**2
        np.testing.assert_allclose(at(0.3, 0.0), 0.09, atol=1e-12)
    assert float(jet.t) == 0.7
    np.testing.assert_allclose(jet.u_t, slope, atol=1e-6)
    np.testing.assert_allclose(jet.u_xx, bend, atol=1e-5)


def test_a_derivative_that_was_not_asked_for_is_refused():
    with pytest.raises(AttributeError, match=r"'u_xx'.*derivatives="):
        _ = Jet({"x": 0.0, "u": 0.0}).u_xx


def test_a_law_with_memory_solves_a_delay_equation():
    # x' = -x(t - 1), x = 1 before: 1 - t on [0, 1], then 1 - t + (t - 1)^2/2.
    law = Law(lambda theta, w, past, u: -past[20], step=0.05, lags=20)
    with jax.enable_x64(True):
        x = np.asarray(law.solve({}, None, jnp.ones(1), jnp.zeros((40, 1))))[:, 0]
    t = np.arange(41) * 0.05
    exact = np.where(t < 1, 1 - t, 1 - t + (t - 1) ** 2 / 2)
    np.testing.assert_allclose(x, exact, atol=2e-3)


def test_a_law_is_runge_kutta_without_memory():
    law = Law(lambda theta, w, past, u: theta["a"] * past[0] + u, step=0.1)
    with jax.enable_x64(True):
        x = law.solve({"a": -0.5}, None, jnp.ones(1), jnp.full((10, 1), 0.3))
    exact = 0.6 + 0.4 * np.exp(-0.5)
    assert float(x[-1, 0]) == pytest.approx(exact, abs=1e-7)
