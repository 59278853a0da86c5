"""Rows that are given up are ``cancelled``; those that were simulated stay."""

import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from campaigns import assert_byte_equal
from retrodict._core.errors import DataError
from retrodict.model import Model, Prior
from retrodict.simulations import campaign_status, cancel, simulate, verify


def jax_simulator(key, theta):
    return theta["a"] + jr.normal(key, (2,))


# without a name a fresh interpreter could import: runs in this process, which is fast
python_simulator = lambda rng, theta: theta["a"] + rng.standard_normal(2)  # noqa: E731


@pytest.mark.parametrize(
    ("simulator", "done", "num", "whole"),
    [(jax_simulator, 1000, 2500, 3000), (python_simulator, 300, 700, 700)],
    ids=["jax", "python"],
)
def test_missing_rows_are_cancelled(simulator, done, num, whole, tmp_path):
    model = Model(Prior(a=dist.Normal(0, 1)), simulator)
    first = simulate(model, done, out=tmp_path)
    assert cancel(model, num, out=tmp_path) == whole - done
    counts = {"ok": done, "cancelled": num - done}
    assert campaign_status(tmp_path)["counts"] == counts
    assert campaign_status(tmp_path)["errors"] == [("given up by the user", num - done)]
    found = simulate(model, num, out=tmp_path)
    assert found.counts == counts
    assert_byte_equal(first, found[np.arange(done)])
    everything = simulate(model, num + 1200)
    np.testing.assert_array_equal(found.theta["a"], everything.theta["a"][:num])
    # what comes after is simulated again
    longer = simulate(model, num + 1200, out=tmp_path)
    assert longer.counts["cancelled"] == whole - done
    rest = np.arange(whole, num + 1200)
    assert_byte_equal(longer[rest], everything[rest])
    assert verify(tmp_path) == []
    assert cancel(model, num, out=tmp_path) == 0


def test_a_campaign_without_any_result_cannot_be_cancelled(tmp_path):
    model = Model(Prior(a=dist.Normal(0, 1)), python_simulator)
    with pytest.raises(DataError, match="no simulation succeeded"):
        cancel(model, 100, out=tmp_path)
