"""Synthetic report contents: what a run hands to the page, without running one."""

import numpy as np
import pytest
from scipy import stats

from retrodict.model import Axis
from retrodict.report import ReportContent
from retrodict.trust import Calibration, Check, Verdict


IN_BED = [3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4]
HARES = "30 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22 25.4 27.1 40.3 57 76.6 52.3 19.5 11.2"
HARES += " 7.6 14.6 16.2 24.7"
LYNXES = "4 6.1 9.8 35.2 59.4 41.7 19 13 8.3 9.1 7.4 8 12.3 19.5 45.7 51.1 29.7 15.8"
LYNXES += " 9.7 10.1 8.6"


def calibration(names, rng, spread=1.0, num=1000, num_samples=255):
    """Draw ranks of a posterior whose sd is ``1 / spread`` times the right one."""
    truth = rng.normal(size=(num, len(names))) * spread
    pit = stats.norm.cdf(truth)
    ranks = np.minimum((pit * (num_samples + 1)).astype(int), num_samples)
    pit = (ranks + rng.uniform(size=ranks.shape)) / (num_samples + 1)
    grid = np.linspace(0, 1, 101)
    half = 1.9 * np.sqrt(grid * (1 - grid) / num) + 1e-4
    inside = np.abs(stats.norm.ppf(pit[:, 0]))
    levels = np.linspace(0.0, 1.0, 101)
    coverage = np.array(
        [(inside <= stats.norm.ppf(0.5 + q / 2)).mean() for q in levels]
    )
    wide = 1.9 * np.sqrt(levels * (1 - levels) / num)
    return Calibration(
        names=tuple(names),
        ranks=ranks,
        num_samples=num_samples,
        pit=pit,
        credible_levels=levels,
        coverage=coverage,
        coverage_low=levels - wide,
        coverage_high=levels + wide,
        ecdf_grid=grid,
        ecdf_low=-half,
        ecdf_high=half,
        contraction=np.linspace(0.97, 0.41, len(names)),
        central_coverage=np.tile(coverage[:, None], (1, len(names))),
        tarp_coverage=np.clip(coverage + 0.01 * np.sin(9 * levels), 0, 1),
        z_scores=truth,
        log_score=2.113,
    )


def passing():
    return (
        Check("sbc", "pass", 0.43, 0.02, "Ranks of the truth are uniform.", ""),
        Check("coverage", "pass", 0.011, 0.04, "Credible regions hold the truth.", ""),
        Check("contraction", "pass", 0.41, 0.05, "Every parameter was learned.", ""),
    )


def over_confident():
    return Check(
        "sbc",
        "fail",
        0.087,
        0.04,
        "Over-confident: the rank histogram of beta is U-shaped, so the truth falls "
        "outside the stated error bars too often.",
        "Train on more simulations (--budget 40000) or recalibrate.",
    )


def summarize(draws, units):
    levels = (5, 16, 50, 84, 95)
    keys = ("q05", "q16", "median", "q84", "q95")
    return {
        name: {"mean": float(d.mean()), "sd": float(d.std())}
        | dict(zip(keys, map(float, np.percentile(d, levels)), strict=True))
        | {"unit": units.get(name, "")}
        for name, d in draws.items()
    }


def history(rng, members=5, epochs=60):
    t = np.arange(epochs)[:, None]
    noise = 0.02 * rng.normal(size=(epochs, members))
    train = -2.2 + 3.5 * np.exp(-t / 6) - 0.004 * t + 0.5 * noise
    validation = -2.05 + 3.5 * np.exp(-t / 6) + noise + 0.00008 * (t - 35) ** 2
    return train, validation, validation.argmin(axis=0)


