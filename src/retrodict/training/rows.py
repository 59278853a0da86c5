"""Standardized simulations as a training reads them: on the device, or from files."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int


class Rows(NamedTuple):
    """Standardized simulations: on the device, or mapped from files.

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
    def mapped(self) -> bool:
        """Whether they are too many for the device."""
        return isinstance(self.value, np.ndarray)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        leaves = (self.value, *self.x.values())
        return sum(v.dtype.itemsize * math.prod(v.shape[1:]) for v in leaves)

    def on_device(self, index: Int[np.ndarray, "..."]) -> tuple["Rows", np.ndarray]:
        """Return rows for a program, and where in them it finds those of ``index``.

        Of mapped rows these alone are loaded, in the order of the file.
        """
        if not self.mapped:
            return self, index
        chosen, place = np.unique(index, return_inverse=True)
        chosen = np.resize(chosen, index.size)  # programs have one shape
        part = jax.tree.map(jnp.asarray, self.take(chosen))
        return part, place.reshape(index.shape).astype(np.int32)


def rows_of(value: np.ndarray, x: Mapping[str, np.ndarray]) -> Rows:
    """Put simulations on the device, unless they are mapped from files."""
    if any(isinstance(series, np.memmap) for series in x.values()):
        return Rows(np.asarray(value), x)
    return Rows(jnp.asarray(value), {k: jnp.asarray(v) for k, v in x.items()})
