"""Training on files mapped into memory gives the bits of training in memory."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

import retrodict as rd
from retrodict.posterior import packed
from retrodict.simulations import dataset, join
from retrodict.training import loop
from retrodict.training.rows import Rows
from trainings import SMALL


SETTINGS = replace(SMALL, num_members=2, epochs=3)


def simulator(key, theta):
    y = theta["a"] + jr.normal(key, (3,))
    return {"y": jnp.where(theta["a"] > 1.8, jnp.nan, y), "n": jnp.exp(y[:2])}


def _weights(posterior):
    arrays = eqx.filter(posterior.network.members, eqx.is_array)
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(arrays)]


@pytest.mark.parametrize("bound", [2.0, 1.5], ids=["some failed", "all good"])
def test_mapped_files_and_memory_give_equal_bits(bound, tmp_path, monkeypatch):
    """Also with epochs, statistics and copies in several pieces."""
    monkeypatch.setattr(loop, "MAX_BYTES", 4096)
    monkeypatch.setattr(loop, "CHUNK", 32)
    monkeypatch.setattr(packed, "STATISTICS_BYTES", 2000)
    monkeypatch.setattr(packed, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(dataset, "TAKEN_BYTES", 512)
    model = rd.Model(rd.Prior(a=dist.Uniform(-2, bound)), simulator)
    loaded = rd.simulate(model, 1500, out=tmp_path)
    monkeypatch.setattr(join, "MAPPED_BYTES", 0)
    mapped = rd.simulate(model, 1500, out=tmp_path)
    assert (mapped.num_ok < 1500) == (bound > 1.8)
    assert all(isinstance(v, np.memmap) for v in mapped.ok().x.values())
    assert mapped.fingerprint() == loaded.fingerprint()
    expected = rd.fit(loaded, settings=SETTINGS)
    found = rd.fit(mapped, settings=SETTINGS)
    assert sorted(path.name for path in tmp_path.glob("packed/z-*")) == [
        "z-n.npy",
        "z-y.npy",
    ]
    assert _weights(found) == _weights(expected)
    np.testing.assert_array_equal(found.record.validation, expected.record.validation)
    assert found.record.dataset == expected.record.dataset


def test_rows_of_a_file_are_read_in_its_order(tmp_path):
    """And given in the order that was asked for, repeated ones too."""
    np.save(tmp_path / "x.npy", np.arange(10)[:, None])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = Rows(np.arange(20.0).reshape(10, 2), {"x": mapped})
    part = rows.load(np.array([[7, 2], [5, 7]], np.int32))
    np.testing.assert_array_equal(part.x["x"][..., 0], [[7, 2], [5, 7]])
    np.testing.assert_array_equal(part.value[..., 0], [[14, 4], [10, 14]])
    assert rows.row_bytes == 24
