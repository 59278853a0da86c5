import os

import pytest

from retrodict._core.atomic import write_atomic
from retrodict._core.errors import (
    ArtifactError,
    DataError,
    RetrodictError,
    StorageError,
)
from retrodict._core.progress import progress, stopwatch


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "folder" / "file"
    write_atomic(path, b"first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.faults
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"Cannot write .*file: No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.faults
def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot write"):
        write_atomic(tmp_path / "file" / "below", b"")


def test_errors_have_their_exit_codes():
    codes = {cls.__name__: cls.exit_code for cls in RetrodictError.__subclasses__()}
    assert codes == {
        "ModelError": 2,
        "DataError": 65,
        "StorageError": 74,
        "InterruptedRun": 75,
    }
    error = ArtifactError("checksum", "a.retrodict: damaged.")
    assert isinstance(error, DataError)
    assert (error.code, error.exit_code) == ("checksum", 65)
    assert str(error) == "a.retrodict: damaged. [checksum]"


def test_progress_is_silent_without_a_terminal(capfd):
    with progress("Simulating", 10) as bar:
        bar.advance(3, note="going")
    assert capfd.readouterr() == ("", "")


def test_a_stopwatch_adds_up():
    times = {"a_s": 1.0}
    with pytest.raises(ValueError, match="stop"), stopwatch(times, "a_s"):
        raise ValueError("stop")
    assert 1.0 < times["a_s"] < 1.5
