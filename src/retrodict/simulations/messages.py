"""What coordinator and workers say to each other: framed safetensors, never pickle.

Imports neither JAX nor the model, so that a worker starts in a tenth of a second.
"""

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy


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
    """Pack arrays and JSON facts into one message."""
    # not ascontiguousarray, which would give a number the shape (1,)
    arrays = {k: np.array(v, order="C") for k, v in arrays.items()}
    return safetensors.numpy.save(arrays, metadata={"facts": json.dumps(facts)})


def decode(message: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Undo :func:`encode`."""
    length = int.from_bytes(message[:8], "little")
    header = json.loads(message[8 : 8 + length])
    return safetensors.numpy.load(message), json.loads(header["__metadata__"]["facts"])


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
