r"""Toy universes: maps of weak lensing, and what they tell beyond their power spectrum.

A telescope sees 10 x 10 degrees of sky. The images of galaxies in five bins of redshift
give five maps of the convergence, the projected density of matter, of 64 x 64 pixels
each. Every simulation is a new universe: the spectra of ``_weak_lensing`` with the
matter of ``_matter_power``, lognormal maps of ``_lognormal``, noise of the galaxies'
own shapes, and a mask. The errors of the redshifts and the alignment of galaxies with
their surroundings are nuisances: they vary, and are not asked about.

The network reads the maps themselves. The classical analysis, its baseline, reads their
power spectra in bands, with a Gaussian likelihood whose mean is exact on this grid and
whose covariance is simulated. The part ``spectra`` trains a network on the same bands.

Source: Lanzieri et al. (2025), Optimal neural summarisation for full-field weak lensing
cosmological implicit inference, arXiv:2407.10877 (lognormal maps, survey); LSST DESC
(2018), arXiv:1809.01669 (redshifts). Maps: see ``_lognormal``.
Deviation from the source: two parameters of cosmology, at h, n_s and density of baryons
of the source; nuisances of redshift and alignment are added.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key
from scipy.special import erf

from ..model import Axis, Baseline, Derived, FigureInput, Model, Nuisance, Prior, Study
from ..posterior import fit
from ..simulations import simulate
from ._lognormal import (
    PIXEL,
    expected_bands,
    least_convergence,
    lognormal_maps,
    measured_bands,
    spread_operator,
    survey_mask,
)
from ._matter_power import make_fitted_power
from ._nuts import Budget, nuts
from ._weak_lensing import NEUTRINO_DENSITY, Redshifts, make_spectra, weights


Theta = Mapping[str, Array]

NUM_BINS = 5
GALAXIES = 27.0  # per square arcmin, in all bins
ELLIPTICITY = 0.26  # sd of one component
SMAIL = {"a": 2.0, "b": 0.68, "z0": 0.11}
PHOTO_Z = 0.05  # sd over (1 + z)
SHIFT = 0.02  # sd of the shift of each bin
HELD = {"ombh2": 0.0492 * 0.6727**2, "h": 0.6727, "n_s": 0.9645}
BOX = {"Omega_m": (0.15, 0.5), "sigma_8": (0.5, 1.1)}
TRUTH = {"Omega_m": 0.3156, "sigma_8": 0.831, "A_IA": 0.5}
ELL = np.geomspace(30.0, 1700.0, 24)
MASK = survey_mask(7)
OBSERVED_SEED = 3
NUM_COVARIANCE, NUM_TEST = 2000, 300

DESCRIPTION = """Matter bends light, and the shapes of distant galaxies map it. Each
simulation is a universe of its own: five maps of 10 by 10 degrees, galaxies near and
far, with the noise of their shapes, masked stars, errors of redshifts and galaxies
aligned by themselves. A network that reads the maps infers the share of matter Omega_m
and its clumpiness S8, beside the classical analysis of their power spectra. Gravity is
stood in for by lognormal maps; the universe to be found is synthetic."""

SPECTRA = """The same toy universes, reduced to their power spectra: eight bands for
every pair of the five maps. The exact posterior of these bands, by Markov chains on
their Gaussian likelihood, stands beside the network."""


def redshift_bins() -> tuple[np.ndarray, Float[np.ndarray, "z 5"]]:
    """Return redshifts and the distributions of five bins with equally many galaxies.

    Cut in the measured redshift, whose error is normal with sd ``PHOTO_Z (1 + z)``.
    """
    z = np.linspace(0.0, 5.0, 501)
    n = z ** SMAIL["a"] * np.exp(-((z / SMAIL["z0"]) ** SMAIL["b"]))
    sd = PHOTO_Z * (1 + z) * np.sqrt(2)

    def below(edge: float) -> np.ndarray:
        return 0.5 * (1 + erf((edge - z) / sd))

    fine = np.linspace(0.0, 5.0, 2001)
    share = np.array([weights(z) @ (n * below(edge)) for edge in fine])
    share = (share - share[0]) / (share[-1] - share[0])
    edges = np.interp(np.linspace(0, 1, NUM_BINS + 1), share, fine)
    parts = [below(high) - below(low) for low, high in pairwise(edges)]
    return z, n[:, None] * np.stack(parts, 1)


@cache
def survey() -> tuple[np.ndarray, np.ndarray, Callable[[Theta], Array]]:
    """Return least convergence and noise of a pixel by bin, and ``theta -> C``."""
    z, n = redshift_bins()
    mean = (weights(z) * z) @ n / (weights(z) @ n)
    per_pixel = GALAXIES / NUM_BINS * PIXEL * (180 * 60 / np.pi) ** 2
    noise = np.full(NUM_BINS, ELLIPTICITY / np.sqrt(per_pixel))
    at_nodes = make_spectra(ELL, Redshifts.fit(z, n), make_fitted_power)
    spread = spread_operator(ELL)

    def spectra(theta: Theta) -> Float[Array, "15 64 33"]:
        found = at_nodes(physical(theta), theta["shifts"])
        return jnp.einsum("xyl,pl->pxy", jnp.asarray(spread, found.dtype), found)

    return least_convergence(mean), noise, spectra


def physical(theta: Theta) -> dict[str, Array]:
    """Return the parameters that the theory of spectra is written in."""
    held = {k: jnp.asarray(v, theta["Omega_m"].dtype) for k, v in HELD.items()}
    total = theta["Omega_m"] * held["h"] ** 2
    return held | {
        "omch2": total - held["ombh2"] - NEUTRINO_DENSITY,
        "S8": clumpiness(theta),
        "A_IA": theta["A_IA"],
    }


def clumpiness(theta: Mapping[str, Any]) -> Array:
    """Return S8."""
    return theta["sigma_8"] * jnp.sqrt(theta["Omega_m"] / 0.3)


def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Float[Array, "64 64 5"]]:
    """Draw the noisy, masked maps of one universe."""
    key_map, key_noise = jr.split(key)
    least, noise, spectra = survey()
    maps = lognormal_maps(key_map, spectra(theta), least)
    maps = maps + noise.astype(maps.dtype) * jr.normal(
        key_noise, maps.shape, maps.dtype
    )
    return {"maps": jnp.where(MASK[..., None], maps, 0.0)}


def spectra_simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
    """Draw the bands of one universe."""
    return bands_of(simulator(key, theta))


def bands_of(x: Mapping[str, Any]) -> dict[str, Array]:
    """Return the spectra of maps in bands, in units of 1e-10, as one vector."""
    bands = measured_bands(jnp.asarray(x["maps"]))
    return {"bands": 1e10 * bands.reshape(-1)}


def expected(theta: Theta) -> Float[Array, "120"]:
    """Return the mean of the bands, exact on this grid."""
    _, noise, spectra = survey()
    return 1e10 * expected_bands(spectra(theta), noise, MASK).reshape(-1)


@cache
def observed_maps() -> np.ndarray:
    """Return the synthetic observation."""
    theta = {k: jnp.float32(v) for k, v in TRUTH.items()}
    theta["shifts"] = jnp.zeros(NUM_BINS, jnp.float32)
    return np.asarray(jax.jit(simulator)(jr.key(OBSERVED_SEED), theta)["maps"])


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Sample the posterior of the bands: NUTS on their Gaussian likelihood.

    The covariance is that of simulations at the truth, its inverse corrected for their
    number (Hartlap et al. 2007, astro-ph/0608064).
    """
    key_covariance, key_nuts = jr.split(key)
    theta = {k: jnp.full(NUM_COVARIANCE, v, jnp.float32) for k, v in TRUTH.items()}
    theta["shifts"] = jnp.zeros((NUM_COVARIANCE, NUM_BINS), jnp.float32)
    draw = jax.jit(lambda pair: spectra_simulator(*pair)["bands"])
    keys = jr.split(key_covariance, NUM_COVARIANCE)
    rows = np.asarray(jax.lax.map(draw, (keys, theta), batch_size=50), np.float64)
    size = rows.shape[1]
    factor = (NUM_COVARIANCE - size - 2) / (NUM_COVARIANCE - 1)
    root = np.linalg.cholesky(factor * np.linalg.inv(np.cov(rows.T)))
    y = np.asarray(bands_of({"maps": observed_maps()})["bands"], np.float64)

    def log_likelihood(theta: Theta) -> Array:
        return -0.5 * jnp.sum(jnp.square((y - expected(theta)) @ root))

    budget = Budget(num_warmup=200, num_samples=400, max_tree_depth=5)
    found = nuts(key_nuts, model, log_likelihood, budget)
    numbers = {**found.diagnostics, **mean_spectrum(rows)}
    return replace(found, method="NUTS on the power spectra", diagnostics=numbers)


