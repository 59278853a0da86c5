"""The methods: what they are told."""

from unittest.mock import Mock

import jax
import jax.random as jr
import numpy as np
import pytest

import retrodict as rd
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


def test_rounds_are_spent_before_any_draw_and_within_the_budget(monkeypatch):
    """A fifth for all observations; the rest for each, in three rounds."""
    first = Mock(spec=Posterior, record=Mock(train_s=1.0, compile_s=1.0))
    monkeypatch.setattr(methods, "fit", lambda *_, **__: first)
    asked, found = [], Mock(spec=methods.Sequential, train_s=2.0, compile_s=3.0)
    found.sample.side_effect = lambda key, count: np.zeros((count, 2))

    def refine(posterior, model, x, **options):
        asked.append((x, options))
        return found

    monkeypatch.setattr(methods, "refine", refine)
    answer = methods.InRounds(methods.Problem(load_task("slcp").model, 300, 0, "auto"))
    xs = np.arange(16.0).reshape(2, 8)
    answer.train_at(xs)
    assert [x.tolist() for x, _ in asked] == xs.tolist()
    for _, options in asked:
        assert len(options["simulations"]) == 60
        assert (options["rounds"], options["num_simulations"]) == (3, 80)
    assert (answer.train_s, answer.compile_s) == (3.0, 4.0)
    assert answer.sample(jr.key(0), xs, 5).shape == (2, 5, 2)
    assert len(asked) == 2


def test_a_fifth_must_be_enough_to_begin_with():
    problem = methods.Problem(load_task("slcp").model, 249, 0, "auto")
    with pytest.raises(rd.ModelError, match=r"--budget: .*250 .*got 249"):
        methods.InRounds(problem)