def influenza(rng, **changes):
    n = 4000
    shift = (
        rng.normal(size=(n, 3))
        @ np.linalg.cholesky([[1, 0.35, 0.1], [0.35, 1, 0.2], [0.1, 0.2, 1]]).T
    )

    def draw(offset=0.0, scale=1.0):
        z = offset + scale * shift[rng.permutation(n)]
        out = {
            "beta": 1.73 + 0.054 * z[:, 0],
            "gamma": 0.541 + 0.046 * z[:, 1],
            "phi_inv": 0.12 * np.exp(0.45 * z[:, 2]),
        }
        return out | {
            "R0": out["beta"] / out["gamma"],
            "recovery_time": 1 / out["gamma"],
        }

    prior = {
        "beta": np.abs(2 + rng.normal(size=n)),
        "gamma": np.abs(0.4 + 0.5 * rng.normal(size=n)) + 0.02,
        "phi_inv": rng.exponential(0.2, size=n),
    }
    prior |= {"R0": prior["beta"] / prior["gamma"], "recovery_time": 1 / prior["gamma"]}
    units = {"beta": "1/day", "gamma": "1/day", "recovery_time": "days"}
    posterior, baseline = draw(), draw(0.06, 0.97)
    names = ("beta", "gamma", "phi_inv")
    predictive = epidemic(rng, posterior, 600)
    train, validation, best = history(rng)

    def both(draws):
        done = summarize(draws, units)
        return {
            "parameters": {k: done[k] for k in names},
            "derived": {k: v for k, v in done.items() if k not in names},
        }

    verdict = Verdict("trusted", passing(), calibration(names, rng), 0, 1000)
    fields = {
        "title": "Influenza in an English boarding school, 1978",
        "field": "epidemiology",
        "description": "763 boys, one of them ill: how contagious was the virus, and "
        "how long did a boy stay in bed? An SIR epidemic with over-dispersed counts.",
        "source": "British Medical Journal 1978;1:578.",
        "model_name": "influenza",
        "seed": 0,
        "budget": 10_000,
        "summary": {
            "schema": 1,
            "model": "influenza",
            "version": "0.1.0",
            "seed": 0,
            "budget": 10_000,
            "warnings": [],
            **both(posterior),
            "baseline": {"method": "NUTS", **both(baseline)},
            "validation": verdict.to_dict(),
            "timings": {"simulate_s": 1.9, "train_s": 14.2, "total_s": 41.0},
        },
        "verdict": verdict,
        "names": names,
        "labels": {
            "beta": r"$\beta$",
            "gamma": r"$\gamma$",
            "phi_inv": r"$1/\phi$",
            "R0": "$R_0$",
            "recovery_time": r"$1/\gamma$",
        },
        "units": units,
        "posterior": posterior,
        "prior": prior,
        "baseline": baseline,
        "baseline_method": "NUTS on the exact likelihood",
        "baseline_diagnostics": {"r_hat": 1.001, "min_ess": 3120.0, "divergences": 0.0},
        "observed": {"x": np.array(IN_BED, float)},
        "predictive": {"x": predictive},
        "axes": {"x": Axis(np.arange(1, 15), "day of the outbreak", "boys in bed")},
        "train": train,
        "validation": validation,
        "best_epoch": best,
        "simulations": {
            "total": 10_000,
            "counts": {"ok": 9988, "not finite": 12},
            "errors": [("x is not finite at day 9: the solver overflowed", 12)],
            "seconds": 1.9,
        },
        "warnings": (),
        "provenance": {
            "retrodict": "0.1.0",
            "jax": "0.10.2",
            "python": "3.11.7",
            "platform": "Linux x86_64, CPU",
            "seed": "0",
            "simulate": "1.9 s",
            "train": "14.2 s (compilation 6.1 s)",
            "command": "retrodict run influenza --seed 0 --budget 10000 --out runs/flu",
        },
        "figures": (),
        "scores": {"c2st": 0.531},
    }
    return ReportContent(**(fields | changes))


def epidemic(rng, draws, num):
    """SIR by small Euler steps with negative-binomial counts."""
    beta, gamma, inverse = (draws[k][:num] for k in ("beta", "gamma", "phi_inv"))
    s, i, days = np.full(num, 762.0), np.ones(num), []
    for _ in range(14):
        for _ in range(50):
            new = beta * s * i / 763 / 50
            s, i = s - new, i + new - gamma * i / 50
        size = 1 / inverse
        days.append(rng.negative_binomial(size, size / (size + i)))
    return np.stack(days, axis=1).astype(float)