def mean_spectrum(rows: Float[np.ndarray, "n 120"]) -> dict[str, float]:
    """Compare the mean bands of universes at the truth with theory plus noise.

    Args:
        rows: Bands of universes with the parameters of :data:`TRUTH`.
    """
    theta = {k: jnp.float32(v) for k, v in TRUTH.items()}
    theta["shifts"] = jnp.zeros(NUM_BINS, jnp.float32)
    away = rows.mean(0) - np.asarray(jax.jit(expected)(theta), np.float64)
    z = away / (rows.std(0) / np.sqrt(len(rows)))
    return {
        "mean spectrum against theory plus noise, chi2 per band": float((z**2).mean()),
        "mean spectrum against theory plus noise, mean z": float(z.mean()),
    }


def measure(key: Key[Array, ""], model: Model, posterior: Any) -> dict[str, float]:
    """Compare with a network on the bands of as many universes: sd of S8 and Omega_m.

    Both are asked about the same 300 fresh universes.
    """
    seed = int(jr.randint(key, (), 0, 2**31 - 1))
    rival = spectra_study().model
    num = posterior.record.num_simulations
    classical = fit(simulate(rival, num, seed=seed, stream="rival"), seed=seed)
    tests = simulate(model, NUM_TEST, seed=seed, stream="tests").ok()
    bands = show_bands(tests.x)
    key_maps, key_bands = jr.split(jr.fold_in(key, 1))
    found = {
        "maps": posterior.sample(key_maps, tests.x, 1000),
        "spectra": classical.sample(key_bands, bands, 1000),
    }
    numbers = {"simulations of each": float(num)}
    for column, name in enumerate(model.target_names):
        sds = {word: draws[..., column].std(1) for word, draws in found.items()}
        numbers |= {
            f"sd of {name}, mean over universes, {word}": float(sd.mean())
            for word, sd in sds.items()
        }
        ratio = sds["maps"] / sds["spectra"]
        numbers[f"sd of {name}, maps over spectra, median"] = float(np.median(ratio))
        misses = {
            word: float(np.sqrt(np.mean((d[..., column].mean(1) - truth) ** 2)))
            for truth in [tests.targets[:, column]]
            for word, d in found.items()
        }
        numbers |= {f"rms error of {name}, {w}": value for w, value in misses.items()}
    return numbers


