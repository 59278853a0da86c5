"""Whole worlds, run to their reports, against the bounds they are held to.

Each takes minutes to half an hour: `make test-worlds`, or one of them by `-k`.
"""

import operator
from functools import reduce

import pytest

import retrodict as rd
from retrodict.worlds import load_world


NUMBER = float | None


def agrees(names, *, difference, ratio):
    """Bounds on posterior against baseline: means in its sds, and ratios of sds."""
    bounds = {}
    for name in names:
        place = ("baseline", "agreement", name)
        bounds[*place, "difference_in_sd"] = (-difference, difference)
        bounds[*place, "sd_ratio"] = ratio
    return bounds


def flat(*names):
    """Bounds on the p-values of SBC."""
    return {("validation", "sbc_p", name): (0.01, 1.0) for name in names}


WIDTH = "posterior sd of F, mean over windows"
POPULATIONS = ("alpha", "beta", "gamma", "delta", "sigma_1", "sigma_2", "z0_1", "z0_2")
PUBLISHED = {"F": 15.5, "h": 5.9, "c": 23.6, "b": 9.4}

BOUNDS: dict[tuple[str, str], dict[tuple[str, ...], tuple[NUMBER, NUMBER]]] = {
    ("influenza", ""): agrees(
        ("beta", "gamma", "phi_inv"), difference=0.2, ratio=(0.85, 1.15)
    ),
    ("hare_lynx", ""): agrees(POPULATIONS, difference=0.25, ratio=(0.75, 1.25)),
    ("cranes", ""): agrees(("lam", "mu", "nu"), difference=0.2, ratio=(0.85, 1.15))
    | {("baseline", "scores", "c2st"): (None, 0.57)},
    ("kids1000", ""): {
        ("baseline", "agreement", "S8", "difference"): (-0.010, 0.010),
        ("baseline", "agreement", "S8", "sd_ratio"): (0.85, 1.15),
        ("baseline", "scores", "c2st"): (None, 0.58),
        ("baseline", "diagnostics", "band-power operator against KCAP (%)"): (0, 0.5),
    },
    ("mrna", ""): {  # by construction, now that the exchange of rates is declared
        ("measured", "cells with mass of de > ga in [.4, .6] (%)"): (90, 100),
        ("measured", "cells with that C2ST below .55 (%)"): (90, 100),
    }
    | agrees(("de", "ga", "sigma"), difference=0.2, ratio=(0.85, 1.15))
    | agrees(("k", "t0", "offset"), difference=1.0, ratio=(0.85, 2.5)),
    ("mrna", "no_onset"): {
        ("measured", "cells that contradict the model, p < .01 (%)"): (50, 100),
    },
    ("lensing", ""): flat("S8", "Omega_m")
    | {
        ("measured", "sd of S8, maps over spectra, median"): (None, 1.0),
        (
            "baseline",
            "diagnostics",
            "mean spectrum against theory plus noise, chi2 per band",
        ): (0.6, 1.5),
    },
    ("lorenz96", ""): flat("F")
    | {
        ("measured", WIDTH): (0.050, 0.075),
        ("baseline", "diagnostics", "F = 8: imbalance of energy (%)"): (0, 0.5),
    },
    ("lorenz96", "embedding"): {("measured", WIDTH): (None, 0.060)},
    ("lorenz96", "two_scale"): {
        ("measured", f"mean error of {name} (%)"): (None, most)
        for name, most in PUBLISHED.items()
    },
    ("lorenz96", "landscape"): {
        ("baseline", "diagnostics", "T = 2: local maxima"): (1, 1),
        ("baseline", "diagnostics", "T = 5: local maxima"): (101, None),
        ("baseline", "diagnostics", "T = 10: local maxima"): (501, None),
        ("baseline", "diagnostics", "T = 2: NUTS R-hat"): (None, 1.05),
        ("baseline", "diagnostics", "T = 10: NUTS R-hat"): (1.5, None),
        ("baseline", "diagnostics", "T = 2: Adam runs that succeed"): (20, 20),
        ("baseline", "diagnostics", "T = 10: Adam runs that succeed"): (0, 2),
    },
    ("gene_expression", ""): {
        ("baseline", "diagnostics", "no delay: be too low (%)"): (35, 41),
        ("baseline", "diagnostics", "no delay: dp too low (%)"): (42, 48),
        ("baseline", "diagnostics", "no delay: 95 % covers be (%)"): (0, 10),
        ("baseline", "diagnostics", "no delay: 95 % covers dp (%)"): (0, 10),
    }
    | {
        ("measured", f"90 % interval of {name} covers (%)"): (85, 95)
        for name in ("al", "dm", "be", "dp", "tau")
    },
    ("ridge", ""): {
        ("measured", "KS p of sigma_8 against the grid"): (0.01, 1),
        ("measured", "KS p of b against the grid"): (0.01, 1),
        ("measured", "correlation of log sigma_8 and log b"): (-1, -0.98),
        ("derived", "A", "mean"): (1.176, 1.224),
    },
    ("ridge", "rsd"): {
        ("measured", "sd of sigma_8, spectrum alone over both (grid)"): (2, None),
    },
}


def outside(summary, bounds):
    """List what of a summary lies outside its bounds."""
    found = {}
    for place, (low, high) in bounds.items():
        value = reduce(operator.getitem, place, summary)
        if (low is not None and value < low) or (high is not None and value > high):
            found[" / ".join(place)] = value
    return found


def test_a_number_outside_its_bounds_is_named():
    summary = {"measured": {"one": 1.0, "two": 2.0}}
    bounds = {("measured", "one"): (None, 1.0), ("measured", "two"): (2.5, None)}
    assert outside(summary, bounds) == {"measured / two": 2.0}


@pytest.mark.worlds
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(("name", "part"), BOUNDS)
def test_a_world_keeps_its_bounds(name, part, tmp_path, data_folder):
    study = load_world(name)
    study = study.parts[part]() if part else study
    study = study.load(data_folder) if study.load else study
    summary = rd.run(study, tmp_path, seed=0).summary
    assert outside(summary, BOUNDS[name, part]) == {}
