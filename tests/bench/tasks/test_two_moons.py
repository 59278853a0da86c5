"""The task is the world; the world's own tests hold its mathematics."""

from retrodict.bench.tasks import two_moons
from retrodict.worlds import two_moons as world


def test_the_task_is_the_world_without_its_observation():
    study = two_moons.study()
    assert study.model.simulator.function is world.simulator
    assert study.baseline is world.baseline
    assert study.model.prior.describe() == world.study().model.prior.describe()
    assert study.model.observed is None
