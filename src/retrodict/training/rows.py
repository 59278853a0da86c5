"""Standardized simulations as a training reads them: from memory, or from files."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int


class Rows(NamedTuple):
    """Standardized simulations, in memory or mapped from files.

    Attributes:
        value: ``(n, dim)`` unconstrained, standardized theta.
        x: Standardized series, each ``(n, ...)``.
    """

    value: Any
    x: Mapping[str, Any]

    def take(self, index: Any) -> "Rows":
        """Gather some of the rows."""
        return Rows(self.value[index], {k: v[index] for k, v in self.x.items()})

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        leaves = (self.value, *self.x.values())
        return sum(v.dtype.itemsize * math.prod(v.shape[1:]) for v in leaves)

    def load(self, index: Int[np.ndarray, "..."]) -> "Rows":
        """Return those of ``index``, in memory; a file is read in its order."""
        if not any(isinstance(series, np.memmap) for series in self.x.values()):
            return self.take(index)
        chosen, place = np.unique(index, return_inverse=True)
        return self.take(chosen).take(place.reshape(index.shape))


def rows_of(value: np.ndarray, x: Mapping[str, np.ndarray]) -> Rows:
    """Return simulations as rows: float32 in memory, or as they are in files."""
    series = {
        name: v if isinstance(v, np.memmap) else np.asarray(v, np.float32)
        for name, v in x.items()
    }
    return Rows(np.asarray(value, np.float32), series)
