"""Cascaded tanks: two-tank physics with a learned correction, tested in free run.

    python examples/cascaded_tanks.py --train estimation.csv --test validation.csv

Both files have the columns ``u_volt`` (pump) and ``y_volt`` (level of the lower tank),
one row every 4 s. The level of the upper tank is never seen. Torricelli's law and the
overflow of both tanks are the known part; a small network corrects both rates. The
state at the start of the test series is estimated from its first four samples; the
level is then predicted from the pump alone.

Data: Schoukens et al. (2016), Cascaded tanks benchmark, nonlinearbenchmark.org.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import retrodict as rd
from retrodict.physics import (
    Law,
    Learned,
    Series,
    apply_mlp,
    init_mlp,
    shooting_problem,
)


SIZES = (3, 8, 2)
HELD_OUT = 1 / 3  # at either end of the training series, to choose the scale
SCALES = (0.1, 0.3, 1.0)
NUM_INITIAL = 4

PRIOR = rd.Prior(
    out_1=dist.LogNormal(np.log(0.2), 0.5),
    into_2=dist.LogNormal(np.log(0.2), 0.5),
    out_2=dist.LogNormal(np.log(0.2), 0.5),
    pump=dist.LogNormal(np.log(0.2), 0.5),
    spill=dist.LogNormal(np.log(0.3), 0.7),
    sigma=dist.LogNormal(np.log(0.1), 1.0),
)


def rate(theta, weights, past, u):
    """Return the change of both levels, volt per sample."""
    upper, lower = past[0]
    root_upper = jnp.sqrt(jnp.maximum(upper, 1e-2))
    root_lower = jnp.sqrt(jnp.maximum(lower, 1e-2))
    features = jnp.stack([upper / 5 - 1, lower / 5 - 1, u[0] / 3 - 1])
    learned = 0.1 * apply_mlp(weights, features)
    fill = theta["pump"] * u[0] - theta["out_1"] * root_upper + learned[0]
    over = jnp.maximum(fill, 0) * jax.nn.sigmoid((upper - 10) / 0.1)
    flow = theta["into_2"] * root_upper - theta["out_2"] * root_lower + learned[1]
    flow += theta["spill"] * over
    lost = jnp.maximum(flow, 0) * jax.nn.sigmoid((lower - 10) / 0.1)
    return jnp.stack([fill - over, flow - lost])


LAW = Law(rate, step=1.0)


def read(path):
    """Return pump and level, volt."""
    table = np.genfromtxt(path, delimiter=",", names=True)
    return table["u_volt"], table["y_volt"]


def train(u, y, scale, windows=(64, 256, None)):
    """Fit the law to a series with windows that grow to a free run."""
    series = Series(u[:, None], y[:, None], lambda state: state[1:], "sigma")
    learned = Learned(lambda key: init_mlp(key, SIZES), scale, PRIOR)
    answer = None
    for window in windows:
        length = window or len(y)
        problem = shooting_problem(
            LAW, series, learned, _guess, window=length, joint_sigma=0.02
        )
        start = None
        if answer is not None:  # law and first state go on, the other states are anew
            others = answer.weights["starts"].size - 2
            num_windows = -(-(len(y) - 1) // length)
            kept = answer.z[: len(answer.z) - others]
            start = np.concatenate([kept, np.zeros(2 * num_windows - 2)])
        answer = rd.map_fit(problem, start=start, max_steps=60, tolerance=1e-4)
    return answer


def _guess(output):
    return np.array([output[0], output[0]])


def initial_state(theta, weights, u, y):
    """Estimate both levels from the first samples."""

    def law(unknown, *_):
        start = jnp.stack([unknown["upper"], unknown["lower"]])
        states = LAW.solve(theta, weights, start, u[:NUM_INITIAL, None])
        return dist.Normal(states[:NUM_INITIAL, 1], 0.02), y[:NUM_INITIAL]

    prior = rd.Prior(upper=dist.Normal(y[0], 2.0), lower=dist.Normal(y[0], 0.2))
    found = rd.map_fit(rd.Problem([rd.Term("first samples", law)], prior=prior)).theta
    return jnp.stack([found["upper"], found["lower"]])


def free_run(answer, u, y):
    """Predict the level from the pump, after four samples that set the state."""
    with jax.enable_x64(True):
        theta, weights = answer.theta, answer.weights["law"]
        start = initial_state(theta, weights, u, y)
        states = jax.jit(LAW.solve)(theta, weights, start, jnp.asarray(u[:, None]))
    return np.asarray(states)[:-1, 1]


def rmse(answer, u, y):
    """Return the free-run error after the initial samples, volt."""
    error = free_run(answer, u, y) - y
    return float(np.sqrt(np.mean(error[NUM_INITIAL:] ** 2)))


def choose_scale(u, y):
    """Return the scale of the correction that predicts both ends best, held out.

    Tanks seldom overflow: a correction that is large enough to describe the one time
    they did predicts the next one badly, which one held-out end may not show. Errors
    enter by their logarithm, the score of a noise of unknown size: an overflow that no
    law has seen, and none predicts, does not drown the other end.
    """
    cut = int(len(y) * HELD_OUT)
    ends = slice(0, cut), slice(len(y) - cut, len(y))
    rests = slice(cut, len(y)), slice(0, len(y) - cut)
    errors = {}
    for scale in SCALES:
        found = [
            rmse(train(u[rest], y[rest], scale), u[end], y[end])
            for end, rest in zip(ends, rests, strict=True)
        ]
        errors[scale] = float(np.mean(np.log(found)))
        told = " and ".join(f"{error:.3f}" for error in found)
        print(f"scale {scale}: held-out RMSE {told} V", flush=True)
    return min(errors, key=errors.__getitem__)


def draw(path, answer, u, y):
    """Draw the level that was measured and the free run, and their difference.

    Args:
        path: File of the figure.
        answer: The fitted law.
        u: Voltage of the pump.
        y: Measured level, volt.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    seconds, run = 4.0 * np.arange(len(y)), free_run(answer, u, y)
    figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
    axis.plot(seconds, y, "k.", ms=2, label="measured")
    axis.plot(seconds, run, color="#1f5a95", lw=1.2, label="free run of the law")
    axis.plot(seconds, run - y, color="#cc6a1f", lw=0.8, label="difference")
    axis.set(xlabel="time (s)", ylabel="level of the lower tank (V)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.savefig(path)


def main():
    """Train, predict and print the error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--figure", type=Path, help="File for a picture.")
    options = parser.parse_args()
    u, y = read(options.train)
    answer = train(u, y, choose_scale(u, y))
    for name, row in answer.summary().items():
        print(f"{name}: {row['mean']:.4f} +- {row['sd']:.4f}")
    if options.figure:
        draw(options.figure, answer, *read(options.test))
    print(f"test RMSE: {rmse(answer, *read(options.test)):.3f} V")


if __name__ == "__main__":
    main()
