"""The checksum of a ledger at rest: a flipped bit between two sessions is noticed.

While a coordinator works there is none; after a crash the ledger's own checks remain.
"""

import hashlib
import os
from pathlib import Path

from .._core.atomic import write_atomic


LEDGER = "ledger.sqlite"
NAME = "ledger.sha256"


def note_rest(folder: Path) -> None:
    """Write down the checksums of a closed ledger and of the description."""
    write_atomic(folder / NAME, _text(_digests(folder)))


def forget_rest(folder: Path) -> None:
    """Remove the checksum before the ledger is changed."""
    path = folder / NAME
    if path.exists():
        path.unlink()
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def changed_at_rest(folder: Path) -> list[str]:
    """Return the files that are not what they were when the last session ended."""
    path = folder / NAME
    if not path.is_file() or (folder / f"{LEDGER}-wal").exists():
        return []
    content, found = path.read_bytes(), _digests(folder)
    if content == _text(found):
        return []
    lines = content.decode("utf-8", "replace").splitlines()
    noted = {line[66:]: line[:64] for line in lines}
    names = {*noted, *found}
    changed = sorted(name for name in names if noted.get(name) != found.get(name))
    return changed or [NAME]


def _text(digests: dict[str, str]) -> bytes:
    return "".join(f"{d}  {name}\n" for name, d in digests.items()).encode()


def _digests(folder: Path) -> dict[str, str]:
    files = [folder / name for name in ("campaign.json", LEDGER)]
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }
