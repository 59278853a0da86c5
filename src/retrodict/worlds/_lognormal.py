r"""Lognormal maps of the convergence on a flat, periodic patch of sky, in JAX.

Maps of several bins are exponentials of correlated Gaussian maps,

.. math::
    \kappa_i = \lambda_i \Big( e^{g_i - \langle g_i^2 \rangle / 2} - 1 \Big), \qquad
    \langle g_i g_j \rangle(\theta) = \ln\Big( 1 +
        \frac{\langle \kappa_i \kappa_j \rangle(\theta)}{\lambda_i \lambda_j} \Big),

so that they have the wanted spectra and the skewness of matter; :math:`\lambda_i` is
minus the least convergence, that of an empty line of sight. Lognormal maps stand in for
gravity: their filaments and peaks are not those of a simulation of gravity.

On a periodic grid the mean spectra of masked maps are known exactly: the correlation
function is multiplied by the autocorrelation of the mask.

Source: Coles and Jones (1991), MNRAS 248; Xavier et al. (2016), arXiv:1602.08503
(correlated maps); Hilbert et al. (2011), arXiv:1105.3980, equation 38 (least
convergence).
Deviation from the source: no window of the pixels; the field has no power beyond the
grid.
"""

from itertools import pairwise

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.interpolate import make_interp_spline


SIDE = 64  # pixels
ANGLE = np.deg2rad(10.0)
PIXEL = (ANGLE / SIDE) ** 2  # steradian
NUM_BANDS = 8
MULTIPOLES = (
    50.0,
    1150.0,
)  # the smallest of the grid is 36, the largest on an axis 1152


def modes() -> Float[np.ndarray, "64 33"]:
    """Return the multipole of every mode of the half-complex grid."""
    step = 2 * np.pi / ANGLE
    rows = np.fft.fftfreq(SIDE, 1 / SIDE)
    columns = np.fft.rfftfreq(SIDE, 1 / SIDE)
    return step * np.hypot(rows[:, None], columns)


def spread_operator(nodes: Float[np.ndarray, " ell"]) -> Float[np.ndarray, "64 33 ell"]:
    """Return the matrix from C at ``nodes`` to C at every mode; none at multipole 0.

    Between the nodes, ell C is a cubic spline in the logarithm of ell.
    """
    ell = modes()
    ell[0, 0] = ell[0, 1]
    basis = make_interp_spline(np.log(nodes), np.eye(len(nodes)), k=3)(np.log(ell))
    basis = basis * nodes / ell[..., None]
    basis[0, 0] = 0
    return basis


def least_convergence(redshift: Float[np.ndarray, " bins"]) -> np.ndarray:
    """Return minus the convergence of an empty line of sight to sources there."""
    z = redshift
    return 0.008 * z + 0.029 * z**2 - 0.0079 * z**3 + 0.00065 * z**4


def correlations(spectra: Float[Array, "pairs 64 33"]) -> Float[Array, "pairs 64 64"]:
    """Return the correlation functions on the grid."""
    return jnp.fft.irfft2(spectra / PIXEL, s=(SIDE, SIDE))


def lognormal_maps(
    key: Key[Array, ""],
    spectra: Float[Array, "pairs 64 33"],
    least: Float[np.ndarray, " bins"],
) -> Float[Array, "64 64 bins"]:
    """Draw one set of maps.

    Args:
        key: PRNG key.
        spectra: C of all pairs i <= j at every mode.
        least: Minus the least convergence of each bin.
    """
    bins = len(least)
    first, second = np.triu_indices(bins)
    found = correlations(spectra) / (least[first] * least[second])[:, None, None]
    gaussian = jnp.log1p(found)
    root = _root(jnp.fft.rfft2(gaussian).real, bins)
    white = jr.normal(key, (bins, SIDE, SIDE), spectra.dtype)
    rough = jnp.fft.rfft2(white)
    smooth = [sum(root[i][j] * rough[j] for j in range(i + 1)) for i in range(bins)]
    g = jnp.fft.irfft2(jnp.stack(smooth), s=(SIDE, SIDE))
    half = gaussian[np.flatnonzero(first == second), 0, 0] / 2
    scale = jnp.asarray(least, spectra.dtype)
    return jnp.expm1(jnp.moveaxis(g, 0, -1) - half) * scale