def universes(inputs: FigureInput) -> tuple[str, Any]:
    """Draw three of the observed maps."""
    from ..report.figures import style  # a world is simulated without matplotlib

    maps = np.where(MASK[..., None], observed_maps(), np.nan)
    del inputs
    with style.house_style():
        figure = style.new_figure(7.4, 2.7, layout="constrained")
        axes = figure.subplots(1, 3, sharey=True)
        for axis, index in zip(axes, (0, 2, 4), strict=True):
            image = axis.imshow(
                maps[..., index],
                origin="lower",
                extent=(0, 10, 0, 10),
                cmap="RdBu_r",
                vmin=-0.05,
                vmax=0.05,
            )
            axis.set(title=f"redshift bin {index + 1} of 5", xlabel="degrees")
        axes[0].set_ylabel("degrees")
        figure.colorbar(image, ax=list(axes), label=r"convergence $\kappa$")
    caption = (
        "The universe to be found, as the telescope sees it: convergence (projected "
        "density of matter, no unit) in three of the five redshift bins, with the "
        "noise of galaxy shapes. White: border and bright stars, masked. Distant "
        "galaxies (right) are lensed by more matter."
    )
    return caption, figure


def contours(inputs: FigureInput) -> tuple[str, Any]:
    """Draw Omega_m against S8: maps and spectra."""
    from ..report.figures import style  # a world is simulated without matplotlib

    truth = clumpiness({k: np.float64(v) for k, v in TRUTH.items()})
    with style.house_style():
        figure, axes = style.new_axes(5.2, 3.8)
        options = {"s": 3, "lw": 0, "alpha": 0.35, "rasterized": True}
        if inputs.baseline is not None:
            draws = {k: np.asarray(v) for k, v in inputs.baseline.draws.items()}
            shown = draws["Omega_m"], np.asarray(clumpiness(draws))
            label = "spectra, Markov chains"
            axes.scatter(*shown, color=style.BASELINE, label=label, **options)
        shown = inputs.draws["Omega_m"][:2000], inputs.draws["S8"][:2000]
        axes.scatter(*shown, color=style.POSTERIOR, label="network", **options)
        place = TRUTH["Omega_m"], float(truth)
        axes.plot(*place, "+", color=style.INK, ms=11, mew=1.6, label="truth")
        axes.set(xlabel=r"matter density $\Omega_m$", ylabel="clumpiness $S_8$")
        legend = axes.legend(markerscale=2)
        for handle in filter(None, legend.legend_handles[-1:]):
            handle.set(markersize=8)  # the cross is large as it is
    chains = " and of Markov chains on the power spectra (orange)"
    chains = chains if inputs.baseline is not None else ""
    caption = (
        f"Matter density against clumpiness: draws of the network (blue){chains}, and "
        "the truth (cross). Both measures have no unit."
    )
    return caption, figure


