from inspect import unwrap

import numpy as np
import pytest

from retrodict.diagnostics import contraction, z_scores


@pytest.mark.stat
def test_contraction_of_a_gaussian_matches_closed_form():
    """Posterior variance 1/(1 + 1/s²) of a unit prior; 3 % is over 5 sigma."""
    rng = np.random.default_rng(0)
    noise = np.array([0.1, 1.0, 1e6])
    theta = rng.normal(size=(4000, 3))
    variance = 1 / (1 + 1 / noise**2)
    x = theta + noise * rng.normal(size=theta.shape)
    draws = (x * variance / noise**2)[:, None] + np.sqrt(variance) * rng.normal(
        size=(4000, 50, 3)
    )
    # Variances of 50 draws are low by one fiftieth.
    exact = 1 - variance * 49 / 50
    np.testing.assert_allclose(contraction(theta, draws), exact, atol=0.03)
    scores = z_scores(theta, draws)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=0.08)
    np.testing.assert_allclose(scores.std(axis=0), 1, atol=0.08)


def test_sign_and_constant_parameter():
    theta = np.array([[1.0, 5.0], [2.0, 5.0]])
    draws = np.repeat(theta[:, None] + [0.5, 0.0], 3, axis=1)
    draws[:, 0, 0] += 0.1
    assert np.all(z_scores(theta, draws)[:, 0] > 0)
    assert contraction(theta, draws)[1] == 0.0


def test_errors_name_the_shapes():
    with pytest.raises(ValueError, match=r"\(3, 1\) and \(2, 9, 1\)"):
        unwrap(contraction)(np.zeros((3, 1)), np.zeros((2, 9, 1)))
    with pytest.raises(ValueError, match=r"\(3, 1\) and \(3, 9, 2\)"):
        unwrap(z_scores)(np.zeros((3, 1)), np.zeros((3, 9, 2)))
