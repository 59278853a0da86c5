"""F8, F9, F11: full and failing disks, flipped bytes, overlapping and foreign shards.

Each test is a short slice of what ``make test-faults-disk`` does in full.
"""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from campaigns import FULL, assert_byte_equal, finish, write_model
from retrodict._core.errors import DataError, RetrodictError, StorageError
from retrodict.model import Model, Prior, load_study
from retrodict.simulations import (
    Pool,
    campaign_of,
    campaign_status,
    merge,
    plan,
    planned_shards,
    remember,
    repair,
    run_shard,
    simulate,
    verify,
)
from retrodict.simulations.store import Folder, Store


pytestmark = [pytest.mark.faults, pytest.mark.timeout(3000)]


def jax_simulator(key, theta):
    return jnp.where(theta["a"] > 2, jnp.nan, theta["a"]) + jr.normal(key, (2,))


def _model(sd=1.0, **options):
    return Model(Prior(a=dist.Normal(0, sd)), jax_simulator, **options)


def _python_model():
    def simulator(rng, theta):
        if theta["a"] > 2:
            raise ValueError("too large")
        return theta["a"] + rng.standard_normal(2)

    return Model(Prior(a=dist.Normal(0, 1)), simulator)


# --- F8 -------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_at_any_write(error, tmp_path, monkeypatch):
    """F8: a clean error; the same call continues when the disk is well again."""
    model = _python_model()
    whole = simulate(model, 900)
    real, calls = os.fsync, []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: calls.append(real(handle)))
        simulate(model, 900, out=tmp_path / "well")
    assert len(calls) >= 8
    for number in range(len(calls) if FULL else 5):
        out = tmp_path / f"{number}"
        left = [number]

        def fails(handle, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(error, os.strerror(error))
            real(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            with pytest.raises(StorageError, match=os.strerror(error)):
                simulate(model, 900, out=out)
        assert_byte_equal(whole, simulate(model, 900, out=out))
        assert verify(out) == []


def test_a_disk_that_is_full(tmp_path):
    """F8: a real disk of 300 kB; after space is freed the campaign is completed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with pytest.raises(StorageError, match=r"full|No space"):
            simulate(_model(), 40_000, out=disk / "out")
        done = campaign_status(disk / "out")["done"]
        assert 0 < done < 40_000
        shutil.copytree(disk / "out", tmp_path / "moved")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    resumed = simulate(_model(), 40_000, out=tmp_path / "moved")
    assert_byte_equal(resumed, simulate(_model(), 40_000))
    assert verify(tmp_path / "moved") == []


@pytest.mark.slow
def test_a_folder_that_is_read_only(tmp_path):
    """F8: reading works, writing is refused, without a traceback of SQLite."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    out = tmp_path / "out"
    first = simulate(_model(), 1000, out=out)
    for folder in (out, out / "blocks"):
        folder.chmod(0o555)
    try:
        assert_byte_equal(first, simulate(_model(), 1000, out=out))
        with pytest.raises(StorageError, match="Cannot write"):
            simulate(_model(), 2000, out=out)
    finally:
        for folder in (out, out / "blocks"):
            folder.chmod(0o755)


# --- F9 -------------------------------------------------------------------------------


@pytest.fixture
def campaign(tmp_path):
    """A campaign with blocks, failures and rows that wait for their block."""
    out = tmp_path / "out"
    model = _python_model()
    simulate(model, 600, out=out)
    remember(out, {"model": "none", "num": 600})
    return model, out


def test_a_flipped_byte_anywhere_is_found(campaign):
    """F9: one byte of any file, at random places."""
    _, out = campaign
    assert verify(out) == []
    rng = np.random.default_rng(5)
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.stat().st_size]
    assert len(files) >= 6
    sizes = np.array([p.stat().st_size for p in files], float)
    flips, missed = (1000 if FULL else 60), []
    for number in range(flips):
        path = files[number % len(files) if number % 2 else _pick(rng, sizes)]
        content = path.read_bytes()
        place = int(rng.integers(len(content)))
        bad = bytearray(content)
        bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        try:
            found = verify(out)
        except RetrodictError as error:
            found = [error]
        if not found:
            missed.append((path.name, place))
        path.write_bytes(content)
    print(f"F9: {flips} flips in {len(files)} files, {len(missed)} not found")
    assert missed == []
    assert verify(out) == []


def _pick(rng, sizes):
    return int(rng.choice(len(sizes), p=sizes / sizes.sum()))


@pytest.mark.parametrize("number", range(60 if FULL else 6))
def test_what_is_damaged_is_simulated_anew(number, campaign):
    """F9: after repair the rows are those of the undamaged campaign."""
    model, out = campaign
    clean = simulate(model, 600, out=out)
    rng = np.random.default_rng(number)
    files = [*sorted(out.glob("blocks/*")), out / "ledger.sqlite"]
    path = files[number % len(files)]
    bad = bytearray(path.read_bytes())
    bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(bad))
    assert verify(out)
    assert repair(out)
    assert verify(out) == []
    assert_byte_equal(clean, simulate(model, 600, out=out))
    assert verify(out) == []


