"""The observations of a task, with their true and reference posteriors, from a file.

A folder holds one ``<task>.npz`` per task with the arrays of :class:`Observations`.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from .._core.errors import DataError


@dataclass(frozen=True)
class Observations:
    """What is known of a task beside its model.

    Attributes:
        theta_true: Parameters that made each observation.
        x_obs: The observations.
        reference: Draws from the exact posterior of each.
        observation: Their numbers in the published set, from 1.
    """

    theta_true: Float[np.ndarray, "num_observations theta_dim"]
    x_obs: Float[np.ndarray, "num_observations x_dim"]
    reference: Float[np.ndarray, "num_observations num_samples theta_dim"]
    observation: Int[np.ndarray, " num_observations"]


AXES = {"theta_true": "n d", "x_obs": "n dx", "reference": "n m d", "observation": "n"}


def read_observations(folder: Path, name: str) -> Observations:
    """Read ``folder/<name>.npz``.

    Args:
        folder: Folder with one file per task.
        name: Name of the task.

    Raises:
        DataError: If folder or file is missing, or the file does not hold the arrays
            of :class:`Observations` with shapes that fit together.
    """
    path = task_file(folder, name)
    arrays = _read(path)
    _check_shapes(path, arrays)
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            raise DataError(f"{path}: {key}: Expected finite numbers; got others.")
    numbers = arrays["observation"].astype(np.int64)
    if len(set(numbers.tolist())) < len(numbers) or (numbers < 1).any():
        raise DataError(
            f"{path}: observation: Expected different numbers from 1; got "
            f"{numbers.tolist()}."
        )
    values = {k: arrays[k].astype(np.float64) for k in AXES if k != "observation"}
    return Observations(**values, observation=numbers)


def first_observation(folder: Path, name: str) -> Float[np.ndarray, " x_dim"]:
    """Return the observation number 1 of a task; the first there is if it is not there.

    Args:
        folder: Folder with one file per task.
        name: Name of the task.

    Raises:
        DataError: As :func:`read_observations`.
    """
    data = read_observations(folder, name)
    return data.x_obs[int(np.argmin(data.observation))]


def task_file(folder: Path, name: str) -> Path:
    """Return the path of a task's file.

    Args:
        folder: Folder with one file per task.
        name: Name of the task.

    Raises:
        DataError: If the folder or the file does not exist.
    """
    if not folder.is_dir():
        raise DataError(f"--data: Expected a folder of <task>.npz files; got {folder}.")
    path = folder / f"{name}.npz"
    if not path.is_file():
        there = sorted(p.stem for p in folder.glob("*.npz"))
        raise DataError(f"{path}: no such file. Tasks in this folder: {there}.")
    return path


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as body, np.load(body, allow_pickle=False) as file:
            missing = [key for key in AXES if key not in file]
            if missing:
                raise DataError(
                    f"{path}: Expected the arrays {list(AXES)}; {missing[0]!r} is "
                    f"missing among {sorted(file)}."
                )
            arrays = {key: file[key] for key in AXES}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise DataError(f"{path}: cannot be read as .npz: {error}.") from error
    for key, values in arrays.items():
        if values.dtype.kind not in "fiu":
            raise DataError(
                f"{path}: {key}: Expected numbers; got the type {values.dtype}."
            )
    return arrays


def _check_shapes(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays whose axes are too few, empty or of lengths that differ."""
    lengths: dict[str, int] = {}
    for key, axes in AXES.items():
        shape = arrays[key].shape
        names = axes.split()
        fits = len(shape) == len(names) and all(
            size > 0 and lengths.setdefault(axis, size) == size
            for axis, size in zip(names, shape, strict=True)
        )
        if not fits:
            wanted = tuple(lengths.get(axis, axis) for axis in names)
            raise DataError(f"{path}: {key}: Expected the shape {wanted}; got {shape}.")
