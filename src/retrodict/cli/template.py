"""The model file that ``retrodict init`` writes."""

from pathlib import Path

from .._core.atomic import write_atomic
from .._core.errors import ModelError


TEMPLATE = '''"""{name}: a model to start from. Run it with: retrodict run {file}"""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist

import retrodict as rd


# What is unknown, and what is believed of it before seeing data.
prior = rd.Prior(
    amplitude=dist.LogNormal(0.0, 0.5),
    decay=dist.LogNormal(-1.0, 0.5),
    noise=rd.Nuisance(dist.LogNormal(-2.0, 0.3)),
    units={{"amplitude": "V", "decay": "1/s", "noise": "V"}},
)

times = np.linspace(0.0, 5.0, 20)


def simulator(key, theta):
    """Simulate one experiment. Written in JAX, it is compiled and vectorized.

    For a simulator in plain Python, NumPy or C call the first argument ``rng``: it is
    then a NumPy generator, and the function runs in worker processes.
    """
    signal = theta["amplitude"] * jnp.exp(-theta["decay"] * times)
    return signal + theta["noise"] * jr.normal(key, times.shape)


# What was measured. Replace it by your data.
x_obs = 1.5 * np.exp(-0.5 * times) + 0.1 * np.random.default_rng(0).normal(size=20)

model = rd.Model(
    prior,
    simulator,
    observed=x_obs,
    derive={{
        "half_life": rd.Derived(
            lambda theta: jnp.log(2.0) / theta["decay"], support="positive", unit="s"
        )
    }},
    name="{name}",
)

study = rd.Study(
    model=model,
    title="Decay of a signal",
    budget=5000,
    axes={{"x": rd.Axis(times, "time (s)", "signal (V)")}},
)
'''


def write_template(path: Path) -> Path:
    """Write the template to ``path`` (with ``.py`` added) and return the path.

    Raises:
        ModelError: If the file exists or its name cannot be a model's.
        StorageError: If it cannot be written.
    """
    path = path if path.suffix == ".py" else path.with_name(path.name + ".py")
    if not path.stem.isidentifier():
        raise ModelError(
            f"init: Expected a name of letters, digits and underscores; got "
            f"{path.stem!r}."
        )
    if path.exists():
        raise ModelError(f"init: {path} exists already. Choose another name.")
    write_atomic(path, TEMPLATE.format(name=path.stem, file=path).encode())
    return path
