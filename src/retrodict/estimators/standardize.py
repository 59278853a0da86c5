"""Bring x and unconstrained theta to unit scale: float64 statistics, relative limits.

Standardizing happens on the host in float64, so that data of scale 1e-21, or with a
mean a million times their spread, reach the float32 network intact. Vectors are scaled
entry by entry; series and images, whose structure that would destroy, by channel.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from ..model import Structure, complete_structures


@dataclass(frozen=True)
class Affine:
    """Subtract a mean and divide by a scale, column by column.

    Attributes:
        mean: ``(columns,)`` float64.
        scale: ``(columns,)`` float64; 0 marks a constant column, which maps to 0.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> "Affine":
        """Fit to the finite rows of ``(n, columns)``; constancy is relative."""
        eps = np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps
        values = values.astype(np.float64)
        size = np.abs(values).max(0)
        safe = np.where(size > 0, size, 1.0)
        scaled = values / safe  # squares of 1e-200 would underflow
        mean, std = scaled.mean(0), scaled.std(0)
        constant = std <= 4 * eps
        return cls(mean * safe, np.where(constant, 0.0, std * safe))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardize ``(..., columns)`` in float64."""
        centred = np.asarray(values, np.float64) - self.mean
        safe = np.where(self.scale > 0, self.scale, 1.0)
        return np.where(self.scale > 0, centred / safe, 0.0)

    def undo(self, values: np.ndarray) -> np.ndarray:
        """Map standardized values back."""
        return np.asarray(values, np.float64) * self.scale + self.mean


@dataclass(frozen=True)
class VectorScaler:
    """Standardize the entries of one vector, with logarithms where they help.

    Positive entries that spread over more than a factor of 20 get a second column with
    their logarithm; entries with tails far beyond their bulk are squashed by asinh.

    Attributes:
        plain: Mean and scale of the entries (of their bulk where ``heavy``).
        heavy: Which entries are squashed.
        logged: Which entries have a second column.
        shift: Added before the logarithm, per entry.
        log: Mean and scale of the logarithms of the ``logged`` entries.
        missing: Whether NaN may stand for a value: it becomes 0, and a last column for
            every entry tells which values are there.
    """

    plain: Affine
    heavy: np.ndarray
    logged: np.ndarray
    shift: np.ndarray
    log: Affine
    missing: bool = False

    @classmethod
    def fit(cls, values: np.ndarray) -> "VectorScaler":
        """Fit to rows ``(n, entries)``."""
        plain = Affine.fit(values)
        low, q25, median, q75, high = np.quantile(
            values.astype(np.float64), [0.01, 0.25, 0.5, 0.75, 0.99], axis=0
        )
        bulk = (q75 - q25) / 1.349
        heavy = (plain.scale > 10 * bulk) & (bulk > 0)
        plain = Affine(
            np.where(heavy, median, plain.mean), np.where(heavy, bulk, plain.scale)
        )
        positive = values.min(0) >= 0
        shift = np.where(values.min(0) > 0, 0.0, _smallest_positive(values))
        logged = positive & (high + shift > 20 * (low + shift)) & (high > 0)
        logs = np.log(values[:, logged].astype(np.float64) + shift[logged])
        log = Affine.fit(logs) if logged.any() else Affine(np.zeros(0), np.zeros(0))
        return cls(plain, heavy, logged, shift, log)

    @classmethod
    def fit_present(cls, values: np.ndarray) -> "VectorScaler":
        """Fit to the values that are there, entry by entry."""
        parts = [cls.fit(_present(column)) for column in values.T]
        plain, log = (
            Affine(*(np.concatenate([getattr(a, n) for a in each]) for n in AFFINE))
            for each in ([p.plain for p in parts], [p.log for p in parts])
        )
        heavy, logged, shift = (
            np.concatenate([getattr(p, n) for p in parts])
            for n in ("heavy", "logged", "shift")
        )
        return cls(plain, heavy, logged, shift, log, missing=True)

    def without(self, blank: np.ndarray) -> "VectorScaler":
        """Return a scaler that maps some entries to zero, as if they were constant.

        Args:
            blank: Which entries, ``(entries,)``.
        """
        plain = Affine(self.plain.mean, np.where(blank, 0.0, self.plain.scale))
        kept = ~blank[self.logged]
        log = Affine(self.log.mean[kept], self.log.scale[kept])
        logged = self.logged & ~blank
        return replace(self, plain=plain, logged=logged, log=log)

    @property
    def num_columns(self) -> int:
        """Number of columns that entries become."""
        entries = len(self.logged)
        return entries + int(self.logged.sum()) + entries * self.missing

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the columns ``(n, num_columns)`` as float32."""
        scaled = self.plain.apply(values)
        scaled = np.where(self.heavy, np.arcsinh(scaled), scaled)
        raw = np.asarray(values, np.float64)[:, self.logged] + self.shift[self.logged]
        # an observation below every simulation must not become NaN: it is clipped to
        # far below their range, which the check of x_obs reports
        tiny = np.finfo(np.float64).tiny
        floor = np.maximum(np.exp(self.log.mean - 20 * self.log.scale), tiny)
        logs = self.log.apply(np.log(np.maximum(raw, floor)))
        both = np.concatenate([scaled, logs], axis=1)
        if self.missing:
            there = np.isfinite(np.asarray(values, np.float64))
            both = np.concatenate([np.nan_to_num(both, nan=0.0), there], axis=1)
        return np.clip(both, -1e6, 1e6).astype(np.float32)


