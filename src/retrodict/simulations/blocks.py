"""One block of simulations as one immutable safetensors file that proves itself.

Its header holds the range of rows, the campaign's identity, statuses' details, and the
SHA-256 of everything else in the file.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from .._core.errors import DataError
from .dataset import Block, RowFacts
from .messages import STATUSES


PATTERN = re.compile(r"(\d{10,})-(\d+)\.safetensors")
BLANK = "0" * 64


def block_name(rows: range) -> str:
    """Return the name of the file of these rows."""
    return f"{rows.start:010d}-{len(rows)}.safetensors"


def rows_of(path: Path) -> range | None:
    """Return the rows that a file of this name holds; ``None`` if it is no block."""
    match = PATTERN.fullmatch(path.name)
    if match is None:
        return None
    start, count = map(int, match.groups())
    return range(start, start + count)


def pack(block: Block, identity: str) -> tuple[bytes, dict[str, Any]]:
    """Return the content of a block's file, and its digest and counts."""
    arrays = {f"theta/{k}": v for k, v in block.theta.items()}
    arrays |= {f"x/{k}": v for k, v in block.x.items()}
    arrays["status"] = block.status
    arrays = {k: np.array(v, order="C") for k, v in arrays.items()}
    metadata = {
        "sha256": BLANK,
        "identity": identity,
        "start": str(block.start),
        "count": str(len(block)),
        "errors": json.dumps({str(k): v for k, v in block.errors.items()}),
        "facts": json.dumps({str(k): list(v) for k, v in block.facts.items()}),
    }
    content = _in_order(safetensors.numpy.save(arrays, metadata))
    digest = hashlib.sha256(content).hexdigest()
    content = content.replace(_mark(BLANK), _mark(digest), 1)
    codes = Counter(block.status.tolist())
    counts = {STATUSES[code]: count for code, count in sorted(codes.items())}
    return content, {"sha256": digest, "counts": counts}


def unpack(path: Path, identity: str, content: bytes | None = None) -> Block:
    """Read a block back.

    Args:
        path: The file.
        identity: The campaign it must belong to.
        content: Its bytes, where they have been read already.

    Raises:
        DataError: If its bytes are not those that were written, or if they were written
            for another campaign or other rows.
    """
    try:
        content = path.read_bytes() if content is None else content
        metadata = _metadata(content)
        arrays = safetensors.numpy.load(content)
        errors, facts = json.loads(metadata["errors"]), json.loads(metadata["facts"])
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise _damaged(path, f"it cannot be read: {error}") from error
    rows = rows_of(path)
    if rows is None or (rows.start, len(rows)) != _range(metadata):
        raise _damaged(path, "its header names other rows")
    if metadata["identity"] != identity:
        raise DataError(f"{path}: the block belongs to another campaign.")
    return Block(
        rows.start,
        {k[6:]: v for k, v in arrays.items() if k.startswith("theta/")},
        {k[2:]: v for k, v in arrays.items() if k.startswith("x/")},
        arrays["status"],
        {int(k): v for k, v in errors.items()},
        {int(k): RowFacts(*v) for k, v in facts.items()},
    )


def digest_of(path: Path, content: bytes | None = None) -> str:
    """Check a file against the digest in its own header, and return it.

    Raises:
        DataError: If they differ.
    """
    try:
        content = path.read_bytes() if content is None else content
        return _metadata(content)["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, f"it cannot be read: {error}") from error


def _in_order(content: bytes) -> bytes:
    """Sort the text fields of the header, which safetensors writes in any order.

    Equal blocks are then equal files.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the header's text fields, after checking the digest over everything."""
    length = int.from_bytes(content[:8], "little")
    if length > len(content):
        raise ValueError("the header is cut off")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    digest = metadata["sha256"]
    blank = content.replace(_mark(digest), _mark(BLANK), 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise ValueError("its checksum differs")
    return metadata


def _range(metadata: Mapping[str, str]) -> tuple[int, int]:
    return int(metadata["start"]), int(metadata["count"])


def _mark(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"{path}: the block is damaged ({why}). Say `retrodict simulate repair "
        f"{path.parent.parent}`: its rows are simulated anew."
    )
