r"""Gated recurrent unit: a series read row by row, with a state that remembers.

.. math::
    r = \sigma(W_r u + U_r h), \quad z = \sigma(W_z u + U_z h), \quad
    n = \tanh(W_n u + b_n + r\,(U_n h)), \quad h' = (1 - z)\,n + z\,h .

The last state and the average of all states are the summary. Absent rows leave the
state as it is; every row comes with its place in the series, so that gaps are seen.
It suits series of up to some hundred rows whose past matters in order; it takes one
step after the other, which no processor makes faster.

Source: Cho et al. (2014), arXiv:1406.1078, eqs. 5 to 8; the form of Chung et al.
(2014), arXiv:1412.3555, that equinox implements.
Deviations from the source: the average of the states beside the last one.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ._base import AbstractSeriesEmbedding, Dense, dense
from .rows import masked_mean, read_rows


class Recurrent(AbstractSeriesEmbedding):
    """Embed one series ``(rows, channels)``.

    Args:
        key: PRNG key of the initial weights.
        name: Which series of x.
        shape: Its standardized shape.
        missing: Whether the second half of the channels tells which values are there.
        width: Dimension of the state.
        out_dim: Dimension of the result.
    """

    cell: eqx.nn.GRUCell
    last: Dense
    name: str = eqx.field(static=True)
    length: int = eqx.field(static=True)
    missing: bool = eqx.field(static=True)
    out_dim: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        name: str,
        shape: tuple[int, ...],
        *,
        missing: bool = False,
        width: int = 64,
        out_dim: int = 64,
    ):
        key_cell, key_last = jr.split(key)
        self.cell = eqx.nn.GRUCell(shape[-1] + 1, width, key=key_cell)
        self.last = dense(key_last, 2 * width, out_dim, 1.0)
        self.name = name
        self.length = shape[0]
        self.missing = missing
        self.out_dim = out_dim

    def __call__(self, x: Mapping[str, Array]) -> Float[Array, " out_dim"]:
        """Embed the standardized series of one simulation."""
        inputs, present = read_rows(x[self.name], self.missing)
        place = jnp.arange(len(inputs), dtype=inputs.dtype) / self.length - 0.5
        inputs = jnp.concatenate([inputs, place[:, None]], axis=1)

        def step(state: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            new = jnp.where(row[1] > 0, self.cell(row[0], state), state)
            return new, new

        start = jnp.zeros(self.cell.hidden_size, inputs.dtype)
        end, states = jax.lax.scan(step, start, (inputs, present))
        return self.last(jnp.concatenate([end, masked_mean(states, present)]))
