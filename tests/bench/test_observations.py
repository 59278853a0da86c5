"""Files of observations: read, or refused with what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from retrodict._core.errors import DataError
from retrodict.bench import first_observation, read_observations


GOOD = {
    "theta_true": np.zeros((3, 2)),
    "x_obs": np.arange(12.0).reshape(3, 4),
    "reference": np.ones((3, 50, 2), np.float32),
    "observation": np.array([7, 1, 4]),
}


@pytest.fixture
def save(tmp_path: Path):
    """Return a function that writes a file with some arrays replaced."""

    def write(**changes):
        arrays = {k: v for k, v in (GOOD | changes).items() if v is not None}
        np.savez(tmp_path / "slcp.npz", **arrays)
        return tmp_path

    return write


def test_arrays_are_read_in_float64(save):
    data = read_observations(save(), "slcp")
    assert data.reference.shape == (3, 50, 2)
    assert data.reference.dtype == data.theta_true.dtype == np.float64
    assert data.observation.tolist() == [7, 1, 4]


def test_the_first_observation_is_number_one_not_row_one(save):
    np.testing.assert_array_equal(first_observation(save(), "slcp"), [4, 5, 6, 7])


WRONG = {
    "key": ({"x_obs": None}, r"slcp\.npz.*'x_obs' is missing"),
    "rows": ({"x_obs": np.zeros((2, 4))}, r"x_obs: .*\(3, 'dx'\); got \(2, 4\)"),
    "axes": ({"reference": np.zeros((3, 2))}, r"reference: .*\(3, 'm', 2\); got"),
    "columns": ({"reference": np.zeros((3, 50, 1))}, r"reference.*got \(3, 50, 1\)"),
    "empty": ({"theta_true": np.zeros((0, 2))}, r"theta_true: .*got \(0, 2\)"),
    "words": ({"x_obs": np.full((3, 4), "a")}, r"x_obs: Expected numbers; got.*<U1"),
    "NaN": ({"x_obs": np.full((3, 4), np.nan)}, "x_obs: Expected finite"),
    "twice": ({"observation": np.array([1, 1, 2])}, r"observation.*\[1, 1, 2\]"),
    "zero": ({"observation": np.array([0, 1, 2])}, r"observation.*\[0, 1, 2\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays_are_named(save, name: str):
    changes, told = WRONG[name]
    with pytest.raises(DataError, match=told):
        read_observations(save(**changes), "slcp")


def test_objects_are_not_unpickled(save):
    folder = save(x_obs=np.array([{"a": 1}] * 3, dtype=object))
    with pytest.raises(DataError, match="allow_pickle"):
        read_observations(folder, "slcp")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no archive"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "slcp.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"slcp\.npz: cannot be read as \.npz"):
        read_observations(tmp_path, "slcp")


def test_an_array_alone_is_refused(tmp_path: Path):
    np.save(tmp_path / "slcp.npy", np.zeros(3))
    (tmp_path / "slcp.npy").rename(tmp_path / "slcp.npz")
    with pytest.raises(DataError, match=r"slcp\.npz: cannot be read as \.npz"):
        read_observations(tmp_path, "slcp")


def test_missing_files_are_named_with_those_there_are(save):
    with pytest.raises(DataError, match=r"sir\.npz: no such file.*\['slcp'\]"):
        read_observations(save(), "sir")
    with pytest.raises(DataError, match=r"--data.*nowhere"):
        read_observations(Path("nowhere"), "sir")
