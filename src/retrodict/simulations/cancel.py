"""Give up the rows of a campaign that are still missing: they become ``cancelled``."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..model import JaxSimulator, Model
from .campaign import Campaign, Job
from .dataset import Block
from .inline import trace_simulator
from .messages import STATUSES, Answer
from .run import campaign_of, fill_with
from .store import Store


TEXT = "given up by the user"
CODE = STATUSES.index("cancelled")


def cancel(
    model: Model,
    num_simulations: int,
    *,
    out: str | Path,
    seed: int = 0,
    stream: str = "simulate",
) -> int:
    """Record the rows of a campaign that were not simulated as cancelled.

    The campaign is then complete, and what was simulated can be used. Rows that take
    long are other rows than those that are quick: :func:`retrodict.fit` says whether
    what is missing depends on theta.

    Args:
        model: The model of the campaign.
        num_simulations: Number of rows it was to have.
        out: Its folder.
        seed: Its seed.
        stream: Name of the use of the seed.

    Returns:
        The number of rows that were cancelled.

    Raises:
        DataError: If no row has succeeded, or the folder holds another campaign.
        StorageError: If another process works on it, or it cannot be written.
    """
    keep = Store(Path(out), campaign_of(model, seed, stream))
    is_jax = isinstance(model.simulator, JaxSimulator)
    engine = _Blocks() if is_jax else _Rows()
    fill_with(engine, keep, range(num_simulations), max_failed=1.0)
    return engine.count


class _Rows:
    """The engine that simulates nothing, row by row."""

    count = 0

    def run_rows(
        self, campaign: Campaign, jobs: Iterator[Job]
    ) -> Iterator[Answer | None]:
        del campaign
        for job in jobs:
            self.count += 1
            yield Answer(job.index, "cancelled", {}, TEXT)


class _Blocks:
    """The same for blocks of a vectorized simulator."""

    count = 0

    def run_blocks(self, campaign: Campaign, starts: Sequence[int]) -> Iterator[Block]:
        size, shapes = campaign.block_size, trace_simulator(campaign.model)
        for start in starts:
            theta, _ = campaign.draw_theta(start)
            theta = {k: v.astype(np.float32) for k, v in theta.items()}
            x = {  # a simulator of whole numbers gives float32 too
                k: np.full((size, *v.shape), np.nan, np.float32)
                for k, v in shapes.items()
            }
            self.count += size
            errors = dict.fromkeys(range(start, start + size), TEXT)
            yield Block(start, theta, x, np.full(size, CODE, np.int8), errors)
