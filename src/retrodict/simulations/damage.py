"""Find damage anywhere in a campaign, and mend it by simulating anew."""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .._core.errors import DataError, StorageError
from .command import NAME, recall
from .ledger import BlockLine, Ledger
from .lock import CampaignLock
from .rest import changed_at_rest, forget_rest
from .store import Folder


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong.

    Attributes:
        file: Path of the file, relative to the campaign's folder.
        problem: What is wrong with it, in words.
        rows: The rows that have to be simulated anew.
    """

    file: str
    problem: str
    rows: range = range(0)


def verify(path: str | Path) -> list[Damage]:
    """Read every byte of a campaign and return what is damaged.

    Args:
        path: The campaign's folder.

    Returns:
        What is wrong, in words; empty if everything is as it was written.

    Raises:
        DataError: If the folder holds no campaign that can be recognized at all.
    """
    folder = Folder(Path(path))
    found = [
        Damage(name, "it is not what it was when the last session ended")
        for name in changed_at_rest(folder.path)
    ]
    if (folder.path / NAME).exists():
        try:
            recall(folder.path)
        except DataError as error:
            found.append(Damage(NAME, str(error)))
    try:
        with folder.reading() as ledger:
            if ledger is None:
                return [*found, Damage("ledger.sqlite", "it is missing")]
            damage = ledger.damage()
            if damage:
                return [*found, *(Damage("ledger.sqlite", text) for text in damage)]
            return [*found, *_check(folder, ledger)]
    except (DataError, StorageError) as error:
        return [*found, Damage("ledger.sqlite", str(error))]


def repair(path: str | Path) -> list[Damage]:
    """Take what is damaged out of a campaign, so that it is simulated anew.

    A damaged ledger is put aside and rebuilt from the blocks. ``resume`` does the rest.

    Args:
        path: The campaign's folder.

    Returns:
        What was taken out.

    Raises:
        DataError: If the folder holds no campaign that can be recognized at all.
        StorageError: If another process works on it, or it cannot be written.
    """
    folder = Folder(Path(path))
    found = verify(path)
    if any(damage.file == "ledger.sqlite" and not damage.rows for damage in found):
        _put_ledger_aside(folder)
    lock = CampaignLock(folder.path)
    try:
        forget_rest(folder.path)
        ledger = Ledger(folder.ledger_path, shared_disk=False)
        for damage, line in _bad_lines(folder, ledger):
            (folder.path / damage.file).unlink(missing_ok=True)
            ledger.forget([line])
        ledger.forget([], _bad_staged(ledger))
        ledger.event("repair", "; ".join(f"{d.file}: {d.problem}" for d in found))
        ledger.rest()
    finally:
        lock.release()
    with folder.writing():
        pass  # adopts the blocks that a rebuilt ledger does not know
    return found


def _check(folder: Folder, ledger: Ledger) -> Iterator[Damage]:
    for damage, _ in _bad_lines(folder, ledger):
        yield damage
    here = 0
    for line in ledger.blocks():
        if line.start < here:
            yield Damage("ledger.sqlite", f"row {line.start} is in two blocks")
        here = line.stop
    for row in _bad_staged(ledger):
        yield Damage("ledger.sqlite", f"row {row} is damaged", range(row, row + 1))


def _bad_lines(folder: Folder, ledger: Ledger) -> Iterator[tuple[Damage, BlockLine]]:
    for line in ledger.blocks():
        try:
            folder.read(line)
        except DataError as error:
            rows = range(line.start, line.stop)
            yield Damage(f"blocks/{line.file}", str(error), rows), line


def _bad_staged(ledger: Ledger) -> list[int]:
    return [
        row
        for row, payload in ledger.staged().items()
        if zlib.crc32(payload[4:]) != int.from_bytes(payload[:4], "little")
    ]


def _put_ledger_aside(folder: Folder) -> None:
    path = folder.ledger_path
    for suffix in ("", "-wal", "-shm", "-journal"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            os.replace(old, path.with_name(f"damaged-{old.name}"))