def test_a_damaged_block_is_never_used(campaign):
    model, out = campaign
    path = sorted(out.glob("blocks/*"))[0]
    bad = bytearray(path.read_bytes())
    bad[-5] ^= 1
    path.write_bytes(bytes(bad))
    with pytest.raises(DataError, match=r"damaged.*simulate repair"):
        simulate(model, 600, out=out)


@pytest.mark.parametrize("how", ["gone", "empty", "noise"])
def test_a_ledger_is_rebuilt_from_the_blocks(how, campaign):
    model, out = campaign
    clean = simulate(model, 600, out=out)
    before = campaign_status(out)
    ledger = out / "ledger.sqlite"
    if how == "gone":
        ledger.unlink()
    else:
        ledger.write_bytes(b"" if how == "empty" else b"noise" * 1000)
    assert verify(out)
    repair(out)
    after = campaign_status(out)
    assert after["counts"] == before["counts"]
    assert after["errors"] == before["errors"]
    assert_byte_equal(clean, simulate(model, 600, out=out))


# --- F11 ------------------------------------------------------------------------------


def test_shards_that_overlap_are_a_union(tmp_path):
    """F11: done twice, in any order, with rows that are there already."""
    model = _python_model()
    campaign = campaign_of(model, 0)
    out = tmp_path / "out"
    shards = plan(out, campaign, 1500, 3)
    assert [s.rows for s in shards] == [
        range(512),
        range(512, 1024),
        range(1024, 1500),
    ]
    assert planned_shards(out) == shards
    simulate(model, 700, out=out)  # rows 0 to 699 are there already
    for shard in shards:
        run_shard(campaign, shard, Pool())
    simulate(model, 100, out=tmp_path / "extra")
    sources = [shards[2].folder, tmp_path / "extra", shards[1].folder, shards[0].folder]
    assert merge(out, sources) == {"added": 800, "present": 800}
    assert merge(out) == {"added": 0, "present": 1500}
    assert verify(out) == []
    assert campaign_status(out)["done"] == 1500
    assert_byte_equal(simulate(model, 1500, out=out), simulate(model, 1500))


def test_an_unfinished_shard_is_merged_and_resumed(tmp_path, monkeypatch):
    model = _python_model()
    campaign = campaign_of(model, 0)
    shard = plan(tmp_path, campaign, 600, 1)[0]
    write = Store.write

    def stop(self, block):
        if block.start > 0:
            raise KeyboardInterrupt
        write(self, block)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", stop)
        with pytest.raises(RetrodictError, match="is safe"):
            run_shard(campaign, shard, Pool())
    staged = merge(tmp_path)["added"]
    assert staged >= 256
    run_shard(campaign, shard, Pool())
    assert merge(tmp_path)["added"] > 0
    assert_byte_equal(simulate(model, 600, out=tmp_path), simulate(model, 600))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"seed": 1}, "seed"),
        ({"sd": 2.0}, "prior"),
        ({"name": "renamed"}, "model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_foreign_shards_are_refused(other, what, tmp_path):
    """F11: and nothing is taken from the good shard beside them."""
    seed = other.pop("seed", 0)
    simulate(_model(), 1000, out=tmp_path / "good")
    simulate(_model(**other), 1000, seed=seed, out=tmp_path / "foreign")
    plan(tmp_path / "out", campaign_of(_model(), 0), 1000, 1)
    with pytest.raises(DataError, match=f"another campaign: its {what} is"):
        merge(tmp_path / "out", [tmp_path / "good", tmp_path / "foreign"])
    assert Folder(tmp_path / "out").lines() == []


# --- the simulator's file changes -----------------------------------------------------


@pytest.mark.slow
def test_a_changed_simulator_is_refused(tmp_path):
    file = write_model(tmp_path / "model")
    out = tmp_path / "out"
    model = load_study(f"{file}:steady").model
    simulate(model, 20, out=out, executor=Pool(1))
    source = file.parent / "simulator.py"
    source.write_text(source.read_text() + "\n# another version\n")
    assert len(simulate(model, 20, out=out)) == 20  # reading is fine
    with pytest.raises(DataError, match=r"has changed.*--changed-simulator"):
        simulate(model, 40, out=out)
    code, text = finish([str(file), "steady", "40", str(out), "1"])
    assert code == 1
    assert "has changed" in text
    assert isinstance(file, Path)
