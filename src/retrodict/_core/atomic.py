"""Write a file so that a reader sees either all of it or none."""

import os
import uuid
from pathlib import Path

from .crashpoint import reached
from .errors import StorageError


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to the disk, then rename it.

    Raises:
        StorageError: If the folder cannot be written (message names the path).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            reached("atomic.written")
            os.fsync(file.fileno())
        reached("atomic.synced")
        os.replace(temporary, path)
        reached("atomic.renamed")
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise StorageError(
            f"Cannot write {path}: {error.strerror or error}. Choose a folder that "
            "exists on a writable disk with free space."
        ) from error
