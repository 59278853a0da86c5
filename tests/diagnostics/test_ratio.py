"""The classifier's null is exact by construction; what it finds is known."""

import jax.random as jr
import numpy as np
import pytest

from retrodict.diagnostics import (
    candidate_features,
    joint_ratio_test,
    local_ratio_test,
    num_context,
)


NUM, CANDIDATES = 1000, 17


def _rows(rng, sd=1.0, shift=0.0):
    """Truths N(shift, 1/sd²) among draws N(0, 1): the draws have the wrong width."""
    values = rng.standard_normal((NUM, CANDIDATES, 2))
    values[:, 0] = shift + values[:, 0] / sd
    log_prob = -0.5 * (values**2).sum(-1)
    x = rng.standard_normal((NUM, 3))
    pooled = values - values.mean(1, keepdims=True)
    return pooled / pooled.std(1, keepdims=True), log_prob, x


def _features(standard, log_prob, x):
    count = num_context(np.zeros((NUM, 3)), 2)
    return candidate_features(jr.key(0), standard, log_prob, x, num_context=count)


def _local(rng, key, **error):
    phi = _features(*_rows(rng, **error))
    draws = rng.standard_normal((500, 2))
    log_prob = -0.5 * (draws**2).sum(-1)
    here = _features(draws[None], log_prob[None], np.zeros((1, 3)))[0]
    return local_ratio_test(
        key, phi, here, draws, nearness=np.ones(NUM), num_relabels=400
    )


@pytest.mark.stat
def test_p_values_of_exchangeable_candidates_are_uniform_or_above():
    """Of 40, below .1: Binomial(40, .1) exceeds 14 with probability 1e-5."""
    rng = np.random.default_rng(0)
    joint = [joint_ratio_test(jr.key(i), _features(*_rows(rng)))[0] for i in range(40)]
    local = [_local(rng, jr.key(i)).p_value for i in range(40)]
    assert np.mean(np.array(joint) < 0.1) <= 0.35
    assert np.mean(np.array(local) < 0.1) <= 0.35
    assert np.mean(np.array(local) < 0.5) >= 0.2


@pytest.mark.stat
@pytest.mark.parametrize(
    ("error", "width", "shift"),
    [({"sd": 0.8}, np.log(1.25), 0.0), ({"shift": 0.4}, 0.0, 0.4)],
    ids=["narrow", "shifted"],
)
def test_errors_are_found_and_measured(error, width, shift):
    """One seed each; sizes are within .2."""
    rng = np.random.default_rng(1)
    assert joint_ratio_test(jr.key(0), _features(*_rows(rng, **error)))[0] < 1e-3
    found = _local(rng, jr.key(1), **error)
    assert found.p_value <= 3 / 401
    np.testing.assert_allclose(found.log_width, width, atol=0.2)
    np.testing.assert_allclose(found.shift, shift, atol=0.2)
    assert found.error > 0.2


def test_infinite_log_densities_and_many_parameters_are_fine():
    rng = np.random.default_rng(2)
    standard = rng.standard_normal((100, CANDIDATES, 20))
    log_prob = rng.standard_normal((100, CANDIDATES))
    log_prob[0, 0], log_prob[1] = -np.inf, -np.inf
    x = rng.standard_normal((100, 3))
    phi = candidate_features(jr.key(0), standard, log_prob, x, num_context=0)
    assert np.isfinite(phi).all()
    assert phi.shape[-1] == 20 + 66 + 32 + 1
    assert 0 <= joint_ratio_test(jr.key(1), phi)[0] <= 1