def _root(spectra: Float[Array, "pairs 64 33"], bins: int) -> list[list[Array]]:
    """Return the Cholesky factor at every mode; what is not positive becomes 0."""
    place = np.zeros((bins, bins), int)
    place[np.triu_indices(bins)] = np.arange(len(spectra))
    root: list[list[Array]] = []
    for i in range(bins):
        row: list[Array] = []
        for j in range(i):
            inner = sum((row[k] * root[j][k] for k in range(j)), jnp.zeros(()))
            pivot = root[j][j]
            safe = jnp.where(pivot > 0, pivot, 1.0)
            left = spectra[place[j, i]] - inner
            row.append(jnp.where(pivot > 0, left / safe, 0.0))
        rest = spectra[place[i, i]] - sum((v**2 for v in row), jnp.zeros(()))
        row.append(jnp.sqrt(jnp.maximum(rest, 0.0)))
        root.append(row)
    return root


def survey_mask(seed: int, num_stars: int = 40) -> Bool[np.ndarray, "64 64"]:
    """Return where the sky was seen: not at the border, nor around bright stars."""
    rng = np.random.RandomState(seed)
    seen = np.zeros((SIDE, SIDE), bool)
    seen[3:-3, 3:-3] = True
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for x, y, radius in rng.uniform(0, 1, (num_stars, 3)):
        far = np.hypot(rows - SIDE * x, columns - SIDE * y) > 0.7 + 1.6 * radius
        seen &= far
    return seen


def band_matrix() -> Float[np.ndarray, "band 2112"]:
    """Return the weights that average modes to logarithmic bands of multipoles.

    Modes of the half-complex grid count twice, but for those of its two real columns.
    """
    edges = np.geomspace(*MULTIPOLES, NUM_BANDS + 1)
    ell = modes()
    twice = np.full(ell.shape, 2.0)
    twice[:, [0, -1]] = 1
    rows = [
        np.where((ell >= low) & (ell < high), twice, 0).ravel()
        for low, high in pairwise(edges)
    ]
    return np.stack([row / row.sum() for row in rows])


def band_multipoles() -> Float[np.ndarray, " band"]:
    """Return the mean multipole of each band."""
    return band_matrix() @ modes().ravel()


def measured_bands(maps: Float[Array, "64 64 bins"]) -> Float[Array, "pairs band"]:
    """Return the spectra of maps in bands, of all pairs i <= j."""
    hat = jnp.fft.rfft2(jnp.moveaxis(maps, -1, 0)).reshape(maps.shape[-1], -1)
    first, second = np.triu_indices(maps.shape[-1])
    product = (hat[first] * hat[second].conj()).real * (PIXEL / SIDE**2)
    return product @ jnp.asarray(band_matrix(), product.dtype).T


def expected_bands(
    spectra: Float[Array, "pairs 64 33"],
    noise: Float[np.ndarray, " bins"],
    mask: Bool[np.ndarray, "64 64"],
) -> Float[Array, "pairs band"]:
    """Return the mean of :func:`measured_bands` of masked, noisy maps.

    Args:
        spectra: C of all pairs at every mode.
        noise: Sd of the noise of one pixel, by bin.
        mask: Where the sky was seen.
    """
    first, second = np.triu_indices(len(noise))
    white = np.where(first == second, noise[first] ** 2, 0.0)
    found = correlations(spectra).at[:, 0, 0].add(white)
    power = np.abs(np.fft.rfft2(mask)) ** 2
    both = np.fft.irfft2(power, s=(SIDE, SIDE)) / SIDE**2  # pairs of seen pixels
    hat = jnp.fft.rfft2(found * jnp.asarray(both, found.dtype)).real * PIXEL
    return hat.reshape(len(first), -1) @ jnp.asarray(band_matrix(), found.dtype).T
