"""A stored ZIP of named members with checksums: read it strictly or not at all.

Nothing in an archive is executed, imported or unpickled. Every failure, whatever its
cause, is an :class:`ArtifactError` with a stable code.
"""

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from .._core.atomic import write_atomic
from .._core.errors import ArtifactError


FORMAT = "retrodict-artifact"
SCHEMA = 3
MAX_BYTES = 4 * 2**30
MAX_JSON = 2**20
MAX_DEPTH = 32
MANIFEST = "manifest.json"


def write_archive(path: Path, members: Mapping[str, bytes], writer: str) -> None:
    """Write members and their manifest to one file, atomically."""
    manifest = {
        "format": FORMAT,
        "schema": SCHEMA,
        "writer": {"name": "retrodict", "version": writer},
        "members": {
            name: {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            for name, body in members.items()
        },
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, body in {MANIFEST: to_json(manifest), **members}.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    write_atomic(path, buffer.getvalue())


def read_archive(path: Path, expected: set[str]) -> dict[str, bytes]:
    """Read and verify the members of an artifact.

    Args:
        path: The file.
        expected: Names of the members it must have, and no others.

    Raises:
        ArtifactError: If the file is missing, damaged, of another format or a newer
            schema, or has other members than it should.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ArtifactError(
                "too-large", f"{path} is larger than {MAX_BYTES} bytes."
            )
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive, path)
            manifest = from_json(archive.read(MANIFEST), path)
            _check_manifest(manifest, path)
            if set(manifest["members"]) != expected or {
                info.filename for info in archive.infolist()
            } != expected | {MANIFEST}:
                raise ArtifactError(
                    "members",
                    f"{path}: Expected the members {sorted(expected)}; got "
                    f"{sorted(manifest['members'])}.",
                )
            members = {name: archive.read(name) for name in expected}
    except ArtifactError:
        raise
    except FileNotFoundError as error:
        raise ArtifactError("missing", f"{path}: no such file.") from error
    except Exception as error:  # the ZIP layer raises many kinds on hostile bytes
        raise ArtifactError(
            "unreadable",
            f"{path} is damaged or is not an artifact ({type(error).__name__}: {error}"
            "). Save the posterior again, or copy it again from where it is whole.",
        ) from error
    for name, body in members.items():
        if hashlib.sha256(body).hexdigest() != manifest["members"][name]["sha256"]:
            raise ArtifactError(
                "checksum",
                f"{path}: member {name!r} is not what was saved: the file was damaged "
                "or changed. Copy it again from where it is whole.",
            )
    return members


def to_json(value: Any) -> bytes:
    """Encode strict JSON: no NaN."""
    return json.dumps(value, indent=1, allow_nan=False).encode()


def from_json(body: bytes, path: Path) -> Any:
    """Decode strict JSON: bounded size and depth, no NaN, no repeated keys."""
    if len(body) > MAX_JSON:
        raise ArtifactError("json", f"{path}: a JSON member is larger than {MAX_JSON}.")

    def refuse(text: str) -> None:
        raise ArtifactError("json", f"{path}: {text} is not a number in JSON.")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ArtifactError("json", f"{path}: a JSON object repeats a key.")
        return dict(pairs)

    try:
        text = body.decode()
        if _depth(text) > MAX_DEPTH:
            raise ArtifactError("json", f"{path}: JSON nested deeper than {MAX_DEPTH}.")
        return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ArtifactError("json", f"{path}: invalid JSON ({error}).") from error


def to_tensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encode arrays; zero-dimensional and non-contiguous ones included."""
    return safetensors.numpy.save(
        {name: np.array(value, order="C") for name, value in arrays.items()}
    )


def from_tensors(body: bytes, path: Path, name: str) -> dict[str, np.ndarray]:
    """Decode arrays.

    Raises:
        ArtifactError: If the header is not valid.
    """
    try:
        return safetensors.numpy.load(body)
    except Exception as error:  # safetensors raises its own kinds
        raise ArtifactError("tensors", f"{path}: {name}: {error}.") from error


def _depth(text: str) -> int:
    """Bound the nesting of JSON text, brackets inside strings included."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _check_entries(archive: zipfile.ZipFile, path: Path) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > 64 or len(set(names)) != len(names) or MANIFEST not in names:
        raise ArtifactError("members", f"{path}: not the members of an artifact.")
    for entry in entries:
        if (
            entry.compress_type != zipfile.ZIP_STORED
            or entry.flag_bits & 1
            or entry.file_size != entry.compress_size
            or stat.S_ISLNK(entry.external_attr >> 16)
        ):
            raise ArtifactError(
                "members",
                f"{path}: member {entry.filename[:80]!r} is not plainly stored.",
            )


def _check_manifest(manifest: Any, path: Path) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError("format", f"{path} is not a {FORMAT}.")
    schema = manifest.get("schema")
    if type(schema) is not int or schema < 1:  # True is no schema
        raise ArtifactError("schema", f"{path}: unknown schema {schema!r}.")
    if schema > SCHEMA:
        writer = manifest.get("writer")
        found = writer.get("version", "?") if isinstance(writer, dict) else "?"
        raise ArtifactError(
            "schema-too-new",
            f"{path} has schema {schema}, this retrodict reads up to {SCHEMA}. It was "
            f"written by version {found!s:.40}; install that "
            "version or a newer one.",
        )
    if schema < SCHEMA:
        raise ArtifactError(
            "schema-too-old",
            f"{path} has schema {schema}, this retrodict reads {SCHEMA}. Train and "
            "save the posterior anew.",
        )
    members = manifest.get("members")
    if not isinstance(members, dict) or not all(
        isinstance(facts, dict) and "sha256" in facts for facts in members.values()
    ):
        raise ArtifactError("members", f"{path}: the manifest lists no checksums.")
