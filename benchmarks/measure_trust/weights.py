"""One network against a distribution over networks, from 200 simulations.

A single network that starts at random weights, as most do, without the base that `fit`
widens afterwards, and `weight_posterior` of the same settings and simulations. One that
starts at a linear regression, as those of `fit` do, is reported beside it: for the
first model that is the answer already. Coverage of 90 % regions of highest density on
500 fresh simulations (standard error 1.3 to 1.9 points). Laplace and SWAG (measured on
the first model alone) widen around one network, trained on three quarters of the
simulations; it is the ensemble that is held to the bound. Epistemic width: rms over
parameters of its sd divided by the prior's, of ensembles of four. The ensemble's design
was chosen on seed 0, after two that covered 82 and 83 % of slcp; seeds 20 to 31 were
looked at for nothing else. How far a single network falls short depends much on the
seed.
"""

import dataclasses

import jax.random as jr
import numpy as np
from misspecification import model as linear
from rows import Row

import retrodict as rd
from retrodict.bench import load_task
from retrodict.diagnostics import hpd_levels
from retrodict.training import default_settings
from retrodict.trust import Ensemble, Laplace, Swag, uncertainty, weight_posterior


NUM, NUM_TEST = 200, 500
FRESH = range(20, 32)
MODELS = {
    "linear": ("linear-Gaussian", linear()),
    "slcp": ("slcp", load_task("slcp").model),
}
ENSEMBLE = Ensemble(20)
OF_FIT = {
    "a single network started at a regression": {"linear_start": True},
    "the same with its base fitted": {"linear_start": True, "fit_base_scale": True},
}
OTHERS = {"Laplace": Laplace(), "SWAG": Swag()}


def coverage(posterior, simulations):
    theta, xs = simulations.targets, simulations.x
    draws = posterior.sample(jr.key(3), xs, 128)
    points = np.concatenate([theta[:, None], draws], axis=1)
    log_prob = posterior.log_prob(points, xs)
    levels = hpd_levels(jr.key(1), log_prob[:, 0], log_prob[:, 1:])
    return float(np.mean(levels <= 0.9)), float(log_prob[:, 0].mean())


def measure(repetitions, part):
    del repetitions
    name, model = MODELS[part]
    shares = []
    for seed in FRESH:
        train, test = data(model, seed)
        single = trained(train, seed)
        shares.append(coverage(single, test)[0])
        if seed == FRESH[0]:
            found, score = coverage(weight_posterior(single, train, ENSEMBLE), test)
            yield _ensemble_row(f"{name}, fresh seed {seed}", found, score)
    mean = float(np.mean(shares))
    told = f"{mean:.1%} ({min(shares):.1%} to {max(shares):.1%})"
    claim = f"{name}: single networks of {len(FRESH)} fresh seeds cover, on average"
    yield Row(claim, told, "< 80%", mean < 0.8)
    yield from _design_seed(name, model, methods=part == "linear")
    if part == "linear":
        widths = {num: epistemic(model, num) for num in (200, 800, 3200)}
        text = ", ".join(f"{num}: {width:.3f}" for num, width in widths.items())
        falls = bool(all(np.diff(list(widths.values())) < 0))
        yield Row(f"{name}: epistemic width by budget", text, "falls", falls)


def _design_seed(name, model, *, methods):
    """Yield the rows of the seed that the design was chosen on."""
    train, test = data(model, 0)
    single = trained(train, 0)
    title = f"{name}, seed of the design"
    alone, score = coverage(single, test)
    text = f"{alone:.1%} (score {score:.2f} nats)"
    yield Row(f"{title}: a single network covers", text, "reported", True)
    for words, changes in OF_FIT.items():
        alone, score = coverage(trained(train, 0, **changes), test)
        text = f"{alone:.1%} (score {score:.2f} nats)"
        yield Row(f"{title}: {words} covers", text, "reported", True)
    found, score = coverage(weight_posterior(single, train, ENSEMBLE), test)
    yield _ensemble_row(title, found, score)
    for word, method in OTHERS.items() if methods else ():
        found, score = coverage(weight_posterior(single, train, method), test)
        text = f"{found:.1%} (score {score:.2f} nats)"
        yield Row(f"{title}: {word} covers", text, "reported", True)


def _ensemble_row(title, found, score):
    text = f"{found:.1%} (score {score:.2f} nats)"
    return Row(f"{title}: ensemble of 20 covers", text, "≥ 85%", found >= 0.85)


def data(model, seed):
    test = rd.simulate(model, NUM_TEST, seed=seed, stream="test")
    return rd.simulate(model, NUM, seed=seed), test


def trained(train, seed, **changes):
    dim = train.model.targets.dim
    settings = default_settings(len(train), dim, num_members=1)
    plain = {"linear_start": False, "fit_base_scale": False}
    settings = dataclasses.replace(settings, **(plain | changes))
    return rd.fit(train, seed=seed, settings=settings)


def epistemic(model, num):
    train = rd.simulate(model, num, seed=0)
    networks = weight_posterior(trained(train, 0), train, Ensemble(4))
    xs = rd.simulate(model, 200, seed=0, stream="test").x
    parts = uncertainty(networks, xs)
    return float(np.sqrt(np.mean((parts.epistemic / train.targets.std(0)) ** 2)))
