import jax
import jax.numpy as jnp
import numpy as np
import pytest

from retrodict.worlds import _lognormal as lognormal
from retrodict.worlds import lensing
from retrodict.worlds._matter_power import K, make_fitted_power


def truth(n):
    theta = {k: np.full(n, v, np.float32) for k, v in lensing.TRUTH.items()}
    return theta | {"shifts": np.zeros((n, lensing.NUM_BINS), np.float32)}


@pytest.fixture(scope="module")
def maps():
    """300 universes at the truth."""
    draw = jax.jit(
        lambda pair: jax.lax.map(
            lambda one: lensing.simulator(*one)["maps"], pair, batch_size=50
        )
    )
    return np.asarray(draw((jax.random.split(jax.random.key(0), 300), truth(300))))


def test_mean_spectrum_is_theory_plus_noise(maps):
    """120 means over 300 maps: reduced chi2 .7 to 1.4 (they are correlated: p < 1e-3).

    Theory that is wrong by 3 % in the last bands, or noise by 1 %, fails it.
    """
    bands = lensing.show_bands({"maps": maps})["bands"]
    found = lensing.mean_spectrum(bands)
    assert 0.6 < found["mean spectrum against theory plus noise, chi2 per band"] < 1.5
    assert abs(found["mean spectrum against theory plus noise, mean z"]) < 0.6


def test_maps_are_masked_and_skewed(maps):
    assert (maps[:, ~lensing.MASK] == 0).all()
    seen = maps[:, lensing.MASK][..., -1]
    skewness = ((seen - seen.mean()) ** 3).mean() / seen.std() ** 3
    assert 0.2 < skewness < 0.6
    assert abs(seen.mean()) < 0.002


def test_fitted_power_has_the_wanted_sigma_8():
    """And grows on small scales alone; against jax-cosmo it is within .7 % (k < 10)."""
    theta = {"omch2": 0.12, "ombh2": 0.0224, "h": 0.7, "n_s": 0.97, "S8": 0.77}
    theta = {k: jnp.asarray(v, jnp.float32) for k, v in theta.items()}
    log_k, log_power = make_fitted_power(np.array([0.0, 1.0]))(theta)
    # h = .7, Omega_m = .2919, sigma_8 = .7806: from jax-cosmo 0.1 (Eisenstein and Hu
    # without wiggles, halofit of Takahashi), ln P in Mpc^3 at k = .1 h, 1 h and 3 h
    wanted = np.log(np.array([0.1, 1.0, 3.0]) * 0.7)
    found = np.array([np.interp(wanted, log_k, row) for row in log_power])
    jax_cosmo = [[9.6787, 6.9487, 5.5392], [8.6941, 5.3492, 3.9833]]
    np.testing.assert_allclose(found, jax_cosmo, atol=0.01)
    assert K[0] <= 1e-4


def test_bins_hold_equally_many_galaxies():
    z, n = lensing.redshift_bins()
    counts = np.trapezoid(n, z, axis=0)
    np.testing.assert_allclose(counts / counts.sum(), 0.2, atol=1e-3)
    means = (z[:, None] * n).sum(0) / n.sum(0)
    assert (np.diff(means) > 0.1).all()


def test_the_mask_is_accounted_for():
    """White noise of known sd, masked: bands of its power times the share of sky."""
    mask, noise = lensing.MASK, np.array([0.3])
    nothing = jnp.zeros((1, 64, 33))
    expected = lognormal.expected_bands(nothing, noise, mask)
    level = noise[0] ** 2 * lognormal.PIXEL * mask.mean()
    np.testing.assert_allclose(expected, level, rtol=1e-4)
