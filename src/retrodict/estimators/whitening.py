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

    def factors(self, context, direct):
        """Return mean, log-diagonal and strictly lower part of T."""
        mean, log_diagonal, lower = split_factors(self.head(context), self.dim)
        if self.direct is not None:
            mean = mean + self.direct(direct)
        return mean, log_diagonal, lower

    def to_base(self, value, context, direct):
        """Whiten; return v and log |det T|."""
        mean, log_diagonal, lower = self.factors(context, direct)
        return whiten(value - mean, log_diagonal, lower), jnp.sum(log_diagonal)

    def from_base(self, noise, context, direct):
        """Undo the whitening."""
        mean, log_diagonal, lower = self.factors(context, direct)
        return unwhiten(noise, log_diagonal, lower) + mean


def num_factors(dim: int) -> int:
    """Return how many numbers describe a Gaussian of this dimension."""
    return 2 * dim + dim * (dim - 1) // 2


def split_factors(
    numbers: Float[Array, " size"], dim: int
) -> tuple[Float[Array, " dim"], Float[Array, " dim"], Float[Array, "dim dim"]]:
    """Split :func:`num_factors` numbers into mean, log-diagonal and lower part."""
    mean, log_diagonal, rest = jnp.split(numbers, [dim, 2 * dim])
    rows, columns = np.tril_indices(dim, -1)
    return mean, log_diagonal, jnp.zeros((dim, dim)).at[rows, columns].set(rest)


def whiten(
    centred: Float[Array, " dim"],
    log_diagonal: Float[Array, " dim"],
    lower: Float[Array, "dim dim"],
) -> Float[Array, " dim"]:
    """Multiply by the factor T = diag(exp(log_diagonal)) (1 + lower).

    Rows are scaled by the diagonal: the lower part keeps its size when a posterior is
    narrow.
    """
    return jnp.exp(log_diagonal) * (centred + lower @ centred)


def unwhiten(
    noise: Float[Array, " dim"],
    log_diagonal: Float[Array, " dim"],
    lower: Float[Array, "dim dim"],
) -> Float[Array, " dim"]:
    """Solve :func:`whiten` for ``centred`` by forward substitution."""
    target = noise * jnp.exp(-log_diagonal)
    centred = []
    for row in range(noise.size):
        known = sum((lower[row, c] * centred[c] for c in range(row)), start=0.0)
        centred.append(target[row] - known)
    return jnp.stack(centred)
