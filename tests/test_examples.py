"""Examples that need libraries of others run where these are installed."""

import sys

import jax.random as jr
import numpy as np
import pytest

import retrodict as rd
from source import REPOSITORY


sys.path.append(str(REPOSITORY / "examples"))


@pytest.mark.slow
def test_a_posterior_of_sbi_is_judged():
    pytest.importorskip("sbi", reason="sbi is not installed")
    import judge_sbi

    simulations = rd.simulate(judge_sbi.model(), 200, seed=0)
    posterior = judge_sbi.train_sbi(simulations, seed=0)
    draws = posterior.sample(jr.key(0), simulations.x[:3], 20)
    assert draws.shape == (3, 20, 2)
    assert np.abs(draws).max() <= 1
    outside = posterior.log_prob(np.full((3, 1, 2), 1.5), simulations.x[:3])
    assert np.isneginf(outside).all()
    verdict = rd.validate(
        posterior, judge_sbi.model(), num_simulations=100, num_samples=32
    )
    assert verdict.num_simulations == 100
