"""``simulate``: parameters from the prior, output from the simulator, at any scale."""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .._core.compilation import use_compilation_cache
from .._core.errors import DataError
from .._core.progress import say
from .._core.seeds import check_seed
from ..model import JaxSimulator, Model
from .campaign import BlockEngine, Campaign, Engine
from .cluster import Dask, DaskEngine
from .collect import Collector
from .dataset import Block, Simulations, as_series
from .inline import InlineEngine, trace_simulator
from .join import join_blocks
from .pool import Pool, PoolEngine, SerialEngine
from .shards import Shard
from .store import Memory, Store


JAX_BLOCK = 1000
PYTHON_BLOCK = 256


def simulate(
    model: Model,
    num_simulations: int,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    workers: int | None = None,
    stream: str = "simulate",
    executor: Pool | Dask | None = None,
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
        executor: Where simulators run and within which limits: a :class:`Pool` on this
            machine, or :class:`Dask` on many.

    Returns:
        The simulations, in index order.

    Raises:
        ModelError: If the simulator cannot be run at all.
        DataError: If too many rows fail, the shape of x differs from that of the
            observation, ``out`` holds another campaign or damaged rows, or the
            simulator's file has changed since the campaign began.
        StorageError: If ``out`` cannot be written, or another process works on it.
        InterruptedRun: On Ctrl-C, with the finished rows kept in ``out``.

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
    executor = executor if executor is not None else Pool(workers)
    campaign = campaign_of(model, seed, stream)
    keep = Memory(campaign) if out is None else Store(Path(out), campaign)
    begun = time.perf_counter()
    fill(keep, num_simulations, executor)
    blocks = keep.read(num_simulations)
    return _join(campaign, blocks, num_simulations, keep, time.perf_counter() - begun)


def run_shard(campaign: Campaign, shard: Shard, executor: Pool | Dask) -> None:
    """Simulate the rows of one shard of a plan into the shard's own folder.

    Raises:
        DataError: If too many rows fail.
        StorageError: If the folder cannot be written, or another process has it.
        InterruptedRun: On Ctrl-C; the same call continues.
    """
    use_compilation_cache()
    keep = Store(shard.folder, campaign)
    fill(keep, shard.rows.stop, executor, first=shard.rows.start)


def campaign_of(model: Model, seed: int, stream: str = "simulate") -> Campaign:
    """Return the campaign of a model and a seed.

    Raises:
        DataError: If the shape of a JAX simulator's x differs from the observation's.
        ModelError: If a JAX simulator cannot be traced.
    """
    is_jax = isinstance(model.simulator, JaxSimulator)
    if is_jax:
        check_shapes(model, {k: v.shape for k, v in trace_simulator(model).items()})
    size = (model.block_size or JAX_BLOCK) if is_jax else PYTHON_BLOCK
    return Campaign(model, check_seed(seed), stream, size)


def fill(keep: Store | Memory, num: int, executor: Pool | Dask, first: int = 0) -> None:
    """Simulate the rows from ``first`` to ``num - 1`` that are not there yet."""
    if not _wanted(keep, first, num):
        return
    model = keep.campaign.model
    fill_with(
        _engine(model, executor),
        keep,
        range(first, num),
        max_failed=executor.max_failed,
        source=model.simulator.source(),
    )


def fill_with(
    engine: Engine,
    keep: Store | Memory,
    rows: range,
    *,
    max_failed: float,
    source: str | None = None,
) -> None:
    """Let an engine answer for the rows that are not there yet."""
    with keep.writing():
        keep.campaign = replace(keep.campaign, x_shapes=keep.x_shapes)
        keep.begin(rows.stop, source)
        gaps = _wanted(keep, rows.start, rows.stop)
        if isinstance(engine, BlockEngine):  # its blocks are always whole
            gaps = _whole(gaps, keep.campaign.block_size)
        Collector(keep, gaps, max_failed).run(engine)


def _wanted(keep: Store | Memory, first: int, num: int) -> list[range]:
    gaps = (range(max(gap.start, first), gap.stop) for gap in keep.missing(num))
    return [gap for gap in gaps if len(gap)]


def _whole(gaps: Iterable[range], size: int) -> list[range]:
    edges = [(g.start - g.start % size, -(-g.stop // size) * size) for g in gaps]
    return [range(start, stop) for start, stop in edges]


def _engine(model: Model, executor: Pool | Dask) -> Engine:
    simulator = model.simulator
    if isinstance(simulator, JaxSimulator):
        return InlineEngine()
    program = simulator.program()
    if isinstance(executor, Dask):
        return DaskEngine(program, executor)
    if program is None:
        say(
            "The simulator exists only in this process (a notebook, script or inner "
            "function), so it runs here, one row after another. Put it into a file of "
            "its own to run it in worker processes."
        )
        return SerialEngine()
    return PoolEngine(program, executor)


def _join(
    campaign: Campaign,
    blocks: Iterable[Block],
    num: int,
    keep: Store | Memory,
    seconds: float,
) -> Simulations:
    single = not isinstance(campaign.model.observed, dict)
    folder = keep.path / "packed" if keep.path is not None else None
    facts = {"seed": campaign.seed, "stream": campaign.stream, "seconds": seconds}
    return join_blocks(campaign.model, blocks, num, single, folder, **facts)


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
