"""Means of the benchmark's rows, task by task, beside published scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .published import Column
from .rows import Row


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        task: Name of the task, or ``"mean"``.
        num_observations: Observations behind the means.
        c2st: Mean score.
        nlpd: Mean -log q(theta_true | x_obs), nats; None if one is not finite.
        published: Published scores, one per column; None where there is none.
    """

    task: str
    num_observations: int
    c2st: float
    nlpd: float | None
    published: tuple[float | None, ...]


def summarize(
    rows: Iterable[Row], tasks: Sequence[str], columns: Sequence[Column]
) -> list[Line]:
    """Return a line per task that has rows, and their mean where there are several.

    Args:
        rows: Rows of one setting.
        tasks: Tasks in the order wanted.
        columns: Published scores.
    """
    rows = list(rows)
    by_task = {task: [row for row in rows if row.task == task] for task in tasks}
    lines = [
        Line(
            task,
            len(found),
            float(np.mean([row.c2st for row in found])),
            _mean([row.nlpd for row in found]),
            tuple(column.c2st.get(task) for column in columns),
        )
        for task, found in by_task.items()
        if found
    ]
    return [*lines, _mean_line(lines)] if len(lines) > 1 else lines


def _mean_line(lines: Sequence[Line]) -> Line:
    """Average over tasks, each with the same weight."""
    columns = zip(*(line.published for line in lines), strict=True)
    return Line(
        "mean",
        sum(line.num_observations for line in lines),
        float(np.mean([line.c2st for line in lines])),
        _mean([line.nlpd for line in lines]),
        tuple(_mean(column) for column in columns),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None if there is a gap."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
