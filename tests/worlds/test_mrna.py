import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

from retrodict._core.errors import DataError, ModelError
from retrodict.worlds import mrna


POINT = {"de": -2.0, "ga": -3.5, "k": 5.0, "t0": 1.0, "offset": 2.0, "sigma": -3.0}


def theta_of(**changes):
    return {k: jnp.asarray(v) for k, v in {**POINT, **changes}.items()}


def reference(theta):
    de, ga, k, t0, offset = (np.exp(float(theta[n])) for n in list(POINT)[:5])
    s = np.maximum(mrna.TIMES - t0, 0)
    return np.log(k / (de - ga) * (np.exp(-ga * s) - np.exp(-de * s)) + offset)


def test_the_curve_is_that_of_the_paper():
    theta = theta_of()
    np.testing.assert_allclose(mrna.log_light(theta), reference(theta), rtol=1e-4)


def test_the_curve_does_not_change_when_the_rates_are_exchanged():
    one, other = theta_of(), theta_of(de=-3.5, ga=-2.0)
    np.testing.assert_array_equal(mrna.log_light(one), mrna.log_light(other))
    equal = mrna.log_light(theta_of(de=-2.0, ga=-2.0))
    near = mrna.log_light(theta_of(de=-2.0, ga=-2.001))
    np.testing.assert_allclose(equal, near, atol=1e-2)


def test_the_log_likelihood_is_that_of_scipy():
    theta = theta_of()
    y = np.asarray(mrna.trace_simulator(jr.key(0), theta)["log_light"], float)
    expected = stats.norm.logpdf(y, reference(theta), np.exp(-3.0)).sum()
    assert float(mrna.log_likelihood(theta, y)) == pytest.approx(expected, rel=1e-3)


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"--data: .*first100cells\.csv\.gz"):
        mrna.load(tmp_path)


def test_chains_need_the_trace():
    study = mrna.study()
    with pytest.raises(ModelError, match=r"baseline: .*--data DIR, or --no-baseline"):
        study.baseline(jr.key(0), study.model)


def test_a_hundred_cells_are_read(data_folder):
    study = mrna.load(data_folder)
    assert len(study.observations) == 100
    assert study.model.observed["fit"].shape == (11,)
    assert study.show(study.model.observed)["log_light"].shape == (180,)
    trace = mrna.read_cells(data_folder)["cell0"]
    left = study.show(study.model.observed)["log_light"] - trace
    noise = float(np.log(np.sqrt(np.mean(left**2))))
    assert noise == pytest.approx(study.model.observed["fit"][5], abs=1e-3)
    assert study.measure is not None
