"""Training data larger than memory: standardized in mapped files, block by block.

Arrays that a campaign mapped from files stay there. Statistics are computed from the
rows at the beginning that fill a gigabyte, whether the arrays are mapped or not, so
that the same simulations give the same training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..estimators import apply_scalers


STATISTICS_BYTES = 2**30
BLOCK_BYTES = 2**26


def leading(series: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the rows at the beginning that statistics are computed from."""
    count = _rows_of(series, STATISTICS_BYTES)
    return {name: values[:count] for name, values in series.items()}


def standardized(
    scalers: Mapping[str, Any], series: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Standardize all rows; those of mapped arrays into mapped files beside them."""
    mapped = [v for v in series.values() if isinstance(v, np.memmap)]
    if not mapped:
        return apply_scalers(scalers, series)
    folder = Path(str(mapped[0].filename)).parent
    count = len(mapped[0])
    step = _rows_of(series, BLOCK_BYTES)
    out: dict[str, np.ndarray] = {}
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        part = apply_scalers(scalers, {k: np.array(v[rows]) for k, v in series.items()})
        for name, values in part.items():
            if name not in out:
                shape = (count, *values.shape[1:])
                out[name] = _new_file(folder / f"z-{name}.npy", values.dtype, shape)
            out[name][rows] = values
    return out


def _new_file(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    path.unlink(missing_ok=True)  # another process may still have the old file mapped
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _rows_of(series: Mapping[str, np.ndarray], size: int) -> int:
    """Return how many rows fill so many bytes; a thousand at least."""
    row = sum(values[:1].nbytes for values in series.values())
    return max(1000, size // max(row, 1))
