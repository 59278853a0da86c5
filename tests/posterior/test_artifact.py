"""What is saved comes back to the bit; anything else is one kind of error."""

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile

import jax.random as jr
import numpy as np
import pytest
import safetensors.numpy

import retrodict as rd
from retrodict.posterior.archive import MANIFEST, from_json, read_archive, write_archive
from retrodict.posterior.artifact import MEMBERS

from .conftest import typical_xs


pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def saved(bounded, tmp_path_factory):
    path = tmp_path_factory.mktemp("artifact") / "bounded.retrodict"
    bounded.save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    path = tmp_path / "copy.retrodict"
    path.write_bytes(saved.read_bytes())
    return path


def assert_equal(one, two, xs):
    draws = one.sample(jr.key(0), xs, 40)
    np.testing.assert_array_equal(draws, two.sample(jr.key(0), xs, 40))
    np.testing.assert_array_equal(one.log_prob(draws, xs), two.log_prob(draws, xs))
    assert one.names == two.names


def _rewrite(path, name, change):
    """Change one member and write a valid manifest for it, as a forger would."""
    members = read_archive(path, MEMBERS)
    members[name] = change(members[name])
    write_archive(path, members, "0")


def _edit(path, name, change):
    """Change the value of a JSON member in place."""

    def edit(body):
        value = json.loads(body)
        change(value)
        return json.dumps(value).encode()

    _rewrite(path, name, edit)


def _edit_arrays(path, name, change):
    def edit(body):
        arrays = {k: np.array(v) for k, v in safetensors.numpy.load(body).items()}
        change(arrays)
        return safetensors.numpy.save(arrays)

    _rewrite(path, name, edit)


def assert_refused(path, code):
    with pytest.raises(rd.ArtifactError, match=rf"\[{code}\]$") as caught:
        rd.load(path)
    assert caught.value.code == code
    assert caught.value.exit_code == 65
    assert str(path) in str(caught.value)


# --- what was saved comes back --------------------------------------------------------


def test_predictions_are_equal_to_the_bit(bounded, saved, bounded_simulations):
    loaded = rd.load(saved)
    xs = {k: v[:5] for k, v in bounded_simulations.x.items()}
    assert_equal(bounded, loaded, xs)
    assert (loaded.units, loaded.labels) == (bounded.units, bounded.labels)


def test_ensembles_and_their_record_come_back(linear, tmp_path):
    path = tmp_path / "linear.retrodict"
    linear.save(path)
    loaded = rd.load(path)
    xs = typical_xs(5)
    assert_equal(linear, loaded, xs)
    assert loaded.units == {"a": "m", "b": "s"}
    assert loaded.at(xs[0]).summary() == linear.at(xs[0]).summary()
    assert loaded.at(100 * xs[0]).warnings == linear.at(100 * xs[0]).warnings
    for name, value in vars(linear.record).items():
        np.testing.assert_equal(getattr(loaded.record, name), value)
        if isinstance(value, dict):
            assert list(map(type, value.values())) == [
                type(v) for v in getattr(loaded.record, name).values()
            ]


def test_equal_posteriors_are_equal_files(bounded, saved, tmp_path):
    bounded.save(tmp_path / "again.retrodict")
    assert (tmp_path / "again.retrodict").read_bytes() == saved.read_bytes()
    rd.load(saved).save(tmp_path / "third.retrodict")
    assert (tmp_path / "third.retrodict").read_bytes() == saved.read_bytes()


def test_saving_replaces_a_file_and_leaves_nothing_else(bounded, tmp_path):
    path = tmp_path / "new" / "a.retrodict"
    bounded.save(path)
    bounded.save(path)
    assert [p.name for p in path.parent.iterdir()] == ["a.retrodict"]
    with pytest.raises(rd.StorageError, match="Cannot write"):
        bounded.save(path / "b.retrodict")


# --- damage ---------------------------------------------------------------------------


def test_a_byte_flipped_anywhere_is_found_or_harmless(copy, bounded):
    """200 positions: half of them in the headers, whose bytes no checksum covers."""
    content = copy.read_bytes()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(copy) as archive:
        starts = [info.header_offset for info in archive.infolist()]
        directory = archive.start_dir
    headers = [s + i for s in starts for i in range(60)]
    headers += range(directory, len(content))
    positions = [*rng.integers(len(content), size=100), *rng.choice(headers, 100)]
    found = 0
    members = read_archive(copy, MEMBERS)
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        copy.write_bytes(damaged)
        try:
            assert read_archive(copy, MEMBERS) == members  # harmless: the same content
        except rd.ArtifactError:
            found += 1
            with pytest.raises(rd.ArtifactError):
                rd.load(copy)
    assert found > 100


