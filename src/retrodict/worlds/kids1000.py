r"""KiDS-1000: the clumpiness of the universe from the shapes of 21 million galaxies.

Cosmic shear of five redshift bins as band powers (120 numbers, ``_band_powers``), the
theory of ``_weak_lensing``, Gaussian noise of the published covariance. Everything that
is not asked about varies among the simulations, and is thereby marginalized: baryonic
feedback, shifts of the redshift distributions (correlated, from their calibration), h,
n_s and the densities. The network sees fourteen directions of the band powers, in units
of the noise: eight along which the theory moves near the answer, six along which it
moves over the prior. In the others there is hardly more than noise.

The baseline is a likelihood: weighted draws (``_population``) through the theory, on
all 120 band powers. Chains of NUTS left out a part of the tail of small density, which
draws that begin in the prior cannot. The same with all nuisances held at one value says
how much too sure it would be.

Source: Asgari et al. (2021), arXiv:2007.15633 (data, S8 = .759 +.024 -.021 from
COSEBIs); von Wietersheim-Kramsta et al. (2024), arXiv:2404.15402 (KiDS-SBI, S8 = .731
+- .033); Joachimi et al. (2021), arXiv:2007.01844 (priors). Data: KiDS collaboration,
Cat_to_Obs_K1000_P1 (MIT).
Deviation from the source: n_s and h have the uniform priors of the collaboration, and
the theory is emulated.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations_with_replacement
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
from ._kcap import compare_with_kcap
from ._population import Population, population
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
NUM_BANDS = 8
BAND_EDGES = np.geomspace(100.0, 1500.0, NUM_BANDS + 1)
# Of the components eight follow the derivatives of the theory near the answer, the rest
# how far it moves over the prior: errors at the data grow by .3 % at most.
NEAR = {**FIXED, "omch2": 0.13, "S8": 0.76, "A_IA": 0.5, "shifts": SHIFT_MEANS}
NUM_THEORIES, NUM_LOCAL, NUM_COMPONENTS = 2000, 8, 14
TOLD = "omch2", "S8", "A_IA"  # the posterior of the others is near their prior
BUDGET = Population(num_samples=8000)
FIXED_BUDGET = Population(num_final=20_000)
NUM_SHOWN = 3000  # draws in a figure
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


class Components(NamedTuple):
    """Directions in the space of band powers, in units of the noise.

    Attributes:
        root: Cholesky factor of the covariance of the noise.
        mean: Mean theory over the prior, in units of the noise.
        directions: Orthonormal rows: first those along which the theory moves near the
            answer, then those along which it moves over the prior.
    """

    root: Float[np.ndarray, "120 120"]
    mean: Float[np.ndarray, "120"]
    directions: Float[np.ndarray, "components 120"]

    def of(self, values: Float[np.ndarray, "120"]) -> Float[np.ndarray, " components"]:
        """Return the components of band powers."""
        return self.directions @ (np.linalg.solve(self.root, values) - self.mean)


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
    folder = data_folder(folder)
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


def data_folder(folder: Path) -> Path:
    """Return the part ``kids1000`` of the data folder, which may be given itself."""
    return folder / "kids1000" if (folder / "kids1000").is_dir() else folder


def make_theory(survey: Survey) -> Theory:
    """Return ``theta -> 120 band powers``."""
    operator = band_operator(ELL)
    spectra = make_spectra(ELL, survey.redshifts)

    def theory(theta: Theta) -> Array:
        shifts = jnp.asarray(survey.shift_root, float) @ theta["shifts"]
        return (spectra(theta, shifts) @ operator.T).reshape(-1)

    return theory


def components(survey: Survey, theory: Theory, prior: Prior) -> Components:
    """Return what of the band powers the parameters can move, by singular values.

    Derivatives at one point are the score of Gaussian data there, which loses nothing
    near it (Alsing and Wandelt 2018, arXiv:1712.00012).

    Args:
        survey: Gives the noise.
        theory: ``theta -> band powers``.
        prior: Where the theory is looked at, with a fixed seed.
    """
    root = np.linalg.cholesky(survey.covariance)
    theta = prior.sample(jr.key(0), NUM_THEORIES)
    rows = {name: values.astype(np.float32) for name, values in theta.items()}
    found = jax.jit(lambda rows: jax.lax.map(theory, rows, batch_size=100))(rows)
    white = np.linalg.solve(root, np.asarray(found, float).T).T
    mean = white.mean(0)
    local = np.linalg.solve(root, _derivatives(theory, prior))
    near = np.linalg.svd(local, full_matrices=False)[0][:, :NUM_LOCAL].T
    rest = white - mean
    for _ in range(2):  # once leaves rounding, which shows where little is left
        rest = rest - rest @ near.T @ near
    far = np.linalg.svd(rest, full_matrices=False)[2][: NUM_COMPONENTS - NUM_LOCAL]
    return Components(root, mean, np.concatenate([near, far]))


def _derivatives(theory: Theory, prior: Prior) -> Float[np.ndarray, "120 theta_dim"]:
    """Return how the theory moves with each parameter at :data:`NEAR`, per prior sd."""
    widths = {n: np.std(v, axis=0) for n, v in prior.sample(jr.key(1), 4000).items()}
    at = {name: jnp.asarray(value, jnp.float32) for name, value in NEAR.items()}
    found = jax.jit(jax.jacfwd(theory))(at)
    columns = [
        np.asarray(found[name], float).reshape(len(theory(at)), -1) * widths[name]
        for name in NEAR
    ]
    return np.concatenate(columns, axis=1)


def make_simulator(
    found: Components, theory: Theory
) -> Callable[..., dict[str, Array]]:
    """Return the simulator: theory and Gaussian noise, as components."""

    def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
        clean = theory(theta)
        white = jnp.asarray(np.linalg.inv(found.root), clean.dtype) @ clean
        white = white + jr.normal(key, clean.shape, clean.dtype)
        away = white - jnp.asarray(found.mean, clean.dtype)
        return {"components": jnp.asarray(found.directions, clean.dtype) @ away}

    return simulator


def make_baseline(
    survey: Survey, theory: Theory, folder: Path
) -> Callable[..., Baseline]:
    """Return the baseline: the exact posterior, and the claim of fixed nuisances.

    Args:
        survey: The data.
        theory: ``theta -> band powers``.
        folder: Holds results of KCAP too, with which the theory is compared.
    """
    whiten = np.linalg.inv(np.linalg.cholesky(survey.covariance))
    data = whiten @ survey.values

    def log_likelihood(theta: Theta) -> Array:
        clean = theory(theta)
        white = jnp.asarray(whiten, clean.dtype) @ clean
        return -0.5 * jnp.sum(jnp.square(jnp.asarray(data, clean.dtype) - white))

    def baseline(key: Key[Array, ""], model: Model) -> Baseline:
        key_all, key_fixed = jr.split(key)
        found = population(key_all, model, log_likelihood, TOLD, BUDGET)
        fixed = fixed_sd(key_fixed, log_likelihood)
        numbers = {"sd of S8, nuisances fixed": fixed} | {
            f"published S8 ({name})": value for name, value in PUBLISHED.items()
        }
        numbers |= compare_with_kcap(folder)
        return replace(found, diagnostics={**found.diagnostics, **numbers})

    return baseline


def fixed_sd(key: Key[Array, ""], log_likelihood: Callable[[Theta], Array]) -> float:
    """Return the sd of S8 that fixing all nuisances would claim."""
    free = {name: dist.Uniform(*BOX[name]) for name in TOLD}
    model = Model(Prior(**free), lambda key, theta: jr.normal(key) + theta["S8"])

    def held_likelihood(theta: Theta) -> Array:
        held = {name: jnp.asarray(value) for name, value in FIXED.items()}
        return log_likelihood({**held, "shifts": jnp.asarray(SHIFT_MEANS), **theta})

    found = population(key, model, held_likelihood, TOLD, FIXED_BUDGET)
    return float(found.draws["S8"].std())


def make_triangle(survey: Survey, theory: Theory) -> Callable[..., tuple[str, Any]]:
    """Return the figure of the data: all pairs of bins, with the theory."""

    def triangle(inputs: FigureInput) -> tuple[str, Any]:
        from ..report.figures import style  # a world is simulated without matplotlib

        sds = np.sqrt(np.diag(survey.covariance)).reshape(-1, NUM_BANDS)
        values = survey.values.reshape(-1, NUM_BANDS)
        ell = np.sqrt(BAND_EDGES[1:] * BAND_EDGES[:-1])
        curves = None
        if inputs.baseline is not None:
            draws = inputs.baseline.draws
            some = {n: v[:: max(len(v) // 60, 1)][:60] for n, v in draws.items()}
            some = {n: jnp.asarray(v, jnp.float32) for n, v in some.items()}
            found = jax.jit(lambda rows: jax.lax.map(theory, rows))(some)
            curves = 1e5 * np.asarray(found, float).reshape(len(found), *values.shape)
        with style.house_style():
            figure = style.new_figure(7.4, 6.2, layout="constrained")
            grid = figure.subplots(5, 5, sharex=True)
            pairs = list(combinations_with_replacement(range(5), 2))
            for axis in grid.ravel():
                axis.set_visible(False)
            for row, (i, j) in enumerate(pairs):
                axis = grid[j, i]
                axis.set_visible(True)
                if curves is not None:
                    axis.fill_between(
                        ell,
                        *np.quantile(curves[:, row], [0.05, 0.95], axis=0),
                        color=style.BASELINE,
                        alpha=0.35,
                        lw=0,
                    )
                axis.errorbar(
                    ell,
                    1e5 * values[row],
                    1e5 * sds[row],
                    fmt=".",
                    ms=3,
                    lw=0.8,
                    color=style.INK,
                )
                axis.axhline(0, color=style.MUTED, lw=0.5)
                axis.set(xscale="log", xlim=(90, 1700))
                axis.set_title(f"{i + 1}-{j + 1}", fontsize=7, pad=2)
                axis.tick_params(labelsize=6)
            figure.supxlabel(r"multipole $\ell$ (no unit)", fontsize=9)
            figure.supylabel(r"band power ($10^{-5}$, no unit)", fontsize=9)
        caption = (
            "The data: band powers of cosmic shear against multipole (small scales to "
            "the right), one panel for each pair of redshift bins (1 near, 5 far); the "
            "error bars are one standard deviation."
        )
        if curves is not None:
            caption += " Orange: theory at draws of the exact posterior, 90 % of them."
        return caption, figure

    return triangle


def contours(inputs: FigureInput) -> tuple[str, Any]:
    """Draw Omega_m against S8, with the published values."""
    from ..report.figures import style  # a world is simulated without matplotlib

    with style.house_style():
        figure, axes = style.new_axes(5.2, 3.8)
        options = {"s": 3, "lw": 0, "alpha": 0.3, "rasterized": True}
        shown = inputs.draws["Omega_m"][:NUM_SHOWN], inputs.draws["S8"][:NUM_SHOWN]
        axes.scatter(*shown, color=style.POSTERIOR, label="network", **options)
        if inputs.baseline is not None:
            draws = inputs.baseline.draws
            few = np.arange(0, len(draws["S8"]), max(1, len(draws["S8"]) // NUM_SHOWN))
            matter = omega_m({k: jnp.asarray(v[few]) for k, v in draws.items()})
            shown = matter, draws["S8"][few]
            axes.scatter(*shown, color=style.BASELINE, label="exact", **options)
        lines = zip(PUBLISHED.items(), ("--", ":"), strict=True)
        for (name, value), line in lines:
            axes.axhline(value, color=style.INK, lw=0.9, ls=line, label=name)
        axes.set(xlabel=r"matter density $\Omega_m$", ylabel="clumpiness $S_8$")
        axes.legend(loc="upper right", markerscale=4)
    exact = " and of the exact likelihood (orange)" if inputs.baseline else ""
    caption = (
        "Clumpiness S8 against the density of matter Omega_m, both without unit: "
        f"posterior draws of the network (blue){exact}. Lines: published values of S8 "
        "for the same survey. The less matter, the more of it must be clumped."
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
        rounds=3,  # the posterior fills a twentieth of the prior
        baseline=_no_data,
        axes={
            "components": Axis(
                np.arange(1, NUM_COMPONENTS + 1),
                "component of the spectra, largest signals first",
                "value (units of noise)",
            )
        },
        figures=(contours,),
        load=load,
        minutes=8.0,
    )


def load(folder: Path) -> Study:
    """Return the study of the data in ``folder``."""
    survey = read_survey(folder)
    theory = make_theory(survey)
    blank = study()
    found = components(survey, theory, blank.model.prior)
    observed = {"components": found.of(survey.values)}
    return replace(
        blank,
        model=_model(make_simulator(found, theory), observed),
        baseline=make_baseline(survey, theory, data_folder(folder)),
        figures=(make_triangle(survey, theory), contours),
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
