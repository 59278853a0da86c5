"""Inverse problems of the DeepXDE examples: a network beside grid and least squares.

    python benchmarks/twins.py heat
    python benchmarks/twins.py lorenz --data DIR
    python benchmarks/twins.py reaction --data DIR

DIR holds ``deepxde_Lorenz.npz`` and ``deepxde_reaction.npz``, the data of the examples
of the same names (github lululxvi/deepxde, examples/dataset). Both data sets carry the
error of the solver that made them: the answer to compare with is least squares with the
exact equation on the same data, not the constants they were generated with.
"""

import argparse
import json
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import erfc
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import retrodict as rd
from retrodict.physics import Grid, Network


def heat(folder):
    """Return the heat equation from ten noiseless temperatures at the end."""
    del folder
    where = np.linspace(-0.9, 0.9, 10)

    def equation(d, theta):
        source = jnp.exp(-d.t) * (1 - jnp.pi**2) * jnp.sin(jnp.pi * d.x)
        return d.u_t - theta["C"] * d.u_xx + source

    def constrain(point, raw):
        return jnp.sin(jnp.pi * point.x) + point.t * (1 - point.x**2) * raw

    values = np.sin(np.pi * where) * np.exp(-1)
    twin = rd.Twin(
        domain={"x": (-1.0, 1.0), "t": (0.0, 1.0)},
        equation=equation,
        prior=rd.Prior(C=dist.LogNormal(0.0, 1.0)),
        sensors=(rd.Sensor({"x": where, "t": np.ones(10)}, values, 1e-5),),
        derivatives=("t", "xx"),
        constrain=constrain,
        start={"C": 2.0},
    )
    return twin, Network(slopes=(0.5, 4.0)), Grid(nodes=41, step=5e-4), {"C": 1.0}


def heat_error(answer):
    """Return the relative error of the field of the heat equation."""
    grid = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(0.05, 1, 20))
    points = np.stack(grid, axis=-1).reshape(-1, 2)
    exact = np.sin(np.pi * points[:, 0]) * np.exp(-points[:, 1])
    error = answer.predict(points)[:, 0] - exact
    return float(np.linalg.norm(error) / np.linalg.norm(exact))


def lorenz(folder):
    """Return the Lorenz system from 25 times, the network's size, and the truth."""
    table = np.load(folder / "deepxde_Lorenz.npz")
    times, values = table["t"].ravel(), table["y"]
    start = np.array([-8.0, 7.0, 27.0])

    def equation(d, theta):
        x, y, z = d.u
        turn = theta["sigma"] * (y - x)
        rates = jnp.stack([turn, x * (theta["rho"] - z) - y, x * y - theta["beta"] * z])
        return d.u_t - rates

    names = ("sigma", "rho", "beta")
    twin = rd.Twin(
        domain={"t": (0.0, 3.0)},
        equation=equation,
        components=3,
        constrain=lambda point, raw: start + 10 * jnp.tanh(point.t) * raw,
        prior=rd.Prior(**{k: dist.LogNormal(np.log(5.0), 1.5) for k in names}),
        start=dict.fromkeys(names, 1.0),
        sensors=(rd.Sensor({"t": times}, values, 0.01, observe=lambda u: u),),
        residual_sigma=0.01,
    )
    relax = (1e4, 1e3, 1e2, 10.0, 1.0)
    network = Network((300,), slopes=(0.5, 25.0), collocation=600, relax=relax)

    def misfit(theta):
        def rate(_, u):
            x, y, z = u
            return [theta[0] * (y - x), x * (theta[1] - z) - y, x * y - theta[2] * z]

        exact = solve_ivp(
            rate, (0, 3), start, t_eval=times, rtol=1e-10, atol=1e-10, method="DOP853"
        )
        return (exact.y.T - values).ravel()

    best = least_squares(misfit, [10.0, 15.0, 2.7], xtol=1e-12).x
    return twin, network, Grid(step=2.5e-3), dict(zip(names, best, strict=True))


