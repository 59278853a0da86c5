"""What a campaign is, and the seam between engines that simulate and what keeps rows.

An engine turns the index of a block into a :class:`Block`. Parameters and randomness
of row ``i`` are pure functions of ``(seed, stream, i)``, and blocks have one fixed
shape, so that neither the number of workers nor the order of blocks changes a bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.random as jr
import numpy as np

from .._core.seeds import stream_key
from ..model import Model
from .dataset import Block


@dataclass(frozen=True)
class Campaign:
    """The identity of a sequence of simulations.

    Attributes:
        model: What is simulated.
        seed: Seed of the sequence.
        stream: Name of the use of the seed.
        block_size: Rows of a block; part of the identity, since compiled code may give
            other low bits at another batch size.
        x_shapes: Shapes that every x must have, where rows on disk already tell.
    """

    model: Model
    seed: int
    stream: str
    block_size: int
    x_shapes: Mapping[str, tuple[int, ...]] | None = None

    def draw_theta(self, start: int) -> tuple[dict[str, np.ndarray], jax.Array]:
        """Draw the parameters of a block and the keys of its simulator calls.

        Args:
            start: Index of the block's first row.

        Returns:
            Parameters ``(block_size, *shape)`` in float64, by name, and one key a row.
        """
        root = stream_key(self.seed, self.stream)
        indices = np.arange(start, start + self.block_size, dtype=np.uint32)
        with jax.enable_x64(True):
            theta, keys = self._draw(root, indices)
        return {name: np.asarray(theta[name]) for name in self.model.prior.names}, keys

    def _draw(self, root, indices):
        kept = self.model.__dict__
        if "_draw_rows" not in kept:
            kept["_draw_rows"] = jax.jit(_rows_of(self.model))
        return kept["_draw_rows"](root, indices)


def _rows_of(model: Model):
    def draw_row(root, index):
        key_theta, key_x = jr.split(jr.fold_in(root, index))
        return model.prior.draw(key_theta), key_x

    return jax.vmap(draw_row, in_axes=(None, 0))


@runtime_checkable
class Engine(Protocol):
    """Anything that simulates blocks: in this process, in workers, on a cluster."""

    def run(self, campaign: Campaign, starts: Sequence[int]) -> Iterator[Block]:
        """Yield the blocks that begin at ``starts``, in any order."""
        ...
