r"""Band powers of cosmic shear: a linear operator on angular power spectra.

.. math::
    \mathcal C_l = \frac{1}{2 N_l} \int d\ell\, \ell\, W_l(\ell)\, C(\ell), \qquad
    W_l(\ell) = \int d\theta\, \theta\, T(\theta)
        \big[ J_0(\ell\theta)\, g_+^l(\theta) + J_4(\ell\theta)\, g_-^l(\theta) \big]

with :math:`N_l = \ln(\ell_{up} / \ell_{lo})`, :math:`g_+ = [\theta\ell\,
J_1(\theta\ell)]_{lo}^{up} / \theta^2`, :math:`g_- = [G(\theta\ell)]_{lo}^{up} /
\theta^2`, :math:`G(x) = (x - 8/x) J_1(x) - 8 J_2(x)`, and T a top hat in
:math:`\ln\theta` whose edges fall as a squared cosine. Band powers mix multipoles
because correlation functions are measured on a finite range of angles.

Angles and multipoles lie on logarithmic grids of commensurate steps, so that all
products of the two are among a few thousand arguments of the Bessel functions.

Source: Schneider et al. (2002), doi:10.1051/0004-6361:20020626; Joachimi et al. (2021),
KiDS-1000 methodology, arXiv:2007.01844, equations 17 to 23.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from scipy.special import jv


ARCMIN = np.pi / (180 * 60)
STEP = 5e-4  # of the logarithm of the angle
EVERY = 10  # steps of the angle to one of the multipole
LARGEST = 1e4


class Bands(NamedTuple):
    """Which multipoles and angles band powers are made of.

    Attributes:
        num: Number of logarithmic bands.
        low: Lower edge of the first.
        high: Upper edge of the last.
        angles: Range of angles, arcmin.
        width: Width of the apodization, in the logarithm of the angle.
    """

    num: int = 8
    low: float = 100.0
    high: float = 1500.0
    angles: tuple[float, float] = (0.5, 300.0)
    width: float = 0.5


def band_operator(
    ell: Float[np.ndarray, " ell"], bands: Bands | None = None
) -> Float[np.ndarray, "band ell"]:
    """Return the matrix that takes C at multipoles ``ell`` to band powers.

    Between the nodes, ell C is a cubic spline in the logarithm of ell.
    """
    bands = bands or Bands()
    fine = np.arange(0.0, np.log(LARGEST), STEP * EVERY)
    fine = fine[(fine >= np.log(ell[0])) & (fine <= np.log(ell[-1]))]
    weights = _kernels(fine, bands) * np.exp(2 * fine) * STEP * EVERY
    basis = make_interp_spline(np.log(ell), np.eye(len(ell)), k=3)(fine)
    spread = (basis / np.exp(fine)[:, None]) * ell
    edges = np.geomspace(bands.low, bands.high, bands.num + 1)
    norms = 2 * np.log(edges[1:] / edges[:-1])
    return (weights @ spread) / norms[:, None]


def _kernels(log_ell: np.ndarray, bands: Bands) -> Float[np.ndarray, "band ell"]:
    """Return W at multipoles on the fine grid."""
    low, high = (np.log(angle * ARCMIN) for angle in bands.angles)
    log_theta = np.arange(low - bands.width / 2, high + bands.width / 2, STEP)
    theta = np.exp(log_theta)
    window = _window(log_theta, low, high, bands.width) * theta**2 * STEP
    edges = np.geomspace(bands.low, bands.high, bands.num + 1)
    plus, minus = (
        np.array([g(theta, edge) for edge in edges]) for g in (_plus, _minus)
    )
    plus, minus = (window * np.diff(g, axis=0) / theta**2 for g in (plus, minus))
    first = round(log_ell[0] / STEP)
    count = len(theta) + EVERY * (len(log_ell) - 1)
    arguments = np.exp(log_theta[0] + STEP * (first + np.arange(count)))
    j0, j4 = jv(0, arguments), jv(4, arguments)
    columns = []
    for index in range(len(log_ell)):
        part = slice(EVERY * index, EVERY * index + len(theta))
        columns.append(plus @ j0[part] + minus @ j4[part])
    return np.stack(columns, axis=1)


def _window(x: np.ndarray, low: float, high: float, width: float) -> np.ndarray:
    """Return the apodized top hat on logarithms of angles."""
    inside = np.minimum((x - low) / width, (high - x) / width) + 0.5
    return np.sin(np.pi / 2 * np.clip(inside, 0.0, 1.0)) ** 2


def _plus(theta: np.ndarray, ell: float) -> np.ndarray:
    x = theta * ell
    return x * jv(1, x)


def _minus(theta: np.ndarray, ell: float) -> np.ndarray:
    x = theta * ell
    return (x - 8 / x) * jv(1, x) - 8 * jv(2, x)
