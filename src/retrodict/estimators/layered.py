"""Flows that are a conditional whitening and then layers, each seeing the condition.

What all of them share: the order of the steps, one product that gives every layer its
part of the condition, and batches that keep rows as the fastest axis.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._base import AbstractFlow, Dense, Frozen, normal_log_prob
from .whitening import Whitening


@runtime_checkable
class Layer(Protocol):
    """One invertible layer; batch axes follow the first."""

    def to_base(self, value: Array, condition: Array) -> tuple[Array, Array]:
        """Bend towards the base; return the result and the log-determinant."""
        ...

    def from_base(self, noise: Array, condition: Array) -> Array:
        """Undo :meth:`to_base`."""
        ...


class AbstractLayeredFlow(AbstractFlow):
    """A whitening, then layers with a reordering of components before each.

    The base is a normal of standard deviation ``base_scale``: 1 while a network is
    trained, and not trained with it.
    """

    base_scale: eqx.AbstractVar[Frozen]
    whitening: eqx.AbstractVar[Whitening]
    from_condition: eqx.AbstractVar[Dense]
    layers: eqx.AbstractVar[tuple[Layer, ...]]

    @abstractmethod
    def order(self, number: int) -> np.ndarray:
        """Return the order of components before a layer."""

    def to_base(
        self, value: Float[Array, "dim ..."], condition: Float[Array, "cond_dim ..."]
    ) -> tuple[Float[Array, "dim ..."], Float[Array, "..."]]:
        """Map a value to base noise; also return log |det dnoise/dvalue|.

        More axes of the value, and of the condition, are a batch.
        """
        value, log_det = self.whitening.to_base(value, condition)
        hidden = self._hidden(condition)
        # unrolled: scanning over the layers trained at less than half the speed
        for number, layer in enumerate(self.layers):
            value = permuted(value, self.order(number))
            value, more = layer.to_base(value, hidden[number])
            log_det = log_det + more
        scale = self.base_scale.value
        return value / scale, log_det - self.dim * jnp.log(scale)

    def from_base(
        self, noise: Float[Array, "dim ..."], condition: Float[Array, "cond_dim ..."]
    ) -> Float[Array, "dim ..."]:
        """Map base noise to a value; batch axes as in :meth:`to_base`."""
        hidden = self._hidden(condition)
        noise = noise * self.base_scale.value
        for number, layer in reversed(list(enumerate(self.layers))):
            back = np.argsort(self.order(number))
            noise = permuted(layer.from_base(noise, hidden[number]), back)
        return self.whitening.from_base(noise, condition)

    def log_prob_rows(
        self,
        values: Float[Array, "n dim"],
        conditions: Float[Array, "n cond_dim"] | Float[Array, " cond_dim"],
    ) -> Float[Array, " n"]:
        """Return the log-density of many values, with rows as the fastest axis."""
        noise, log_det = self.to_base(values.T, conditions.T)
        return jax.vmap(normal_log_prob, 1)(noise) + log_det

    def from_base_rows(
        self,
        noise: Float[Array, "n dim"],
        conditions: Float[Array, "n cond_dim"] | Float[Array, " cond_dim"],
    ) -> Float[Array, "n dim"]:
        """Map many rows of base noise, with rows as the fastest axis."""
        return self.from_base(noise.T, conditions.T).T

    def _hidden(self, condition: Array) -> Sequence[Array]:
        """Return what each layer sees of the condition, in one product."""
        context = self.whitening.context(condition)
        return jnp.split(self.from_condition(context), len(self.layers))


def permuted(value: Float[Array, "dim ..."], order: np.ndarray) -> Array:
    """Reorder components; the gradient of a gather is slow on a CPU."""
    parts = jnp.split(value, len(order))
    return jnp.concatenate([parts[at] for at in order])
