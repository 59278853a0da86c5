"""What goes wrong: one clear line, the right exit code, nothing lost."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest


# --- models ---------------------------------------------------------------------------

WRONG_MODELS = {
    "raises on import": ("prior = ", "1 / 0\nprior = ", 2, "line 8.*ZeroDivisionError"),
    "syntax": ("prior = ", "prior = = ", 2, "SyntaxError"),
    "another thing": ("(broken_figure,)\n)", "()\n)\nmodel = 3", 2, "got int"),
    "typo in units": ('"level": "m"', '"levle": "m"', 2, "'levle'.*mean 'level'"),
    "typo in simulator": ('theta["spread"]', 'theta["spred"]', 2, "mean 'spread'"),
    "discrete": ("dist.HalfNormal(1.0)", "dist.Poisson(1.0)", 2, "discrete"),
    "shape": ("(4,)", "(5,)", 65, r"\(5,\).*\(4,\)"),
    "only NaN": ("return theta", "return jnp.nan * theta", 65, "NaN or infinity"),
    "NaN observed": ("0.6, 0.5]", "0.6, np.nan]", 65, r"x_obs.*index \(3,\)"),
    "observed shape": ("0.6, 0.5]", "0.6]", 65, r"\(4,\).*\(3,\)"),
    "not numbers": ("0.6, 0.5]", '0.6, "one"]', 65, "array of numbers"),
    "simulator raises": ("return theta", "import nowhere\n    theta", 2, "nowhere"),
}
WRONG_PYTHON_MODELS = {
    "typo in simulator": ('theta["spread"]', 'theta["spred"]', 2, "mean 'spread'"),
    "shape": ("size=4", "size=5", 65, r"\(4,\).*\(5,\)"),
    "only NaN": ("return theta", "return np.nan * theta", 65, "NaN or infinity"),
    "always raises": ("return theta", 'raise OSError("disk")\n    theta', 65, "disk"),
}


@pytest.mark.parametrize("name", WRONG_MODELS)
def test_wrong_model(cli, variant, tmp_path: Path, name: str):
    old, new, code, words = WRONG_MODELS[name]
    done = cli("run", variant(old, new), "--out", tmp_path / "out")
    assert_refused(done, code, words)


@pytest.mark.faults
@pytest.mark.parametrize("name", WRONG_PYTHON_MODELS)
def test_wrong_python_model(cli, variant, tmp_path: Path, name: str):
    old, new, code, words = WRONG_PYTHON_MODELS[name]
    model = variant(old, new, "tiny_python")
    done = cli("run", model, "--out", tmp_path / "out", "--workers", 1)
    assert_refused(done, code, words)


def assert_refused(done, code: int, words: str) -> None:
    import re

    assert re.search(words, done.line), done.line
    assert done.code == code, done.line


# --- words of the command -------------------------------------------------------------

WRONG_WORDS = {
    "unknown world": (["run", "infuenza"], 2, "mean 'influenza'"),
    "unknown task": (["run", "slpc"], 2, "task.*mean 'slcp'"),
    "task without data": (["run", "slcp"], 2, "slcp: .*no observation.*--data"),
    "missing data": (["run", "slcp", "--data", "nowhere"], 65, "--data.*nowhere"),
    "unknown command": (["rum"], 2, "rum.*See: retrodict --help"),
    "unknown option": (["run", "influenza", "--sed", "1"], 2, "--sed"),
    "negative seed": (["run", "influenza", "--seed", "-1"], 2, "-1.*run --help"),
    "huge seed": (["run", "influenza", "--seed", str(2**63)], 2, str(2**63)),
    "no budget": (["run", "influenza", "--budget", "0"], 2, "50; got 0"),
    "words for a number": (["run", "influenza", "--budget", "many"], 2, "many"),
    "unknown part": (["run", "influenza", "--part", "x"], 2, "--part.*'x'"),
    "data for none": (["run", "influenza", "--data", "."], 2, "--data: influenza"),
    "no workers": (["run", "influenza", "--workers", "0"], 2, "workers"),
    "missing model file": (["run", "nowhere.py"], 2, "nowhere.py: no such file"),
    "missing artifact": (
        ["infer", "no.retrodict", "--observation", "x"],
        65,
        "no such",
    ),
    "missing run": (["report", "influenza", "--out", "nowhere"], 65, "no such file"),
    "missing argument": (["fit", "influenza"], 2, "--simulations"),
    "unknown effort": (
        ["fit", "influenza", "--simulations", "x", "--effort", "fats"],
        2,
        "--effort: .*'fats'.*mean 'fast'",
    ),
    "name for init": (["init", "2nd-try"], 2, "'2nd-try'"),
}


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_wrong_words(cli, tmp_path: Path, monkeypatch, name: str):
    monkeypatch.chdir(tmp_path)
    words, code, told = WRONG_WORDS[name]
    assert_refused(cli(*words), code, told)
    assert not list(tmp_path.iterdir())


def test_name_that_is_not_in_the_file(cli, models: Path):
    done = cli("run", f"{models}/tiny.py:modle")
    assert_refused(done, 2, "called modle; found .*'model', 'compared'.*tiny.py:model")


def test_init_does_not_overwrite(cli, tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("precious")
    assert_refused(cli("init", path), 2, "exists already")
    assert path.read_text() == "precious"


# --- observations ---------------------------------------------------------------------

WRONG_OBSERVATIONS = {
    "missing.json": (None, "no such file"),
    "garbage.json": (b"\xff\x00{", "cannot be read"),
    "words.json": (b'"hello"', "cannot be read"),
    "nested.json": (b'{"x": {"y": 1}}', "cannot be read"),
    "nan.json": (b"[0.5, NaN, 0.5, 0.5]", "not, the first nan"),
    "short.json": (b"[0.5, 0.4]", r"\(4,\).*\(2,\)"),
    "other.json": (b'{"y": [0.5, 0.4, 0.6, 0.5]}', "'y'"),
    "ragged.csv": (b"1,2\n3\n", "cannot be read"),
    "empty.csv": (b"", "cannot be read"),
    "garbage.npy": (b"\x93NUMPY garbage", "cannot be read"),
    "kind.xlsx": (b"", "'.xlsx'"),
}


@pytest.mark.parametrize("name", WRONG_OBSERVATIONS)
@pytest.mark.parametrize("command", ["run", "infer"])
def test_wrong_observation(
    cli, models: Path, finished: Path, tmp_path: Path, command: str, name: str
):
    content, told = WRONG_OBSERVATIONS[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    if command == "run":
        words = ["run", models / "tiny.py", "--out", tmp_path / "out"]
    else:
        words = ["infer", finished / "posterior.retrodict"]
    assert_refused(cli(*words, "--observation", path), 65, told)


def test_pickled_observation_is_not_opened(cli, finished: Path, tmp_path: Path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    done = cli("infer", finished / "posterior.retrodict", "--observation", path)
    assert_refused(done, 65, "allow_pickle")


# --- artifacts ------------------------------------------------------------------------


def rewrite(source: Path, target: Path, change) -> Path:
    """Copy an artifact with its members changed by ``change(name, body)``."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), change(name, old.read(name)))
    return target


