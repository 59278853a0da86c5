r"""Neural spline coupling flow with conditional location and scale.

The value is first centred and whitened by a Gaussian whose mean and triangular factor
depend on the condition, :math:`v = T(c)\,(\theta - \mu(c))`, then passed through
coupling layers: each bends one half of the components by rational-quadratic splines
whose parameters are a network of the other half and of the condition.

The first step lets a posterior be much narrower than the prior without spending spline
bins on finding it; the splines then only learn its shape.

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
from jaxtyping import Array, Float, Key

from ._base import AbstractDensity, dense, dropout
from .rational_quadratic import num_parameters, spline_forward, spline_inverse


class Whitening(eqx.Module):
    """Conditional location and triangular scale: v = T(c) (value - mean(c))."""

    head: eqx.nn.Linear
    dim: int

    def __init__(self, key: Key[Array, ""], dim: int, cond_dim: int):
        self.head = dense(key, cond_dim, 2 * dim + dim * (dim - 1) // 2, 0.0)
        self.dim = dim

    def factors(self, condition):
        """Return mean, log-diagonal and strictly lower part of T."""
        out = self.head(condition)
        mean, log_diagonal, rest = jnp.split(out, [self.dim, 2 * self.dim])
        lower = jnp.zeros((self.dim, self.dim))
        rows, columns = np.tril_indices(self.dim, -1)
        return mean, log_diagonal, lower.at[rows, columns].set(rest)

    def to_base(self, value, condition):
        """Whiten; return v and log |det T|."""
        mean, log_diagonal, lower = self.factors(condition)
        # rows of T are scaled by the diagonal: the off-diagonal part keeps its size
        # when a posterior is narrow
        centred = value - mean
        scale = jnp.exp(log_diagonal)
        return scale * (centred + lower @ centred), jnp.sum(log_diagonal)

    def from_base(self, noise, condition):
        """Undo the whitening by forward substitution."""
        mean, log_diagonal, lower = self.factors(condition)
        target = noise * jnp.exp(-log_diagonal)
        centred = []
        for row in range(self.dim):
            known = sum((lower[row, c] * centred[c] for c in range(row)), start=0.0)
            centred.append(target[row] - known)
        return jnp.stack(centred) + mean


class Coupling(eqx.Module):
    """One layer: bend the last components by splines that depend on the first ones."""

    from_fixed: eqx.nn.Linear | None
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear
    num_fixed: int = eqx.field(static=True)
    num_moved: int = eqx.field(static=True)
    bound: float = eqx.field(static=True)
    rate: float = eqx.field(static=True)

    def __init__(self, key, dim, width, num_bins, bound, rate):
        keys = jr.split(key, 3)
        self.num_fixed = dim // 2
        self.num_moved = dim - dim // 2
        self.bound = bound
        self.rate = rate
        fixed = self.num_fixed
        self.from_fixed = dense(keys[0], fixed, width, 1.0) if fixed else None
        self.hidden = dense(keys[1], width, width, 1.0)
        size = self.num_moved * num_parameters(num_bins)
        self.out = dense(keys[2], width, size, 0.0)

    def to_base(self, value, condition, key=None):
        """Bend towards the base; return the result and the log-determinant."""
        fixed, moved = value[: self.num_fixed], value[self.num_fixed :]
        parameters = self._parameters(fixed, condition, key)
        bent, log_slopes = jax.vmap(spline_forward, (0, 0, None))(
            moved, parameters, self.bound
        )
        return jnp.concatenate([fixed, bent]), jnp.sum(log_slopes)

    def from_base(self, noise, condition):
        """Undo :meth:`to_base`."""
        fixed, moved = noise[: self.num_fixed], noise[self.num_fixed :]
        parameters = self._parameters(fixed, condition, None)
        bent = jax.vmap(spline_inverse, (0, 0, None))(moved, parameters, self.bound)
        return jnp.concatenate([fixed, bent])

    def _parameters(self, fixed, condition, key):
        hidden = condition
        if self.from_fixed is not None:
            hidden = hidden + self.from_fixed(fixed)
        hidden = jax.nn.silu(self.hidden(jax.nn.silu(hidden)))
        hidden = dropout(key, hidden, self.rate)
        return self.out(hidden).reshape(self.num_moved, -1)


class SplineCoupling(AbstractDensity):
    """Coupling flow with rational-quadratic splines.

    Args:
        key: PRNG key of the initial weights.
        dim: Dimension of the value.
        cond_dim: Dimension of the condition.
        num_layers: Number of coupling layers.
        width: Width of the conditioners.
        num_bins: Bins of each spline.
        bound: Splines act on [-bound, bound]; beyond, the map is linear.
        dropout_rate: Share of hidden units silenced in training.
    """

    whitening: Whitening
    from_condition: eqx.nn.Linear
    layers: tuple[Coupling, ...]
    dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        dim: int,
        cond_dim: int,
        *,
        num_layers: int = 4,
        width: int = 64,
        num_bins: int = 10,
        bound: float = 5.0,
        dropout_rate: float = 0.0,
    ):
        key_whitening, key_condition, key_layers = jr.split(key, 3)
        self.dim = dim
        self.whitening = Whitening(key_whitening, dim, cond_dim)
        self.from_condition = dense(key_condition, cond_dim, num_layers * width, 1.0)

        self.layers = tuple(
            Coupling(key_layer, dim, width, num_bins, bound, dropout_rate)
            for key_layer in jr.split(key_layers, num_layers)
        )

    def to_base(
        self,
        value: Float[Array, " dim"],
        condition: Float[Array, " cond_dim"],
        key: Key[Array, ""] | None = None,
    ) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        """Map a value to base noise; also return log |det dnoise/dvalue|."""
        value, log_det = self.whitening.to_base(value, condition)
        hidden = self._hidden(condition)
        # unrolled: scanning over the layers trained at less than half the speed
        for number, layer in enumerate(self.layers):
            key_layer = None if key is None else jr.fold_in(key, number)
            value = value[layer_order(self.dim, number)]
            value, more = layer.to_base(value, hidden[number], key_layer)
            log_det = log_det + more
        return value, log_det

    def from_base(
        self, noise: Float[Array, " dim"], condition: Float[Array, " cond_dim"]
    ) -> Float[Array, " dim"]:
        """Map base noise to a value."""
        hidden = self._hidden(condition)
        for number, layer in reversed(list(enumerate(self.layers))):
            back = np.argsort(layer_order(self.dim, number))
            noise = layer.from_base(noise, hidden[number])[back]
        return self.whitening.from_base(noise, condition)

    def _hidden(self, condition):
        """Return what each layer sees of the condition, in one product."""
        return self.from_condition(condition).reshape(len(self.layers), -1)


def layer_order(dim: int, layer: int) -> np.ndarray:
    """Choose the permutation before a layer.

    Odd layers swap the halves, so that two layers bend every component; even layers
    shuffle, so that components which shared a half are separated in the next pair.
    """
    if layer % 2:
        return np.roll(np.arange(dim), dim // 2)
    return np.random.RandomState(layer).permutation(dim) if layer else np.arange(dim)
