"""Join blocks to one data set, in memory or, when that is large, in mapped files."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..model import Model
from .dataset import Block, Simulations, like_series


MAPPED_BYTES = 2**31  # above this the arrays are mapped from files instead of loaded


def join_blocks(
    model: Model,
    blocks: Iterable[Block],
    num: int,
    single: bool,
    folder: Path | None = None,
    **facts: Any,
) -> Simulations:
    """Join blocks to the first ``num`` rows of a campaign.

    Args:
        model: The model.
        blocks: Blocks that hold each of these rows once, in any order.
        num: Number of rows.
        single: Whether x may be one array rather than a dictionary; it is, if its only
            series is called ``"x"``.
        folder: Where arrays that are too large for memory are put.
        **facts: Further attributes of :class:`Simulations`.
    """
    blocks = iter(blocks)
    first = next(blocks)
    row = sum(v[:1].nbytes for v in (*first.theta.values(), *first.x.values()))
    mapped = folder if folder is not None and row * num > MAPPED_BYTES else None
    theta = {k: _empty(f"theta-{k}", v, num, mapped) for k, v in first.theta.items()}
    x = {k: _empty(f"x-{k}", v, num, mapped) for k, v in first.x.items()}
    status = np.empty(num, np.int8)
    texts: Counter[str] = Counter()
    for block in _chain(first, blocks):
        here = slice(block.start, min(block.start + len(block), num))
        count = here.stop - here.start
        for whole, part in ((theta, block.theta), (x, block.x)):
            for name, values in part.items():
                whole[name][here] = values[:count]
        status[here] = block.status[:count]
        rows = [i for i in block.errors if i < num]
        texts.update(block.errors[i].split("\n", 1)[0] for i in rows)
    theta = {name: theta[name] for name in model.prior.names}
    return Simulations(
        model=model,
        theta=theta,
        derived=model.derived(theta),
        x=like_series(x, single and list(x) == ["x"]),
        status=status,
        index=np.arange(num),
        errors=tuple(sorted(texts.items(), key=lambda item: (-item[1], item[0]))[:3]),
        **facts,
    )


def _chain(first: Block, rest: Iterator[Block]) -> Iterator[Block]:
    yield first
    yield from rest


def _empty(name: str, like: np.ndarray, num: int, folder: Path | None) -> np.ndarray:
    shape = (num, *like.shape[1:])
    if folder is None:
        return np.empty(shape, like.dtype)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npy"
    path.unlink(missing_ok=True)  # another process may still have the old file mapped
    return np.lib.format.open_memmap(path, "w+", like.dtype, shape)
