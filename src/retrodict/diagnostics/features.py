"""Flat, well-scaled features of simulator output, for tests that look at x.

They are functions of x alone, never of the parameters, so that a test using them keeps
its error rate whatever they contain. Fields of a dict are flattened in their declared
order and C order within a field.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import ndtri
from scipy.stats import rankdata


# Beyond this many columns every k-th is taken: enough for summary features.
MAX_COLUMNS = 2000

SimulatorOutput = (
    Shaped[np.ndarray, "num_sims *x_shape"]
    | Mapping[str, Shaped[np.ndarray, "num_sims ..."]]
)


def flatten_output(x: SimulatorOutput) -> Float[np.ndarray, "num_sims x_dim"]:
    """Join all fields of x into one row of numbers per simulation.

    Args:
        x: An array with simulations along the first axis, or a dict of such.

    Returns:
        A float64 array with one row per simulation; NaN, a missing value, becomes the
        median of its column.

    Raises:
        ValueError: If a dict is empty or its fields differ in the number of rows.
    """
    fields = list(x.values()) if isinstance(x, Mapping) else [x]
    rows = {len(field) for field in fields}
    if len(rows) != 1:
        raise ValueError(
            "Expected fields of x with equally many rows; got "
            f"{sorted(rows) or 'no field at all'}."
        )
    num = rows.pop()
    flat = [np.asarray(field, dtype=np.float64).reshape(num, -1) for field in fields]
    joined = np.concatenate(flat, axis=1)
    gone = np.isnan(joined)
    if gone.any():  # missing: the middle of the column says nothing about the row
        some = ~gone.all(axis=0)
        middle = np.zeros(joined.shape[1])
        middle[some] = np.nanmedian(joined[:, some], axis=0)
        joined = np.where(gone, middle, joined)
    return joined


def column_names(x: SimulatorOutput) -> tuple[str, ...]:
    """Name the columns of `flatten_output`: ``x[3]``, ``infected[0,2]``, ``mass``."""
    fields = dict(x) if isinstance(x, Mapping) else {"x": x}
    names: list[str] = []
    for name, field in fields.items():
        shape = field.shape[1:]
        for index in np.ndindex(*shape):
            inside = ",".join(str(i) for i in index)
            names.append(f"{name}[{inside}]" if shape else name)
    return tuple(names)


def summary_features(
    x: Float[np.ndarray, "num_sims x_dim"], *, max_components: int = 20
) -> Float[np.ndarray, "num_sims num_features"]:
    """Compress x to a few standardized features, for any scale and any tails.

    Columns are replaced by their normal scores among the simulations, then by their
    leading principal components and the squares of these. The logarithm of each row's
    own spread is added, for simulators whose parameters set the size of fluctuations.

    Args:
        x: Flat simulator output. Not finite entries count as the column's mean.
        max_components: Number of principal components; fewer for few simulations, so
            that a regression on all features keeps 20 rows per column.

    Returns:
        Features with mean 0 and standard deviation 1; possibly none.
    """
    num = len(x)
    columns = x[:, :: -(-x.shape[1] // MAX_COLUMNS)] if x.shape[1] else x
    finite = np.isfinite(columns)
    total = np.where(finite, columns, 0.0).sum(axis=0)
    columns = np.where(finite, columns, total / np.maximum(finite.sum(axis=0), 1))
    columns = columns[:, columns.std(axis=0) > 0]
    components = max(min(max_components, num // 40), 1)
    if num < 40 or columns.shape[1] == 0:
        return np.zeros((num, 0))
    scores = ndtri((rankdata(columns, axis=0) - 0.5) / num)
    left = orthonormal_columns(scores, components)
    parts = [left, (left - left.mean(axis=0)) ** 2]
    if columns.shape[1] > 1:
        standard = (columns - columns.mean(axis=0)) / columns.std(axis=0)
        parts.append(np.log(standard.std(axis=1, keepdims=True) + 1e-3))
    return standardize(np.concatenate(parts, axis=1))


def orthonormal_columns(
    x: Float[np.ndarray, "num_sims x_dim"], max_columns: int
) -> Float[np.ndarray, "num_sims num_columns"]:
    """Find the leading principal components of x, scaled to unit length.

    By the eigenvectors of the smaller Gram matrix, much cheaper than a singular value
    decomposition; directions below 1e-5 of the largest are noise to it and left out.
    """
    centered = x - x.mean(axis=0)
    wide = centered.shape[1] > centered.shape[0]
    gram = centered @ centered.T if wide else centered.T @ centered
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(-values)[:max_columns]
    order = order[values[order] > 1e-10 * values.max(initial=1e-300)]
    if wide:
        return vectors[:, order]
    return centered @ vectors[:, order] / np.sqrt(values[order])


def standardize(
    features: Float[np.ndarray, "num_sims num_features"],
) -> Float[np.ndarray, "num_sims num_kept"]:
    """Scale columns to mean 0 and standard deviation 1; leave constant ones out."""
    spread = features.std(axis=0)
    keep = spread > 1e-9 * (np.abs(features).max(axis=0, initial=0.0) + 1e-300)
    return (features[:, keep] - features[:, keep].mean(axis=0)) / spread[keep]
