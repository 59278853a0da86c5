"""Solve one inverse problem with DeepXDE: ``run_deepxde.py PROBLEM DIR STEPS``.

Network, points and rate are those of the library's own example of the problem (FNN of
three layers, Adam at 1e-3). Prints parameters, error of the field and seconds of the
processor as JSON.
"""

import json
import os
import sys
import time
from pathlib import Path


os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch


torch.set_num_threads(1)


def heat(folder):
    """Return data, network and unknowns of the heat equation, and the field's test."""
    del folder
    unknown = dde.Variable(2.0)

    def equation(x, u):
        rate = dde.grad.jacobian(u, x, i=0, j=1)
        bend = dde.grad.hessian(u, x, i=0, j=0)
        space = torch.sin(np.pi * x[:, :1])
        return rate - unknown * bend + torch.exp(-x[:, 1:]) * (1 - np.pi**2) * space

    def exact(x):
        return np.sin(np.pi * x[:, :1]) * np.exp(-x[:, 1:])

    box = dde.geometry.GeometryXTime(
        dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1)
    )
    where = np.stack([np.linspace(-0.9, 0.9, 10), np.ones(10)], axis=1)
    conditions = [
        dde.icbc.DirichletBC(box, exact, lambda _, on: on),
        dde.icbc.IC(box, exact, lambda _, on: on),
        dde.icbc.PointSetBC(where, exact(where), component=0),
    ]
    data = dde.data.TimePDE(
        box,
        equation,
        conditions,
        num_domain=40,
        num_boundary=20,
        num_initial=10,
        anchors=where,
    )
    grid = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(0.05, 1, 20))
    points = np.stack(grid, axis=-1).reshape(-1, 2)
    return data, [2, 32, 32, 32, 1], {"C": unknown}, (points, exact(points))


def constant(value):
    """Return a function of the point alone: the library counts its arguments."""
    return lambda _: value


def lorenz(folder):
    """Return data, network and unknowns of the Lorenz system."""
    table = np.load(Path(folder) / "deepxde_Lorenz.npz")
    unknown = {name: dde.Variable(1.0) for name in ("sigma", "rho", "beta")}

    def equation(t, u):
        x, y, z = u[:, :1], u[:, 1:2], u[:, 2:]
        slope = [dde.grad.jacobian(u, t, i=i) for i in range(3)]
        return [
            slope[0] - unknown["sigma"] * (y - x),
            slope[1] - x * (unknown["rho"] - z) + y,
            slope[2] - x * y + unknown["beta"] * z,
        ]

    line = dde.geometry.TimeDomain(0, 3)
    starts = (-8.0, 7.0, 27.0)
    conditions = [
        dde.icbc.IC(line, constant(value), lambda _, on: on, component=i)
        for i, value in enumerate(starts)
    ]
    conditions += [
        dde.icbc.PointSetBC(table["t"], table["y"][:, i : i + 1], component=i)
        for i in range(3)
    ]
    data = dde.data.PDE(
        line,
        equation,
        conditions,
        num_domain=400,
        num_boundary=2,
        anchors=table["t"],
    )
    return data, [1, 40, 40, 40, 3], unknown, None


def main(problem, folder, steps):
    """Train and print what was found."""
    dde.config.set_random_seed(0)
    data, sizes, unknown, test = {"heat": heat, "lorenz": lorenz}[problem](folder)
    net = dde.nn.FNN(sizes, "tanh", "Glorot uniform")
    model = dde.Model(data, net)
    begun = time.process_time()
    model.compile("adam", lr=1e-3, external_trainable_variables=list(unknown.values()))
    model.train(iterations=int(steps), display_every=int(steps), verbose=0)
    found = {name: float(value.detach()) for name, value in unknown.items()}
    result = {"theta": found, "seconds": time.process_time() - begun}
    if test is not None:
        error = model.predict(test[0]) - test[1]
        result["field"] = float(np.linalg.norm(error) / np.linalg.norm(test[1]))
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
