r"""Angular power spectra of cosmic shear in a flat universe, in JAX.

.. math::
    C_{ij}(\ell) = \int d\chi\, \frac{W_i(\chi) W_j(\chi)}{\chi^2}
        P\Big(\frac{\ell + 1/2}{\chi}, z(\chi)\Big), \qquad
    W_i = \frac{3 \Omega_m H_0^2}{2 c^2} (1 + z)\, \chi
        \int dz'\, n_i(z') \Big(1 - \frac{\chi}{\chi'}\Big)
        - A_{IA} \frac{C_1 \rho_c \Omega_m}{D(z)}\, n_i(z) \frac{dz}{d\chi}.

The matter power spectrum is the linear one of today from an emulator, scaled to the
wanted sigma_8 and by the growth factor, times an emulated boost for nonlinear growth
and baryons at ten redshifts. The second term of W is the nonlinear alignment model.
Lengths are in Mpc.

Source: LoVerde and Afshordi (2008), arXiv:0809.5112 (Limber); Bridle and King (2007),
arXiv:0705.0166 (alignments); Spurio Mancini et al. (2022), arXiv:2106.03846, and Piras
and Spurio Mancini (2023), arXiv:2305.06347 (emulators, after HMcode of Mead et al.).
Deviation from the source: growth does not depend on scale, though neutrinos weigh .06
eV (an error of about .1 %).
"""

import warnings
from collections.abc import Callable, Mapping
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import Akima1DInterpolator, make_interp_spline

from .._core.errors import ModelError


Theta = Mapping[str, Array]
Power = Callable[[Theta], tuple[Array, Array]]

SPEED_OF_LIGHT = 2997.92458  # h Mpc: c / (100 km/s/Mpc)
NEUTRINO_DENSITY = 0.0006451  # omega_nu h^2 of .06 eV
C1_RHO = 0.013873
REFERENCE_LOG_AS = 2.76
LOG_AS_RANGE = (1.61, 3.91)  # of the training of the emulator
BOOST_Z = np.expm1(np.linspace(0.0, np.log(6.0), 10))
Z = np.concatenate([np.linspace(0.01, 2.0, 100), np.linspace(2.1, 5.0, 20)])
NUM_GROWTH = 256


class Redshifts(NamedTuple):
    """Redshift distributions as piecewise cubics, which can be shifted.

    Attributes:
        knots: Where pieces meet.
        pieces: Coefficients ``(4, pieces, bins)``, highest power first.
    """

    knots: Float[np.ndarray, " knots"]
    pieces: Float[np.ndarray, "4 pieces bins"]

    @classmethod
    def fit(cls, z: np.ndarray, n: Float[np.ndarray, "z bins"]) -> "Redshifts":
        """Interpolate after Akima (1970), which does not overshoot."""
        return cls(z, Akima1DInterpolator(z, n).c)

    def at(self, z: np.ndarray, shift: Float[Array, " bins"]) -> Array:
        """Return n(z - shift), not negative, normalized: ``(z, bins)``."""
        moved = z[:, None] - shift
        index = jnp.searchsorted(jnp.asarray(self.knots), moved, side="right") - 1
        index = jnp.clip(index, 0, self.pieces.shape[1] - 1)
        bins = np.arange(self.pieces.shape[2])
        a, b, c, d = jnp.asarray(self.pieces, moved.dtype)[:, index, bins]
        x = moved - jnp.asarray(self.knots, moved.dtype)[index]
        inside = (moved >= self.knots[0]) & (moved <= self.knots[-1])
        n = jnp.where(inside, jnp.maximum(((a * x + b) * x + c) * x + d, 0.0), 0.0)
        return n / (weights(z) @ n)


def weights(z: np.ndarray) -> np.ndarray:
    """Return the weights of the trapezoidal rule."""
    width = np.diff(z)
    return 0.5 * (np.append(width, 0.0) + np.append(0.0, width))


def omega_m(theta: Theta) -> Array:
    """Return the matter density, neutrinos included."""
    total = theta["omch2"] + theta["ombh2"] + NEUTRINO_DENSITY
    return total / theta["h"] ** 2


def distances(theta: Theta, z: np.ndarray) -> tuple[Array, Array]:
    """Return comoving distance (Mpc) and d chi / d z at ``z``."""
    fine = np.linspace(0.0, z[-1], 400)
    om = omega_m(theta)

    def per_redshift(z: np.ndarray) -> Array:
        hubble = jnp.sqrt(om * (1 + z) ** 3 + 1 - om)
        return SPEED_OF_LIGHT / theta["h"] / hubble

    steps = per_redshift(fine)
    middle = per_redshift(0.5 * (fine[1:] + fine[:-1]))  # Simpson's rule
    pieces = (steps[1:] + 4 * middle + steps[:-1]) * (fine[1] - fine[0]) / 6
    total = jnp.concatenate([jnp.zeros_like(pieces[:1]), jnp.cumsum(pieces)])
    return jnp.interp(z, fine, total), per_redshift(z)


def growth(theta: Theta, z: np.ndarray) -> Array:
    """Return the linear growth factor, 1 today (Heath 1977)."""
    om = omega_m(theta)
    a = np.linspace(1e-4, 1.0, NUM_GROWTH)
    hubble = jnp.sqrt(om / a**3 + 1 - om)
    integrand = 1 / (a * hubble) ** 3
    steps = 0.5 * (integrand[1:] + integrand[:-1]) * (a[1] - a[0])
    total = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps)]) * hubble
    return jnp.interp(1 / (1 + z), a, total) / total[-1]


