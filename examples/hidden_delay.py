"""A hidden delay: a Neural ODE with memory finds what a plain ODE cannot.

    python examples/hidden_delay.py --seeds 20 --figure delay.svg

Messenger RNA follows an induction that is switched on and off; the protein follows the
messenger two hours later. The law of motion is learned from both, at eight induction
profiles with 1 % noise; nothing is said about a delay. It is judged on profiles never
seen, and asked how long after a short pulse the protein responds.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from scipy.signal import lfilter

import retrodict as rd
from retrodict.physics import Law


ALPHA, DECAY_M, BETA, DECAY_P, DELAY = 10.0, 0.5, 5.0, 0.2, 2.0
STEP, HOURS, EVERY = 0.25, 24.0, 2  # a measurement every half hour
LAGS, HIDDEN = 20, 4  # memory of five hours
SCALE = np.array([20.0, 400.0])  # of messenger and protein
NOISE = 0.01  # of the largest value of each species, over all profiles

# Times at which the induction is switched, hours: on, off, on, ...
TRAIN = ((0,), (0, 1), (0, 2), (0, 4), (0, 8), (2, 3, 8, 10), (4, 10), (1, 4, 6, 7))
UNSEEN = ((0, 3), (3, 4, 5, 8), (0, 6, 12, 13), (5, 7))


def exact(switches, times, delay=DELAY):
    """Return messenger and protein: steps of the linear equations, superposed."""
    m, p = np.zeros_like(times), np.zeros_like(times)
    for index, switch in enumerate(switches):
        sign, t = (-1) ** index, np.maximum(times - switch, 0)
        m += sign * ALPHA / DECAY_M * -np.expm1(-DECAY_M * t)
        s = np.maximum(times - switch - delay, 0)
        fast, slow = np.exp(-DECAY_M * s), np.exp(-DECAY_P * s)
        shape = (1 - slow) / DECAY_P - (fast - slow) / (DECAY_P - DECAY_M)
        p += sign * BETA * ALPHA / DECAY_M * shape
    return np.stack([m, p], axis=1)


def induction(switches):
    """Return the induction of every step, 0 or 1."""
    starts = np.arange(0, HOURS, STEP)
    return np.sum(starts[:, None] >= np.array(switches), axis=1) % 2.0


TIMES = np.arange(STEP * EVERY, HOURS + 1e-9, STEP * EVERY)
SIGMA = NOISE * np.max([exact(s, TIMES).max(0) for s in TRAIN], axis=0) / SCALE


def law(lags, hidden):
    """Return a law without any known part, and the start of its weights."""
    size = lags + 3  # messenger now and before, protein, induction

    def rate(theta, weights, past, u):
        del theta
        features = jnp.concatenate([past[:, 0], past[0, 1:], u])
        inner = jnp.tanh(weights["inner"] @ features + weights["bias"])
        return weights["linear"] @ features + weights["outer"] @ inner

    def init(key):
        keys = jr.split(key, 3)
        return {
            "linear": 0.1 * jr.normal(keys[0], (2, size), float) / size,
            "outer": 0.1 * jr.normal(keys[1], (2, hidden), float),
            "inner": jr.normal(keys[2], (hidden, size), float) / np.sqrt(size),
            "bias": jnp.zeros(hidden),
        }

    return Law(rate, STEP, lags), init


def problem(model, init, values):
    """Write the fit of a law to all profiles."""
    inputs = np.stack([induction(s) for s in TRAIN])

    def data(theta, weights, row):
        states = model.solve(theta, weights, jnp.zeros(2), row[0][:, None])
        return dist.Normal(states[EVERY::EVERY], SIGMA), row[1]

    scale = {"linear": 1.0, "outer": 0.3, "inner": 0.3, "bias": 0.3}
    return rd.Problem(
        [rd.Term("data", data, (inputs, values))], init=init, weight_scale=scale
    )


def predict(model, weights, switches):
    """Return the scaled measurements that a law expects for a profile."""
    states = model.solve({}, weights, jnp.zeros(2), induction(switches)[:, None])
    return states[EVERY::EVERY]


def delay_of(model, weights, width=0.5):
    """Return by how much the protein's response to a short pulse is late, hours.

    The law's own messenger is put into the textbook's equation, in which the protein
    follows at once, p' = gain m - decay p; the delay is the shift, fitted with gain and
    decay, that turns its answer into the law's.
    """
    pulse = induction((0, width))[:, None]
    states = np.asarray(model.solve({}, weights, jnp.zeros(2), pulse))
    times = STEP * np.arange(len(states))
    fine = np.linspace(0, times[-1], 8 * (len(times) - 1) + 1)
    messenger, protein = CubicSpline(times, states[:, 0])(fine), states[:, 1]

    def response(decay):
        keep, half = np.exp(-decay * fine[1]), fine[1] / 2
        pushed = half * (messenger[1:] + keep * messenger[:-1])
        return lfilter([1.0], [1.0, -keep], np.append(0.0, pushed))

    def misfit(unknown):
        late, gain, decay = unknown[0], *np.exp(unknown[1:])
        return gain * np.interp(times - late, fine, response(decay), left=0) - protein

    start = [1.0, np.log(protein.max()), np.log(0.3)]
    return float(least_squares(misfit, start, x_scale=[1.0, 0.3, 0.3]).x[0])


def relative_error(model, weights):
    """Return the RMSE of the protein on unseen profiles, in units of the noise."""
    errors = [
        np.asarray(predict(model, weights, s))[:, 1] - exact(s, TIMES)[:, 1] / SCALE[1]
        for s in UNSEEN
    ]
    return float(np.sqrt(np.mean(np.square(errors)) + SIGMA[1] ** 2) / SIGMA[1])


def coverage(model, answer, rng):
    """Return the share of unseen noisy points inside 90 % bands."""
    inside = []
    for switches in UNSEEN:
        mean, sd = answer.propagate(lambda _, w, s=switches: predict(model, w, s))
        noisy = exact(switches, TIMES) / SCALE + SIGMA * rng.standard_normal(mean.shape)
        inside.append(np.abs(noisy - mean) < 1.645 * np.sqrt(sd**2 + SIGMA**2))
    return float(np.mean(inside))


def draw(path, laws):
    """Draw the protein of two unseen profiles: the truth, and every law's prediction.

    Args:
        path: File of the figure.
        laws: A model and its fitted answer, by name.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, switches in zip(axes, (UNSEEN[0], UNSEEN[2]), strict=True):
        truth = exact(switches, TIMES)[:, 1]
        axis.plot(TIMES, truth, "k.", ms=3, label="truth, 2 h late")
        for (name, (model, answer)), color in zip(
            laws.items(), ("#1f5a95", "#cc6a1f"), strict=True
        ):
            weights = answer.weights
            protein = np.asarray(predict(model, weights, switches))[:, 1] * SCALE[1]
            axis.plot(TIMES, protein, color=color, lw=1.2, label=name)
        on = np.flatnonzero(induction(switches)) * STEP
        axis.plot(on, np.full(len(on), -20.0), "|", color="0.5")
        axis.set(xlabel="time (h); ticks: induction on", ylabel="protein (copies)")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path)


