"""One supervised worker process: start it, watch its memory and its talk, end it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .messages import Channel


LOG_BYTES = 8 << 20  # what a simulator prints beyond this is dropped
TAIL_BYTES = 4096
START = "from retrodict.simulations.worker import main; main()"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Process:
    """A fresh interpreter in a session of its own, with one private pipe.

    Args:
        program: What it runs, as JSON values; see ``worker.load_function``.
    """

    def __init__(self, program: Mapping[str, Any]):
        ours, theirs = socket.socketpair()
        self.log = tempfile.TemporaryFile(mode="a+b", buffering=0)  # noqa: SIM115
        words = [str(theirs.fileno()), str(os.getpid()), json.dumps(program)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *words],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=_environment(),
            start_new_session=True,
        )
        theirs.close()
        self.channel = Channel(ours)

    @property
    def has_ended(self) -> bool:
        """Whether it is no longer there."""
        return self.process.poll() is not None

    def kill(self) -> int:
        """End it and everything it started; return its exit code.

        The whole process group goes: also what ignores SIGTERM or sits in C code.
        """
        ended = self.process.poll()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return ended if ended is not None else self.process.wait()

    def wait(self, seconds: float = 5.0) -> int:
        """Return the exit code of a process whose pipe has closed."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()
        self.kill()  # what it left behind
        return code

    def close(self) -> None:
        """End it and give its files back."""
        self.kill()
        self.channel.close()
        self.log.close()

    def memory(self) -> int:
        """Return the resident bytes of the process and its descendants."""
        return sum(_resident(pid) for pid in _family(self.process.pid))

    def cap_log(self) -> None:
        """Drop what was printed when it becomes too much."""
        if os.fstat(self.log.fileno()).st_size > LOG_BYTES:
            self.log.truncate(0)

    def tail(self) -> str:
        """Return the end of what was printed."""
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - TAIL_BYTES))
        return self.log.read().decode("utf-8", "replace").strip()


def exit_words(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return str(code)
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def limits_memory() -> bool:
    """Tell whether this system says how much memory a process uses."""
    return Path("/proc/self/statm").is_file()


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for member in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _environment() -> dict[str, str]:
    """One thread a worker: several workers with several threads each would compete."""
    path = os.pathsep.join(p for p in sys.path if p)
    return {
        **os.environ,
        **dict.fromkeys(THREADS, "1"),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": path,
        "RETRODICT_WORKER": "1",
    }
