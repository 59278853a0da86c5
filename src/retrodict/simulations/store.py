"""A campaign on disk: a ledger beside immutable, checksummed blocks.

A block is written beside its place, flushed, renamed, recorded in one transaction, and
only then acknowledged. Slow rows are staged in the ledger until their block is
complete. What is acknowledged survives the death of anything.
"""

import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .._core.atomic import write_atomic
from .._core.crashpoint import reached
from .._core.errors import DataError, StorageError
from .blocks import block_name, digest_of, pack, rows_of, unpack
from .campaign import Campaign, cut, describe, identity_of, missing_rows
from .dataset import Block
from .ledger import BlockLine, Failure, Ledger
from .lock import CampaignLock, is_network_disk
from .messages import STATUSES, Answer, decode_answer, encode_answer
from .rest import forget_rest, note_rest


MAX_THETA_TEXT = 4096


class Folder:
    """The files of a campaign, whatever model it is of.

    Args:
        path: The campaign's folder.

    Attributes:
        facts: Its identity, as in ``campaign.json``.
        identity: SHA-256 of these.

    Raises:
        DataError: If there is no campaign, or its description cannot be read.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.blocks = self.path / "blocks"
        self.facts = _read_json(self.path / "campaign.json")
        self.identity = identity_of(self.facts)

    @property
    def ledger_path(self) -> Path:
        """Where the ledger is."""
        return self.path / "ledger.sqlite"

    @contextmanager
    def reading(self) -> Iterator[Ledger | None]:
        """Open the ledger to read; ``None`` if there is none yet."""
        if not self.ledger_path.is_file():
            yield None
            return
        ledger = Ledger(self.ledger_path, shared_disk=False, read_only=True)
        try:
            yield ledger if ledger.is_made() else None
        finally:
            ledger.close()

    @contextmanager
    def writing(self) -> Iterator[Ledger]:
        """Take the campaign for this process alone, and finish what a crash left.

        Raises:
            StorageError: If another process has it, or it cannot be written.
        """
        lock = CampaignLock(self.path)
        reached("lock.taken")
        try:
            shared = is_network_disk(self.path)
            forget_rest(self.path)
            ledger = Ledger(self.ledger_path, shared_disk=shared)
            try:
                self._recover(ledger)
                yield ledger
            finally:
                ledger.rest()
            note_rest(self.path)
        finally:
            lock.release()

    def lines(self) -> list[BlockLine]:
        """Return the lines about blocks."""
        with self.reading() as ledger:
            return ledger.blocks() if ledger else []

    def read(self, line: BlockLine) -> Block:
        """Read a block back.

        Raises:
            DataError: If its bytes are not those that were recorded.
        """
        path = self.blocks / line.file
        content = _read_block(path)
        if digest_of(path, content) != line.sha256:
            raise DataError(
                f"{path}: the block is damaged (it is not the one that was recorded). "
                f"Say `retrodict simulate repair {self.path}`."
            )
        return unpack(path, self.identity, content)

    def write(self, ledger: Ledger, block: Block) -> None:
        """Keep a block; it is durable when this returns."""
        path = self.blocks / block_name(block.rows)
        content, facts = pack(block, self.identity)
        write_atomic(path, content)
        line = BlockLine.of(path, block.rows, content, facts)
        ledger.record(line, failures_of(block))

    def _recover(self, ledger: Ledger) -> None:
        """Sweep unfinished files; adopt blocks that were renamed but not recorded."""
        for folder in (self.path, self.blocks):
            for file in folder.glob(".*.tmp"):
                file.unlink(missing_ok=True)
        reached("recover.swept")
        lines = ledger.blocks()
        known = {line.file for line in lines}
        taken = [range(line.start, line.stop) for line in lines]
        for file in sorted(self.blocks.glob("*.safetensors")):
            rows = rows_of(file)
            if rows is None or file.name in known:
                continue
            if any(r.start < rows.stop and rows.start < r.stop for r in taken):
                file.unlink()  # its rows are in another block
                continue
            if self._adopt(ledger, file):
                taken.append(rows)
                reached("recover.adopted")
        for line in lines:
            self._check_size(line)

    def _adopt(self, ledger: Ledger, file: Path) -> bool:
        content = file.read_bytes()
        try:
            digest = digest_of(file, content)
        except DataError:
            file.unlink()  # never acknowledged, and not what was written
            return False
        block = unpack(file, self.identity, content)
        counts = _count(block.status)
        facts = {"sha256": digest, "counts": counts}
        line = BlockLine.of(file, block.rows, content, facts)
        ledger.record(line, failures_of(block))
        return True

    def _check_size(self, line: BlockLine) -> None:
        path = self.blocks / line.file
        size = path.stat().st_size if path.is_file() else None
        if size != line.size:
            found = "it is missing" if size is None else f"it has {size} bytes"
            raise DataError(
                f"{path}: the block is damaged ({found}; Expected {line.size} bytes). "
                f"Say `retrodict simulate repair {self.path}`: its rows are simulated "
                "anew."
            )


class Store:
    """The rows of one campaign in a folder.

    Args:
        path: Where the campaign lives; created if it does not exist.
        campaign: Its identity, which must equal that of what is already there.

    Raises:
        DataError: If the folder holds another campaign (message names what differs).
        StorageError: If it cannot be written.
    """

    def __init__(self, path: Path, campaign: Campaign):
        self.campaign = campaign
        self.path = Path(path)
        create(self.path, describe(campaign))
        self.folder = Folder(self.path)
        self._ledger: Ledger | None = None
        self.acknowledged = 0

    def missing(self, num: int) -> list[range]:
        """Return the ranges of rows below ``num`` that are in no block."""
        stored = [range(line.start, line.stop) for line in self.folder.lines()]
        return missing_rows(num, stored)

    @contextmanager
    def writing(self) -> Iterator["Store"]:
        """Take the campaign for this process alone."""
        with self.folder.writing() as ledger:
            self._ledger = ledger
            self.acknowledged = sum(
                len(range(b.start, b.stop)) for b in ledger.blocks()
            )
            self.acknowledged += len(ledger.staged_rows())
            try:
                yield self
            finally:
                self._ledger = None

    def begin(self, num: int, source: str | None) -> None:
        """Record that rows up to ``num`` are to be simulated.

        Raises:
            DataError: If the simulator's source is not what the other rows came from.
        """
        ledger = self.ledger
        known = ledger.get("source")
        if known is not None and source is not None and known != source:
            raise DataError(
                f"{self.path}: the simulator's file has changed since this campaign "
                "began: old and new rows would be mixed. Undo the change, choose "
                "another folder or, if no result changes, say `retrodict simulate "
                f"resume {self.path} --changed-simulator`."
            )
        if source is not None:
            ledger.put("source", source)
        ledger.put("num", max(num, ledger.get("num") or 0))
        run = {"started": time.time(), "before": self.acknowledged, "num": num}
        ledger.put("run", run)
        reached("run.begun")

    @property
    def ledger(self) -> Ledger:
        """The ledger, while the campaign is held."""
        assert self._ledger is not None, "the campaign is not open for writing"
        return self._ledger

    @property
    def x_shapes(self) -> dict[str, tuple[int, ...]] | None:
        """Shapes of x, where rows are stored that tell."""
        lines = self.folder.lines()
        if not lines:
            return None
        return {k: v.shape[1:] for k, v in self.folder.read(lines[0]).x.items()}

    def staged(self) -> dict[int, Answer]:
        """Return the answers that wait for the rest of their block.

        One whose bytes were damaged is left out: its row is simulated anew.
        """
        found = {}
        for row, payload in self.ledger.staged().items():
            if zlib.crc32(payload[4:]) == int.from_bytes(payload[:4], "little"):
                found[row] = decode_answer(payload[4:])
        return found

    def stage(
        self, answers: Sequence[Answer], theta: Mapping[int, Mapping[str, Any]]
    ) -> None:
        """Keep answers whose block is not complete; durable when this returns."""
        payloads = {a.index: _payload(a) for a in answers}
        failures = [_failure(a, theta[a.index]) for a in answers if a.status != "ok"]
        self.ledger.stage(payloads, failures)

    def write(self, block: Block) -> None:
        """Keep a block; it is durable when this returns."""
        self.folder.write(self.ledger, block)

    def read(self, num: int) -> Iterator[Block]:
        """Yield the blocks that hold the rows below ``num``."""
        for line in self.folder.lines():
            if line.start < num:
                yield self.folder.read(line)


class Memory:
    """The rows of one campaign that is not kept.

    Args:
        campaign: What is simulated.
    """

    x_shapes = None
    path = None
    acknowledged = 0

    def __init__(self, campaign: Campaign):
        self.campaign = campaign
        self._blocks: list[Block] = []

    def missing(self, num: int) -> list[range]:
        """Return the ranges of rows below ``num`` that are in no block."""
        return missing_rows(num, [block.rows for block in self._sorted()])

    @contextmanager
    def writing(self) -> Iterator["Memory"]:
        """Do nothing."""
        yield self

    def begin(self, num: int, source: str | None) -> None:
        """Do nothing."""
        del num, source

    def staged(self) -> dict[int, Answer]:
        """Return nothing."""
        return {}

    def stage(self, answers: Sequence[Answer], theta: Any) -> None:
        """Do nothing."""
        del answers, theta

    def write(self, block: Block) -> None:
        """Keep a block."""
        self._blocks.append(block)

    def read(self, num: int) -> Iterator[Block]:
        """Yield the blocks that hold the rows below ``num``."""
        return (block for block in self._sorted() if block.start < num)

    def _sorted(self) -> list[Block]:
        return sorted(self._blocks, key=lambda block: block.start)


def accept_source(path: str | Path) -> None:
    """Forget what the simulator's file was, after a change that alters no result.

    Args:
        path: The campaign's folder.

    Raises:
        StorageError: If another process works on the campaign.
    """
    with Folder(Path(path)).writing() as ledger:
        ledger.event("source", f"a change was accepted; it was {ledger.get('source')}")
        ledger.put("source", None)


def create(path: Path, facts: Mapping[str, object]) -> None:
    """Make a campaign's folder, or check that it holds the same campaign.

    Raises:
        DataError: If the folder holds another campaign (message names what differs).
        StorageError: If it cannot be written.
    """
    file = path / "campaign.json"
    if file.is_file():
        check_same(_read_json(file), facts, path)
    else:
        write_atomic(file, json.dumps(facts, indent=1).encode())
        reached("campaign.written")
    try:
        (path / "blocks").mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write {path / 'blocks'}: {error}.") from error


def check_same(
    found: Mapping[str, object], wanted: Mapping[str, object], folder: Path
) -> None:
    """Refuse a folder that holds another campaign.

    Raises:
        DataError: Naming the first field that differs.
    """
    for name, value in wanted.items():
        if found.get(name) != value:
            raise DataError(
                f"{folder} holds another campaign: its {name} is {found.get(name)!r}; "
                f"Expected {value!r}. Choose another folder, or delete this one."
            )


def failures_of(block: Block) -> list[Failure]:
    """Return the lines about the rows of a block that failed."""
    found = []
    for row in np.flatnonzero(block.status).tolist():
        index = block.start + row
        status = STATUSES[int(block.status[row])]
        error = block.errors.get(index, "")
        answer = Answer(index, status, {}, error)
        if index in block.facts:
            answer = answer._replace(**block.facts[index]._asdict())
        found.append(_failure(answer, {k: v[row] for k, v in block.theta.items()}))
    return found


def grid_spans(gaps: Sequence[range], block_size: int) -> list[range]:
    """Cut gaps where blocks begin."""
    return [span for gap in gaps for span in cut(gap, block_size)]


def _failure(answer: Answer, theta: Mapping[str, Any]) -> Failure:
    text = json.dumps({k: np.asarray(v, float).tolist() for k, v in theta.items()})
    return Failure(
        answer.index,
        answer.status,
        answer.attempts,
        float(answer.seconds),
        answer.exit,
        answer.error,
        text[:MAX_THETA_TEXT],
    )


def _payload(answer: Answer) -> bytes:
    content = encode_answer(answer)
    return zlib.crc32(content).to_bytes(4, "little") + content


def _count(status: np.ndarray) -> dict[str, int]:
    codes, counts = np.unique(status, return_counts=True)
    return {STATUSES[int(c)]: int(n) for c, n in zip(codes, counts, strict=True)}


def _read_block(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: the block is damaged (it cannot be read: {error}). Say "
            f"`retrodict simulate repair {path.parent.parent}`."
        ) from error


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise ValueError("Expected a JSON object")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a campaign: {error}.") from error
    return value
