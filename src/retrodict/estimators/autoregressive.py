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
from jaxtyping import Array, Float, Key

from ._base import AbstractFlow, Dense, dense
from .rational_quadratic import num_parameters, spline_forward, spline_inverse
from .whitening import Whitening


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
        return bent, jnp.sum(log_slopes)

    def from_base(self, noise, condition):
        """Undo :meth:`to_base`, one component after the other."""

        def step(value, number):
            parameters = self._parameters(value, condition)
            back = self._inverse(noise, parameters)
            return jnp.where(jnp.arange(self.dim) == number, back, value), None

        # a component only reads those before it, which are right already
        return jax.lax.scan(step, jnp.zeros_like(noise), jnp.arange(self.dim))[0]

    def _forward(self, value, parameters):
        if self.transform == "affine":
            log_scale = _bounded(parameters[1])
            return (value - parameters[0]) * jnp.exp(log_scale), log_scale
        return spline_forward(value, parameters.ravel(), self.bound)

    def _inverse(self, value, parameters):
        if self.transform == "affine":
            return value * jnp.exp(-_bounded(parameters[1])) + parameters[0]
        return spline_inverse(value, parameters.ravel(), self.bound)

    def _parameters(self, value, condition):
        """Return the parameters ``(size, dim)`` of every component's transform."""
        width = len(self.hidden.bias)
        into, within, out_of = masks(self.dim, width)
        hidden = condition
        if self.first is not None:
            hidden = hidden + _masked(self.first, into, value)
        hidden = jax.nn.silu(_masked(self.hidden, within, jax.nn.silu(hidden)))
        size = len(self.out.bias) // self.dim
        last = np.repeat(out_of, size, axis=0)
        return _masked(self.out, last, hidden).reshape(self.dim, size).T


class Autoregressive(AbstractFlow):
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
    dim: int = eqx.field(static=True)
    context_dim: int = eqx.field(static=True)

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
        self.context_dim = context_dim
        self.whitening = Whitening(key_whitening, dim, context_dim, direct_dim)
        self.from_condition = dense(key_condition, context_dim, num_layers * width, 1.0)
        self.layers = tuple(
            MaskedLayer(key_layer, dim, width, transform, num_bins, 5.0)
            for key_layer in jr.split(key_layers, num_layers)
        )

    def to_base(
        self, value: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """Map a value to base noise; also return log |det dnoise/dvalue|."""
        context, direct = self._split(condition)
        value, log_det = self.whitening.to_base(value, context, direct)
        hidden = self._hidden(context)
        for number, layer in enumerate(self.layers):
            value, more = layer.to_base(value[order(self.dim, number)], hidden[number])
            log_det = log_det + more
        return value, log_det

    def from_base(
        self, noise: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map base noise to a value."""
        context, direct = self._split(condition)
        hidden = self._hidden(context)
        for number, layer in reversed(list(enumerate(self.layers))):
            back = np.argsort(order(self.dim, number))
            noise = layer.from_base(noise, hidden[number])[back]
        return self.whitening.from_base(noise, context, direct)

    def _split(self, condition):
        return condition[: self.context_dim], condition[self.context_dim :]

    def _hidden(self, context):
        """Return what each layer sees of the context, in one product."""
        return self.from_condition(context).reshape(len(self.layers), -1)


def order(dim: int, layer: int) -> np.ndarray:
    """Choose the order of components in a layer: every second one turns it round."""
    if layer % 2:
        return np.arange(dim)[::-1]
    return np.random.RandomState(layer).permutation(dim) if layer else np.arange(dim)


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
    return (layer.weight * mask.astype(layer.weight.dtype)) @ inputs + layer.bias


def _bounded(log_scale):
    return MAX_LOG_SCALE * jnp.tanh(log_scale / MAX_LOG_SCALE)
