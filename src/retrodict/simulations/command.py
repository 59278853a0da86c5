"""How a campaign was begun on the command line, so that it can be resumed."""

import json
import zlib
from pathlib import Path
from typing import Any

from .._core.atomic import write_atomic
from .._core.errors import DataError


NAME = "command.json"


def remember(path: Path, facts: dict[str, Any]) -> None:
    """Write down the options of ``simulate run``; a path of a model is made absolute.

    Raises:
        StorageError: If the folder cannot be written.
    """
    file = path / NAME
    content = json.dumps({"facts": facts, "crc": _checksum(facts)}, indent=1).encode()
    if not file.is_file() or file.read_bytes() != content:
        write_atomic(file, content)


def recall(path: Path) -> dict[str, Any]:
    """Return what :func:`remember` wrote.

    Raises:
        DataError: If the campaign was not begun on the command line.
    """
    try:
        content = json.loads((path / NAME).read_text())
        facts = content["facts"]
        if content["crc"] != _checksum(facts) or set(content) != {"facts", "crc"}:
            raise ValueError("its checksum differs")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path / NAME}: cannot be read ({error}). Expected a campaign begun by "
            "`retrodict simulate run`; continue it as you began it."
        ) from error
    return facts


def _checksum(facts: Any) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())
