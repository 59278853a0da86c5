"""The ledger of a campaign: which rows there are, where, and what failed (SQLite).

A block is one line, however many rows it holds; only rows that failed, and rows that
wait for the rest of their block, have lines of their own. Each line has a checksum.
"""

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from .._core.crashpoint import reached
from .._core.errors import DataError, StorageError


TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT, crc INTEGER);
CREATE TABLE IF NOT EXISTS blocks (start INTEGER PRIMARY KEY, stop INTEGER,
    file TEXT UNIQUE, size INTEGER, sha256 TEXT, counts TEXT, time REAL, crc INTEGER);
CREATE TABLE IF NOT EXISTS failures (row INTEGER PRIMARY KEY, status TEXT,
    attempts INTEGER, seconds REAL, exit INTEGER, error TEXT, theta TEXT, crc INTEGER);
CREATE TABLE IF NOT EXISTS staging (row INTEGER PRIMARY KEY, payload BLOB, crc INTEGER);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, time REAL, kind TEXT,
    text TEXT, crc INTEGER);
"""
NAMES = ("meta", "blocks", "failures", "staging", "events")
BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class BlockLine:
    """One line about a block: rows ``start`` to ``stop - 1`` and their file."""

    start: int
    stop: int
    file: str
    size: int
    sha256: str
    counts: str
    time: float

    @classmethod
    def of(cls, file: Path, rows: range, content: bytes, facts: Mapping[str, Any]):
        """Describe a block file; ``facts`` hold its ``sha256`` and ``counts``."""
        counts = json.dumps(facts["counts"], sort_keys=True)
        name, size = file.name, len(content)
        digest = facts["sha256"]
        return cls(rows.start, rows.stop, name, size, digest, counts, time.time())


@dataclass(frozen=True)
class Failure:
    """One line about a row that failed."""

    row: int
    status: str
    attempts: int
    seconds: float
    exit: int | None
    error: str
    theta: str


class Ledger:
    """The lines of one campaign; every change is one durable transaction.

    Args:
        path: The SQLite file.
        shared_disk: Whether it lies on a network file system, where write-ahead logs
            cannot be used.
        read_only: Open it without the right to change anything.

    Raises:
        StorageError: If it cannot be opened.
        DataError: If it is damaged.
    """

    def __init__(self, path: Path, *, shared_disk: bool, read_only: bool = False):
        self.path = path
        with _clear_errors(path):
            if read_only:
                uri = f"{path.absolute().as_uri()}?mode=ro"
                self._db = sqlite3.connect(uri, BUSY_SECONDS, uri=True)
                return
            self._db = sqlite3.connect(path, BUSY_SECONDS, check_same_thread=False)
            self._db.isolation_level = None
            mode = "TRUNCATE" if shared_disk else "WAL"
            self._db.execute(f"PRAGMA journal_mode={mode}")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(TABLES)
            reached("ledger.created")

    def is_made(self) -> bool:
        """Whether its tables are there: a crash may have come before them."""
        query = "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
        return self._read(query)[0][0] == len(NAMES)

    def close(self) -> None:
        """Close it; the write-ahead log is folded in."""
        self._db.close()

    def rest(self) -> None:
        """Close it as one plain file, which any reader can open."""
        try:
            self._db.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            pass  # somebody reads it: the write-ahead log stays beside it
        self._db.close()

    # --- reading ----------------------------------------------------------------------

    def blocks(self) -> list[BlockLine]:
        """Return the lines about blocks, in index order."""
        rows = self._read("SELECT * FROM blocks ORDER BY start")
        return [BlockLine(*row[:-1]) for row in rows]

    def staged(self) -> dict[int, bytes]:
        """Return the answers that wait for the rest of their block, by row."""
        return {
            row: bytes(payload)
            for row, payload, _ in self._read("SELECT * FROM staging ORDER BY row")
        }

    def staged_rows(self) -> set[int]:
        """Return the rows that wait for the rest of their block."""
        return {row for (row,) in self._read("SELECT row FROM staging")}

    def failures(self, stop: int | None = None) -> list[Failure]:
        """Return the rows that failed, before row ``stop``."""
        bound = stop if stop is not None else 2**62
        rows = self._read("SELECT * FROM failures WHERE row < ? ORDER BY row", bound)
        return [Failure(*row[:-1]) for row in rows]

    def get(self, key: str) -> Any:
        """Return a fact about the campaign, or ``None``."""
        found = self._read("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(found[0][0]) if found else None

    def damage(self) -> list[str]:
        """Return what is wrong with the ledger itself, in words."""
        found = []
        try:
            (answer,) = self._db.execute("PRAGMA integrity_check").fetchone()
            if answer != "ok":
                found.append(f"SQLite says: {answer}")
            for name in NAMES:
                found += [
                    f"the line {row[0]!r} of {name} is damaged"
                    for row in self._db.execute(f"SELECT * FROM {name}")  # noqa: S608
                    if _checksum(row[:-1]) != row[-1]
                ]
        except (sqlite3.DatabaseError, UnicodeError, OverflowError) as error:
            found.append(f"it cannot be read: {error}")
        return found

    # --- writing ----------------------------------------------------------------------

    def put(self, key: str, value: Any) -> None:
        """Record a fact about the campaign."""
        if self.get(key) != value:
            with self._transaction() as add:
                add("meta", [(key, json.dumps(value))])

    def event(self, kind: str, text: str) -> None:
        """Record something that happened."""
        with self._transaction() as add:
            add("events", [(None, time.time(), kind, text)])

    def stage(
        self, payloads: Mapping[int, bytes], failures: Sequence[Failure] = ()
    ) -> None:
        """Keep answers whose block is not complete."""
        with self._transaction() as add:
            add("staging", list(payloads.items()))
            add("failures", [astuple(failure) for failure in failures])
            reached("stage.recorded")
        reached("stage.committed")

    def record(self, line: BlockLine, failures: Iterable[Failure]) -> None:
        """Record a block whose file is in place; its rows leave the staging table."""
        with self._transaction() as add:
            add("blocks", [astuple(line)])
            add("failures", [astuple(failure) for failure in failures])
            self._db.execute(
                "DELETE FROM staging WHERE row >= ? AND row < ?",
                (line.start, line.stop),
            )
            reached("block.recorded")
        reached("block.committed")

    def forget(self, lines: Iterable[BlockLine], staged: Iterable[int] = ()) -> None:
        """Strike blocks and staged rows out, so that their rows are simulated anew."""
        with self._transaction():
            for line in lines:
                self._db.execute("DELETE FROM blocks WHERE start = ?", (line.start,))
                self._db.execute(
                    "DELETE FROM failures WHERE row >= ? AND row < ?",
                    (line.start, line.stop),
                )
            for row in staged:
                self._db.execute("DELETE FROM staging WHERE row = ?", (row,))
                self._db.execute("DELETE FROM failures WHERE row = ?", (row,))

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with _clear_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._insert
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _insert(self, table: str, rows: Sequence[tuple]) -> None:
        if not rows:
            return
        if rows[0][0] is None:  # SQLite gives the number of an event
            last = self._db.execute(f"SELECT max(number) FROM {table}").fetchone()[0]  # noqa: S608
            first = (last or 0) + 1
            rows = [(first + i, *row[1:]) for i, row in enumerate(rows)]
        marks = ", ".join("?" * (len(rows[0]) + 1))
        self._db.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES ({marks})",  # noqa: S608
            [(*row, _checksum(row)) for row in rows],
        )

    def _read(self, query: str, *values: Any) -> list[tuple]:
        with _clear_errors(self.path):
            return self._db.execute(query, values).fetchall()


def _checksum(row: Iterable[Any]) -> int:
    """CRC-32 of the values of a line as SQLite gives them back."""
    crc = 0
    for value in row:
        content = value if isinstance(value, bytes) else repr(value).encode()
        crc = zlib.crc32(content + b"\0", crc)
    return crc


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Say what SQLite's errors mean and what to do about them."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"Cannot use {path}: {error}. Choose a folder on a writable disk with free "
            "space."
        ) from error
    except (sqlite3.DatabaseError, UnicodeError) as error:
        raise DataError(
            f"{path}: the ledger is damaged ({error}). Say `retrodict simulate repair "
            f"{path.parent}`: it is rebuilt from the blocks."
        ) from error
