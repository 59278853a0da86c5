"""What coordinator and workers say to each other: JSON and raw arrays, never pickle.

Imports neither JAX nor the model, so that a worker starts in a tenth of a second. A
message is one line of JSON (facts, then type and shape of every array) and the bytes of
the arrays: of trivial simulators this is half of the cost of a row.
"""

import json
import math
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


STATUSES = (
    "ok",
    "nonfinite",
    "exception",
    "crash",
    "timeout",
    "oom",
    "bad_shape",
    "cancelled",
)
MAX_ERROR = 8192
FRAME = struct.Struct("<Q")


class Answer(NamedTuple):
    """What became of one simulation.

    Attributes:
        index: Number of the row.
        status: One of :data:`STATUSES`.
        arrays: x by name; empty if there is none.
        error: What went wrong, in words; its first line names the kind.
        exit: Exit code of a process that ended, or minus the number of the signal.
        attempts: How often it was tried.
        seconds: Wall time of the last attempt.
    """

    index: int
    status: str
    arrays: dict[str, np.ndarray]
    error: str = ""
    exit: int | None = None
    attempts: int = 1
    seconds: float = 0.0


def encode(arrays: dict[str, np.ndarray], **facts: object) -> bytes:
    """Pack arrays of real numbers and JSON facts into one message."""
    # not ascontiguousarray, which would give a number the shape (1,)
    arrays = {k: np.asarray(v, order="C") for k, v in arrays.items()}
    layout = {k: (v.dtype.str, v.shape) for k, v in arrays.items()}
    header = json.dumps((facts, layout)).encode()
    return b"\n".join((header, b"".join(v.tobytes() for v in arrays.values())))


def decode(message: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Undo :func:`encode`.

    Raises:
        ValueError: If it is not such a message.
    """
    end = message.index(b"\n")  # JSON has none
    facts, layout = json.loads(message[:end])
    arrays, place = {}, end + 1
    for name, (kind, shape) in layout.items():
        dtype = np.dtype(kind)
        if dtype.kind not in "biuf":
            raise ValueError(f"Expected an array of real numbers; got {kind!r}")
        count = math.prod(shape)
        values = np.frombuffer(message, dtype, count, place)
        arrays[name] = values.reshape(shape).copy()  # a simulator may write there
        place += values.nbytes
    return arrays, facts


def encode_answer(answer: Answer) -> bytes:
    """Pack an answer."""
    facts = answer._asdict()
    return encode(facts.pop("arrays"), **facts)


def decode_answer(message: bytes) -> Answer:
    """Undo :func:`encode_answer`."""
    arrays, facts = decode(message)
    return Answer(arrays=arrays, **facts)


class Channel:
    """One end of a private pipe between two processes.

    Args:
        end: A connected stream socket.
    """

    def __init__(self, end: socket.socket):
        self.end = end
        self._buffer = bytearray()

    def send(self, message: bytes, timeout: float | None = None) -> None:
        """Send one message.

        Raises:
            OSError: If the other side is gone, or takes nothing for ``timeout`` s.
        """
        self.end.settimeout(timeout)
        self.end.sendall(FRAME.pack(len(message)) + message)

    def receive(self) -> bytes | None:
        """Wait for one message; ``None`` when the other side has closed."""
        self.end.settimeout(None)
        while (message := self._take()) is None:
            if not self._read():
                return None
        return message

    def drain(self) -> tuple[list[bytes], bool]:
        """Return the messages that are there, and whether the other side is open."""
        self.end.settimeout(0)
        try:
            is_open = self._read()
        except (BlockingIOError, InterruptedError):
            is_open = True
        except OSError:
            is_open = False
        return list(self._messages()), is_open

    def close(self) -> None:
        """Close this end."""
        self.end.close()

    def _read(self) -> bool:
        received = self.end.recv(1 << 20)
        self._buffer += received
        return bool(received)

    def _messages(self) -> Iterator[bytes]:
        while (message := self._take()) is not None:
            yield message

    def _take(self) -> bytes | None:
        if len(self._buffer) < FRAME.size:
            return None
        end = FRAME.size + FRAME.unpack_from(self._buffer)[0]
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[FRAME.size : end])
        del self._buffer[:end]
        return message