def hare_lynx(rng, **changes):
    names = (
        "alpha",
        "beta",
        "gamma",
        "delta",
        "sigma[0]",
        "sigma[1]",
        "z0[0]",
        "z0[1]",
    )
    center = np.array([0.55, 0.028, 0.80, 0.024, 0.25, 0.25, 34.0, 5.9])
    width = np.array([0.064, 0.0042, 0.09, 0.0036, 0.045, 0.044, 2.9, 0.54])
    mix = rng.normal(size=(8, 8)) * 0.35 + np.eye(8)
    mix[0, 2], mix[1, 3] = -0.9, 0.9
    mix /= np.linalg.norm(mix, axis=1, keepdims=True)

    def draw(offset, scale):
        z = offset + scale * rng.normal(size=(4000, 8)) @ mix.T
        return dict(zip(names, (center * np.exp(width / center * z)).T, strict=True))

    posterior, baseline = draw(0.15, 1.15), draw(0.0, 1.0)
    prior = {
        n: np.abs(c * (1 + rng.normal(size=4000)))
        for n, c in zip(names, center, strict=True)
    }
    years = np.arange(1900, 1921)
    observed = {
        "hare": np.array(HARES.split(), float),
        "lynx": np.array(LYNXES.split(), float),
    }
    predictive = {
        k: v * np.exp(rng.normal(scale=0.3, size=(500, 21)))
        for k, v in observed.items()
    }
    checks = (
        Check(
            "coverage",
            "warn",
            -0.052,
            0.04,
            "90 % regions hold the truth only 84.8 % of the time: slightly too narrow.",
            "Widen the intervals by a tenth, or train on more simulations.",
        ),
        *passing(),
    )
    summary = {
        "schema": 1,
        "parameters": summarize(posterior, {}),
        "derived": {},
        "baseline": {
            "method": "NUTS",
            "parameters": summarize(baseline, {}),
            "derived": {},
        },
    }
    labels = {
        "alpha": r"$\alpha$",
        "beta": r"$\beta$",
        "gamma": r"$\gamma$",
        "delta": r"$\delta$",
        "sigma[0]": r"$\sigma_1$",
        "sigma[1]": r"$\sigma_2$",
        "z0[0]": "$z_{0,1}$",
        "z0[1]": "$z_{0,2}$",
    }
    settings = {
        "title": "Hares and lynxes of Hudson Bay, 1900 to 1920",
        "field": "ecology",
        "description": "Lotka-Volterra dynamics seen through the fur trade.",
        "source": "Hudson's Bay Company pelt counts, in thousands.",
        "model_name": "hare_lynx",
        "summary": summary,
        "verdict": Verdict("caution", checks, calibration(names, rng, 1.06), 0, 1000),
        "names": names,
        "labels": labels,
        "units": {"alpha": "1/year", "gamma": "1/year"},
        "posterior": posterior,
        "prior": prior,
        "baseline": baseline,
        "observed": observed,
        "predictive": predictive,
        "axes": {
            "hare": Axis(years, "year", "hare pelts (thousands)"),
            "lynx": Axis(years, "year", "lynx pelts (thousands)"),
        },
        "warnings": (
            (
                "unlike-simulations",
                "The observation is more extreme than 99.2 % of the simulations.",
                "Look at the predictive figure; widen the prior if it misses the data.",
            ),
        ),
        "scores": {"c2st": 0.684},
    }
    return influenza(rng, **(settings | changes))


def two_moons(rng, **changes):
    n = 6000
    angle = rng.uniform(-np.pi / 2, np.pi / 2, n)
    radius = 0.1 + 0.01 * rng.normal(size=n)
    p = np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], axis=1)
    side = np.where(rng.uniform(size=n) < 0.5, 1, -1)
    posterior = {
        "theta[0]": side * p[:, 0] / np.sqrt(2) + p[:, 1] / np.sqrt(2),
        "theta[1]": side * p[:, 0] / np.sqrt(2) - p[:, 1] / np.sqrt(2),
    }
    names = tuple(posterior)
    settings = {
        "title": "Two moons",
        "field": "benchmark",
        "description": "A posterior of two crescents.",
        "source": "",
        "model_name": "two_moons",
        "names": names,
        "labels": {"theta[0]": r"$\theta_1$", "theta[1]": r"$\theta_2$"},
        "units": {},
        "posterior": posterior,
        "prior": {k: rng.uniform(-1, 1, n) for k in names},
        "baseline": None,
        "baseline_method": "",
        "baseline_diagnostics": {},
        "observed": {"x": np.zeros(2)},
        "predictive": {"x": rng.normal(scale=0.05, size=(500, 2))},
        "axes": {},
        "scores": {},
        "summary": {"parameters": summarize(posterior, {}), "derived": {}},
        "verdict": Verdict(
            "rejected",
            (over_confident(), *passing()),
            calibration(names, rng, 1.4),
            0,
            1000,
        ),
    }
    return influenza(rng, **(settings | changes))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def maker():
    """Return a function that builds one of the three contents by name."""
    makers = {"influenza": influenza, "hare_lynx": hare_lynx, "two_moons": two_moons}
    return lambda name="influenza", **changes: makers[name](
        np.random.default_rng(7), **changes
    )


@pytest.fixture
def make_content(maker):
    """The same, for tests that replace some fields."""
    return maker
