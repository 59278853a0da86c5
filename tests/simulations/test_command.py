"""External programs: any language, own folder, codes, signals and last words kept."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pytest

from campaigns import assert_byte_equal, assert_no_orphans
from retrodict._core.external import ProgramError
from retrodict.model import Command, Model, Prior
from retrodict.simulations import STATUSES, Pool, simulate, simulate_at
from retrodict.simulations.store import Folder


PROGRAM = """
import json, sys
import numpy as np
theta = json.load(open(sys.argv[1]))
value = np.array([theta["a"], *theta["b"], float(sys.argv[3])])
{body}
"""


@pytest.fixture
def rng():
    return np.random.default_rng(0)


THETA = {"a": np.float64(0.1), "b": np.array([1.5, -2.0])}


def python(folder: Path, body: str, **options) -> Command:
    path = folder / "program.py"
    path.write_text(PROGRAM.format(body=body))
    words = [sys.executable, str(path), "{theta}", "{output}", "{seed}"]
    return Command(words, **options)


@pytest.mark.parametrize(
    ("output", "body"),
    [
        ("x.npy", "np.save(sys.argv[2], value)"),
        ("x.csv", "np.savetxt(sys.argv[2], value, delimiter=',')"),
        ("x.txt", "np.savetxt(sys.argv[2], value)"),
        ("-", "print(*map(repr, value.tolist()))"),
    ],
)
def test_every_kind_of_output(output, body, tmp_path, rng):
    found = python(tmp_path, body, output=output)(rng, THETA)
    seed = float(np.random.default_rng(0).integers(2**31))
    np.testing.assert_array_equal(found, [0.1, 1.5, -2.0, seed])


def test_a_table_with_names(tmp_path, rng):
    body = "open(sys.argv[2], 'w').write('t,y\\n0,1\\n1,2.5\\n2,-1\\n')"
    found = python(tmp_path, body, output="x.csv")(rng, THETA)
    np.testing.assert_array_equal(found, [[0, 1], [1, 2.5], [2, -1]])


def test_parameters_as_text_and_as_words(tmp_path, rng):
    script = tmp_path / "show"
    script.write_text('#!/bin/sh\ncut -d" " -f2- "$1"\necho "$2"\n')
    script.chmod(0o755)
    words = [str(script), "{theta}", "{b}"]
    command = Command(words, theta_format="text", output="-")
    found = command(rng, {"a": 1.5, "b": np.float64(0.1)})
    np.testing.assert_array_equal(found, [1.5, 0.1, 0.1])
    with pytest.raises(ProgramError, match="cannot be read"):  # uneven lines
        command(rng, THETA)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("sys.exit('sorry')", r"exited with code 1\nsorry"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("pass", r"wrote no file 'output.npy'"),
        ("open(sys.argv[2], 'w').write('text')", "cannot be read"),
        (
            "np.save(sys.argv[2], np.array([object()]), allow_pickle=True)",
            "cannot be read",
        ),
    ],
)
def test_what_goes_wrong_is_said(body, match, tmp_path, rng):
    with pytest.raises(ProgramError, match=match):
        python(tmp_path, body)(rng, THETA)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"argv": []}, "argv: Expected a list of words.*got \\[\\]"),
        ({"argv": "rm -rf"}, "argv: Expected a list of words.*got 'rm -rf'"),
        ({"argv": ["x"], "theta_format": "xml"}, "theta_format:.*got 'xml'"),
    ],
)
def test_arguments_are_checked(options, match):
    with pytest.raises(ValueError, match=match):
        Command(**options)


def test_words_and_programs_that_are_not_there(rng):
    with pytest.raises(ProgramError, match=r"'{c}' holds 'c'.*Expected one of"):
        Command(["echo", "{c}"])(rng, THETA)
    with pytest.raises(ProgramError, match="cannot be started: No such file"):
        Command(["/no/such/program"])(rng, THETA)


def test_no_shell_sees_the_words(tmp_path, rng):
    """A parameter or a word with blanks, quotes or $() is one word."""
    echo = shutil.which("printf")
    assert echo is not None
    command = Command([echo, "1 %.0s2", "$(touch gone); `x`"], output="-")
    np.testing.assert_array_equal(command(rng, THETA), [1.0, 2.0])


@pytest.fixture(scope="module")
def lotka_volterra(tmp_path_factory) -> Path:
    """A simulator in C, compiled here."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    program = tmp_path_factory.mktemp("program") / "lotka_volterra"
    source = Path(__file__).with_name("lotka_volterra.c")
    subprocess.run([compiler, "-O2", "-o", program, source, "-lm"], check=True)
    return program


def _predators(program: Path, fail: dist.Distribution) -> Model:
    words = [str(program), "{theta}", "{seed}"]
    prior = Prior(birth=dist.Uniform(0.3, 1), death=dist.Uniform(0.1, 0.6), fail=fail)
    command = Command(words, theta_format="text", output="-")
    targets = ["birth", "death"]
    return Model(prior, command, observed=np.full((10, 2), 3.0), infer=targets)


@pytest.mark.faults
@pytest.mark.slow
def test_a_program_in_c_that_crashes_and_hangs(lotka_volterra, tmp_path):
    """5 % crash, 2 % hang: the campaign ends, and every failure says how."""
    model = _predators(lotka_volterra, dist.Uniform(0, 1))
    pool = Pool(2, timeout=1.0)
    sims = simulate(model, 150, out=tmp_path, executor=pool)
    fail = sims.theta["fail"]
    names = np.array(STATUSES)[sims.status]
    expected = np.select([fail < 0.05, fail < 0.07], ["crash", "timeout"], "ok")
    np.testing.assert_array_equal(names, expected)
    assert set(names) == {"ok", "crash", "timeout"}
    with Folder(tmp_path).reading() as ledger:
        failures = ledger.failures()
    crashes = [f for f in failures if f.status == "crash"]
    assert all(f.exit == -6 and "SIGABRT" in f.error for f in crashes)
    assert all("about to crash" in f.error for f in crashes)
    assert_no_orphans(str(lotka_volterra))
    assert_byte_equal(sims, simulate(model, 150, out=tmp_path))


@pytest.mark.slow
def test_a_program_in_c_follows_its_parameters(lotka_volterra, getkey):
    """More births, more prey: medians of 20 runs each, far apart."""
    model = _predators(lotka_volterra, dist.Uniform(0.5, 1))
    theta = {
        "birth": np.repeat([0.3, 1.0], 20),
        "death": np.full(40, 0.6),
        "fail": np.ones(40),
    }
    x = simulate_at(getkey(), model, theta)["x"]
    assert x.shape == (40, 10, 2)
    assert np.median(x[20:, 1, 0]) > np.median(x[:20, 1, 0])
    assert len(np.unique(x[:20, -1, 0])) > 10
