"""Conditional densities q(value | condition) and embeddings of the condition.

Everything here is written for one item; callers batch with ``jax.vmap``.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key, PyTree


class Frozen(eqx.Module):
    """An array that belongs to an estimator but is not trained.

    Attributes:
        value: The array.
    """

    value: Array


def trainable(tree: PyTree) -> PyTree:
    """Return a filter that is true for the leaves an optimizer may change."""
    return jax.tree.map(
        lambda leaf: not isinstance(leaf, Frozen) and eqx.is_inexact_array(leaf),
        tree,
        is_leaf=lambda leaf: isinstance(leaf, Frozen),
    )


class AbstractEmbedding(eqx.Module):
    """A learned compression of x to a vector."""

    out_dim: eqx.AbstractVar[int]

    @abstractmethod
    def __call__(
        self, x: Mapping[str, Array], key: Key[Array, ""] | None = None
    ) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation.

        With a key, hidden units are silenced at random, as in training.
        """


class AbstractDensity(eqx.Module):
    """A normalized density on R^dim, given a condition vector.

    It is defined by an invertible map of a standard normal, so that one pass gives a
    log-density and one pass of the inverse gives a draw.
    """

    dim: eqx.AbstractVar[int]

    @abstractmethod
    def to_base(
        self,
        value: Float[Array, " dim"],
        condition: Float[Array, " cond_dim"],
        key: Key[Array, ""] | None = None,
    ) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """Map a value to base noise; also return log |det dnoise/dvalue|.

        With a key, hidden units are silenced at random, as in training.
        """

    @abstractmethod
    def from_base(
        self, noise: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map base noise to a value: the inverse of :meth:`to_base`."""

    def log_prob(
        self,
        value: Float[Array, " dim"],
        condition: Float[Array, " cond_dim"],
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, ""]:
        """Return the normalized log-density of one value, in nats."""
        noise, log_det = self.to_base(value, condition, key)
        return normal_log_prob(noise) + log_det

    def sample(
        self, key: Key[Array, ""], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Draw one value."""
        return self.from_base(jr.normal(key, (self.dim,)), condition)


class Estimator(eqx.Module):
    """An embedding and a density, trained together: q(value | x).

    Attributes:
        embedding: Compresses x.
        density: Density of the value given the embedded x.
    """

    embedding: AbstractEmbedding
    density: AbstractDensity

    def log_prob(
        self,
        value: Float[Array, " dim"],
        x: Mapping[str, Array],
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, ""]:
        """Return the normalized log-density of one value given one x, in nats.

        With a key, hidden units are silenced at random, as in training.
        """
        key_x, key_value = (None, None) if key is None else jr.split(key)
        return self.density.log_prob(value, self.embedding(x, key_x), key_value)


def normal_log_prob(noise: Float[Array, " dim"]) -> Float[Array, ""]:
    """Return the log-density of a standard normal vector, in nats."""
    return -0.5 * jnp.sum(noise**2) - 0.5 * noise.size * math.log(2 * math.pi)


def dense(
    key: Key[Array, ""], in_dim: int, out_dim: int, scale: float
) -> eqx.nn.Linear:
    """Return a linear layer with normal weights of sd ``scale/sqrt(in_dim)``, bias 0.

    A scale of 0 makes whatever follows start as a function of its bias alone.
    """
    layer = eqx.nn.Linear(in_dim, out_dim, key=key)
    weight = jr.normal(key, (out_dim, in_dim)) * (scale / math.sqrt(max(in_dim, 1)))
    new = (weight, jnp.zeros(out_dim))
    return eqx.tree_at(lambda linear: (linear.weight, linear.bias), layer, new)


def dropout(
    key: Key[Array, ""] | None, hidden: Float[Array, " size"], rate: float
) -> Float[Array, " size"]:
    """Silence units with probability ``rate`` and scale up the rest.

    Source: Srivastava et al. (2014), Dropout, JMLR 15. Without a key, or at rate 0, the
    input comes back as it is.
    """
    if key is None or rate == 0:
        return hidden
    keep = jr.bernoulli(key, 1 - rate, hidden.shape)
    return jnp.where(keep, hidden / (1 - rate), 0.0)
