r"""Conditional location and triangular scale: the first step of every density.

.. math:: v = T(c)\,(\theta - \mu(c))

With this alone a density is a Gaussian whose mean and covariance depend on the
condition; what follows has to learn only how a posterior differs from one. Entries of x
that the embedding passes on enter the mean linearly as well.

Source: Williams (1996), Using neural networks to model conditional multivariate
densities, Neural Computation 8, sec. 2 (the factor of the precision).
Deviations from the source: rows of the factor are scaled by its diagonal.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ._base import Dense, dense


Rows = tuple[Float[Array, "_ ..."], ...]  # of different lengths


class Whitening(eqx.Module):
    """Conditional location and triangular scale: v = T(c) (value - mean(c)).

    Attributes:
        head: From the learned context to mean, log-diagonal and lower part of T.
        direct: From the entries of x that were passed on, if any, to the mean.
        dim: Dimension of the value.
    """

    head: Dense
    direct: Dense | None
    dim: int = eqx.field(static=True)

    def __init__(
        self, key: Key[Array, ""], dim: int, context_dim: int, direct_dim: int
    ):
        self.head = dense(key, context_dim, num_factors(dim), 0.0)
        self.direct = dense(key, direct_dim, dim, 0.0) if direct_dim else None
        self.dim = dim

    def context(self, condition: Array) -> Array:
        """Return the learned part of a condition; entries of x may follow it."""
        return condition[: self.head.weight.shape[1]]

    def factors(self, condition, num_axes):
        """Return mean, log-diagonal and strictly lower part of T.

        They get axes of length 1 for batch axes of the value that the context lacks.
        """
        context = self.context(condition)
        numbers = with_axes(self.head(context), num_axes)
        mean, log_diagonal, lower = split_factors(numbers, self.dim)
        if self.direct is not None:
            direct = self.direct(condition[len(context) :])
            mean = mean + with_axes(direct, num_axes)
        return mean, log_diagonal, lower

    def to_base(self, value, condition):
        """Whiten; return v and log |det T|."""
        mean, log_diagonal, lower = self.factors(condition, value.ndim)
        v = whiten(value - mean, log_diagonal, lower)
        return v, jnp.sum(log_diagonal, axis=0)

    def from_base(self, noise, condition):
        """Undo the whitening."""
        mean, log_diagonal, lower = self.factors(condition, noise.ndim)
        return unwhiten(noise, log_diagonal, lower) + mean


def num_factors(dim: int) -> int:
    """Return how many numbers describe a Gaussian of this dimension."""
    return 2 * dim + dim * (dim - 1) // 2


def with_axes(array: Array, num_axes: int) -> Array:
    """Append axes of length 1, to be broadcast over a batch."""
    return array.reshape(*array.shape, *[1] * (num_axes - array.ndim))


def split_factors(
    numbers: Float[Array, "size ..."], dim: int
) -> tuple[Float[Array, "dim ..."], Float[Array, "dim ..."], Rows]:
    """Split :func:`num_factors` numbers into mean, log-diagonal and lower part.

    Of the lower part the rows are returned, the second first; more axes are a batch.
    """
    ends = np.cumsum([dim, dim, *range(1, dim)])[:-1] if dim > 1 else [dim]
    mean, log_diagonal, *lower = jnp.split(numbers, ends)
    return mean, log_diagonal, tuple(lower)


def whiten(
    centred: Float[Array, "dim ..."], log_diagonal: Float[Array, "dim ..."], lower: Rows
) -> Float[Array, "dim ..."]:
    """Multiply by the factor T = diag(exp(log_diagonal)) (1 + lower).

    Rows are scaled by the diagonal: the lower part keeps its size when a posterior is
    narrow.
    """
    below = [jnp.sum(row * centred[: len(row)], axis=0) for row in lower]
    first = jnp.zeros_like(centred[0])
    return jnp.exp(log_diagonal) * (centred + jnp.stack([first, *below]))


def unwhiten(
    noise: Float[Array, "dim ..."], log_diagonal: Float[Array, "dim ..."], lower: Rows
) -> Float[Array, "dim ..."]:
    """Solve :func:`whiten` for ``centred`` by forward substitution."""
    target = noise * jnp.exp(-log_diagonal)
    centred = [target[0]]
    for number, row in enumerate(lower, start=1):
        known = sum(f * c for f, c in zip(row, centred, strict=True))
        centred.append(target[number] - known)
    return jnp.stack(centred)
