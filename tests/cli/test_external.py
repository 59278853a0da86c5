"""An external program that crashes and hangs, from its simulation to its posterior."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import retrodict as rd
from source import REPOSITORY


pytestmark = [pytest.mark.faults, pytest.mark.slow]

MODEL = """
from pathlib import Path
import numpy as np
import numpyro.distributions as dist
import retrodict as rd

program = str(Path(__file__).with_name("lotka_volterra"))
prior = rd.Prior(
    birth=dist.Uniform(0.3, 1), death=dist.Uniform(0.1, 0.6), fail=dist.Uniform(0, 1)
)
command = rd.Command([program, "{theta}", "{seed}"], theta_format="text", output="-")
model = rd.Model(
    prior,
    command,
    observed=np.full((10, 2), 3.0),
    infer=["birth", "death"],
    name="predators",
)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model file beside its simulator in C: 5 % of rows crash, 2 % hang."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("model")
    source = REPOSITORY / "tests" / "simulations" / "lotka_volterra.c"
    words = [compiler, "-O2", "-o", folder / "lotka_volterra", source, "-lm"]
    subprocess.run(words, check=True)
    (folder / "model.py").write_text(MODEL)
    return folder / "model.py"


def test_a_program_that_crashes_and_hangs_gives_a_posterior(
    cli, quick, model, tmp_path
):
    """The campaign ends, reports and trains; the posterior knows what failed."""
    out, file = tmp_path / "campaign", tmp_path / "predators.retrodict"
    words = ["--num", 300, "--out", out, "--timeout", 1, "--workers", 2]
    done = cli("simulate", "run", model, *words, "--json")
    assert done.code == 0, done.err
    counts = json.loads(done.out)
    assert counts == json.loads(cli("simulate", "status", out, "--json").out)
    assert sum(counts.values()) == 300
    assert 3 <= counts["crash"] <= 31  # 15 expected: 4 sd
    assert 1 <= counts["timeout"] <= 16  # 6 expected: 4 sd
    status = cli("simulate", "status", out)
    assert "SIGABRT" in status.out
    assert "took longer than 1 s" in status.out
    assert cli("simulate", "verify", out).code == 0

    done = cli("fit", model, "--simulations", out, "--out", file, "--num", 300)
    assert done.code == 0, done.err
    assert "Warning W-failed-simulations:" in done.err
    assert "depends on theta (AUC" in done.err
    assert not file.with_name("predators.retrodict.training").exists()
    posterior = rd.load(file)
    assert posterior.record.counts == counts
    assert posterior.record.failures["auc"] > 0.9

    np.save(tmp_path / "x.npy", np.full((10, 2), 3.0))
    done = cli("infer", file, "--observation", tmp_path / "x.npy", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert "W-failed-simulations" in found["warnings"]
    assert 0.3 < found["parameters"]["birth"]["mean"] < 1
