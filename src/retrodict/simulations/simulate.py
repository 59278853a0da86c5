"""``simulate``: parameters from the prior, output from the simulator, at any scale."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from .._core.compilation import use_compilation_cache
from .._core.errors import DataError, InterruptedRun, ModelError
from .._core.progress import progress, say
from .._core.seeds import check_seed
from ..model import JaxSimulator, Model, unknown_parameter
from .campaign import Campaign, Engine
from .dataset import Block, Simulations, as_series, join_blocks
from .inline import InlineEngine, trace_simulator
from .pool import PoolEngine, SerialEngine
from .store import BlockStore


JAX_BLOCK = 1000
PYTHON_BLOCK = 50


def simulate(
    model: Model,
    num_simulations: int,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    workers: int | None = None,
    stream: str = "simulate",
) -> Simulations:
    """Draw parameters from the prior and simulate each of them once.

    Row ``i`` depends on ``(seed, i)`` alone: not on the number of workers, on the
    order of work, or on how often the run was interrupted. Rows that fail are kept
    with their status and counted.

    Args:
        model: What to simulate.
        num_simulations: Number of rows.
        seed: Seed of the sequence; asking for more rows continues it.
        out: Folder to keep the simulations in; a second call with the same folder
            continues where the first stopped. Without it they stay in memory.
        workers: Worker processes for a Python simulator; by default one per core. A
            JAX simulator runs vectorized in this process.
        stream: Name of the use of the seed; other streams give other rows.

    Returns:
        The simulations, in index order.

    Raises:
        ModelError: If the simulator cannot be run at all.
        DataError: If the first rows all fail, the shape of x differs from that of the
            observation, or ``out`` holds another campaign.
        StorageError: If ``out`` cannot be written.
        InterruptedRun: On Ctrl-C, with the finished blocks kept in ``out``.

    Example:
        >>> sims = simulate(model, 1000, seed=0)
        >>> len(sims)
        1000
    """
    if num_simulations < 1:
        raise ValueError(
            f"num_simulations: Expected at least 1; got {num_simulations}."
        )
    use_compilation_cache()
    is_jax = isinstance(model.simulator, JaxSimulator)
    if is_jax:
        check_shapes(model, {k: v.shape for k, v in trace_simulator(model).items()})
    size = (model.block_size or JAX_BLOCK) if is_jax else PYTHON_BLOCK
    campaign = Campaign(model, check_seed(seed), stream, size)
    store = BlockStore(Path(out), campaign) if out is not None else None
    engine = _engine(model, workers)
    starts = range(0, num_simulations, size)
    begun = time.perf_counter()
    blocks = _collect(engine, campaign, store, starts)
    single = "x" in blocks[0].x and not isinstance(model.observed, dict)
    return join_blocks(
        model,
        blocks,
        num_simulations,
        single and len(blocks[0].x) == 1,
        seed=campaign.seed,
        stream=stream,
        seconds=time.perf_counter() - begun,
    )


def _engine(model: Model, workers: int | None) -> Engine:
    if isinstance(model.simulator, JaxSimulator):
        return InlineEngine()
    if workers is not None and workers < 1:
        raise ValueError(f"workers: Expected at least 1; got {workers}.")
    location = model.simulator.location()
    if location is None:
        say(
            "The simulator exists only in this process (a notebook, script or inner "
            "function), so it runs here, one row after another. Put it into a file of "
            "its own to run it in worker processes."
        )
        return SerialEngine()
    return PoolEngine(*location, workers or os.cpu_count() or 1)


def _collect(
    engine: Engine, campaign: Campaign, store: BlockStore | None, starts: Sequence[int]
) -> list[Block]:
    """Read the blocks that are on disk and simulate the others."""
    done = store.starts() if store else set()
    blocks = [store.read(s) for s in starts if s in done] if store else []
    todo = [s for s in starts if s not in done]
    if blocks:
        shapes = {k: v.shape[1:] for k, v in blocks[0].x.items()}
        campaign = replace(campaign, x_shapes=shapes)
    failed = 0
    with (
        _resumable(store),
        progress("Simulating", len(starts) * campaign.block_size) as bar,
    ):
        bar.advance(len(blocks) * campaign.block_size)
        for block in engine.run(campaign, todo):
            if not blocks:
                _check_first(block, campaign.model)
            if store:
                store.write(block)
            blocks.append(block)
            failed += int((block.status != 0).sum())
            bar.advance(len(block), note=f"{failed} failed" if failed else "")
    return blocks


@contextmanager
def _resumable(store: BlockStore | None) -> Iterator[None]:
    """Say after Ctrl-C what is safe, where there is a store."""
    try:
        yield
    except KeyboardInterrupt as error:
        if store is None:
            raise
        raise InterruptedRun(
            f"Interrupted. {len(store.starts())} blocks are safe in {store.folder}; "
            "the same command continues with the rest."
        ) from error


def _check_first(block: Block, model: Model) -> None:
    """Stop a campaign whose first rows all fail, with the reason they give."""
    if (block.status == 0).any():
        check_shapes(model, {k: v.shape[1:] for k, v in block.x.items()})
        return
    texts = list(dict.fromkeys(block.errors.values()))[:3]
    reason = "; ".join(texts) or "every output holds NaN or infinity"
    unknown = _missing_parameter(block, model)
    if unknown is not None:
        raise unknown
    theta = {
        k: np.round(v[0].astype(float), 4).tolist() for k, v in block.theta.items()
    }
    raise DataError(
        f"simulator: all of the first {len(block)} simulations failed: {reason}. The "
        f"first had theta = {theta}. Run the simulator there and mend it."
    )


def _missing_parameter(block: Block, model: Model) -> ModelError | None:
    """Recognize a simulator that asks, in every row, for a parameter there is not."""
    texts = set(block.errors.values())
    if len(texts) != 1 or len(block.errors) < len(block):
        return None
    kind, _, name = texts.pop().partition(": ")
    if kind != "KeyError" or name.strip("'\"") in model.prior.names:
        return None
    return unknown_parameter("simulator", KeyError(name.strip("'\"")), model)


def check_shapes(model: Model, shapes: dict[str, tuple[int, ...]]) -> None:
    """Compare the shapes of simulated x with those of the observation.

    Raises:
        DataError: If they differ (message names both).
    """
    if model.observed is None:
        return
    observed = {k: v.shape for k, v in as_series(model.observed).items()}
    if observed != {k: tuple(v) for k, v in shapes.items()}:
        raise DataError(
            "x_obs: the observation and the simulator differ in shape. Expected "
            f"{ {k: tuple(v) for k, v in shapes.items()} } (what the simulator "
            f"returns); got {observed}. Make one like the other."
        )
