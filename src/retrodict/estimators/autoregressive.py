r"""Masked autoregressive flow, with affine or rational-quadratic transforms.

Component i of a layer is bent by a function whose shape is a masked network of the
components before it and of the condition,

.. math:: z_i = \tau\big(v_i;\, h_i(v_{<i}, c)\big) ,

so that the Jacobian is triangular and a log-density takes one pass; a draw takes as
many passes as there are components. Every component depends on all before it within one
layer, where a coupling layer only bends one half: fewer layers hold a posterior of
intricate shape in two to six dimensions, at several times the price of a draw.

Source: Papamakarios, Pavlakou, Murray (2017), Masked autoregressive flow for density
estimation, arXiv:1705.07057, sec. 3; Germain et al. (2015), MADE, arXiv:1502.03509,
eqs. 12 to 13 (the masks); Durkan et al. (2019), Neural spline flows, arXiv:1906.04032,
sec. 3.2 (rational-quadratic transforms).
Deviations from the source: the conditional whitening; some hidden units see the
condition alone, so that the first component has a network too; log-scales of affine
transforms are kept within +-3 by a hyperbolic tangent; fixed orders instead of batch
normalization between layers.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ._base import Dense, Frozen, dense
from .layered import AbstractLayeredFlow
from .rational_quadratic import num_parameters, spline_forward, spline_inverse
from .whitening import Whitening, with_axes


MAX_LOG_SCALE = 3.0
Transform = Literal["affine", "rational_quadratic"]


class MaskedLayer(eqx.Module):
    """One layer: bend every component by a function of those before it."""

    first: Dense | None
    hidden: Dense
    out: Dense
    transform: Transform = eqx.field(static=True)
    bound: float = eqx.field(static=True)
    dim: int = eqx.field(static=True)

    def __init__(self, key, dim, width, transform: Transform, num_bins, bound):
        keys = jr.split(key, 3)
        size = 2 if transform == "affine" else num_parameters(num_bins)
        self.first = dense(keys[0], dim, width, 1.0) if dim > 1 else None
        self.hidden = dense(keys[1], width, width, 1.0)
        self.out = dense(keys[2], width, dim * size, 0.0)
        self.transform = transform
        self.bound = bound
        self.dim = dim

    def to_base(self, value, condition):
        """Bend towards the base; return the result and the log-determinant."""
        bent, log_slopes = self._forward(value, self._parameters(value, condition))
        return bent, jnp.sum(log_slopes, axis=0)

    def from_base(self, noise, condition):
        """Undo :meth:`to_base`, one component after the other."""

        def step(value, number):
            parameters = self._parameters(value, condition)
            back = self._inverse(noise, parameters)
            here = with_axes(jnp.arange(self.dim) == number, noise.ndim)
            return jnp.where(here, back, value), None

        # a component only reads those before it, which are right already
        return jax.lax.scan(step, jnp.zeros_like(noise), jnp.arange(self.dim))[0]

    def _forward(self, value, parameters):
        if self.transform == "affine":
            log_scale = _bounded(parameters[1])
            return (value - parameters[0]) * jnp.exp(log_scale), log_scale
        return spline_forward(value, jnp.concatenate(parameters), self.bound)

    def _inverse(self, value, parameters):
        if self.transform == "affine":
            return value * jnp.exp(-_bounded(parameters[1])) + parameters[0]
        return spline_inverse(value, jnp.concatenate(parameters), self.bound)

    def _parameters(self, value, condition):
        """Return the parameters ``(size, dim, ...)`` of every component's transform."""
        width = len(self.hidden.bias)
        into, within, out_of = masks(self.dim, width)
        hidden = with_axes(condition, value.ndim)
        if self.first is not None:
            hidden = hidden + _masked(self.first, into, value)
        hidden = jax.nn.silu(_masked(self.hidden, within, jax.nn.silu(hidden)))
        size = len(self.out.bias) // self.dim
        last = np.repeat(out_of, size, axis=0)
        numbers = _masked(self.out, last, hidden)
        return jnp.moveaxis(numbers.reshape(self.dim, size, *value.shape[1:]), 1, 0)


class Autoregressive(AbstractLayeredFlow):
    """Masked autoregressive flow.

    Args:
        key: PRNG key of the initial weights.
        dim: Dimension of the value.
        cond_dim: Dimension of the condition.
        transform: How a component is bent: ``"affine"`` or ``"rational_quadratic"``.
        num_layers: Number of layers.
        width: Width of their networks.
        num_bins: Bins of each spline.
        direct_dim: How many trailing entries of the condition are entries of x.
    """

    whitening: Whitening
    from_condition: Dense
    layers: tuple[MaskedLayer, ...]
    base_scale: Frozen
    dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        dim: int,
        cond_dim: int,
        *,
        transform: Transform = "rational_quadratic",
        num_layers: int = 4,
        width: int = 64,
        num_bins: int = 6,
        direct_dim: int = 0,
    ):
        key_whitening, key_condition, key_layers = jr.split(key, 3)
        context_dim = cond_dim - direct_dim
        self.dim = dim
        self.whitening = Whitening(key_whitening, dim, context_dim, direct_dim)
        self.from_condition = dense(key_condition, context_dim, num_layers * width, 1.0)
        self.layers = tuple(
            MaskedLayer(key_layer, dim, width, transform, num_bins, 5.0)
            for key_layer in jr.split(key_layers, num_layers)
        )
        self.base_scale = Frozen(jnp.ones(()))

    def order(self, number: int) -> np.ndarray:
        """Return the order of components before a layer: every second one turns it."""
        if number % 2:
            return np.arange(self.dim)[::-1]
        shuffled = np.random.RandomState(number).permutation(self.dim)
        return shuffled if number else np.arange(self.dim)


def masks(dim: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the masks of the first, the middle and the last product.

    Hidden units of degree d read the first d components; component i (from 0) is bent
    by units of a degree up to i.
    """
    degrees = np.arange(width) % dim
    components = np.arange(dim)
    into = degrees[:, None] > components[None]
    within = degrees[:, None] >= degrees[None]
    out_of = components[:, None] >= degrees[None]
    return into, within, out_of


def _masked(layer: Dense, mask: np.ndarray, inputs):
    return Dense(layer.weight * mask.astype(layer.weight.dtype), layer.bias)(inputs)


def _bounded(log_scale):
    return MAX_LOG_SCALE * jnp.tanh(log_scale / MAX_LOG_SCALE)
