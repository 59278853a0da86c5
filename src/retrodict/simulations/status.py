"""What a campaign has done so far, how fast, and what failed."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .ledger import BlockLine, Ledger
from .messages import decode_answer
from .store import Folder


def campaign_status(path: str | Path) -> dict[str, Any]:
    """Count the rows of a campaign, also while it is running.

    Args:
        path: The campaign's folder.

    Returns:
        ``counts`` of rows by status, ``done`` and ``planned`` rows, ``rate`` in rows
        per second and ``eta_s`` in seconds of the last session (``None`` where they are
        not known), and the commonest ``errors`` as pairs of text and count.

    Raises:
        DataError: If the folder holds no campaign, or a damaged one.
    """
    folder = Folder(Path(path))
    with folder.reading() as ledger:
        if ledger is None:
            return _facts(Counter(), 0, None, [])
        lines, staged = ledger.blocks(), ledger.staged()
        planned = ledger.get("num")
        counts = _count(ledger, lines, staged, planned)
        done = sum(counts.values())
        texts = Counter(
            f.error.split("\n", 1)[0] or f.status for f in ledger.failures(planned)
        )
        run = ledger.get("run")
    latest = max((line.time for line in lines), default=0.0)
    latest = time.time() if staged else latest
    facts = _facts(counts, done, planned, texts.most_common(3))
    if run and done > run["before"] and latest > run["started"]:
        rate = (done - run["before"]) / (latest - run["started"])
        facts["rate"] = rate
        facts["eta_s"] = max(0, (planned or done) - done) / rate
    return facts


def _facts(
    counts: Counter[str], done: int, planned: int | None, errors: list
) -> dict[str, Any]:
    return {
        "counts": dict(counts),
        "done": done,
        "planned": planned,
        "rate": None,
        "eta_s": None,
        "errors": errors,
    }


def _count(
    ledger: Ledger,
    lines: list[BlockLine],
    staged: dict[int, bytes],
    planned: int | None,
) -> Counter[str]:
    """Count rows below ``planned``; blocks of JAX simulators hold a few more."""
    stop = planned if planned is not None else 2**62
    counts: Counter[str] = Counter()
    for line in lines:
        if line.stop <= stop:
            counts.update(json.loads(line.counts))
        elif line.start < stop:
            bad = Counter(
                f.status for f in ledger.failures(stop) if f.row >= line.start
            )
            counts.update(bad)
            counts["ok"] += stop - line.start - bad.total()
    for row, payload in staged.items():
        if row < stop:
            counts[decode_answer(payload[4:]).status] += 1
    return counts
