"""What the studies of all tasks have in common."""

from functools import partial

import numpy as np

from ...model import Axis, Model, Study
from ..observations import first_observation


SOURCE = "Task {name} of Lueckmann et al. (2021), arXiv:2101.04653."


def task_study(
    model: Model,
    title: str,
    description: str,
    *,
    axis: Axis | int,
    baseline=None,
) -> Study:
    """Return the study of a task, whose observation is read from a folder.

    Args:
        model: Prior and simulator; its name is that of the task.
        title: Headline of the report.
        description: A paragraph for the reader.
        axis: How x is drawn, or the number of its components.
        baseline: The exact posterior, where it can be sampled.
    """
    if isinstance(axis, int):
        axis = Axis(np.arange(1, axis + 1), "component", "value")
    return Study(
        model=model,
        title=title,
        field="benchmark",
        description=" ".join(description.split()),
        source=SOURCE.format(name=model.name),
        budget=10_000,
        baseline=baseline,
        axes={"x": axis},
        load=partial(first_observation, name=model.name),
    )