def of_the_future(name: str, body: bytes) -> bytes:
    if name != "manifest.json":
        return body
    return json.dumps(json.loads(body) | {"schema": 99}).encode()


def tampered(name: str, body: bytes) -> bytes:
    return body.replace(b"tiny", b"tinx") if name == "spec.json" else body


@pytest.mark.parametrize("kind", ["truncated", "tampered", "future", "text", "flipped"])
@pytest.mark.parametrize("command", ["infer", "validate"])
def test_wrong_artifact(
    cli, finished: Path, models: Path, tmp_path: Path, kind: str, command: str
):
    source, path = finished / "posterior.retrodict", tmp_path / "bad.retrodict"
    body = source.read_bytes()
    told = "damaged"
    if kind == "truncated":
        path.write_bytes(body[: len(body) // 2])
    elif kind == "text":
        path.write_text("hello")
    elif kind == "flipped":
        middle = len(body) // 2
        path.write_bytes(body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])
    elif kind == "tampered":
        rewrite(source, path, tampered)
    else:
        rewrite(source, path, of_the_future)
        told = "schema 99.*up to 3"
    x_obs = tmp_path / "x.json"
    x_obs.write_text("[0.5, 0.4, 0.6, 0.5]")
    words = {
        "infer": ["--observation", x_obs],
        "validate": ["--model", models / "tiny.py"],
    }
    assert_refused(cli(command, path, *words[command]), 65, told)


@pytest.mark.parametrize("command", ["validate", "report"])
def test_posterior_of_another_model(
    cli, finished: Path, variant, tmp_path: Path, command: str
):
    other = variant("derive=", 'infer=["level"], derive=')
    if command == "validate":
        words = ["validate", finished / "posterior.retrodict", "--model", other]
    else:
        words = ["report", other, "--out", finished]
    before = (finished / "summary.json").read_bytes()
    assert_refused(cli(*words), 2, r"\['level'\].*\['level', 'spread'\]")
    assert (finished / "summary.json").read_bytes() == before


# --- storage --------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["below a file", "/proc"])
def test_unwritable_out(cli, models: Path, tmp_path: Path, place: str):
    out = Path("/proc/retrodict")
    if place == "below a file":
        (tmp_path / "file").write_text("precious")
        out = tmp_path / "file" / "out"
    assert_refused(cli("run", models / "tiny.py", "--out", out), 74, "Cannot write")
    words = ["--num", 10, "--out", out]
    done = cli("simulate", "run", models / "tiny.py", *words)
    assert_refused(done, 74, "Cannot write")


def test_unwritable_draws(cli, finished: Path, tmp_path: Path):
    (tmp_path / "file").write_text("precious")
    x_obs = tmp_path / "x.json"
    x_obs.write_text("[0.5, 0.4, 0.6, 0.5]")
    words = ["--observation", x_obs, "--out", tmp_path / "file" / "draws.nc"]
    done = cli("infer", finished / "posterior.retrodict", *words)
    assert done.code == 74
    assert "Traceback" not in done.err
    assert (tmp_path / "file").read_text() == "precious"


def test_folder_of_another_campaign(cli, models: Path, tmp_path: Path):
    words = ["simulate", "run", models / "tiny.py", "--num", 10, "--out", tmp_path]
    assert cli(*words).code == 0
    assert_refused(cli(*words, "--seed", 1), 65, "its seed is 0; Expected 1")


def test_damaged_block(cli, models: Path, tmp_path: Path):
    words = ["simulate", "run", models / "tiny.py", "--num", 10, "--out", tmp_path]
    assert cli(*words).code == 0
    block = next((tmp_path / "blocks").iterdir())
    block.write_bytes(block.read_bytes()[:-1])
    assert_refused(cli(*words), 65, "checksum differs.*repair")


def test_bug_of_ours_is_said_to_be_one(cli, monkeypatch):
    from retrodict.cli import steps

    def fail(as_json: bool):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(steps, "worlds", fail)
    assert_refused(cli("worlds"), 70, "RuntimeError: unforeseen.*bug")
