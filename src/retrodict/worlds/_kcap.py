"""The theory of cosmic shear against that of a third party, KCAP, stored with the data.

Two folders lie beside the data of KiDS-1000: ``kcap_golden_A`` holds spectra and the
band powers made of them, ``kcap_golden_C`` spectra at one cosmology with the
distributions of redshift they belong to.

Source: Joachimi et al. (2021), arXiv:2007.01844 (the pipeline of the collaboration).
"""

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._band_powers import band_operator
from ._weak_lensing import Redshifts, make_spectra


COSMOLOGY = {
    "omch2": 0.13531100162165258,
    "ombh2": 0.025333089545132123,
    "h": 0.7214710816002222,
    "n_s": 0.8700926203418247,
    "S8": 0.7690371340310557,
    "A_bary": 3.124641753467352,
    "A_IA": 1.0222623864822378,
}
"""That of ``kcap_golden_C``."""


def compare_with_kcap(folder: Path) -> dict[str, float]:
    """Return deviations from KCAP in percent; nothing where its results are missing.

    Args:
        folder: The folder of the data.
    """
    numbers = {}
    if (folder / "kcap_golden_A").is_dir():
        error = operator_error(folder / "kcap_golden_A")
        numbers["band-power operator against KCAP (%)"] = 100 * error
    if (folder / "kcap_golden_C").is_dir():
        for (one, two), away in theory_errors(folder / "kcap_golden_C").items():
            low, high = 100 * away.min(), 100 * away.max()
            numbers[f"theory against KCAP, bins {one}-{two}, lowest (%)"] = float(low)
            numbers[f"theory against KCAP, bins {one}-{two}, highest (%)"] = float(high)
    return numbers


def operator_error(golden: Path) -> float:
    """Return the largest relative error of band powers made from given spectra."""
    spectra = golden / "shear_cl"
    operator = band_operator(np.loadtxt(spectra / "ell.txt"))
    worst = 0.0
    for one, two in pairs():
        name = f"bin_{two}_{one}.txt"
        expected = np.loadtxt(golden / "bandpower_shear_e" / name)
        found = operator @ np.loadtxt(spectra / name)
        worst = max(worst, float(np.abs(found / expected - 1).max()))
    return worst


def theory_errors(golden: Path) -> dict[tuple[int, int], Float[np.ndarray, " band"]]:
    """Return the relative difference of every band power from KCAP's, by pair of bins.

    Both spectra go through the same operator.
    """
    z = np.loadtxt(golden / "nz_source" / "z.txt")
    n = [np.loadtxt(golden / "nz_source" / f"bin_{i}.txt") for i in range(1, 6)]
    ell = np.loadtxt(golden / "shear_cl" / "ell.txt")
    spectra = jax.jit(make_spectra(ell, Redshifts.fit(z, np.stack(n, 1))))
    theta = {name: jnp.asarray(value) for name, value in COSMOLOGY.items()}
    found = np.asarray(spectra(theta, jnp.zeros(5)), np.float64)
    operator = band_operator(ell)
    differences = {}
    for row, (one, two) in enumerate(pairs()):
        expected = np.loadtxt(golden / "shear_cl" / f"bin_{two}_{one}.txt")
        differences[one, two] = (operator @ found[row]) / (operator @ expected) - 1
    return differences


def pairs() -> Iterator[tuple[int, int]]:
    """Yield pairs of bins i <= j, in order of i, then j."""
    for one in range(1, 6):
        for two in range(one, 6):
            yield one, two
