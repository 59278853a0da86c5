r"""Neural spline coupling flow with conditional location and scale.

The value is first centred and whitened by a Gaussian whose mean and triangular factor
depend on the condition, :math:`v = T(c)\,(\theta - \mu(c))`, then passed through
coupling layers: each bends one half of the components by rational-quadratic splines
whose parameters are a network of the other half and of the condition.

The first step lets a posterior be much narrower than the prior without spending spline
bins on finding it; the splines then only learn its shape. Entries of x that the
embedding passes on enter the mean linearly as well, so that a linear regression is
where training may start (see :func:`retrodict.training.start.start_at_regression`).

Source: Durkan et al. (2019), Neural spline flows, arXiv:1906.04032, sec. 3.
Deviations from the source: the conditional whitening; conditioners see the condition at
their first layer only; fixed alternating halves with fixed permutations instead of
learned linear layers (the whitening is one).
"""

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


class Coupling(eqx.Module):
    """One layer: bend the last components by splines that depend on the first ones."""

    from_fixed: Dense | None
    hidden: Dense
    out: Dense
    num_fixed: int = eqx.field(static=True)
    num_moved: int = eqx.field(static=True)
    bound: float = eqx.field(static=True)

    def __init__(self, key, dim, width, num_bins, bound):
        keys = jr.split(key, 3)
        self.num_fixed = dim // 2
        self.num_moved = dim - dim // 2
        self.bound = bound
        fixed = self.num_fixed
        self.from_fixed = dense(keys[0], fixed, width, 1.0) if fixed else None
        self.hidden = dense(keys[1], width, width, 1.0)
        size = self.num_moved * num_parameters(num_bins)
        self.out = dense(keys[2], width, size, 0.0)

    def to_base(self, value, condition):
        """Bend towards the base; return the result and the log-determinant."""
        fixed, moved = value[: self.num_fixed], value[self.num_fixed :]
        parameters = self._parameters(fixed, condition)
        bent, log_slopes = spline_forward(moved, parameters, self.bound)
        return jnp.concatenate([fixed, bent]), jnp.sum(log_slopes, axis=0)

    def from_base(self, noise, condition):
        """Undo :meth:`to_base`."""
        fixed, moved = noise[: self.num_fixed], noise[self.num_fixed :]
        parameters = self._parameters(fixed, condition)
        bent = spline_inverse(moved, parameters, self.bound)
        return jnp.concatenate([fixed, bent])

    def _parameters(self, fixed, condition):
        hidden = with_axes(condition, fixed.ndim)
        if self.from_fixed is not None:
            hidden = hidden + self.from_fixed(fixed)
        hidden = jax.nn.silu(self.hidden(jax.nn.silu(hidden)))
        return self.out(hidden)


class SplineCoupling(AbstractLayeredFlow):
    """Coupling flow with rational-quadratic splines.

    Args:
        key: PRNG key of the initial weights.
        dim: Dimension of the value.
        cond_dim: Dimension of the condition.
        num_layers: Number of coupling layers.
        width: Width of the conditioners.
        num_bins: Bins of each spline.
        bound: Splines act on [-bound, bound]; beyond, the map is linear.
        direct_dim: How many trailing entries of the condition are entries of x; they
            enter the mean alone, linearly.
    """

    whitening: Whitening
    from_condition: Dense
    layers: tuple[Coupling, ...]
    base_scale: Frozen
    dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        dim: int,
        cond_dim: int,
        *,
        num_layers: int = 4,
        width: int = 64,
        num_bins: int = 6,
        bound: float = 5.0,
        direct_dim: int = 0,
    ):
        key_whitening, key_condition, key_layers = jr.split(key, 3)
        context_dim = cond_dim - direct_dim
        self.dim = dim
        self.whitening = Whitening(key_whitening, dim, context_dim, direct_dim)
        self.from_condition = dense(key_condition, context_dim, num_layers * width, 1.0)
        self.layers = tuple(
            Coupling(key_layer, dim, width, num_bins, bound)
            for key_layer in jr.split(key_layers, num_layers)
        )
        self.base_scale = Frozen(jnp.ones(()))

    def order(self, number: int) -> np.ndarray:
        """Return the order of components before a layer."""
        return layer_order(self.dim, number)


def layer_order(dim: int, layer: int) -> np.ndarray:
    """Choose the permutation before a layer.

    Odd layers swap the halves, so that two layers bend every component; even layers
    shuffle, so that components which shared a half are separated in the next pair.
    """
    if layer % 2:
        return np.roll(np.arange(dim), dim // 2)
    return np.random.RandomState(layer).permutation(dim) if layer else np.arange(dim)
