"""Fixtures and rules of the whole suite."""

import ast
import functools
import os
import zlib
from pathlib import Path

import pytest


REPOSITORY = Path(__file__).resolve().parents[1]

# Before JAX is imported, so that worker processes and subprocesses share it too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(REPOSITORY / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Programs that are compiled in half the time and run a little slower: most tests
# compile more than they compute. JAX refuses to start where it does not know a flag.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0",
)
os.environ.setdefault("MPLBACKEND", "Agg")
# Test processes share the processors; threads of a matrix product that wait for each
# other there take three times as long (tests/trust/test_judge.py).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax  # noqa: E402
import jax.random as jr  # noqa: E402


# --- randomness -----------------------------------------------------------------------


def _seed_of(nodeid: str) -> int:
    """Return the test's own seed: always the same, and different for every test."""
    override = os.environ.get("RETRODICT_TEST_SEED")
    return int(override) if override else zlib.crc32(nodeid.encode())


@pytest.fixture
def test_seed(request: pytest.FixtureRequest) -> int:
    """The integer behind ``getkey``, for what takes ``seed=``."""
    return _seed_of(request.node.nodeid)


@pytest.fixture
def getkey(test_seed: int):
    """Return a function that gives a new typed PRNG key each time it is called."""
    counter = iter(range(1_000_000))
    root = jr.key(test_seed)
    return lambda: jr.fold_in(root, next(counter))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Print the seed of a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and "test_seed" in getattr(item, "fixturenames", ()):
        seed = _seed_of(item.nodeid)
        report.sections.append(("seed", f"RETRODICT_TEST_SEED={seed}"))


# --- the state of JAX -----------------------------------------------------------------

GUARDED_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_debug_nans",
    "jax_disable_jit",
)


@pytest.fixture(autouse=True)
def jax_settings_stay():
    """Fail a test that leaves a setting of JAX changed (above all x64)."""
    before = {name: getattr(jax.config, name) for name in GUARDED_SETTINGS}
    yield
    changed = {
        name: getattr(jax.config, name)
        for name, value in before.items()
        if getattr(jax.config, name) != value
    }
    for name in changed:
        jax.config.update(name, before[name])
    assert not changed, f"The test left jax.config changed: {changed}"


# --- data -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the data sets that are too large to ship with the package."""
    configured = os.environ.get("RETRODICT_DATA")
    folder = Path(configured) if configured else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs data that is not shipped: set RETRODICT_DATA (no {folder})")
    return folder


# --- rules for tests ------------------------------------------------------------------


def _asserts(function: ast.AST) -> bool:
    """Tell whether a test function can fail for another reason than a crash."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rsplit(".", 1)[-1].lstrip("_")
            if name.startswith(("assert", "check_")) or name in {"raises", "warns"}:
                return True
    return False


@functools.cache
def _tests_without_assertion(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and not _asserts(node)
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests that assert nothing; skip GPU tests where there is no GPU."""
    empty = [
        item.nodeid
        for item in items
        if getattr(item, "originalname", "") in _tests_without_assertion(item.path)
    ]
    if empty:
        raise pytest.UsageError("Tests without any assertion: " + ", ".join(empty))
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    if jax.default_backend() == "gpu":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))
