"""The ten tasks of the benchmark sbibm, one file each, exactly as it defines them.

A task is a module of this package with a function ``study() -> Study``, like a world.
It is imported when it is asked for. Its observations are not shipped: ``Study.load``
reads the first from a folder of ``<task>.npz`` files.

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference,
arXiv:2101.04653, appendix T, and the code of sbibm where the two differ.
"""

from importlib import import_module
from types import MappingProxyType

from ..._core.choices import check_choice
from ...model import Study


TASKS = MappingProxyType(
    {
        "gaussian_linear": "A Gaussian mean in 10 dimensions under a Gaussian prior.",
        "gaussian_linear_uniform": "A Gaussian mean in 10 dimensions within a box.",
        "gaussian_mixture": "The common mean of a wide and a narrow Gaussian.",
        "two_moons": "Two thin crescents.",
        "slcp": "A simple likelihood whose posterior has four curved modes.",
        "slcp_distractors": "The same, hidden among 92 numbers that say nothing.",
        "bernoulli_glm": "A neuron's filter from the sufficient statistics of spikes.",
        "bernoulli_glm_raw": "The same filter from the 100 spikes themselves.",
        "sir": "An epidemic, sampled every 17 days.",
        "lotka_volterra": "Predator and prey, counted ten times.",
    }
)
"""What each task is about, in one line, by name, in the order of the paper."""


_SIGNS = ({"theta_3": "-theta_3"}, {"theta_4": "-theta_4"})
SYMMETRIES = MappingProxyType(
    {
        "two_moons": ({"theta_1": "-theta_2", "theta_2": "-theta_1"},),
        "slcp": _SIGNS,
        "slcp_distractors": _SIGNS,
    }
)
"""The symmetries of theta of the tasks that have some, by name: what
:meth:`.Model.with_symmetries` is told by the method that may know them."""


def check_task(name: str) -> str:
    """Return ``name``, or say which tasks there are.

    Args:
        name: One of :data:`TASKS`.

    Raises:
        ModelError: If there is no such task; the message suggests the nearest.
    """
    check_choice("task", name, TASKS)
    return name


def load_task(name: str) -> Study:
    """Build the study of one task.

    Args:
        name: One of :data:`TASKS`.

    Raises:
        ModelError: If there is no such task; the message suggests the nearest.
    """
    return import_module(f".{check_task(name)}", __package__).study()


__all__ = ["SYMMETRIES", "TASKS", "check_task", "load_task"]
