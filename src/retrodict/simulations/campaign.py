"""What a campaign is, and the seam between engines that simulate and what keeps rows.

A vectorized engine turns the index of a block into a :class:`Block`; any other answers
row by row. Parameters and randomness of row ``i`` are pure functions of ``(seed,
stream, i)``, and vectorized blocks have one fixed shape, so that neither the number of
workers nor the order of work changes a bit.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.random as jr
import numpy as np

from .._core.seeds import stream_key
from ..model import Model
from .dataset import Block
from .messages import Answer


SCHEMA = 2


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


class Job(NamedTuple):
    """One row to simulate: its index and its parameters."""

    index: int
    theta: Mapping[str, Any]


@runtime_checkable
class BlockEngine(Protocol):
    """Simulates whole blocks of the campaign's fixed size."""

    def run_blocks(self, campaign: Campaign, starts: Sequence[int]) -> Iterator[Block]:
        """Yield the blocks that begin at ``starts``, in any order."""
        ...


@runtime_checkable
class RowEngine(Protocol):
    """Simulates rows one by one: in this process, in workers, on a cluster."""

    def run_rows(
        self, campaign: Campaign, jobs: Iterator[Job]
    ) -> Iterator[Answer | None]:
        """Yield an answer for every job, in any order; ``None`` while waiting."""
        ...


Engine = BlockEngine | RowEngine


def describe(campaign: Campaign) -> dict[str, object]:
    """Return the identity of a campaign as JSON values."""
    return {
        "format": "retrodict-campaign",
        "schema": SCHEMA,
        "model": campaign.model.name,
        "prior": campaign.model.prior.describe(),
        "seed": campaign.seed,
        "stream": campaign.stream,
        "block_size": campaign.block_size,
    }


def identity_of(facts: Mapping[str, object]) -> str:
    """Return the SHA-256 of a campaign's identity; every block carries it."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def cut(rows: range, block_size: int) -> list[range]:
    """Cut a range of rows where blocks begin."""
    edges = range(rows.start - rows.start % block_size, rows.stop, block_size)
    return [range(max(e, rows.start), min(e + block_size, rows.stop)) for e in edges]


def missing_rows(num: int, stored: Sequence[range]) -> list[range]:
    """Return the ranges below ``num`` that sorted, disjoint ranges leave out."""
    found, here = [], 0
    for rows in stored:
        if here < min(rows.start, num):
            found.append(range(here, min(rows.start, num)))
        here = max(here, rows.stop)
    return [*found, range(here, num)] if here < num else found