def load_emulators() -> tuple[Any, Any]:
    """Return the emulators of the linear spectrum and of the boost.

    Raises:
        ModelError: If the optional libraries are not installed.
    """
    try:
        from cosmopower_jax.cosmopower_jax import (  # pyright: ignore[reportMissingImports]
            CosmoPowerJAX,
        )
    except ImportError as error:
        raise ModelError(
            "This world needs the extra of cosmology: pip install "
            "'retrodict[cosmology]'."
        ) from error
    with warnings.catch_warnings():  # of how the library opens its own files
        warnings.simplefilter("ignore", DeprecationWarning)
        return tuple(
            CosmoPowerJAX(probe=name, verbose=False)
            for name in ("mpk_lin", "mpk_boost")
        )


def make_power(z: np.ndarray) -> Power:
    """Return ``theta -> (ln k, ln P)``, with P in Mpc^3 at redshifts ``z``."""
    linear, boost = load_emulators()
    k = np.asarray(linear.modes, float)
    log_k = np.log(k)
    nodes = np.log1p(BOOST_Z)
    basis = make_interp_spline(nodes, np.eye(len(nodes)), k=3)(np.log1p(z))

    def power(theta: Theta) -> tuple[Array, Array]:
        dtype = theta["h"].dtype
        shape = [theta[name] for name in ("ombh2", "omch2", "h", "n_s")]
        zero = jnp.zeros((), dtype)
        row = jnp.stack([*shape, zero + REFERENCE_LOG_AS, zero])
        reference = predict(linear, row[None])
        sigma = jnp.sqrt(variance(k, reference, 8.0 / theta["h"]))
        wanted = theta["S8"] / jnp.sqrt(omega_m(theta) / 0.3)
        log_factor = 2 * jnp.log(wanted / sigma)
        log_as = jnp.clip(REFERENCE_LOG_AS + log_factor, *LOG_AS_RANGE)
        eta = 0.98 - 0.12 * theta["A_bary"]
        rows = jnp.stack([*shape, log_as, theta["A_bary"], eta])
        rows = jnp.concatenate(
            [jnp.tile(rows, (len(nodes), 1)), jnp.asarray(BOOST_Z, dtype)[:, None]], 1
        )
        log_boost = jnp.asarray(basis, dtype) @ jnp.log(predict(boost, rows))
        log_growth = 2 * jnp.log(growth(theta, z))
        today = jnp.log(reference) + log_factor
        return jnp.asarray(log_k, dtype), today + log_growth[:, None] + log_boost

    return power


def predict(emulator: Any, rows: Array) -> Array:
    """Evaluate an emulator, whose weights are of single precision."""
    return emulator.predict(rows.astype(jnp.float32)).astype(rows.dtype)


def variance(k: np.ndarray, power: Array, radius: Array) -> Array:
    """Return the variance of the density in spheres, sigma(R)^2."""
    x = k * radius
    small = x < 1e-2
    safe = jnp.where(small, 1.0, x)
    top_hat = 3 * (jnp.sin(safe) - safe * jnp.cos(safe)) / safe**3
    top_hat = jnp.where(small, 1 - x**2 / 10, top_hat)
    integrand = k**3 * power * top_hat**2 / (2 * np.pi**2)
    return jnp.dot(integrand, weights(np.log(k)))


def make_spectra(
    ell: np.ndarray,
    redshifts: Redshifts,
    make_power: Callable[[np.ndarray], Power] = make_power,
) -> Callable[[Theta, Float[Array, " bins"]], Float[Array, "pairs ell"]]:
    """Return ``(theta, shifts) -> C`` for all pairs i <= j, in order of i, then j.

    Args:
        ell: Multipoles.
        redshifts: Distributions of the sources.
        make_power: Takes redshifts to the function that gives ``(ln k, ln P)`` there.
    """
    power = make_power(Z)
    pairs = list(combinations_with_replacement(range(redshifts.pieces.shape[2]), 2))

    def spectra(theta: Theta, shifts: Array) -> Array:
        chi, per_redshift = distances(theta, Z)
        n = redshifts.at(Z, shifts)
        kernels = _lensing(theta, chi, n) + _alignment(theta, n) / per_redshift[:, None]
        log_k, log_power = power(theta)
        wanted = jnp.log((ell[None, :] + 0.5) / chi[:, None])
        found = jax.vmap(_interpolate, in_axes=(0, None, 0))(wanted, log_k, log_power)
        both = jnp.stack([kernels[:, i] * kernels[:, j] for i, j in pairs])
        measure = weights(Z) * per_redshift / chi**2
        return (both * measure) @ jnp.exp(found)

    return spectra


def _lensing(theta: Theta, chi: Array, n: Array) -> Array:
    """Return how strongly sources are lensed by matter at each distance."""
    behind = jnp.maximum(1 - chi[:, None] / chi[None, :], 0.0)
    efficiency = behind @ (weights(Z)[:, None] * n)
    scale = 1.5 * omega_m(theta) * (theta["h"] / SPEED_OF_LIGHT) ** 2
    return scale * (chi * (1 + Z))[:, None] * efficiency


def _alignment(theta: Theta, n: Array) -> Array:
    """Return the alignment of galaxies with the tide around them, per redshift."""
    strength = theta["A_IA"] * C1_RHO * omega_m(theta) / growth(theta, Z)
    return -strength[:, None] * n


def _interpolate(x: Array, log_k: Array, log_power: Array) -> Array:
    """Interpolate linearly in logarithms; beyond the last k, as a power law."""
    slope = (log_power[-1] - log_power[-10]) / (log_k[-1] - log_k[-10])
    beyond = log_power[-1] + slope * (x - log_k[-1])
    return jnp.where(x > log_k[-1], beyond, jnp.interp(x, log_k, log_power))
