"""Conditional densities q(value | condition) and embeddings of the condition.

Everything here is written for one item. Embeddings are batched with ``jax.vmap``;
densities have methods for many rows, which some of them can do faster.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Key, PyTree

from .._core.seeds import numpy_generator


CLIP = 10.0  # standard deviations: an entry further off says no more than that


class Frozen(eqx.Module):
    """A part of an estimator that is not trained.

    Attributes:
        value: An array, or a module.
    """

    value: Any


def trainable(tree: PyTree) -> PyTree:
    """Return a filter that is true for the leaves an optimizer may change."""
    return jax.tree.map(
        lambda leaf: not isinstance(leaf, Frozen) and eqx.is_inexact_array(leaf),
        tree,
        is_leaf=lambda leaf: isinstance(leaf, Frozen),
    )


class Dense(eqx.Module):
    """A linear layer, ``weight @ inputs + bias``.

    Attributes:
        weight: ``(out_dim, in_dim)``.
        bias: ``(out_dim,)``.
    """

    weight: Float[Array, "out_dim in_dim"]
    bias: Float[Array, " out_dim"]

    def __call__(
        self, inputs: Float[Array, "in_dim ..."]
    ) -> Float[Array, "out_dim ..."]:
        """Apply the layer; more axes of the inputs are a batch."""
        product = jax.lax.dot_general(self.weight, inputs, (((1,), (0,)), ((), ())))
        return product + self.bias.reshape(-1, *[1] * (inputs.ndim - 1))


class AbstractEmbedding(eqx.Module):
    """A learned compression of x to a vector.

    The last ``direct_dim`` entries of the result are entries of x itself, for the
    density to use in a linear prediction.
    """

    out_dim: eqx.AbstractVar[int]
    direct_dim: eqx.AbstractVar[int]

    @abstractmethod
    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""


class AbstractSeriesEmbedding(AbstractEmbedding):
    """An embedding of one series of x, of which no entry is passed on."""

    name: eqx.AbstractVar[str]

    @property
    def direct_dim(self) -> int:
        """How many entries of x follow the learned part: none."""
        return 0


class AbstractDensity(eqx.Module):
    """A normalized density on R^dim, given a condition vector.

    A draw is a function of ``noise_dim`` standard normal numbers.
    """

    dim: eqx.AbstractVar[int]
    noise_dim: eqx.AbstractVar[int]

    @abstractmethod
    def log_prob(
        self,
        value: Float[Array, " dim"],
        condition: Float[Array, " cond_dim"],
    ) -> Float[Array, ""]:
        """Return the normalized log-density of one value, in nats."""

    @abstractmethod
    def from_base(
        self, noise: Float[Array, " noise_dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map standard normal noise to a draw."""

    def log_prob_rows(
        self,
        values: Float[Array, "n dim"],
        conditions: Float[Array, "n cond_dim"] | Float[Array, " cond_dim"],
    ) -> Float[Array, " n"]:
        """Return the log-density of many values, each with its condition or all one."""
        axes = (0, 0 if conditions.ndim == 2 else None)
        return jax.vmap(self.log_prob, axes)(values, conditions)

    def from_base_rows(
        self,
        noise: Float[Array, "n noise_dim"],
        conditions: Float[Array, "n cond_dim"] | Float[Array, " cond_dim"],
    ) -> Float[Array, "n dim"]:
        """Map many rows of noise, each with its condition or all with one."""
        axes = (0, 0 if conditions.ndim == 2 else None)
        return jax.vmap(self.from_base, axes)(noise, conditions)

    def loss_rows(
        self,
        key: Key[Array, ""],
        values: Float[Array, "n dim"],
        conditions: Float[Array, "n cond_dim"],
    ) -> Float[Array, " n"]:
        """Return what training minimizes, at many values: -log q, in nats.

        A hook: a density whose log-density is dear has a loss of its own.
        """
        del key
        return -self.log_prob_rows(values, conditions)

    def sample(
        self, key: Key[Array, ""], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Draw one value."""
        return self.from_base(jr.normal(key, (self.noise_dim,)), condition)


class AbstractFlow(AbstractDensity):
    """A density defined by an invertible map of a standard normal of its dimension.

    One pass gives a log-density and one pass of the inverse gives a draw.
    """

    @property
    def noise_dim(self) -> int:
        """How many standard normal numbers make a draw."""
        return self.dim

    @abstractmethod
    def to_base(
        self,
        value: Float[Array, " dim"],
        condition: Float[Array, " cond_dim"],
    ) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """Map a value to base noise; also return log |det dnoise/dvalue|.

        :meth:`from_base` is its inverse.
        """

    def log_prob(
        self,
        value: Float[Array, " dim"],
        condition: Float[Array, " cond_dim"],
    ) -> Float[Array, ""]:
        """Return the normalized log-density of one value, in nats."""
        noise, log_det = self.to_base(value, condition)
        return normal_log_prob(noise) + log_det


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
    ) -> Float[Array, ""]:
        """Return the normalized log-density of one value given one x, in nats."""
        return self.density.log_prob(value, self.embedding(x))

    def log_prob_rows(
        self,
        values: Float[Array, "n dim"],
        x: Mapping[str, Array],
    ) -> Float[Array, " n"]:
        """Return the log-density of many values, each given its x, in nats."""
        return self.density.log_prob_rows(values, jax.vmap(self.embedding)(x))

    def loss_rows(
        self,
        key: Key[Array, ""],
        values: Float[Array, "n dim"],
        x: Mapping[str, Array],
    ) -> Float[Array, " n"]:
        """Return what training minimizes, at many values and their x."""
        return self.density.loss_rows(key, values, jax.vmap(self.embedding)(x))


def normal_log_prob(noise: Float[Array, " dim"]) -> Float[Array, ""]:
    """Return the log-density of a standard normal vector, in nats."""
    return -0.5 * jnp.sum(noise**2) - 0.5 * noise.size * math.log(2 * math.pi)


def dense(key: Key[Array, ""], in_dim: int, out_dim: int, scale: float) -> Dense:
    """Return a linear layer with normal weights of sd ``scale/sqrt(in_dim)``, bias 0.

    A scale of 0 makes whatever follows start as a function of its bias alone. Drawn on
    the host: JAX would compile a program for every shape, which took longer than to
    train a small network.
    """
    if isinstance(key, Tracer):  # a loader asks for shapes alone
        return Dense(jnp.zeros((out_dim, in_dim)), jnp.zeros(out_dim))
    weight = numpy_generator(key).standard_normal((out_dim, in_dim), dtype=np.float32)
    weight *= scale / math.sqrt(max(in_dim, 1))
    return Dense(jnp.asarray(weight), jnp.zeros(out_dim))