def study() -> Study:
    """Build the study of the maps; the part ``spectra`` is that of their spectra."""
    bands = Axis(np.arange(120), "pair of bins and band", "power (1e-10 sr)")
    return Study(
        model=_model(simulator, {"maps": observed_maps()}, "lensing"),
        title="Toy universes: maps of weak lensing",
        field="cosmology",
        description=" ".join(DESCRIPTION.split()),
        source="Synthetic: Omega_m = 0.3156, sigma_8 = 0.831, A_IA = 0.5.",
        budget=6_000,
        baseline=baseline,
        axes={"bands": bands},
        figures=(universes, contours),
        parts={"spectra": spectra_study},
        measure=measure,
        show=show_bands,
        training={"grid_embedding": "map_average", "embedding_epochs": 20},
        minutes=12.0,
    )


def spectra_study() -> Study:
    """Build the study that is shown the power spectra alone."""
    base = study()
    return replace(
        base,
        model=_model(
            spectra_simulator, show_bands(base.model.observed), "lensing_spectra"
        ),
        title="Toy universes: power spectra of weak lensing",
        description=" ".join(SPECTRA.split()),
        parts={},
        measure=None,
        show=None,
        training={},
        minutes=8.0,
    )


def show_bands(x: Any) -> dict[str, np.ndarray]:
    """Return what the report draws of maps, of one universe or of many."""
    maps = np.asarray(x["maps"], np.float32)
    rows = maps.reshape(-1, *maps.shape[-3:])
    bands = jax.lax.map(lambda m: bands_of({"maps": m})["bands"], rows, batch_size=50)
    return {"bands": np.asarray(bands, float).reshape(*maps.shape[:-3], -1)}


def _model(simulate: Any, observed: Any, name: str) -> Model:
    prior = Prior(
        **{name: dist.Uniform(*ends) for name, ends in BOX.items()},
        A_IA=Nuisance(dist.Normal(0.5, 0.5)),
        shifts=Nuisance(dist.Normal(np.zeros(NUM_BINS), SHIFT).to_event(1)),
        labels={"Omega_m": r"$\Omega_m$", "sigma_8": r"$\sigma_8$"},
    )
    return Model(
        prior,
        simulate,
        observed=observed,
        derive={"S8": Derived(clumpiness, support="positive", label="$S_8$")},
        infer=["S8", "Omega_m"],
        name=name,
        block_size=100,
    )
