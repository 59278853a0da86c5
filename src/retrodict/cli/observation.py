"""Read an observation from a file that holds numbers and nothing else."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from .._core.errors import DataError


def read_observation(path: Path) -> Any:
    """Read x_obs: JSON (an array, or an object of arrays), .npy, or columns of text.

    A text file with a header line becomes one series per column.

    Raises:
        DataError: If the file is missing or does not hold numbers.
    """
    readers = {".json": _json, ".npy": _npy, ".csv": _text, ".txt": _text}
    if path.suffix not in readers:
        raise DataError(
            f"{path}: Expected a file ending in {', '.join(readers)}; got "
            f"{path.suffix!r}."
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file. Check --observation.")
    try:
        return readers[path.suffix](path)
    except (ValueError, TypeError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as an observation: {error}."
        ) from error


def _json(path: Path) -> Any:
    value = json.loads(path.read_text())
    if isinstance(value, dict):
        return {name: np.asarray(series, float) for name, series in value.items()}
    return np.asarray(value, float)


def _npy(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _text(path: Path) -> Any:
    lines = path.read_text().strip().splitlines()
    if not lines:
        raise ValueError("it is empty")
    delimiter = "," if "," in lines[0] else None
    header = [cell.strip() for cell in lines[0].split(delimiter)]
    if any(_is_word(cell) for cell in header):
        table = np.loadtxt(lines[1:], delimiter=delimiter, ndmin=2)
        return {name: table[:, column] for column, name in enumerate(header)}
    return np.squeeze(np.loadtxt(lines, delimiter=delimiter))


def _is_word(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return True
    return False
