import os
from pathlib import Path

import jax
import numpy as np
import pytest


@pytest.fixture(scope="session")
def data_folder():
    """Return the folder of real data, or skip."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("RETRODICT_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the data folder {folder} (set RETRODICT_DATA)")
    return folder


@pytest.fixture(autouse=True)
def _x64_stays_off():
    before = jax.config.jax_enable_x64
    yield
    assert jax.config.jax_enable_x64 == before


@pytest.fixture(scope="session")
def prior_rows():
    """Return a function that draws float32 rows of theta from a study's prior."""

    def draw(study, seed, count):
        theta = study.model.prior.sample(jax.random.key(seed), count)
        return {name: np.float32(value) for name, value in theta.items()}

    return draw
