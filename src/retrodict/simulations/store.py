"""A campaign on disk: one immutable, checksummed file per block.

Every block is written beside its place, flushed, and renamed; a block that is there is
complete. A run that was killed continues with the blocks that are missing.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from .._core.atomic import write_atomic
from .._core.errors import DataError, StorageError
from .campaign import Campaign
from .dataset import Block


SCHEMA = 1


class BlockStore:
    """The blocks of one campaign in a folder.

    Args:
        folder: Where the campaign lives; created if it does not exist.
        campaign: Its identity, which must equal that of what is already there.

    Raises:
        DataError: If the folder holds another campaign (message names what differs).
        StorageError: If it cannot be written.
    """

    def __init__(self, folder: Path, campaign: Campaign):
        self.folder = Path(folder)
        self.blocks = self.folder / "blocks"
        identity = describe(campaign)
        path = self.folder / "campaign.json"
        if path.is_file():
            _check_same(_read_json(path), identity, self.folder)
        else:
            write_atomic(path, json.dumps(identity, indent=1).encode())
        try:
            self.blocks.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot write {self.blocks}: {error}.") from error

    def starts(self) -> set[int]:
        """Return the first index of every block that is complete."""
        stems = {path.stem for path in self.blocks.glob("*.safetensors")}
        return {int(stem) for stem in stems if stem.isdecimal()}

    def write(self, block: Block) -> None:
        """Keep a block; it is durable when this returns."""
        arrays = {f"theta/{k}": v for k, v in block.theta.items()}
        arrays |= {f"x/{k}": v for k, v in block.x.items()}
        arrays["status"] = block.status
        errors = {str(k): v for k, v in block.errors.items()}
        contiguous = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        body = safetensors.numpy.save(contiguous, {"errors": json.dumps(errors)})
        digest = hashlib.sha256(body).hexdigest()
        write_atomic(self._path(block.start), digest.encode() + body)

    def read(self, start: int) -> Block:
        """Read a block back.

        Raises:
            DataError: If its bytes are not those that were written.
        """
        path = self._path(start)
        content = path.read_bytes()
        digest, body = content[:64], content[64:]
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise DataError(
                f"{path}: the block is damaged (its checksum differs). Delete the file "
                "and run the same command again to simulate it anew."
            )
        arrays = safetensors.numpy.load(body)
        length = int.from_bytes(body[:8], "little")
        metadata = json.loads(body[8 : 8 + length])["__metadata__"]
        errors = json.loads(metadata["errors"])
        return Block(
            start,
            {k[6:]: v for k, v in arrays.items() if k.startswith("theta/")},
            {k[2:]: v for k, v in arrays.items() if k.startswith("x/")},
            arrays["status"],
            {int(k): v for k, v in errors.items()},
        )

    def _path(self, start: int) -> Path:
        return self.blocks / f"{start:010d}.safetensors"


def describe(campaign: Campaign) -> dict[str, object]:
    """Return the identity of a campaign as JSON values."""
    return {
        "format": "retrodict-campaign",
        "schema": SCHEMA,
        "model": campaign.model.name,
        "prior": campaign.model.prior.describe(),
        "seed": campaign.seed,
        "stream": campaign.stream,
        "block_size": campaign.block_size,
    }


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise ValueError("Expected a JSON object")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a campaign: {error}.") from error
    return value


def _check_same(found: dict, wanted: dict, folder: Path) -> None:
    for name, value in wanted.items():
        if found.get(name) != value:
            raise DataError(
                f"{folder} holds another campaign: its {name} is {found.get(name)!r}; "
                f"Expected {value!r}. Choose another folder, or delete this one."
            )
