"""A worker process: imports one simulator by path and runs rows that come by pipe.

Messages are bytes in the safetensors format with a little JSON: nothing is pickled.
"""

import contextlib
import json
import os
import sys
from multiprocessing.connection import Connection

import numpy as np
import safetensors.numpy

from .._core.rows import row_generator
from ..model.loading import import_file


def encode(arrays: dict[str, np.ndarray], **facts: object) -> bytes:
    """Pack arrays and JSON facts into one message."""
    # not ascontiguousarray, which would give a number the shape (1,)
    arrays = {k: np.array(v, order="C") for k, v in arrays.items()}
    return safetensors.numpy.save(arrays, metadata={"facts": json.dumps(facts)})


def decode(message: bytes) -> tuple[dict[str, np.ndarray], dict]:
    """Undo :func:`encode`."""
    length = int.from_bytes(message[:8], "little")
    header = json.loads(message[8 : 8 + length])
    return safetensors.numpy.load(message), json.loads(header["__metadata__"]["facts"])


def run_row(function, seed: int, stream: str, index: int, theta: dict) -> bytes:
    """Run one simulation and pack its output, or the text of its error."""
    try:
        x = function(row_generator(seed, stream, index), theta)
        single = not isinstance(x, dict)
        series = {"x": x} if single else x
        arrays = {str(k): np.asarray(v) for k, v in series.items()}
        bad = {k: str(v.dtype) for k, v in arrays.items() if v.dtype.kind not in "biuf"}
        if bad:
            raise TypeError(f"Expected arrays of real numbers; got {bad}")
        arrays = {k: v.astype(np.float64) for k, v in arrays.items()}
        return encode(arrays, index=index, single=single)
    except Exception as error:  # noqa: BLE001 (whatever the user's code raises belongs to this row)
        text = f"{type(error).__name__}: {error}"[:8192]
        return encode({}, index=index, error=text)


def serve(connection: Connection, file: str, name: str, seed: int, stream: str) -> None:
    """Import the simulator, then answer requests until the pipe closes."""
    function = import_file_function(file, name)
    connection.send_bytes(encode({}, ready=True))
    with contextlib.suppress(EOFError):
        while True:
            theta, facts = decode(connection.recv_bytes())
            for row, index in enumerate(facts["indices"]):
                one = {k: v[row] for k, v in theta.items()}
                connection.send_bytes(run_row(function, seed, stream, index, one))


def import_file_function(file: str, name: str):
    """Return the function called ``name`` (dots allowed) of a Python file."""
    from pathlib import Path

    value = import_file(Path(file))
    for part in name.split("."):
        value = getattr(value, part)
    return value


def main() -> None:
    """Serve the pipe given on the command line; prints go to stderr."""
    handle, file, name, seed, stream = sys.argv[1:]
    os.dup2(2, 1)  # a simulator that prints must not spoil the parent's stdout
    serve(Connection(int(handle)), file, name, int(seed), stream)


if __name__ == "__main__":
    main()
