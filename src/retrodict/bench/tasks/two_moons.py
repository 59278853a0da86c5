"""Two moons: the world of the same name, with the observations of the benchmark.

Source: see :mod:`retrodict.worlds.two_moons`; Lueckmann et al. (2021),
arXiv:2101.04653, appendix T.8.
"""

from ...model import Model, Study
from ...worlds import two_moons as world
from ._study import task_study


def study() -> Study:
    """Build the study of the task."""
    twin = world.study()
    return task_study(
        Model(twin.model.prior, world.simulator, name="two_moons"),
        twin.title,
        twin.description,
        axis=2,
        baseline=world.baseline,
    )
