"""A training that was interrupted anywhere goes on to the same bits, or begins anew."""

import dataclasses
import hashlib
import itertools

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import pytest

from retrodict._core.errors import InterruptedRun, StorageError
from retrodict.training import checkpoint as room
from retrodict.training import (
    checkpointing,
    forget_checkpoints,
    loop,
    train_ensemble,
)
from retrodict.training.checkpoint import MemberFolder
from trainings import SMALL, linear_data


TWO = dataclasses.replace(SMALL, num_members=2)


def train(seed=0, settings=TWO, num=400, held_out=None):
    value, x = linear_data(num, seed)
    return train_ensemble(jr.key(0), value, x, settings, held_out=held_out)


def bits(trained) -> str:
    leaves = jax.tree.leaves([eqx.filter(m, eqx.is_array) for m in trained.members])
    found = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves))
    for part in (trained.train, trained.validation, trained.skipped):
        found.update(np.asarray(part).tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def whole() -> str:
    return bits(train())


def interrupt_after(number: int, patch: pytest.MonkeyPatch) -> None:
    """Raise what Ctrl-C raises when checkpoints have been considered so often."""
    save, count = MemberFolder.save_if_due, itertools.count(1)

    def saved(self, position, *, now):
        save(self, position, now=now)
        if next(count) >= number:
            raise KeyboardInterrupt

    patch.setattr(MemberFolder, "save_if_due", saved)


@pytest.mark.parametrize("number", [1, 5, 9, 12])
def test_a_training_goes_on_where_it_was_interrupted(
    number, whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt_after(number, patch)
        with pytest.raises(InterruptedRun, match=f"safe in {tmp_path}"):
            with checkpointing(tmp_path, seconds=0.0):
                train()
    assert max(positions(tmp_path)) >= (1, 0)
    with checkpointing(tmp_path, seconds=0.0):
        assert bits(train()) == whole
        assert bits(train()) == whole  # from what is finished


def positions(folder):
    """Return epoch and part of the newest checkpoint of every member, by file name."""
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        epoch, part = path.name.partition("-")[0].split(".")
        found[path.parent] = int(epoch), int(part)
    return list(found.values())


def test_a_training_goes_on_in_the_middle_of_an_epoch(tmp_path, monkeypatch):
    """Epochs of 12 steps in 3 parts: interrupted after the second part of the third."""
    monkeypatch.setattr(loop, "MAX_STEPS", 4)
    settings = dataclasses.replace(TWO, num_members=1, batch_size=30)
    expected = bits(train(settings=settings))
    with monkeypatch.context() as patch:
        interrupt_after(8, patch)
        with pytest.raises(InterruptedRun):
            with checkpointing(tmp_path, seconds=0.0):
                train(settings=settings)
    assert positions(tmp_path) == [(2, 2)]
    with checkpointing(tmp_path):
        assert bits(train(settings=settings)) == expected


def test_an_epoch_in_parts_is_the_same_training(monkeypatch):
    settings = dataclasses.replace(TWO, num_members=1, batch_size=30)
    one = train(settings=settings)  # 12 steps
    monkeypatch.setattr(loop, "MAX_STEPS", 4)
    two = train(settings=settings)
    np.testing.assert_allclose(one.validation, two.validation, rtol=1e-4)


@pytest.mark.faults
@pytest.mark.parametrize("harm", ["flip", "truncate", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    harm, whole, tmp_path, capfd
):
    """F15: and to the start when both are damaged."""
    with checkpointing(tmp_path, seconds=0.0):
        train()
    folders = {path.parent for path in tmp_path.rglob("*.safetensors")}
    assert len(folders) == 2
    rng = np.random.default_rng(0)
    for number, folder in enumerate(sorted(folders)):
        files = sorted(folder.iterdir(), reverse=True)
        assert len(files) == 2  # the last two are kept
        for path in files[: number + 1]:
            damage(path, harm, rng)
    capfd.readouterr()
    with checkpointing(tmp_path, seconds=0.0):
        assert bits(train()) == whole
    assert capfd.readouterr().err.count("the checkpoint is damaged") == 3


def damage(path, harm, rng):
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    elif harm == "truncate":
        content = content[: rng.integers(1, len(content))]
    else:
        content = bytearray()
    path.write_bytes(content)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"settings": dataclasses.replace(TWO, learning_rate=1e-3)},
        {"held_out": np.arange(50, dtype=np.int32)},
    ],
    ids=["data", "settings", "split"],
)
def test_another_training_begins_anew(other, tmp_path, capfd):
    """F16: nothing of a training is used for one that differs in anything."""
    with checkpointing(tmp_path, seconds=0.0):
        train()
    with checkpointing(tmp_path, seconds=0.0):
        assert bits(train(**other)) == bits(train(**other))
    assert capfd.readouterr().err.count("are of another training") == 1
    with checkpointing(tmp_path / "own", seconds=0.0):
        found = bits(train(**other))
    assert found == bits(train(**other))


def test_other_versions_are_said(tmp_path, monkeypatch, capfd):
    """F16: the training goes on, with a word that bits may differ."""
    with checkpointing(tmp_path):
        train()
    capfd.readouterr()
    monkeypatch.setattr(room, "versions", lambda: {"jax": "99"})
    with checkpointing(tmp_path):
        train()
    assert "not bit for bit" in capfd.readouterr().err


@pytest.mark.faults
def test_a_full_disk_does_not_end_a_training(whole, tmp_path, monkeypatch, capfd):
    def full(path, content):
        raise StorageError(f"Cannot write {path}: No space left on device.")

    monkeypatch.setattr(room, "write_atomic", full)
    with checkpointing(tmp_path, seconds=0.0):
        assert bits(train()) == whole
    assert "goes on without this checkpoint" in capfd.readouterr().err


def test_without_a_folder_nothing_is_written(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with checkpointing(None):
        assert bits(train()) == whole
    with checkpointing("kept"):
        assert bits(train()) == whole
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    forget_checkpoints("kept")
    forget_checkpoints("kept")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_before_there_is_anything_to_keep(tmp_path):
    with pytest.raises(KeyboardInterrupt), checkpointing(tmp_path):
        raise KeyboardInterrupt
