"""A worker process: imports one simulator by path and runs rows that come by pipe.

It imports no JAX unless the simulator's own file does. It dies with its parent.
"""

import faulthandler
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._core.external import command_from, stay_with_parent
from .._core.loading import import_file
from .._core.rows import row_generator
from .messages import MAX_ERROR, Answer, Channel, decode, encode, encode_answer


def run_row(
    function: Callable[..., Any], seed: int, stream: str, index: int, theta: Mapping
) -> Answer:
    """Run one simulation; whatever the user's code raises belongs to its row."""
    begun = time.perf_counter()
    try:
        arrays = _as_arrays(function(row_generator(seed, stream, index), theta))
        answer = Answer(index, "ok", arrays)
    except MemoryError as error:
        answer = Answer(index, "oom", {}, _text(error))
    except Exception as error:  # noqa: BLE001
        code = getattr(error, "exit_code_of_program", None)
        status = getattr(error, "status_of_row", "exception")
        answer = Answer(index, status, {}, _text(error), code)
    return answer._replace(seconds=time.perf_counter() - begun)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR]


def _as_arrays(x: Any) -> dict[str, np.ndarray]:
    """Return x as float64 series; a single array is called ``"x"``."""
    series = x if isinstance(x, dict) else {"x": x}
    arrays = {str(k): np.asarray(v) for k, v in series.items()}
    bad = {k: str(v.dtype) for k, v in arrays.items() if v.dtype.kind not in "biuf"}
    if bad:
        raise TypeError(f"Expected arrays of real numbers; got {bad}")
    return {k: v.astype(np.float64) for k, v in arrays.items()}


def load_function(program: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the simulator that a program names.

    Args:
        program: ``{"command": ...}``, or ``{"file": path, "name": name}`` with dots
            allowed in the name.
    """
    if "command" in program:
        return command_from(program["command"])
    value: Any = import_file(Path(program["file"]))
    for part in program["name"].split("."):
        value = getattr(value, part)
    return value


def serve(channel: Channel, program: Mapping[str, Any]) -> None:
    """Import the simulator, then answer requests until the pipe closes."""
    try:
        function = load_function(program)
    except Exception as error:  # noqa: BLE001 (sent to the coordinator, which raises)
        channel.send(encode({}, fatal=_text(error)))
        return
    channel.send(encode({}, ready=True))
    seed, stream = program["seed"], program["stream"]
    while (message := channel.receive()) is not None:
        theta, facts = decode(message)
        for row, index in enumerate(facts["indices"]):
            one = {k: v[row] for k, v in theta.items()}
            channel.send(encode_answer(run_row(function, seed, stream, index, one)))


def main() -> None:
    """Serve the pipe given on the command line; it and the program are arguments."""
    handle, parent, program = sys.argv[1:]
    stay_with_parent(int(parent))
    # Ctrl-C in a terminal is for the coordinator, which ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()  # a segmentation fault leaves the line it happened in
    channel = Channel(socket.socket(fileno=int(handle)))
    os.set_inheritable(int(handle), False)
    try:
        serve(channel, json.loads(program))
    except (BrokenPipeError, ConnectionError):
        pass  # the coordinator is gone


if __name__ == "__main__":
    main()
