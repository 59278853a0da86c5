import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest


@pytest.fixture(scope="session")
def sbibm_dir() -> Path:
    """Return the folder of the published observations, or skip."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("RETRODICT_DATA", default)) / "sbibm"
    if not folder.is_dir():
        pytest.skip(f"needs the published observations in {folder}: set RETRODICT_DATA")
    return folder


@pytest.fixture(scope="session")
def prior_rows() -> Callable[..., dict[str, np.ndarray]]:
    """Return a function that draws float32 rows of theta from a study's prior."""

    def draw(study, seed: int, count: int) -> dict[str, np.ndarray]:
        theta = study.model.prior.sample(jr.key(seed), count)
        return {name: np.float32(value) for name, value in theta.items()}

    return draw


@pytest.fixture(scope="session")
def repeat() -> Callable[..., np.ndarray]:
    """Return a function that runs a simulator often at one theta."""

    def run(simulator, theta: dict, seed: int, count: int) -> np.ndarray:
        row = {name: jnp.asarray(value, jnp.float32) for name, value in theta.items()}
        draw = jax.jit(jax.vmap(lambda key: simulator(key, row)))
        return np.asarray(draw(jr.split(jr.key(seed), count)), dtype=np.float64)

    return run