@dataclass(frozen=True)
class ChannelScaler:
    """Standardize a series or image by channel (its last axis).

    Attributes:
        plain: Mean and scale per channel.
        axes: How many axes of an item come before its channels, which are flattened or
            added; by default all but the last.
        missing: Whether NaN may stand for a value: it becomes 0, and as many channels
            again tell which values are there.
    """

    plain: Affine
    axes: int | None = None
    missing: bool = False

    @classmethod
    def fit(
        cls, values: np.ndarray, axes: int | None = None, missing: bool = False
    ) -> "ChannelScaler":
        """Fit to rows ``(n, ..., channels)``."""
        shaped = with_channels(values, axes)
        rows = shaped.reshape(-1, shaped.shape[-1])
        if missing:
            each = [Affine.fit(_present(column)) for column in rows.T]
            joined = (np.concatenate([getattr(a, n) for a in each]) for n in AFFINE)
            return cls(Affine(*joined), axes, missing)
        return cls(Affine.fit(rows), axes)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardize ``(n, ..., channels)`` to float32."""
        scaled = self.plain.apply(with_channels(values, self.axes))
        if self.missing:
            there = np.isfinite(scaled)
            scaled = np.concatenate([np.where(there, scaled, 0.0), there], axis=-1)
        return np.clip(scaled, -1e6, 1e6).astype(np.float32)


Scaler = VectorScaler | ChannelScaler
AFFINE = ("mean", "scale")


def with_channels(values: np.ndarray, axes: int | None) -> np.ndarray:
    """Return rows whose items have ``axes`` axes and then one of channels."""
    return values if axes is None else values.reshape(*values.shape[: 1 + axes], -1)


def grid_axes(kind: str) -> int | None:
    """Return how many axes of an item come before its channels; None: all but one."""
    return {"series": 1, "exchangeable": 1, "image": 2}.get(kind)


def standardized_shape(shape: tuple[int, ...], structure: Structure) -> tuple[int, ...]:
    """Return the shape that :class:`ChannelScaler` gives to items of this shape."""
    axes = grid_axes(structure.kind)
    axes = len(shape) - 1 if axes is None else axes
    channels = math.prod(shape[axes:]) * (1 + structure.missing)
    return (*shape[:axes], channels)


def fit_scalers(
    x: Mapping[str, np.ndarray], structure: Mapping[str, Structure] | None = None
) -> dict[str, Scaler]:
    """Fit one scaler per series: vectors by entry, others by channel.

    Args:
        x: Series, each ``(n, ...)``.
        structure: What their axes mean; by default what their number suggests.
    """
    shapes = {name: values.shape[1:] for name, values in x.items()}
    structure = structure or complete_structures({}, shapes)
    scalers: dict[str, Scaler] = {}
    for name in sorted(x):
        values, item = x[name], structure[name]
        if item.kind == "vector":
            fit = VectorScaler.fit_present if item.missing else VectorScaler.fit
            scalers[name] = fit(values.reshape(len(values), -1))
        else:
            axes = grid_axes(item.kind)
            scalers[name] = ChannelScaler.fit(values, axes, item.missing)
    return scalers


def apply_scalers(
    scalers: Mapping[str, Scaler], x: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Standardize rows of every series."""
    return {
        name: scaler.apply(
            x[name].reshape(len(x[name]), -1)
            if isinstance(scaler, VectorScaler)
            else x[name]
        )
        for name, scaler in scalers.items()
    }


def scaler_arrays(scaler: Scaler) -> dict[str, np.ndarray]:
    """Return the arrays of a scaler under flat names, for an artifact."""
    arrays = {}
    for field in fields(scaler):
        value = getattr(scaler, field.name)
        if isinstance(value, Affine):
            arrays[f"{field.name}.mean"] = value.mean
            arrays[f"{field.name}.scale"] = value.scale
        elif isinstance(value, np.ndarray):
            arrays[field.name] = value
    return arrays


def scaler_from_arrays(
    structure: Structure, arrays: Mapping[str, np.ndarray]
) -> Scaler:
    """Undo :func:`scaler_arrays` for a series of this structure."""
    plain = Affine(arrays["plain.mean"], arrays["plain.scale"])
    if structure.kind != "vector":
        return ChannelScaler(plain, grid_axes(structure.kind), structure.missing)
    log = Affine(arrays["log.mean"], arrays["log.scale"])
    own = arrays["heavy"], arrays["logged"], arrays["shift"]
    return VectorScaler(plain, *own, log, structure.missing)


def _present(column: np.ndarray) -> np.ndarray:
    """Return the values that are there ``(n, 1)``; one zero if there are none."""
    there = column[np.isfinite(column)]
    return (there if len(there) else np.zeros(1, column.dtype))[:, None]


def _smallest_positive(values: np.ndarray) -> np.ndarray:
    """Return half the smallest positive value of each column (0 if there is none)."""
    positive = np.where(values > 0, values, np.inf).min(0).astype(np.float64)
    return np.where(np.isfinite(positive), positive / 2, 0.0)