def main():
    """Fit with and without memory, over seeds, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="Data sets.")
    parser.add_argument("--figure", type=Path, help="File for a picture.")
    options = parser.parse_args()
    count = options.seeds
    clean = np.stack([exact(s, TIMES) for s in TRAIN]) / SCALE
    with jax.enable_x64(True):
        errors = {}
        for name, lags, hidden in (("memory", LAGS, HIDDEN), ("no memory", 0, 8)):
            model, init = law(lags, hidden)
            # Each member of an ensemble on clean data is a fit to fresh noise.
            answer = rd.map_fit(
                problem(model, init, clean), members=count, max_steps=80, tolerance=1e-3
            )
            every = [answer.unflatten(z)[1] for z in answer.ensemble]
            errors[name] = [relative_error(model, w) for w in every]
            print(
                f"{name}: RMSE on unseen profiles {np.mean(errors[name]):.2f} x noise "
                f"(worst {max(errors[name]):.2f})",
                flush=True,
            )
            if lags:
                delays = [delay_of(model, w) for w in every]
        mean, sd = np.mean(delays), np.std(delays)
        print(f"delay of the learned law: {mean:.3f} h, sd {sd:.3f}", flush=True)
        rng = np.random.default_rng(0)
        model, init = law(LAGS, HIDDEN)
        noisy = clean + SIGMA * rng.standard_normal(clean.shape)
        answer = rd.map_fit(problem(model, init, noisy), max_steps=80, tolerance=1e-3)
        share = coverage(model, answer, rng)
        print(f"90 % bands hold {share:.1%} of unseen points")
        if options.figure:
            plain, init = law(0, 8)
            without = rd.map_fit(
                problem(plain, init, noisy), max_steps=80, tolerance=1e-3
            )
            laws = {"memory": (model, answer), "no memory": (plain, without)}
            draw(options.figure, laws)


if __name__ == "__main__":
    main()
