"""The ridge against quadrature and the limit of no noise."""

import jax
import jax.random as jr
import numpy as np
import pytest

from retrodict.worlds import ridge


def test_grid_has_the_moments_of_the_limit_without_noise():
    """For r -> 0 sigma_8 has density 1/s on [.6, 1] (A = 1.2): mean .783, sd .1152."""
    mass, sigma_8, b = ridge.grid_posterior({"spectrum": 1.44 * ridge.SHAPE})
    assert mass.sum() == pytest.approx(1.0)
    mean = mass.sum(1) @ sigma_8
    assert mean == pytest.approx(0.4 / np.log(1 / 0.6), abs=2e-3)
    sd = np.sqrt(mass.sum(1) @ (sigma_8 - mean) ** 2)
    assert sd == pytest.approx(0.1152, abs=1e-3)
    logs = np.log(sigma_8)[:, None] + 0 * b, np.log(b) + 0 * sigma_8[:, None]
    centered = [value - (mass * value).sum() for value in logs]
    covariance = [[(mass * p * q).sum() for p in centered] for q in centered]
    root = np.sqrt(np.diag(covariance))
    assert covariance[0][1] / root[0] / root[1] == pytest.approx(-0.991, abs=2e-3)


def test_grid_density_is_that_of_the_simulator():
    """At three cells against the normal density of every bin."""
    model = ridge.study().model
    x = 1.1 * model.observed * (1 + 0.1 * np.sin(np.arange(20)))
    mass, sigma_8, b = ridge.grid_posterior({"spectrum": x})

    def log_density(i, j):
        mean = (sigma_8[i] * b[j]) ** 2 * ridge.SHAPE
        sd = mean * ridge.NOISE
        return np.sum(-0.5 * ((x - mean) / sd) ** 2 - np.log(sd))

    cells = [(300, 800), (700, 500), (1200, 100)]
    found = [np.log(mass[cell]) for cell in cells]
    exact = [log_density(*cell) for cell in cells]
    np.testing.assert_allclose(np.diff(found), np.diff(exact), rtol=1e-6)


def test_simulator_has_the_stated_noise():
    """Relative sd of 20 000 spectra: sd .0009; five of those."""
    theta = {"sigma_8": jax.numpy.float32(0.8), "b": jax.numpy.float32(1.5)}
    keys = jr.split(jr.key(0), 1000)
    x = jax.vmap(lambda key: ridge.simulator(key, theta))(keys)
    relative = np.asarray(x) / (1.44 * ridge.SHAPE)
    assert relative.std() == pytest.approx(2 * 0.02 * np.sqrt(20), abs=0.005)
    assert relative.mean() == pytest.approx(1.0, abs=0.007)


def test_growth_breaks_the_ridge():
    """f sigma_8 of a flat universe with .31 of matter is near .47 for sigma_8 = .81."""
    assert 0.81 * ridge.growth() == pytest.approx([0.474, 0.472, 0.467], abs=0.005)
    alone = ridge.baseline(jr.key(0), ridge.study().model).draws
    both = ridge.baseline(jr.key(0), ridge.rsd().model).draws
    assert alone["sigma_8"].std() > 2 * both["sigma_8"].std()


@pytest.mark.parametrize(("study", "shift"), [("study", 0.0), ("rsd", 0.2)])
def test_what_is_measured_tells_the_grid_from_a_shifted_one(study, shift):
    """Draws of the grid itself: a p below .001 in one of four has a chance of .4 %."""
    model = getattr(ridge, study)().model

    class Grid:
        def at(self, x):
            return self

        def sample(self, key, num):
            draws = ridge.baseline(key, model).draws
            return {"sigma_8": draws["sigma_8"][:num] + shift, "b": draws["b"][:num]}

    found = ridge.measure(jr.key(1), model, Grid())
    assert (found["KS p of sigma_8 against the grid"] > 1e-3) == (shift == 0)
    assert found["KS p of b against the grid"] > 1e-3
    if study == "rsd":
        assert found["sd of sigma_8, spectrum alone over both (grid)"] > 2
    else:
        assert found["correlation of log sigma_8 and log b"] < -0.98


def test_growth_data_are_those_of_the_published_file(data_dir):
    folder = data_dir / "boss_dr12"
    values = np.loadtxt(folder / "boss_dr12_final_consensus_results_dM_Hz_fsig.txt")
    covariance = np.loadtxt(folder / "boss_dr12_final_consensus_covtot_dM_Hz_fsig.txt")
    np.testing.assert_allclose(ridge.F_SIGMA_8, values[2::3])
    np.testing.assert_allclose(ridge.F_COVARIANCE, covariance[2::3, 2::3])
