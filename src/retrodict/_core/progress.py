"""Progress bars: on stderr, on a terminal only, silent everywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """One bar. ``advance`` moves it, ``note`` says what is happening."""

    def __init__(self, bar=None, task=None):
        self._bar = bar
        self._task = task

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Move the bar by ``steps`` and, if given, replace its note."""
        if self._bar is None:
            return
        fields = {} if note is None else {"note": note}
        self._bar.update(self._task, advance=steps, **fields)


def say(message: str) -> None:
    """Say one line to the person, on stderr, where it spoils no data."""
    sys.stderr.write(message + "\n")


_quiet = False


def set_quiet(quiet: bool) -> None:
    """Switch every bar of this process off (or on again)."""
    global _quiet
    _quiet = quiet


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Progress]:
    """Show a bar for the body of a ``with`` statement.

    Args:
        description: What is being done, such as ``"Simulating"``.
        total: Number of steps, or ``None`` when it is not known.

    Yields:
        A :class:`Progress`; without a terminal it does nothing.
    """
    if _quiet or not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as RichProgress,
    )

    columns = (
        TextColumn("[bold]{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield Progress(bar, bar.add_task(description, total=total, note=""))


@contextmanager
def stopwatch(times: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds the body takes to ``times[name]``."""
    start = time.perf_counter()
    try:
        yield
    finally:
        times[name] = times.get(name, 0.0) + time.perf_counter() - start
