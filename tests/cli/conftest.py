"""Model files as users write them, and the command line called in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import retrodict.posterior
import retrodict.trust
import retrodict.workflow
from retrodict.cli.main import run
from retrodict.training import Settings


SETTINGS = Settings(
    num_members=1,
    num_layers=2,
    num_bins=4,
    flow_width=16,
    embedding_width=16,
    context_dim=8,
    num_blocks=1,
    epochs=8,
)

JAX_MODEL = """
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import retrodict as rd

prior = rd.Prior(
    level=dist.Normal(0.0, 1.0), spread=dist.HalfNormal(1.0), units={"level": "m"}
)

def simulator(key, theta):
    return theta["level"] + 0.1 * theta["spread"] * jr.normal(key, (4,))

model = rd.Model(
    prior,
    simulator,
    observed=np.array([0.5, 0.4, 0.6, 0.5]),
    derive={
        "square": rd.Derived(lambda theta: theta["level"] ** 2, unit="m2")
    },
    name="tiny",
)

def baseline(key, model):
    draws = {"level": np.linspace(0.4, 0.6, 500), "spread": np.linspace(0.5, 1.5, 500)}
    return rd.Baseline("a guess", draws, {"draws": 500.0})

def broken_baseline(key, model):
    raise RuntimeError("no convergence")

def broken_figure(shown):
    raise ZeroDivisionError("no such luck")

compared = rd.Study(model=model, title="Tiny", baseline=baseline)
broken = rd.Study(
    model=model, title="Broken", baseline=broken_baseline, figures=(broken_figure,)
)
"""

PYTHON_MODEL = """
import numpy as np
import numpyro.distributions as dist
import retrodict as rd

prior = rd.Prior(level=dist.Normal(0.0, 1.0), spread=dist.HalfNormal(1.0))

def simulator(rng, theta):
    return theta["level"] + 0.1 * theta["spread"] * rng.normal(size=4)

model = rd.Model(
    prior, simulator, observed=np.array([0.5, 0.4, 0.6, 0.5]), name="tiny_python"
)
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error; fails when there is more, or a traceback."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("retrodict: error: ")
        assert "Traceback" not in self.err
        assert self.out == ""
        return lines[0]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Return a function that runs a command in this process."""

    def call(*words: object) -> Done:
        capsys.readouterr()
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call


def make_quick(patch: pytest.MonkeyPatch) -> None:
    """Train one small network and judge it on few simulations: a matter of seconds."""
    fit = partial(retrodict.posterior.fit, settings=SETTINGS)
    patch.setattr(retrodict.workflow, "fit", fit)
    judge = partial(retrodict.trust.validate, num_simulations=60, num_samples=64)
    patch.setattr(retrodict.workflow, "validate", judge)
    patch.setattr(
        retrodict.posterior,
        "fit",
        lambda sims, *, seed, effort, num_members: fit(sims, seed=seed),
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model files ``tiny.py`` and ``tiny_python.py``."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "tiny.py").write_text(JAX_MODEL)
    (folder / "tiny_python.py").write_text(PYTHON_MODEL)
    return folder


@pytest.fixture(scope="session")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny model with its baseline."""
    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        words = ["run", f"{models}/tiny.py:compared", "--budget", "200", "--quiet"]
        assert run([*words, "--seed", "3", "--out", str(out)]) == 0
    return out


@pytest.fixture
def variant(models: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a model file with one text replaced."""

    def write(old: str, new: str, source: str = "tiny") -> Path:
        text = (models / f"{source}.py").read_text()
        assert old in text
        path = tmp_path / "variant.py"
        path.write_text(text.replace(old, new))
        return path

    return write
