r"""KiDS-1000: the clumpiness of the universe from the shapes of 21 million galaxies.

Cosmic shear of five redshift bins as band powers (120 numbers, ``_band_powers``), the
theory of ``_weak_lensing``, Gaussian noise of the published covariance. Everything that
is not asked about varies among the simulations, and is thereby marginalized: baryonic
feedback, shifts of the redshift distributions (correlated, from their calibration), h,
n_s and the densities.

The baseline is a likelihood: NUTS on a cubic regression of the whitened theory, whose
draws are weighted by the ratio of the exact likelihood to the regressed one (the
effective sample size is reported). The same chain with all nuisances held at one value
says how much too sure it would be.

Source: Asgari et al. (2021), arXiv:2007.15633 (data, S8 = .759 +.024 -.021 from
COSEBIs); von Wietersheim-Kramsta et al. (2024), arXiv:2404.15402 (KiDS-SBI, S8 = .731
+- .033); Joachimi et al. (2021), arXiv:2007.01844 (priors). Data: KiDS collaboration,
Cat_to_Obs_K1000_P1 (MIT).
Deviation from the source: n_s and h have the uniform priors of the collaboration, and
the theory is emulated.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from .._core.errors import DataError, ModelError
from ..model import Axis, Baseline, Derived, FigureInput, Model, Prior, Study
from ._band_powers import band_operator
from ._nuts import Budget, nuts
from ._polynomial import Polynomial
from ._weak_lensing import Redshifts, make_spectra, omega_m


Theta = Mapping[str, Array]
Theory = Callable[[Theta], Array]

ELL = np.geomspace(2.0, 8000.0, 40)
SHIFT_MEANS = np.array([0.0, -0.181, -1.110, -1.395, 1.265])
BOX = {
    "omch2": (0.051, 0.255),
    "ombh2": (0.019, 0.026),
    "h": (0.64, 0.82),
    "n_s": (0.84, 1.1),
    "S8": (0.1, 1.3),
    "A_bary": (2.0, 3.13),
    "A_IA": (-6.0, 6.0),
}
FIXED = {"ombh2": 0.0224, "h": 0.7, "n_s": 0.97, "A_bary": 2.6}
S8_RANGE = (0.4, 1.1)  # where the regression of the baseline is fitted
NUM_REGRESSION, NUM_WEIGHTED, CHUNK = 6000, 4000, 500
PUBLISHED = {"COSEBIs, Asgari et al.": 0.759, "KiDS-SBI": 0.731}

NO_DATA = "kids1000 needs the published data: give --data DIR, which holds kids1000/."

DESCRIPTION = """Light of distant galaxies is bent by the matter on its way, and their
images are aligned by a percent. The Kilo-Degree Survey measured this for 21 million
galaxies. This study infers S8, how clumpy matter is, the share of matter Omega_m and
the strength A_IA of alignments that have nothing to do with lensing. Nine nuisances are
marginalized by simulating them: feedback of galaxies on gas, errors of redshifts, the
densities, the expansion rate and the tilt of the primordial spectrum."""

SOURCE = (
    "KiDS-1000 band powers, covariance and redshift distributions (blind C), Asgari et "
    "al. (2021), github.com/KiDS-WL/Cat_to_Obs_K1000_P1 (MIT)."
)


class Survey(NamedTuple):
    """What was measured.

    Attributes:
        values: Band powers, pairs i <= j, 8 bands each.
        covariance: Of the band powers.
        redshifts: Distributions of the five bins.
        shift_root: Cholesky factor of the covariance of their shifts.
    """

    values: Float[np.ndarray, "120"]
    covariance: Float[np.ndarray, "120 120"]
    redshifts: Redshifts
    shift_root: Float[np.ndarray, "5 5"]


def read_survey(folder: Path) -> Survey:
    """Read the published files.

    Args:
        folder: The data folder, or its part ``kids1000``.

    Raises:
        ModelError: If astropy is not installed.
        DataError: If files are missing or not of the published format.
    """
    try:
        from astropy.io import fits  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModelError(
            "kids1000 needs the extra of cosmology: pip install 'retrodict[cosmology]'."
        ) from error
    folder = folder / "kids1000" if (folder / "kids1000").is_dir() else folder
    vector, shifts = folder / "bp_with_m_bias.fits", folder / "SOM_cov_multiplied.asc"
    for file in (vector, shifts):
        if not file.is_file():
            raise DataError(f"--data: Expected the file {file}; it is not there.")
    try:
        with fits.open(vector) as units:
            values = np.array(units["PeeE"].data["VALUE"], float)
            start = int(units["COVMAT"].header["STRT_1"])
            part = slice(start, start + len(values))
            covariance = np.array(units["COVMAT"].data, float)[part, part]
            table = units["NZ_SOURCE"].data
            z = np.array(table["Z_MID"], float)
            n = np.array([table[f"BIN{i}"] for i in range(1, 6)], float).T
        root = np.linalg.cholesky(np.loadtxt(shifts))
    except (OSError, KeyError, ValueError, np.linalg.LinAlgError) as error:
        raise DataError(
            f"{vector}: Expected the published format (PeeE, COVMAT, NZ_SOURCE); "
            f"{error}."
        ) from error
    return Survey(values, covariance, Redshifts.fit(z, n), root)


def make_theory(survey: Survey) -> Theory:
    """Return ``theta -> 120 band powers``."""
    operator = band_operator(ELL)
    spectra = make_spectra(ELL, survey.redshifts)

    def theory(theta: Theta) -> Array:
        shifts = jnp.asarray(survey.shift_root, float) @ theta["shifts"]
        return (spectra(theta, shifts) @ operator.T).reshape(-1)

    return theory


def make_simulator(survey: Survey, theory: Theory) -> Callable[..., dict[str, Array]]:
    """Return the simulator: theory and Gaussian noise."""
    root = np.linalg.cholesky(survey.covariance)

    def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
        clean = theory(theta)
        noise = jnp.asarray(root, clean.dtype) @ jr.normal(
            key, clean.shape, clean.dtype
        )
        return {"band_powers": clean + noise}

    return simulator


class Likelihood:
    """The Gaussian likelihood of a survey: exact, and by regression.

    Args:
        key: PRNG key of the points of the regression.
        model: Gives prior and parameters.
        survey: Data and covariance.
        theory: ``theta -> band powers``.
    """

    def __init__(
        self, key: Key[Array, ""], model: Model, survey: Survey, theory: Theory
    ):
        whiten = np.linalg.inv(np.linalg.cholesky(survey.covariance))
        self.data = whiten @ survey.values
        self._whiten = whiten
        self._theory = jax.jit(jax.vmap(theory))
        key_prior, key_S8 = jr.split(key)
        theta = model.prior.sample(key_prior, NUM_REGRESSION)
        S8 = jr.uniform(key_S8, (NUM_REGRESSION,), float, *S8_RANGE)
        theta = {**theta, "S8": np.asarray(S8, float)}
        self.space = model.prior.space
        scaled = self.whitened(theta) / theta["S8"][:, None] ** 2
        self.regression = Polynomial.fit(self.space.flatten(theta), scaled)

    def whitened(self, theta: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the exact theory of rows of theta, in units of the noise."""
        rows = {name: values.astype(np.float32) for name, values in theta.items()}
        count = len(rows["S8"])
        parts = []
        for start in range(0, count, CHUNK):
            index = np.minimum(np.arange(start, start + CHUNK), count - 1)
            parts.append(self._theory({k: rows[k][index] for k in rows}))
        found = np.concatenate([np.asarray(p, float) for p in parts])[:count]
        return found @ self._whiten.T

    def exact(self, theta: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the exact log-likelihood of rows, nats, up to a constant."""
        return -0.5 * ((self.data - self.whitened(theta)) ** 2).sum(1)

    def regressed(self, theta: Theta) -> Array:
        """Return the log-likelihood of one theta by regression."""
        flat = [jnp.ravel(theta[field.name]) for field in self.space.fields]
        mean = theta["S8"] ** 2 * self.regression(jnp.concatenate(flat))
        inside = jnp.sum(jnp.square(self.data - mean))
        low, high = S8_RANGE  # a wall where nothing was fitted
        outside = jnp.maximum(low - theta["S8"], 0) + jnp.maximum(theta["S8"] - high, 0)
        return -0.5 * inside - 1e4 * outside**2


def make_baseline(survey: Survey, theory: Theory) -> Callable[..., Baseline]:
    """Return the baseline: an exact posterior, and the claim of fixed nuisances."""

    def baseline(key: Key[Array, ""], model: Model) -> Baseline:
        key_fit, key_nuts, key_pick, key_fixed = jr.split(key, 4)
        likelihood = Likelihood(key_fit, model, survey, theory)
        found = nuts(key_nuts, model, likelihood.regressed, Budget(num_warmup=500))
        rows = np.random.default_rng(np.asarray(jr.key_data(key_pick)))
        some = rows.choice(len(found.draws["S8"]), NUM_WEIGHTED, replace=False)
        draws = {name: values[some] for name, values in found.draws.items()}
        with jax.enable_x64(True):
            near = np.asarray(jax.jit(jax.vmap(likelihood.regressed))(draws))
        log_ratio = likelihood.exact(draws) - near
        mass = np.exp(log_ratio - log_ratio.max())
        mass /= mass.sum()
        again = rows.choice(NUM_WEIGHTED, NUM_WEIGHTED, p=mass)
        draws = {name: values[again] for name, values in draws.items()}
        numbers = {
            "ESS of the weights": float(1 / (mass**2).sum()),
            "error of the regression (sd of log-likelihood)": float(log_ratio.std()),
            "sd of S8, nuisances fixed": fixed_sd(key_fixed, likelihood),
        } | {f"published S8 ({name})": value for name, value in PUBLISHED.items()}
        method = "NUTS on a regressed likelihood, weighted to the exact one"
        return Baseline(method, draws, {**found.diagnostics, **numbers})

    return baseline


def fixed_sd(key: Key[Array, ""], likelihood: Likelihood) -> float:
    """Return the sd of S8 that fixing all nuisances would claim."""
    free = {name: dist.Uniform(*BOX[name]) for name in ("omch2", "S8", "A_IA")}
    model = Model(Prior(**free), lambda key, theta: jr.normal(key) + theta["S8"])

    def log_likelihood(theta: Theta) -> Array:
        held = {name: jnp.asarray(value) for name, value in FIXED.items()}
        shifts = jnp.asarray(SHIFT_MEANS)
        return likelihood.regressed({**held, "shifts": shifts, **theta})

    return float(nuts(key, model, log_likelihood).draws["S8"].std())


def contours(inputs: FigureInput) -> tuple[str, Any]:
    """Draw Omega_m against S8, with the published values."""
    from ..report.figures import style  # a world is simulated without matplotlib

    with style.house_style():
        figure, axes = style.new_axes(5.2, 3.8)
        options = {"s": 3, "lw": 0, "alpha": 0.3}
        shown = inputs.draws["Omega_m"][:3000], inputs.draws["S8"][:3000]
        axes.scatter(*shown, color=style.POSTERIOR, label="network", **options)
        if inputs.baseline is not None:
            draws = inputs.baseline.draws
            density = draws["omch2"] + draws["ombh2"] + 0.0006451
            matter = density / draws["h"] ** 2
            axes.scatter(
                matter, draws["S8"], color=style.BASELINE, label="MCMC", **options
            )
        lines = zip(PUBLISHED.items(), ("--", ":"), strict=True)
        for (name, value), line in lines:
            axes.axhline(value, color=style.INK, lw=0.9, ls=line, label=name)
        axes.set(xlabel=r"matter density $\Omega_m$", ylabel="$S_8$")
        axes.legend(loc="upper right", markerscale=4)
    caption = (
        "Clumpiness S8 against the density of matter: posterior draws of the network "
        "(blue) and of the likelihood-based chain (orange). Lines: published values of "
        "S8 for the same survey."
    )
    return caption, figure


def study() -> Study:
    """Build the study; data and theory come with ``--data DIR``."""

    def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
        del key, theta
        raise ModelError(NO_DATA)

    return Study(
        model=_model(simulator, None),
        title="KiDS-1000: how clumpy is the universe?",
        field="cosmology",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=20_000,
        baseline=_no_data,
        axes={"band_powers": Axis(np.arange(120), "pair of bins and band", "power")},
        figures=(contours,),
        load=load,
        minutes=15.0,
    )


def load(folder: Path) -> Study:
    """Return the study of the data in ``folder``."""
    survey = read_survey(folder)
    theory = make_theory(survey)
    observed = {"band_powers": survey.values}
    return replace(
        study(),
        model=_model(make_simulator(survey, theory), observed),
        baseline=make_baseline(survey, theory),
    )


def _no_data(key: Key[Array, ""], model: Model) -> Baseline:
    del key, model
    raise ModelError(NO_DATA)


def _model(simulator: Any, observed: Any) -> Model:
    prior = Prior(
        **{name: dist.Uniform(*ends) for name, ends in BOX.items()},
        shifts=dist.Normal(SHIFT_MEANS, 1.0).to_event(1),
        labels={"S8": "$S_8$", "A_IA": r"$A_{IA}$"},
    )
    density = Derived(omega_m, support="positive", label=r"$\Omega_m$")
    return Model(
        prior,
        simulator,
        observed=observed,
        derive={"Omega_m": density},
        infer=["S8", "Omega_m", "A_IA"],
        name="kids1000",
    )