@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(copy, part):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(part * len(content))])
    assert_refused(copy, "unreadable")


def test_what_is_no_artifact_is_refused(tmp_path):
    assert_refused(tmp_path / "absent.retrodict", "missing")
    assert_refused(tmp_path, "unreadable")
    path = tmp_path / "text.retrodict"
    path.write_text("hello")
    assert_refused(path, "unreadable")
    path.write_bytes(pickle.dumps({"a": 1}))
    assert_refused(path, "unreadable")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert_refused(path, "members")


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_a_changed_member_is_refused(copy, name):
    """Without a new manifest the checksum tells."""
    _repack(copy, {name: lambda body: body[:-1] + bytes([body[-1] ^ 1])})
    assert_refused(copy, "checksum")


# --- archives that are not what we write ----------------------------------------------


def _repack(path, changes=None, extra=(), compression=zipfile.ZIP_STORED):
    """Write the same members in another ZIP, the manifest untouched."""
    changes = changes or {}
    with zipfile.ZipFile(path) as archive:
        members = [(n, archive.read(n)) for n in archive.namelist()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names that occur twice
            for name, body in [*members, *extra]:
                archive.writestr(name, changes.get(name, lambda b: b)(body))
    path.write_bytes(buffer.getvalue())


def test_members_must_be_exactly_those_expected(copy, saved):
    _repack(copy)
    rd.load(copy)
    for extra in (
        [("code.py", b"raise SystemExit")],
        [("../outside", b"")],
        [("spec.json", b"{}")],  # a second one of the same name
        [(MANIFEST, b"{}")],
        [(f"m{i}", b"") for i in range(70)],
    ):
        copy.write_bytes(saved.read_bytes())
        _repack(copy, extra=extra)
        assert_refused(copy, "members")


def test_compressed_members_are_refused(copy):
    """So that no small file can unpack to a large one."""
    _repack(copy, compression=zipfile.ZIP_DEFLATED)
    assert_refused(copy, "members")


def _manifest(change):
    def edit(body):
        value = json.loads(body)
        change(value)
        return json.dumps(value).encode()

    return {MANIFEST: edit}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m.update(schema=4), "schema-too-new"),
        (lambda m: m.update(schema=10**30), "schema-too-new"),
        (lambda m: m.update(schema=4, writer=3), "schema-too-new"),
        (lambda m: m.update(schema="3"), "schema"),
        (lambda m: m.update(schema=0), "schema"),
        (lambda m: m.update(schema=1), "schema-too-old"),
        (lambda m: m.update(schema=True), "schema"),
        (lambda m: m.update(format="other"), "format"),
        (lambda m: m.pop("format"), "format"),
        (lambda m: m["members"].pop("spec.json"), "members"),
        (lambda m: m.update(members=[]), "members"),
        (lambda m: m.pop("members"), "members"),
        (lambda m: m["members"].update({"spec.json": 3}), "members"),
        (lambda m: m["members"]["spec.json"].pop("sha256"), "members"),
    ],
)
def test_manifests_of_another_kind_are_refused(copy, change, code):
    _repack(copy, _manifest(change))
    assert_refused(copy, code)


def test_the_future_says_which_version_to_install(copy):
    _repack(copy, _manifest(lambda m: m.update(schema=4, writer={"version": "9.1"})))
    with pytest.raises(rd.ArtifactError, match=r"schema 4.*up to 3.*version 9\.1"):
        rd.load(copy)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1, "a": 2}',
        "[" * 40 + "]" * 40,
        '{"a": ',
        '"' + "a" * 2**20 + '"',
        "\ud800",
    ],
    ids=["nan", "infinity", "twice", "deep", "cut", "long", "surrogate"],
)
def test_loose_json_is_refused(copy, text):
    body = text.encode(errors="surrogatepass")
    with pytest.raises(rd.ArtifactError, match=r"\[json\]$"):
        from_json(body, copy)
    for name in ("spec.json", "training.json"):
        _rewrite(copy, name, lambda _: body)
        assert_refused(copy, "json")
        break


