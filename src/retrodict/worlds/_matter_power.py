r"""The power spectrum of matter in closed form: a fit to simulations, without tables.

The linear spectrum of today is

.. math::
    P(k) \propto k^{n_s}\, T(k)^2

with the transfer function of cold matter and baryons without their acoustic wiggles,
scaled to the wanted sigma_8 and by the growth factor. Nonlinear growth follows the halo
model of halofit: a quasilinear and a halo term, whose coefficients are functions of the
slope and curvature of the linear spectrum at the scale where the density begins to
collapse. Lengths are in Mpc.

Use it where a study must run without emulators; baryons do not feed back.

Source: Eisenstein and Hu (1998), astro-ph/9709112, equations 26 and 28 to 31 (the
transfer function); Takahashi et al. (2012), arXiv:1208.2701, appendix (halofit).
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._weak_lensing import Power, growth, omega_m, variance, weights


Theta = Mapping[str, Array]

CMB = 2.7255 / 2.7  # temperature, units of 2.7 K
K = np.geomspace(1e-4, 50.0, 240)  # 1/Mpc
LOG_RADII = np.linspace(np.log(1e-3), np.log(30.0), 60)  # of Gaussian spheres, ln Mpc


class Collapse(NamedTuple):
    """Where and how the linear spectrum becomes nonlinear, per redshift.

    Attributes:
        k: Wavenumber, 1/Mpc.
        slope: Effective spectral index there.
        curvature: Its curvature.
        matter: Share of matter in the density at that redshift.
    """

    k: Float[Array, " z"]
    slope: Float[Array, " z"]
    curvature: Float[Array, " z"]
    matter: Float[Array, " z"]


def make_fitted_power(z: np.ndarray) -> Power:
    """Return ``theta -> (ln k, ln P)``, with P in Mpc^3 at redshifts ``z``.

    Theta holds ``omch2``, ``ombh2``, ``h``, ``n_s`` and ``S8``, as for
    ``_weak_lensing.make_power``.
    """

    def power(theta: Theta) -> tuple[Array, Array]:
        reference = linear_shape(theta)
        sigma_8 = theta["S8"] / jnp.sqrt(omega_m(theta) / 0.3)
        found = variance(K, reference, 8.0 / theta["h"])
        today = reference * sigma_8**2 / found
        linear = today[None] * growth(theta, z)[:, None] ** 2
        matter = omega_m(theta) * (1 + z) ** 3
        matter = matter / (matter + 1 - omega_m(theta))
        measure = jnp.asarray(weights(np.log(K)) * K**3 / (2 * np.pi**2), today.dtype)
        collapse = jax.vmap(lambda row, m: find_collapse(row * measure, m))
        delta = linear * K**3 / (2 * np.pi**2)
        boost = jax.vmap(halofit_boost)(delta, collapse(linear, matter))
        return jnp.asarray(np.log(K), today.dtype), jnp.log(linear * boost)

    return power


def linear_shape(theta: Theta) -> Float[Array, " k"]:
    """Return the linear spectrum up to its amplitude, at :data:`K`."""
    matter, baryons = omega_m(theta) * theta["h"] ** 2, theta["ombh2"]
    share = baryons / matter
    sound = 44.5 * jnp.log(9.83 / matter) / jnp.sqrt(1 + 10 * baryons**0.75)
    suppressed = (
        1
        - 0.328 * jnp.log(431 * matter) * share
        + 0.38 * jnp.log(22.3 * matter) * share**2
    )
    shape = suppressed + (1 - suppressed) / (1 + (0.43 * K * sound) ** 4)
    q = K * CMB**2 / (matter * shape)
    log_term = jnp.log(2 * np.e + 1.8 * q)
    transfer = log_term / (log_term + (14.2 + 731 / (1 + 62.5 * q)) * q**2)
    return transfer**2 * K ** theta["n_s"]


def find_collapse(mass: Float[Array, " k"], matter: Array) -> Collapse:
    """Find the radius of Gaussian spheres in which the density varies by one.

    Args:
        mass: Variance of the density per node of :data:`K`.
        matter: Share of matter.
    """
    window = np.exp(-((np.exp(LOG_RADII)[:, None] * K) ** 2))
    log_variance = jnp.log(jnp.asarray(window, mass.dtype) @ mass)
    log_radii = jnp.asarray(LOG_RADII, mass.dtype)
    log_radius = jnp.interp(0.0, log_variance[::-1], log_radii[::-1])
    x = (jnp.exp(log_radius) * K) ** 2
    kernel = jnp.exp(-x) * mass
    total = kernel.sum()
    first = 2 * (x @ kernel) / total  # minus the slope of the logarithm of the variance
    curvature = first**2 + 4 * ((x - x**2) @ kernel) / total
    return Collapse(jnp.exp(-log_radius), first - 3, curvature, matter)


def halofit_boost(delta: Float[Array, " k"], collapse: Collapse) -> Float[Array, " k"]:
    """Return the ratio of nonlinear to linear power.

    Args:
        delta: Linear variance per unit of ln k.
        collapse: Of one redshift.
    """
    n, curve, matter = collapse.slope, collapse.curvature, collapse.matter
    y = K / collapse.k
    alpha = jnp.abs(6.0835 + 1.3373 * n - 0.1959 * n**2 - 5.5274 * curve)
    beta = _poly(n, 2.0379, -0.7354, 0.3157, 1.2490, 0.3980) - 0.1682 * curve
    damped = jnp.exp(-(y / 4 + y**2 / 8))
    quasilinear = (1 + delta) ** beta / (1 + alpha * delta) * damped
    a = 10 ** (_poly(n, 1.5222, 2.8553, 2.3706, 0.9903, 0.2250) - 0.6038 * curve)
    b = 10 ** (_poly(n, -0.5642, 0.5864, 0.5716) - 1.5474 * curve)
    c = 10 ** (_poly(n, 0.3698, 2.0404, 0.8161) + 0.5869 * curve)
    gamma = 0.1971 - 0.0843 * n + 0.8460 * curve
    f1, f2, f3 = matter**-0.0307, matter**-0.0585, matter**0.0743
    halo = a * y ** (3 * f1) / (1 + b * y**f2 + (c * f3 * y) ** (3 - gamma))
    halo = halo / (1 + 10 ** (5.2105 + 3.6902 * n) / y**2)
    return quasilinear + halo / delta


def _poly(x: Array, *coefficients: float) -> Array:
    """Return the polynomial, lowest power first."""
    return jnp.polyval(jnp.array(coefficients[::-1]), x)