def reaction(folder):
    """Return diffusion and reaction from a part of the grid of both concentrations."""
    table = np.load(folder / "deepxde_reaction.npz")
    rows, columns = np.arange(10, 201, 10), np.arange(0, 201, 10)
    t, x = np.meshgrid(table["t"].ravel()[rows], table["x"].ravel()[columns])
    both = [table[name][np.ix_(rows, columns)].T.ravel() for name in ("Ca", "Cb")]

    def equation(d, theta):
        a, b = d.u
        rate = theta["kf"] * a * b**2 * jnp.array([1.0, 2.0])
        return d.u_t - 1e-3 * theta["D"] * d.u_xx + rate

    def constrain(point, raw):
        x, start = point.x, jnp.exp(-20 * point.x)
        inside = x * (1 - x) * jnp.tanh(point.t) * raw[:2]
        return start + inside + (1 - x) * start * corner(x, point.t) * raw[2:]

    points = {"x": x.ravel(), "t": t.ravel()}
    twin = rd.Twin(
        domain={"x": (0.0, 1.0), "t": (0.0, 10.0)},
        equation=equation,
        components=2,
        derivatives=("t", "xx"),
        constrain=constrain,
        channels=4,
        prior=rd.Prior(D=dist.LogNormal(0.0, 1.0), kf=dist.LogNormal(np.log(0.1), 1.0)),
        start={"D": 1.0, "kf": 0.05},
        sensors=(rd.Sensor(points, np.stack(both, axis=1), 1e-4, observe=lambda u: u),),
        residual_sigma=lambda point: 3e-4 + 0.1 * jnp.exp(-point.t / 0.3),
    )
    network = Network((200,), slopes=(0.5, 25.0), collocation=1000)
    return twin, network, Grid(nodes=81, step=0.02), None


def corner(x, t):
    """Return how diffusion rounds off the corner at x = t = 0, where D is 1.

    Initial and boundary values ask for different rates there. The leading part of the
    answer is t (1 - 4 i2erfc(x / sqrt(4 D t))), with the second repeated integral of
    the error function; what the true D changes is left to the network.
    """
    root = jnp.sqrt(4e-3 * (t + 1e-9))
    eta = x / root
    twice = (1 + 2 * eta**2) * erfc(eta) - 2 * eta * jnp.exp(-(eta**2)) / jnp.pi**0.5
    return t * (1 - twice)


def draw(path, twin, answers):
    """Draw every component of the field of both answers, with what was measured.

    Over time where that is the only axis, else over place at three times.

    Args:
        path: File of the figure.
        twin: The problem.
        answers: The network's and the grid's.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    axis = next(iter(twin.domain))
    low, high = twin.domain[axis]
    along = np.linspace(low, high, 400)
    end = twin.domain["t"][1]
    times = [None] if axis == "t" else [0.1 * end, 0.5 * end, end]
    size = (4 * twin.components, 3)
    figure, panels = plt.subplots(
        1, twin.components, figsize=size, squeeze=False, layout="constrained"
    )
    sensor = twin.sensors[0]
    values = np.reshape(sensor.values, (len(sensor.values), -1))
    for component, panel in enumerate(panels[0]):
        for time_at in times:
            columns = [along] if time_at is None else [along, np.full(400, time_at)]
            points = np.stack(columns, axis=1)
            near = np.full(len(values), True)
            if time_at is not None:
                near = np.isclose(sensor.points["t"], time_at)
            where = sensor.points[axis][near]
            panel.plot(where, values[near, component], "k.", ms=4)
            for answer, color, style in zip(
                answers, ("#cc6a1f", "#1f5a95"), ("-", "--"), strict=True
            ):
                label = answer.method if time_at == times[0] else None
                field = np.asarray(answer.predict(points))[:, component]
                panel.plot(along, field, style, color=color, lw=1.2, label=label)
        panel.set(xlabel=axis, ylabel=f"component {component + 1}")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path)


PROBLEMS = {"heat": heat, "lorenz": lorenz, "reaction": reaction}


def main():
    """Solve one problem both ways and print answers, errors and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--figure", type=Path, help="file for a picture")
    parser.add_argument("--json", action="store_true", help="the network's, on stdout")
    options = parser.parse_args()
    twin, network, grid, best = PROBLEMS[options.problem](options.data)
    if best and not options.json:
        print("least squares:", {k: round(float(v), 5) for k, v in best.items()})
    answers = []
    for field in ("mlp",) if options.json else ("mlp", "grid"):
        begun = time.process_time()
        answer = rd.fit_twin(twin, field, network=network, grid=grid)
        answers.append(answer)
        result = {"theta": {k: float(v) for k, v in answer.fit.theta.items()}}
        result["seconds"] = time.process_time() - begun
        if options.problem == "heat":
            result["field"] = heat_error(answer)
        if options.json:
            print(json.dumps(result))
        else:
            print(f"{answer.method}: {result}, terms {answer.fit.terms}")
    if options.figure and not options.json:
        draw(options.figure, twin, answers)


if __name__ == "__main__":
    main()
