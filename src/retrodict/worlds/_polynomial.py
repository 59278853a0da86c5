r"""Regression on all monomials up to the third degree: a quick emulator of a theory.

Columns of the input are brought to [-1, 1]; the smallest ridge keeps the least-squares
problem well posed. Good where the output is smooth and the box is not too large; say
how good it is on points it has not seen.
"""

from itertools import combinations_with_replacement
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


DEGREE = 3
RIDGE = 1e-8


class Polynomial(NamedTuple):
    """A fitted polynomial from ``dim`` numbers to ``outputs`` numbers.

    Attributes:
        center: Middle of the inputs, by column.
        half: Half of their range.
        terms: Columns multiplied in each monomial; the last index is a column of ones.
        coefficients: One row per monomial.
    """

    center: Float[np.ndarray, " dim"]
    half: Float[np.ndarray, " dim"]
    terms: np.ndarray
    coefficients: Float[np.ndarray, "terms outputs"]

    @classmethod
    def fit(
        cls,
        inputs: Float[np.ndarray, "rows dim"],
        outputs: Float[np.ndarray, "rows outputs"],
    ) -> "Polynomial":
        """Fit by least squares, in float64."""
        low, high = inputs.min(0), inputs.max(0)
        center, half = (low + high) / 2, (high - low) / 2
        dim = inputs.shape[1]
        terms = np.array(list(combinations_with_replacement(range(dim + 1), DEGREE)))
        columns = np.column_stack([(inputs - center) / half, np.ones(len(inputs))])
        features = columns[:, terms].prod(2)
        normal = features.T @ features
        normal += RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
        coefficients = np.linalg.solve(normal, features.T @ outputs)
        return cls(center, half, terms, coefficients)

    def __call__(self, row: Float[Array, " dim"]) -> Float[Array, " outputs"]:
        """Evaluate at one row."""
        scaled = (row - self.center) / self.half
        columns = jnp.append(scaled, jnp.ones((), scaled.dtype))
        return jnp.prod(columns[self.terms], axis=1) @ self.coefficients
