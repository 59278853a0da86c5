"""Laws that every world obeys."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.random as jr
import numpy as np
import pytest

import retrodict.worlds
from retrodict._core.errors import ModelError
from retrodict.worlds import WORLDS, load_world


@pytest.fixture(scope="module", params=sorted(WORLDS))
def study(request):
    return load_world(request.param)


def as_dict(x):
    return x if isinstance(x, dict) else {"x": x}


def test_every_file_is_registered():
    folder = Path(retrodict.worlds.__file__).parent
    files = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    assert files == set(WORLDS)


def test_unknown_worlds_are_refused_with_the_nearest_name():
    with pytest.raises(ModelError, match=r"world: .*'influensa'\. Did you mean 'influ"):
        load_world("influensa")


def test_listing_the_worlds_imports_none_of_them():
    code = (
        "import sys, retrodict.worlds as w; "
        "bad = [n for n in w.WORLDS if f'retrodict.worlds.{n}' in sys.modules]; "
        "sys.exit(bool(bad or 'matplotlib' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_words_are_there(study):
    assert study.model.name in WORLDS
    for text in (study.title, study.field, study.description, study.source):
        assert text == text.strip()
        assert text
    assert study.budget >= 1000
    assert study.baseline is not None


def observed_series(study):
    """Return what a report would draw of the observation, or skip."""
    if study.model.observed is None:
        pytest.skip("its data are not shipped")
    return (study.show or dict)(as_dict(study.model.observed))


def test_series_have_an_axis_each(study):
    series = observed_series(study)
    assert set(study.axes) == set(series)
    for name, values in series.items():
        assert study.axes[name].values.shape == values.shape


@pytest.fixture(scope="module")
def block(study, prior_rows):
    """Return keys, rows of theta and simulations of 1000 prior draws, or a block."""
    observed_series(study)
    count = study.model.block_size or 1000
    rows, keys = prior_rows(study, 7, count), jr.split(jr.key(0), count)
    simulate = jax.jit(jax.vmap(study.model.simulator.function))
    return keys, rows, as_dict(simulate(keys, rows))


def test_simulations_look_like_the_observation_and_are_finite(study, block):
    x, observed = block[-1], as_dict(study.model.observed)
    assert set(x) == set(observed)
    for name, values in x.items():
        assert values.dtype == np.float32
        assert values.shape[1:] == observed[name].shape
        assert np.isfinite(values).all()


def test_a_block_is_its_rows(study, block):
    keys, rows, x = block
    simulate = jax.jit(study.model.simulator.function)
    for index in range(3):
        row = {name: jax.numpy.asarray(value[index]) for name, value in rows.items()}
        for name, values in as_dict(simulate(keys[index], row)).items():
            near = 5e-5 * np.abs(values).max()  # float32 sums that cancel: 2e-5 seen
            np.testing.assert_allclose(values, x[name][index], rtol=2e-3, atol=near)
