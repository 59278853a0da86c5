"""Named fields in a fixed order: dictionaries outside, one flat array inside."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from .support import Support


@dataclass(frozen=True)
class Field:
    """One named parameter, scalar or array.

    Attributes:
        name: Its name in the prior or in ``derive``.
        shape: Its shape, ``()`` for a scalar.
        support: Where it may lie.
        unit: Unit as text, ``""`` if dimensionless.
        label: How a figure names it (may be mathtext).
    """

    name: str
    shape: tuple[int, ...]
    support: Support
    unit: str = ""
    label: str = ""

    @property
    def size(self) -> int:
        """Number of components."""
        return math.prod(self.shape)

    @property
    def components(self) -> tuple[str, ...]:
        """Name the components in C order: ``mu[0]``, ``mu[1]``, ``m[0,1]``."""
        if not self.shape:
            return (self.name,)
        indices = np.ndindex(*self.shape)
        return tuple(f"{self.name}[{','.join(map(str, index))}]" for index in indices)


@dataclass(frozen=True)
class Space:
    """An ordered set of fields and the map between its two forms.

    Fields keep their declared order; within a field components are in C order.

    Attributes:
        fields: The fields, in order.
    """

    fields: tuple[Field, ...]

    @property
    def dim(self) -> int:
        """Number of components of theta."""
        return sum(field.size for field in self.fields)

    @property
    def unconstrained_dim(self) -> int:
        """Number of unconstrained coordinates."""
        return sum(field.support.unconstrained_size for field in self.fields)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components, in flat order."""
        return tuple(name for field in self.fields for name in field.components)

    def flatten(self, values: Mapping[str, Any]) -> np.ndarray:
        """Stack a dictionary of ``(n, *shape)`` arrays to ``(n, dim)`` float64.

        Other keys are ignored.

        Raises:
            ValueError: If a field is missing, has another shape or another length.
        """
        columns = []
        for field in self.fields:
            if field.name not in values:
                raise ValueError(
                    f"theta: Expected the fields {[f.name for f in self.fields]}; got "
                    f"{sorted(values)}. Add {field.name!r}."
                )
            column = np.asarray(values[field.name], dtype=np.float64)
            if column.shape[1:] != field.shape or column.ndim == 0:
                raise ValueError(
                    f"theta[{field.name!r}]: Expected shape ("
                    f"{', '.join(map(str, ('n', *field.shape)))}); got {column.shape}."
                )
            columns.append(column.reshape(len(column), field.size))
        lengths = {f.name: len(c) for f, c in zip(self.fields, columns, strict=True)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"theta: Expected fields of equal length; got {lengths}.")
        return np.concatenate(columns, axis=1)

    def unflatten(self, theta: Any) -> dict[str, Any]:
        """Split ``(..., dim)``, NumPy or JAX, into arrays ``(..., *shape)`` by name."""
        if theta.shape[-1] != self.dim:
            raise ValueError(
                f"theta: Expected last axis {self.dim} ({', '.join(self.names)}); got "
                f"shape {theta.shape}."
            )
        lead = theta.shape[:-1]
        return {
            field.name: part.reshape((*lead, *field.shape))
            for field, part in self._split(theta, [f.size for f in self.fields])
        }

    def constrain(self, u: Any) -> Any:
        """Map coordinates ``(..., unconstrained_dim)`` to theta ``(..., dim)``."""
        parts = self._split(u, [f.support.unconstrained_size for f in self.fields])
        return _join([f.support.constrain(p) for f, p in parts], u)

    def unconstrain(self, theta: Any) -> Any:
        """Map theta ``(..., dim)`` to coordinates ``(..., unconstrained_dim)``."""
        parts = self._split(theta, [f.size for f in self.fields])
        return _join([f.support.unconstrain(p) for f, p in parts], theta)

    def log_det(self, u: Any) -> Any:
        """Return log |det dtheta/du| at coordinates ``u``, shape ``(...)``."""
        parts = self._split(u, [f.support.unconstrained_size for f in self.fields])
        return sum(field.support.log_det(part) for field, part in parts)

    def contains(self, theta: np.ndarray) -> np.ndarray:
        """Say for each row of ``(..., dim)`` whether it lies in the support."""
        parts = self._split(theta, [f.size for f in self.fields])
        return np.logical_and.reduce([f.support.contains(p) for f, p in parts])

    def select(self, names: Sequence[str]) -> "Space":
        """Keep the fields called ``names``, in that order."""
        by_name = {field.name: field for field in self.fields}
        return Space(tuple(by_name[name] for name in names))

    def _split(self, array: Any, sizes: Sequence[int]) -> list[tuple[Field, Any]]:
        ends = np.cumsum(sizes)
        spans = zip(ends - np.asarray(sizes), ends, strict=True)
        parts = [array[..., int(start) : int(end)] for start, end in spans]
        return list(zip(self.fields, parts, strict=True))


def refuse_nan(theta: np.ndarray) -> np.ndarray:
    """Return ``(..., dim)`` as it is; NaN is neither inside a support nor outside it.

    Raises:
        ValueError: If an entry is NaN (message gives the count and the first index).
    """
    bad = np.argwhere(np.isnan(theta))
    if len(bad):
        first = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"theta: Expected numbers; got {len(bad)} NaN, the first at index {first}. "
            "Leave those rows out."
        )
    return theta


def _join(parts: list[Any], like: Any) -> Any:
    if isinstance(like, np.ndarray):
        return np.concatenate(parts, axis=-1)
    return jnp.concatenate(parts, axis=-1)
