"""Laws that every task obeys."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.random as jr
import numpy as np
import pytest

import retrodict.bench.tasks
from retrodict._core.errors import ModelError
from retrodict.bench import TASKS, load_task, read_observations
from retrodict.diagnostics import c2st


SHAPES = {
    "gaussian_linear": (10, 10),
    "gaussian_linear_uniform": (10, 10),
    "gaussian_mixture": (2, 2),
    "two_moons": (2, 2),
    "slcp": (5, 8),
    "slcp_distractors": (5, 100),
    "bernoulli_glm": (10, 10),
    "bernoulli_glm_raw": (10, 100),
    "sir": (2, 10),
    "lotka_volterra": (4, 20),
}
EXACT = {"gaussian_linear", "gaussian_linear_uniform", "gaussian_mixture", "two_moons"}


@pytest.fixture(scope="module", params=list(TASKS))
def study(request):
    return load_task(request.param)


def test_every_file_is_registered():
    folder = Path(retrodict.bench.tasks.__file__).parent
    files = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    assert files == set(TASKS)
    assert list(TASKS) == list(SHAPES)


def test_unknown_tasks_are_refused_with_the_nearest_name():
    with pytest.raises(ModelError, match=r"task: .*'two_mons'\. Did you mean 'two_mo"):
        load_task("two_mons")


def test_listing_the_tasks_imports_none_of_them():
    code = (
        "import sys, retrodict.bench as b; "
        "bad = [n for n in b.TASKS if f'retrodict.bench.tasks.{n}' in sys.modules]; "
        "sys.exit(bool(bad))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_words_are_there(study):
    assert study.model.name in TASKS
    assert study.model.name in study.source
    for text in (study.title, study.field, study.description, study.source):
        assert text == text.strip()
        assert text
    assert study.budget == 10_000
    assert study.model.observed is None
    assert (study.baseline is not None) == (study.model.name in EXACT)


def test_simulations_have_the_shapes_of_the_task_and_are_finite(study, prior_rows):
    theta_dim, x_dim = SHAPES[study.model.name]
    assert len(study.model.target_names) == theta_dim
    rows, keys = prior_rows(study, 7, 500), jr.split(jr.key(0), 500)
    x = jax.jit(jax.vmap(study.model.simulator.function))(keys, rows)
    assert x.shape == (500, x_dim)
    assert study.axes["x"].values.shape == (x_dim,)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()


def test_the_published_observations_fit_the_task(study, sbibm_dir):
    theta_dim, x_dim = SHAPES[study.model.name]
    published = read_observations(sbibm_dir, study.model.name)
    assert published.reference.shape == (5, 10_000, theta_dim)
    assert published.x_obs.shape == (5, x_dim)
    np.testing.assert_array_equal(study.load(sbibm_dir), published.x_obs[0])
    log_prior = study.model.prior.log_prob(study.model.unflatten(published.theta_true))
    assert np.isfinite(log_prior).all()


@pytest.mark.stat
def test_published_references_lie_in_the_prior(study, sbibm_dir):
    """All reference draws lie in the support; true parameters are within 5 sd."""
    published = read_observations(sbibm_dir, study.model.name)
    space = study.model.targets
    assert space.contains(published.reference.reshape(-1, len(space.names))).all()
    u = space.unconstrain(published.reference)
    distance = (space.unconstrain(published.theta_true) - u.mean(1)) / u.std(1)
    assert np.abs(distance).max() < 5


@pytest.mark.slow
@pytest.mark.stat
@pytest.mark.parametrize("name", sorted(EXACT))
def test_exact_draws_cannot_be_told_from_the_published_reference(name, sbibm_dir):
    """With 2000 draws a perfect match scores .5, standard deviation .0112.

    Four tests at 4 of these: 1.3e-4.
    """
    study, published = load_task(name), read_observations(sbibm_dir, name)
    model = study.model.observing(published.x_obs[2])
    draws = model.flatten(study.baseline(jr.key(5), model).draws)
    score = c2st(published.reference[2], draws, num_samples=1000)
    assert score < 0.5 + 4 * 0.5 / np.sqrt(2000)


@pytest.mark.bench
@pytest.mark.stat
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_exact_draws_cannot_be_told_from_the_reference_at_full_size(name, sbibm_dir):
    """20 000 draws: .515 is 4.2 standard deviations above a perfect match, 1.3e-5."""
    study, published = load_task(name), read_observations(sbibm_dir, name)
    model = study.model.observing(published.x_obs[0])
    draws = model.flatten(study.baseline(jr.key(6), model).draws)
    assert c2st(published.reference[0], draws) < 0.515


@pytest.mark.parametrize("name", sorted(EXACT))
def test_the_baseline_is_exact_and_named(name, sbibm_dir):
    study = load_task(name)
    model = study.model.observing(study.load(sbibm_dir))
    baseline = study.baseline(jr.key(0), model)
    assert baseline.method == "exact"
    assert model.flatten(baseline.draws).shape == (10_000, SHAPES[name][0])
