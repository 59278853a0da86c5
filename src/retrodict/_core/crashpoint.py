"""Named points at which a test can kill the process, as a power cut would.

``RETRODICT_CRASH_AT=atomic.renamed:3`` ends the process by SIGKILL when it comes to
that point for the third time.
Without the variable a point does nothing.
"""

import os
import signal
from collections import Counter


_seen: Counter[str] = Counter()


def reached(point: str) -> None:
    """Say that the process has come to a named point of a protocol."""
    wanted = os.environ.get("RETRODICT_CRASH_AT")
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    _seen[point] += 1
    if name == point and _seen[point] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
