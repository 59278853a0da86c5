"""The results of the benchmark: one JSON object a line, appended as they come."""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .._core.errors import DataError, StorageError


@dataclass(frozen=True)
class Setting:
    """What is measured, apart from the task.

    Attributes:
        method: Name of the method.
        effort: How much was spent on training.
        budget: Simulator calls.
        seed: Seed of everything.
    """

    method: str
    effort: str
    budget: int
    seed: int


@dataclass(frozen=True)
class Row:
    """One line of the results.

    Attributes:
        task: Name of the task.
        method: Name of the method.
        effort: How much was spent on training.
        budget: Simulator calls.
        seed: Seed of everything.
        observation: Number of the observation.
        c2st: Classifier two-sample test against the reference posterior, 10 000 draws.
        nlpd: -log q(theta_true | x_obs), nats; None if it is not finite.
        train_s: Seconds of training, without compilation, for the whole task; of rounds
            for one observation, on average.
        compile_s: Seconds of compilation, likewise.
        sample_s: Seconds to draw for one observation (all are drawn in one call).
    """

    task: str
    method: str
    effort: str
    budget: int
    seed: int
    observation: int
    c2st: float
    nlpd: float | None
    train_s: float
    compile_s: float
    sample_s: float

    def measures(self, setting: Setting) -> bool:
        """Whether the row was measured with ``setting``."""
        own = (self.method, self.effort, self.budget, self.seed)
        return own == dataclasses.astuple(setting)


BEGINNING = b'{"task"'  # of every row
TYPES = {
    **dict.fromkeys(("task", "method", "effort"), (str,)),
    **dict.fromkeys(("budget", "seed", "observation"), (int,)),
    **dict.fromkeys(("c2st", "train_s", "compile_s", "sample_s"), (float, int)),
    "nlpd": (float, int, type(None)),
}


def read_rows(path: Path) -> list[Row]:
    """Read the finished rows of a file; none if it does not exist.

    A last line without its end is what a killed run leaves; it is not a row.

    Args:
        path: The file.

    Raises:
        DataError: If a line is something else (message names its number).
        StorageError: If the file cannot be read.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error.strerror or error}.") from error
    lines = content.split(b"\n")
    if lines[-1][: len(BEGINNING)] != BEGINNING[: len(lines[-1])]:
        _parse(path, len(lines), lines[-1])  # not the beginning of a row of ours
    return [
        _parse(path, number, line)
        for number, line in enumerate(lines[:-1], start=1)
        if line.strip()
    ]


def append_row(path: Path, row: Row) -> None:
    """Append a row and flush it to the disk.

    Args:
        path: The file.
        row: The row.

    Raises:
        StorageError: If the file cannot be written.
    """
    line = json.dumps(dataclasses.asdict(row), allow_nan=False) + "\n"
    with _open_to_append(path) as file:
        _drop_fragment(file)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def make_file(path: Path) -> None:
    """Make the file and its folder, if need be: to fail before the work, not after.

    Args:
        path: The file.

    Raises:
        StorageError: If the file cannot be written.
    """
    with _open_to_append(path):
        pass


@contextmanager
def _open_to_append(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b") as file:
            yield file
    except OSError as error:
        raise StorageError(
            f"Cannot write {path}: {error.strerror or error}. Choose a file in a "
            "folder on a writable disk with free space."
        ) from error


def finished(rows: Iterable[Row], task: str, setting: Setting) -> set[int]:
    """Return the observations of a task that were measured with a setting.

    Args:
        rows: All rows.
        task: Name of the task.
        setting: What else must agree.
    """
    return {r.observation for r in rows if r.task == task and r.measures(setting)}


def _drop_fragment(file: BinaryIO) -> None:
    """Cut off a last line that a killed run left without its end."""
    file.seek(0)
    content = file.read()
    file.truncate(content.rfind(b"\n") + 1)


def _parse(path: Path, number: int, line: bytes) -> Row:
    try:
        found = json.loads(line)
        values = {key: found[key] for key in TYPES}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}, line {number}: Expected a JSON object with the keys "
            f"{list(TYPES)}; got {line[:60]!r}. Choose another file for --out."
        ) from error
    for key, value in values.items():
        if not isinstance(value, TYPES[key]) or isinstance(value, bool):
            raise DataError(f"{path}, line {number}: {key}: got {value!r}.")
    return Row(**values)
