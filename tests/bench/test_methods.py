"""The methods: what they are told."""

from unittest.mock import Mock

import jax
import jax.random as jr
import numpy as np
import pytest

from retrodict.bench import methods
from retrodict.bench.tasks import SYMMETRIES, load_task
from retrodict.posterior import Posterior


@pytest.mark.parametrize("name", SYMMETRIES)
def test_the_simulator_of_a_task_has_the_symmetries_that_are_declared(name):
    """Images of theta give the same x from the same key, up to rounding."""
    model = load_task(name).model
    told = model.with_symmetries(SYMMETRIES[name])
    theta = model.flatten(model.prior.sample(jr.key(0), 50))
    keys = jr.split(jr.key(1), 50)
    simulate = jax.vmap(model.simulator.function)
    first, *others = (
        np.asarray(simulate(keys, model.unflatten(image)))
        for image in told.target_symmetries.images(theta)
    )
    assert others
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-5)


def test_only_one_method_is_told_of_symmetries(monkeypatch):
    seen, answer = [], Mock(spec=methods.Answer)
    monkeypatch.setattr(methods, "refined", lambda given: seen.append(given) or answer)
    model = load_task("slcp").model
    assert methods.declared(methods.Problem(model, 10, 0, "fast")) is answer
    told = seen[0].model
    assert len(told.target_symmetries.elements) == 3
    assert told.name == "slcp"
    assert not model.target_symmetries.elements


def test_a_problem_is_fitted_once(monkeypatch):
    fitted, answer = [], Mock(spec=Posterior)
    monkeypatch.setattr(
        methods, "fit", lambda *given, **_: fitted.append(given) or answer
    )
    problem = methods.Problem(load_task("slcp").model, 50, 0, "fast")
    assert problem.fitted is problem.fitted
    ((sims,),) = fitted
    assert len(sims) == 50
