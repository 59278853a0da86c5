import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.integrate import quad

from retrodict._core.errors import ModelError
from retrodict.worlds import _weak_lensing as lensing
from retrodict.worlds import kids1000
from retrodict.worlds._kcap import compare_with_kcap, operator_error, theory_errors


def test_band_powers_are_those_of_a_third_party(data_folder):
    """The bound is .5 %; found: .03 %."""
    assert operator_error(data_folder / "kids1000" / "kcap_golden_A") < 1e-3


def theta_of(**changes):
    theta = {"omch2": 0.12, "ombh2": 0.0224, "h": 0.7, "n_s": 0.97, "S8": 0.77}
    return {k: jnp.asarray(v) for k, v in {**theta, **changes}.items()}


def test_distance_and_growth_are_the_textbook_integrals():
    theta, z = theta_of(), np.array([0.3, 1.0, 2.5])
    om = float(lensing.omega_m(theta))

    def hubble(a):
        return np.sqrt(om / a**3 + 1 - om)

    chi, slope = lensing.distances(theta, z)
    for index, value in enumerate(z):
        far = quad(lambda x: 2997.92458 / 0.7 / hubble(1 / (1 + x)), 0, value)[0]
        assert float(chi[index]) == pytest.approx(far, rel=2e-4)
    assert float(slope[1]) == pytest.approx(2997.92458 / 0.7 / hubble(0.5), rel=1e-5)

    def grown(a):
        return hubble(a) * quad(lambda x: (x * hubble(x)) ** -3.0, 1e-6, a)[0]

    expected = [grown(1 / (1 + value)) / grown(1.0) for value in z]
    np.testing.assert_allclose(lensing.growth(theta, z), expected, rtol=1e-3)


def test_shifted_redshifts_stay_normalized():
    z = np.linspace(0, 6, 121)
    n = np.exp(-0.5 * ((z[:, None] - [0.5, 0.9]) / 0.15) ** 2)
    moved = np.asarray(lensing.Redshifts.fit(z, n).at(z, jnp.array([0.1, 0.0])))
    weights = lensing.weights(z)
    np.testing.assert_allclose(weights @ moved, 1, rtol=1e-5)
    np.testing.assert_allclose((weights * z) @ moved, [0.6, 0.9], atol=1e-3)


def test_components_keep_what_the_theory_moves():
    """A linear theory of four directions: the first four components hold all of it."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((120, 4))
    root = np.tril(rng.uniform(0.1, 1, (120, 120))) + 3 * np.eye(120)
    survey = kids1000.Survey(mixing[:, 0], root @ root.T, None, np.eye(5))

    def theory(theta):
        moved = jnp.stack([theta[name] for name in ("S8", "A_IA", "h", "A_bary")])
        return jnp.asarray(mixing, moved.dtype) @ moved

    found = kids1000.components(survey, theory, kids1000.study().model.prior)
    white = np.linalg.solve(root, mixing)
    kept = found.directions[:4].T @ (found.directions[:4] @ white)
    np.testing.assert_allclose(kept, white, atol=1e-4 * np.abs(white).max())
    x = found.of(root @ (found.mean + 2 * found.directions[1]))
    np.testing.assert_allclose(x, 2.0 * (np.arange(len(x)) == 1), atol=1e-9)


def test_components_keep_what_moves_far_from_the_answer_only():
    """Of the five directions of a theory, no derivative at the answer sees the last."""
    mixing = np.linalg.qr(np.random.default_rng(1).standard_normal((120, 5)))[0]
    survey = kids1000.Survey(mixing[:, 0], np.eye(120), None, np.eye(5))

    def theory(theta):
        moved = [theta[name] for name in ("S8", "A_IA", "h", "A_bary")]
        far = (theta["S8"] - kids1000.NEAR["S8"]) ** 2
        moved = jnp.stack([*moved, far])
        return jnp.asarray(mixing, moved.dtype) @ moved

    found = kids1000.components(survey, theory, kids1000.study().model.prior)
    assert np.abs(found.directions[:4] @ mixing[:, 4]).max() < 1e-3
    kept = np.linalg.norm(found.directions @ mixing[:, 4])
    assert kept == pytest.approx(1, abs=1e-3)


def test_without_data_it_says_what_is_needed():
    study = kids1000.study()
    with pytest.raises(ModelError, match=r"kids1000 needs .*--data DIR"):
        study.baseline(jr.key(0), study.model)


def test_theory_is_near_that_of_kcap(data_folder):
    """All pairs of the three far bins within 2 %; needs the extra of cosmology."""
    pytest.importorskip("astropy", reason="needs retrodict[cosmology]")
    pytest.importorskip("cosmopower_jax", reason="needs retrodict[cosmology]")
    found = theory_errors(data_folder / "kids1000" / "kcap_golden_C")
    assert len(found) == 15
    for (one, _), difference in found.items():
        if one >= 3:
            np.testing.assert_allclose(difference, 0, atol=0.02)


def test_without_results_of_kcap_nothing_is_compared(tmp_path):
    assert compare_with_kcap(tmp_path) == {}
