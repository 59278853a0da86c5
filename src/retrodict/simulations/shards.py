"""Shards that share nothing: plan them, run each anywhere, merge what they made.

A shard is a folder with a ledger and blocks of its own, so no two tasks of a batch
system ever write to the same file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core.atomic import write_atomic
from .._core.errors import DataError
from .campaign import Campaign, describe
from .dataset import Block
from .ledger import Ledger
from .messages import decode_answer
from .store import Folder, check_same, create


PLAN = "plan.json"


@dataclass(frozen=True)
class Shard:
    """One part of a planned campaign.

    Attributes:
        number: Its number, from 0.
        rows: The rows it simulates.
        folder: Where it keeps them.
    """

    number: int
    rows: range
    folder: Path


def plan(path: str | Path, campaign: Campaign, num: int, shards: int) -> list[Shard]:
    """Divide a campaign into shards of whole blocks and write the plan down.

    Args:
        path: The campaign's folder; created if it does not exist.
        campaign: What is simulated.
        num: Number of rows.
        shards: Number of shards wanted; fewer if there are fewer blocks.

    Raises:
        DataError: If the folder holds another campaign, or another plan.
        ValueError: If ``shards`` is not positive.
    """
    if shards < 1:
        raise ValueError(f"shards: Expected at least 1; got {shards}.")
    path = Path(path)
    create(path, describe(campaign))
    facts = {"num": num, "shards": shards, "block_size": campaign.block_size}
    file = path / PLAN
    if file.is_file():
        check_same(read_plan(path), facts, file)
    else:
        write_atomic(file, json.dumps(facts, indent=1).encode())
    return planned_shards(path)


def planned_shards(path: str | Path) -> list[Shard]:
    """Return the shards of a plan.

    Raises:
        DataError: If there is no plan.
    """
    path = Path(path)
    facts = read_plan(path)
    num, size = facts["num"], facts["block_size"]
    blocks = -(-num // size)
    count = min(facts["shards"], blocks)
    edges = [min(num, size * (blocks * i // count)) for i in range(count + 1)]
    return [
        Shard(i, range(edges[i], edges[i + 1]), path / "shards" / f"{i:05d}")
        for i in range(count)
    ]


def read_plan(path: Path) -> dict[str, Any]:
    """Return what ``plan`` wrote down.

    Raises:
        DataError: If there is no plan that can be read.
    """
    try:
        return json.loads((path / PLAN).read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: has no plan. Say `retrodict simulate plan MODEL --out {path}`."
        ) from error


def merge(path: str | Path, sources: list[Path] | None = None) -> dict[str, int]:
    """Take the rows of shards into a campaign: a union by index, idempotent.

    Args:
        path: The campaign's folder.
        sources: Folders of shards; by default all in ``shards``.

    Returns:
        Numbers of rows ``"added"`` and ``"present"`` (already there).

    Raises:
        DataError: If a shard belongs to another campaign or is damaged.
        StorageError: If another process works on the campaign.
    """
    folder = Folder(Path(path))
    if sources is None:
        sources = sorted(p.parent for p in folder.path.glob("shards/*/campaign.json"))
    shards = [Folder(source) for source in sources]
    for shard in shards:  # all are looked at before anything is taken
        check_same(shard.facts, folder.facts, shard.path)
    totals = {"added": 0, "present": 0}
    with folder.writing() as ledger:
        for shard in shards:
            with shard.reading() as other:
                if other is not None:
                    _take(folder, ledger, shard, other, totals)
    return totals


def _take(
    folder: Folder, ledger: Ledger, shard: Folder, other: Ledger, totals: dict[str, int]
) -> None:
    for line in other.blocks():
        taken = [range(b.start, b.stop) for b in ledger.blocks()]
        rows = range(line.start, line.stop)
        parts = _without(rows, taken)
        totals["present"] += len(rows) - sum(map(len, parts))
        if not parts:
            continue
        block = shard.read(line)
        for part in parts:
            folder.write(ledger, _slice(block, part))
            totals["added"] += len(part)
    _take_staged(ledger, other, totals)
    num = max(ledger.get("num") or 0, other.get("num") or 0)
    ledger.put("num", num)
    if ledger.get("source") is None and other.get("source") is not None:
        ledger.put("source", other.get("source"))


def _take_staged(ledger: Ledger, other: Ledger, totals: dict[str, int]) -> None:
    stored = ledger.blocks()
    known = ledger.staged_rows()
    new = {
        row: payload
        for row, payload in other.staged().items()
        if row not in known and not any(b.start <= row < b.stop for b in stored)
    }
    bad = {r for r, p in new.items() if decode_answer(p[4:]).status != "ok"}
    ledger.stage(new, [f for f in other.failures() if f.row in bad])
    totals["added"] += len(new)


def _without(rows: range, taken: list[range]) -> list[range]:
    """Return what sorted ranges leave of ``rows``."""
    found, here = [], rows.start
    for other in taken:
        if other.stop <= here or other.start >= rows.stop:
            continue
        if other.start > here:
            found.append(range(here, other.start))
        here = other.stop
    return [*found, range(here, rows.stop)] if here < rows.stop else found


def _slice(block: Block, rows: range) -> Block:
    if rows == block.rows:
        return block
    here = slice(rows.start - block.start, rows.stop - block.start)
    return Block(
        rows.start,
        {k: v[here] for k, v in block.theta.items()},
        {k: v[here] for k, v in block.x.items()},
        block.status[here],
        {i: text for i, text in block.errors.items() if i in rows},
        {i: facts for i, facts in block.facts.items() if i in rows},
    )
