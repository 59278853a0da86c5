"""The set of simulations: every row, good or failed, with its index and status."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..model import Model
from .messages import STATUSES


TAKEN_BYTES = 2**26  # of a mapped array, at a time

Series = np.ndarray | Mapping[str, np.ndarray]


def as_series(x: Any) -> dict[str, Any]:
    """Return x as a dictionary of series; a single array is called ``"x"``."""
    return dict(x) if isinstance(x, Mapping) else {"x": x}


def like_series(series: Mapping[str, np.ndarray], single: bool) -> Series:
    """Undo :func:`as_series`."""
    return series["x"] if single else dict(series)


def take_rows(x: Any, rows: np.ndarray) -> Any:
    """Keep some rows of x, an array or a mapping of series."""
    if isinstance(x, Mapping):
        return {name: field[rows] for name, field in x.items()}
    return x[rows]


@dataclass(frozen=True)
class Simulations:
    """Pairs of parameters and simulator output, in the order of their index.

    Attributes:
        model: The model they were simulated from.
        theta: Sampled parameters, one array ``(n, *shape)`` per name.
        derived: Derived quantities of the same rows.
        x: Simulator output ``(n, *x_shape)``, or a dictionary of such.
        status: ``(n,)`` index into :data:`STATUSES`; 0 is ``"ok"``.
        index: ``(n,)`` number of each row in its campaign.
        seed: Seed of the campaign.
        stream: Name of the use of the seed.
        errors: Text and count of the commonest errors.
        seconds: Wall time the simulator took, without what was already on disk.
    """

    model: Model
    theta: Mapping[str, np.ndarray]
    derived: Mapping[str, np.ndarray]
    x: Series
    status: np.ndarray
    index: np.ndarray
    seed: int
    stream: str = "simulate"
    errors: tuple[tuple[str, int], ...] = ()
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.status)

    @property
    def num_ok(self) -> int:
        """Number of rows that can be used."""
        return int((self.status == 0).sum())

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows of each status that occurs."""
        found = Counter(self.status.tolist())
        return {STATUSES[code]: found[code] for code in sorted(found)}

    @property
    def failures(self) -> dict[str, int]:
        """Number of rows of each status but ``"ok"``."""
        return {name: n for name, n in self.counts.items() if name != "ok"}

    @property
    def targets(self) -> np.ndarray:
        """The model's targets as one array ``(n, theta_dim)`` float64."""
        return self.model.flatten({**self.theta, **self.derived})

    def fingerprint(self) -> str:
        """Return the SHA-256 of all rows: equal data, equal fingerprint.

        It depends neither on where the rows are kept nor on how often a campaign was
        interrupted.
        """
        found = hashlib.sha256()
        arrays = {
            **{f"theta/{k}": v for k, v in self.theta.items()},
            **{f"x/{k}": v for k, v in as_series(self.x).items()},
            "status": self.status,
            "index": self.index,
        }
        for name, values in sorted(arrays.items()):
            found.update(f"{name} {values.dtype.str} {values.shape}\0".encode())
            for rows in np.array_split(values, max(1, values.nbytes >> 24)):
                found.update(np.ascontiguousarray(rows).data)
        return found.hexdigest()

    def ok(self) -> "Simulations":
        """Keep the rows that can be used."""
        if self.num_ok == len(self):
            return self
        return self[np.flatnonzero(self.status == 0)]

    def inferring(self, names: Sequence[str]) -> "Simulations":
        """Ask the same rows for other targets; see :meth:`Model.inferring`.

        Args:
            names: Sampled or derived quantities.
        """
        return replace(self, model=self.model.inferring(names))

    def __getitem__(self, rows: slice | np.ndarray) -> "Simulations":
        series = {k: _take(v, rows) for k, v in as_series(self.x).items()}
        return replace(
            self,
            theta={k: v[rows] for k, v in self.theta.items()},
            derived={k: v[rows] for k, v in self.derived.items()},
            x=like_series(series, not isinstance(self.x, Mapping)),
            status=self.status[rows],
            index=self.index[rows],
        )


def concatenated(parts: Sequence[Simulations], model: Model) -> Simulations:
    """Return rows of several campaigns, numbered anew, as simulations of one model.

    Args:
        parts: Simulations of models that differ in the prior alone.
        model: The model whose prior they are draws of together.
    """
    series = [as_series(part.x) for part in parts]
    single = not isinstance(parts[0].x, Mapping)
    status = np.concatenate([part.status for part in parts])
    return replace(
        parts[-1],
        model=model,
        theta=_stacked([part.theta for part in parts]),
        derived=_stacked([part.derived for part in parts]),
        x=like_series(_stacked(series), single),
        status=status,
        index=np.arange(len(status)),
        errors=(),
        seconds=sum(part.seconds for part in parts),
    )


def _stacked(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _take(values: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    """Return some rows; many of a mapped array are copied to another mapped file."""
    if not isinstance(values, np.memmap) or isinstance(rows, slice):
        return values[rows]
    if rows.dtype == bool:
        rows = np.flatnonzero(rows)
    path = Path(str(values.filename)).with_suffix(".chosen.npy")
    path.unlink(missing_ok=True)  # it may still be mapped
    shape = (len(rows), *values.shape[1:])
    found = np.lib.format.open_memmap(path, "w+", values.dtype, shape)
    step = max(1, TAKEN_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(rows), step):
        found[start : start + step] = values[rows[start : start + step]]
    return found


class RowFacts(NamedTuple):
    """What else is known of a row that failed.

    Attributes:
        attempts: How often it was tried.
        seconds: Wall time of the last attempt.
        exit: Exit code of its process, or minus the number of the signal.
    """

    attempts: int = 1
    seconds: float = 0.0
    exit: int | None = None


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a campaign, as an engine makes them and the store keeps them.

    Attributes:
        start: Index of the first row.
        theta: Sampled parameters by name.
        x: Series by name; rows that failed hold NaN.
        status: Index into :data:`STATUSES` per row.
        errors: Error text per failed row that has one, by index of the row.
        facts: More about rows that failed, by index of the row.
    """

    start: int
    theta: dict[str, np.ndarray]
    x: dict[str, np.ndarray]
    status: np.ndarray
    errors: dict[int, str]
    facts: dict[int, RowFacts] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.status)

    @property
    def rows(self) -> range:
        """Indices of its rows."""
        return range(self.start, self.start + len(self))


def usable(values: np.ndarray, missing: bool) -> Any:
    """Return where values are numbers, or NaN where they may be missing."""
    return ~np.isinf(values) if missing else np.isfinite(values)


def mark_nonfinite(
    x: Mapping[str, np.ndarray], status: np.ndarray, maskable: Collection[str]
) -> np.ndarray:
    """Give rows whose x is not finite the status ``"nonfinite"``.

    NaN is a missing value in the series that are ``maskable``.
    """
    finite = np.ones(len(status), dtype=bool)
    for name, values in x.items():
        finite &= usable(values.reshape(len(values), -1), name in maskable).all(1)
    return np.where((status == 0) & ~finite, 1, status).astype(np.int8)