# --- forgeries with a valid manifest --------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(extra=1),
        lambda s: s.pop("fields"),
        lambda s: s.update(estimator="os.system"),
        lambda s: s.update(fields=[]),
        lambda s: s["fields"][0].update(shape=[10**7, 10**7]),
        lambda s: s["fields"][0].update(shape=[0]),
        lambda s: s["fields"][0]["support"].update(lower=[]),
        lambda s: s["fields"][0]["support"].update(lower=[5.0]),
        lambda s: s["fields"][0]["support"].update(kind="pickle"),
        lambda s: s["fields"][0]["support"].update(kind="simplex", lower=[], upper=[]),
        lambda s: s["fields"][0].update(name="scale"),
        lambda s: s["settings"].update(flow_width=10**9),
        lambda s: s["settings"].update(num_layers=10**6),
        lambda s: s["settings"].update(embedding_width="32"),
        lambda s: s["settings"].update(num_members=True),
        lambda s: s["series"].clear(),
        lambda s: s["series"]["series"].update(shape=[10**7, 10**7, 10**7]),
        lambda s: s.update(single=True),
        lambda s: s.update(symmetries=[[2, 1]]),
        lambda s: s.update(symmetries=[[0, 1, 2, 3, 4, 5, 6]]),
        lambda s: s.update(symmetries=[[1, 2, 3, 4, 5, 6, 7]] * 24),
    ],
)
def test_senseless_specs_are_refused_before_anything_is_built(copy, change):
    _edit(copy, "spec.json", change)
    assert_refused(copy, "spec")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: s["settings"].update(flow_width=4096), "weights"),
        (lambda s: s["settings"].update(num_members=100), "weights"),
        (lambda s: s["settings"].update(num_layers=64, context_dim=4096), "weights"),
        (lambda s: s["series"]["shares"].update(columns=10**7), "weights"),
        (lambda s: s["series"]["shares"].update(shape=[2, 2]), "content"),
        (lambda s: s["fields"].reverse(), "self-test"),
    ],
)
def test_specs_that_do_not_fit_the_weights_are_refused(copy, change, code):
    _edit(copy, "spec.json", change)
    assert_refused(copy, code)


def _rename(arrays):
    name = sorted(arrays)[0]
    arrays[name + "x"] = arrays.pop(name)


def _poison(arrays):
    arrays[sorted(arrays)[0]].ravel()[0] = np.nan


def _widen(arrays):
    name = sorted(arrays)[0]
    arrays[name] = arrays[name].astype(np.float64)


def _add(arrays):
    arrays["more"] = np.zeros(3)


def _scale(arrays):
    for name in arrays:
        arrays[name] = np.asarray(arrays[name] * 1.5)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_rename, "weights"),
        (_poison, "weights"),
        (_widen, "weights"),
        (_add, "weights"),
        (_scale, "self-test"),
    ],
)
def test_weights_of_another_network_are_refused(copy, change, code):
    _edit_arrays(copy, "weights.safetensors", change)
    assert_refused(copy, code)


def _set(name, value):
    def change(arrays):
        arrays[name] = np.asarray(value)

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda a: a.pop("scale/mean"), "content"),
        (_set("scale/mean", [1.0]), "statistics"),
        (_set("scale/scale", np.full(6, np.nan)), "self-test"),
        (_set("history/prior_sd", [1.0]), "statistics"),
        (_set("history/train", np.zeros((3, 7))), "statistics"),
        (_set("history/validation", np.zeros((5, 1), int)), "statistics"),
        (_set("reference/x/more", [1.0]), "content"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(copy, change, code):
    _edit_arrays(copy, "statistics.safetensors", change)
    assert_refused(copy, code)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("seed"),
        lambda t: t.update(counts=[1]),
        lambda t: t.update(num_simulations=0),
        lambda t: t.update(versions={"jax": 3}),
        lambda t: t.update(more=1),
        lambda t: t.update(skipped="none"),
    ],
)
def test_training_records_of_another_kind_are_refused(copy, change):
    _edit(copy, "training.json", change)
    assert_refused(copy, "spec")


@pytest.mark.parametrize("name", ["weights", "statistics", "preview"])
def test_tensors_that_are_none_are_refused(copy, name):
    for body in (b"", b"\xff" * 64, pickle.dumps([1])):
        _rewrite(copy, f"{name}.safetensors", lambda _, b=body: b)
        assert_refused(copy, "tensors")


# --- nothing is executed --------------------------------------------------------------

WATCH = """
import sys
import retrodict as rd

rd.load(sys.argv[1])  # imports what it needs and compiles: watched from here on
events = []

def watch(event, arguments):
    if event in ("pickle.find_class", "os.system", "subprocess.Popen", "import"):
        events.append((event, str(arguments[0])))
    if event in ("exec", "compile") and active:
        frame = sys._getframe(1)
        name = frame.f_code.co_filename
        if "/retrodict/" in name:
            events.append((event, name))

active = True
sys.addaudithook(watch)
rd.load(sys.argv[1])
active = False
bad = [e for e in events if e[0] != "import" or e[1].startswith("pickle")]
print("bad:", bad)
"""


def test_loading_unpickles_and_executes_nothing(saved):
    """Python's own audit events, in a fresh interpreter."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", WATCH, str(saved)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "bad: []" in result.stdout
