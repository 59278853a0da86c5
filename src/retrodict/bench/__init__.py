"""Benchmarks: tasks with known answers, and what a method makes of them.

Only the tasks are imported with the room. What runs them is in :mod:`.sbibm`.
"""

from .observations import Observations, first_observation, read_observations
from .tasks import TASKS, load_task


__all__ = [
    "Observations",
    "TASKS",
    "first_observation",
    "load_task",
    "read_observations",
]
