r"""The galaxy-bias ridge: clustering tells sigma_8 times b, and neither alone.

.. math::
    P_i = A^2 k_i^{-1.5} (1 + 2 r \sqrt{20}\, e_i), \quad e_i \sim N(0, 1), \qquad
    A = b\, \sigma_8

for 20 wavenumbers, so that the amplitude A is measured to about r = 2 %. Matter
fluctuates by :math:`\sigma_8`, galaxies trace it with a bias b, and only the product is
seen. In the part ``rsd`` the growth rate from redshift-space distortions,
:math:`f\sigma_8` at three redshifts, is added: it does not contain b and breaks the
ridge.

.. math::
    f\sigma_8(z) = \Omega_m(z)^{0.55} D(z)\, \sigma_8, \qquad \Omega_m = 0.31

with D the growth factor of a flat universe, 1 today.

Source: degeneracy: Peacock (1999), Cosmological Physics, chapter 16. f sigma_8 and its
covariance: Alam et al. (2017), BOSS DR12 consensus, MNRAS 470, arXiv:1607.03155.
Growth: Linder (2005), astro-ph/0507263, eq. 14; Heath (1977), MNRAS 179.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import kstest

from .._core.seeds import numpy_generator
from ..model import Axis, Baseline, Derived, FigureInput, Model, Prior, Study
from ._identified import what_is_known


NUM_BINS, AMPLITUDE, RELATIVE_ERROR = 20, 1.2, 0.02
WAVENUMBERS = np.geomspace(0.02, 0.2, NUM_BINS)
SHAPE = WAVENUMBERS**-1.5
NOISE = 2 * RELATIVE_ERROR * np.sqrt(NUM_BINS)
SIGMA_8, BIAS = (0.6, 1.0), (1.0, 2.5)

OMEGA_M, GROWTH_INDEX = 0.31, 0.55
REDSHIFTS = (0.38, 0.51, 0.61)
F_SIGMA_8 = (0.49749, 0.457523, 0.436148)
F_COVARIANCE = (
    (0.00203355, 0.000811829, 0.000264615),
    (0.000811829, 0.00142289, 0.000662824),
    (0.000264615, 0.000662824, 0.00118576),
)
GRID = 1500
NUM_TESTED = 2000

DESCRIPTION = """How strongly do galaxies cluster? Their power spectrum measures how
much matter fluctuates (sigma_8) times how strongly galaxies trace matter (the bias b):
only the product is known. The posterior is a long, thin ridge, and the honest answer is
its direction and its length. Exact draws from a grid stand beside those of the
network."""

SOURCE = (
    "Spectrum: noiseless at b sigma_8 = 1.2. Part rsd: f sigma_8 of BOSS DR12, Alam et "
    "al. (2017), arXiv:1607.03155."
)


def growth() -> Float[np.ndarray, "3"]:
    """Return f sigma_8 / sigma_8 at the three redshifts."""
    redshifts = np.array(REDSHIFTS)
    rate = _omega_m(redshifts) ** GROWTH_INDEX
    today = _growth_factor(0.0)
    factors = [_growth_factor(z) / today for z in REDSHIFTS]
    return rate * np.array(factors)


def _omega_m(z: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    matter = OMEGA_M * (1 + z) ** 3
    return matter / (matter + 1 - OMEGA_M)


def _growth_factor(z: float) -> float:
    """Return H times the integral of da / (a H)^3 up to 1 / (1 + z): Heath (1977)."""

    def hubble(a: float) -> float:
        return float(np.sqrt(OMEGA_M * a**-3 + 1 - OMEGA_M))

    end = 1 / (1 + z)
    return hubble(end) * quad(lambda a: (a * hubble(a)) ** -3, 0.0, end)[0]


def simulator(
    key: Key[Array, ""], theta: Mapping[str, Array]
) -> Float[Array, " num_bins"]:
    """Draw one power spectrum of galaxies."""
    amplitude = theta["b"] * theta["sigma_8"]
    noise = jr.normal(key, (NUM_BINS,), amplitude.dtype)
    return amplitude**2 * SHAPE.astype(amplitude.dtype) * (1 + NOISE * noise)


def rsd_simulator(
    key: Key[Array, ""], theta: Mapping[str, Array]
) -> dict[str, Float[Array, "..."]]:
    """Draw a power spectrum and three growth rates."""
    key_spectrum, key_growth = jr.split(key)
    sigma_8 = theta["sigma_8"]
    root = jnp.asarray(np.linalg.cholesky(np.array(F_COVARIANCE)), sigma_8.dtype)
    mean = jnp.asarray(growth(), sigma_8.dtype) * sigma_8
    return {
        "spectrum": simulator(key_spectrum, theta),
        "f_sigma_8": mean + root @ jr.normal(key_growth, (3,), sigma_8.dtype),
    }


def grid_posterior(
    observed: Mapping[str, np.ndarray],
) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Compute the exact posterior on a grid of sigma_8 (rows) and b (columns).

    Args:
        observed: ``spectrum``, and ``f_sigma_8`` where it is measured.

    Returns:
        Masses that sum to 1, and the centers of the cells.
    """
    sigma_8, b = (
        low + (np.arange(GRID) + 0.5) * (high - low) / GRID
        for low, high in (SIGMA_8, BIAS)
    )
    log_amplitude = np.log(sigma_8)[:, None] + np.log(b)
    # Through two sums of the data alone, so that no array of cells by bins is made.
    ratio = observed["spectrum"] / SHAPE
    inverse = np.exp(-2 * log_amplitude)
    squares = (ratio**2).sum() * inverse**2 - 2 * ratio.sum() * inverse + NUM_BINS
    log_density = -0.5 * squares / NOISE**2 - 2 * NUM_BINS * log_amplitude
    if "f_sigma_8" in observed:
        residual = observed["f_sigma_8"] - sigma_8[:, None] * growth()
        white = np.linalg.solve(np.linalg.cholesky(np.array(F_COVARIANCE)), residual.T)
        log_density = log_density - 0.5 * (white**2).sum(axis=0)[:, None]
    return np.exp(log_density - logsumexp(log_density)), sigma_8, b


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Draw from the exact grid, evenly within its cells."""
    mass, sigma_8, b = grid_posterior(_series(model))
    rng = numpy_generator(key)
    cell = rng.choice(mass.size, 10_000, p=mass.ravel())
    row, column = np.unravel_index(cell, mass.shape)
    jitter = rng.uniform(-0.5, 0.5, (2, len(cell)))
    draws = {
        "sigma_8": sigma_8[row] + jitter[0] * (sigma_8[1] - sigma_8[0]),
        "b": b[column] + jitter[1] * (b[1] - b[0]),
    }
    return Baseline("exact grid", draws, {"cells": float(mass.size)})


def measure(key: Key[Array, ""], model: Model, posterior: Any) -> dict[str, float]:
    """Test 2000 draws against the grid, and say how straight the ridge is."""
    series = _series(model)
    mass, *centers = grid_posterior(series)
    draws = posterior.at(model.observed).sample(key, NUM_TESTED)
    numbers = {}
    for axis, (name, values) in enumerate(zip(("sigma_8", "b"), centers, strict=True)):
        half = 0.5 * (values[1] - values[0])
        edges = np.append(values - half, values[-1] + half)
        reached = np.append(0.0, np.cumsum(mass.sum(1 - axis)))
        found = kstest(draws[name], partial(np.interp, xp=edges, fp=reached))
        numbers[f"KS p of {name} against the grid"] = float(found.pvalue)
    logs = [np.log(draws[name]) for name in ("sigma_8", "b")]
    numbers["correlation of log sigma_8 and log b"] = float(np.corrcoef(logs)[0, 1])
    if "f_sigma_8" in series:
        alone = grid_posterior({"spectrum": series["spectrum"]})[0].sum(1)
        sds = [_sd(centers[0], marginal) for marginal in (alone, mass.sum(1))]
        numbers["sd of sigma_8, spectrum alone over both (grid)"] = sds[0] / sds[1]
    return numbers


def _series(model: Model) -> dict[str, np.ndarray]:
    observed = model.observed
    if isinstance(observed, Mapping):
        return {name: np.asarray(values) for name, values in observed.items()}
    return {"spectrum": np.asarray(observed)}


def _sd(values: Float[np.ndarray, " n"], mass: Float[np.ndarray, " n"]) -> float:
    mean = mass @ values
    return float(np.sqrt(mass @ (values - mean) ** 2))


def ridge_figure(given: FigureInput) -> tuple[str, Any]:
    """Draw the ridge in logarithms, where it is straight, with its two ends."""
    from ..report.figures import style  # a world is simulated without matplotlib

    clouds = {"network": (style.POSTERIOR, given.draws)}
    if given.baseline is not None:
        clouds["exact grid"] = (style.BASELINE, given.baseline.draws)
    product = np.median(given.draws["sigma_8"] * given.draws["b"])
    line = np.linspace(*SIGMA_8, 100)
    with style.house_style():
        figure, axes = style.new_axes(5.2, 3.8)
        for label, (color, draws) in clouds.items():
            shown = draws["sigma_8"][:3000], draws["b"][:3000]
            options = {"s": 3, "lw": 0, "alpha": 0.3, "color": color}
            axes.scatter(*shown, label=label, rasterized=True, **options)
        axes.plot(line, product / line, color=style.INK, label="equal product")
        axes.set(xscale="log", yscale="log", xlim=SIGMA_8, ylim=BIAS)
        _plain_ticks(axes.xaxis, (0.6, 0.7, 0.8, 0.9, 1.0))
        _plain_ticks(axes.yaxis, (1, 1.5, 2, 2.5))
        axes.set(xlabel=r"$\sigma_8$ (no unit)", ylabel="bias $b$ (no unit)")
        axes.legend(markerscale=4)
    caption = (
        "How much matter fluctuates (sigma_8) against how strongly galaxies trace it "
        "(b), in logarithmic axes that span the prior: posterior draws, and the line "
        "along which the product of both is constant. "
        + what_is_known(prior(), given.draws)
    )
    return caption, figure


def _plain_ticks(axis: Any, values: tuple[float, ...]) -> None:
    """Label a logarithmic axis with these numbers and no others."""
    axis.set_ticks(values, [f"{value:g}" for value in values])
    axis.set_ticks([], minor=True)


def prior() -> Prior:
    """Return the uniform prior."""
    return Prior(
        sigma_8=dist.Uniform(*SIGMA_8),
        b=dist.Uniform(*BIAS),
        labels={"sigma_8": r"$\sigma_8$", "b": "$b$"},
    )


def study() -> Study:
    """Build the study of the spectrum alone; part ``rsd`` adds growth rates."""
    return _study(
        simulator, AMPLITUDE**2 * SHAPE, {"x": _spectrum_axis()}, parts={"rsd": rsd}
    )


def rsd() -> Study:
    """Build the study of spectrum and growth rates."""
    observed = {"spectrum": AMPLITUDE**2 * SHAPE, "f_sigma_8": np.array(F_SIGMA_8)}
    axis = Axis(np.array(REDSHIFTS), "redshift", r"$f\sigma_8$")
    axes = {"spectrum": _spectrum_axis(), "f_sigma_8": axis}
    return _study(rsd_simulator, observed, axes, parts={})


def _spectrum_axis() -> Axis:
    return Axis(WAVENUMBERS, "wavenumber $k$ in h/Mpc", "power (arbitrary unit)")


def _study(simulate, observed, axes: Mapping[str, Axis], *, parts) -> Study:
    product = Derived(
        lambda theta: theta["sigma_8"] * theta["b"], label=r"$b\,\sigma_8$"
    )
    model = Model(
        prior(), simulate, observed=observed, derive={"A": product}, name="ridge"
    )
    return Study(
        model=model,
        title="The ridge of clustering and bias",
        field="cosmology",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=10_000,
        baseline=baseline,
        axes=axes,
        figures=(ridge_figure,),
        measure=measure,
        parts=parts,
        minutes=3.5,
    )
