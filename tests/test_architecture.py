"""The shape of the house: layers, cycles, sizes, dependencies.

The arrows of the design run one way. These tests read the import statements, deferred
ones and those for type checkers included, so that an arrow cannot run back unseen.
"""

import ast
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter

import pytest

from source import (
    REPOSITORY,
    code_lines,
    imported_modules,
    parameters,
    positional,
    sources,
)


# Rooms on one line do not know each other; a room may import from the lines above it.
LAYERS = (
    {"_core"},
    {"model"},
    {"simulations", "estimators", "diagnostics"},
    {"training"},
    {"posterior"},
    {"trust", "physics"},
    {"report"},
    {"workflow"},
    {"worlds"},
    {"bench"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60  # the house style aims at 30
MAX_PARAMETERS = 8
MAX_POSITIONAL = 5  # of what others call: the rest is keyword-only

# Rooms whose functions are command-line signatures: every option is a parameter.
COMMANDS = {"cli"}


def _own_imports():
    """Yield (source, node, target) for every import of a module of ours."""
    for source in sources().values():
        for node, target in imported_modules(source):
            if target == "retrodict" or target.startswith("retrodict."):
                yield source, node, target


def _room(name: str) -> str:
    return (*name.split("."), "")[1]


def test_every_room_has_a_level():
    rooms = {source.room for source in sources().values()} - {""}
    unknown = rooms - set(LEVEL)
    assert not unknown, f"Rooms without a place in LAYERS: {sorted(unknown)}"


def test_imports_point_down():
    wrong = []
    for source, node, target in _own_imports():
        if source.room == "" or _room(target) in {source.room, ""}:
            continue
        above = LEVEL.get(_room(target), 99) >= LEVEL.get(source.room, -1)
        if above:
            wrong.append(f"{source.at(node)}: {source.room} imports {target}")
    assert not wrong, "Imports that run back:\n" + "\n".join(wrong)


def test_nothing_imports_the_public_surface_from_inside():
    wrong = [
        f"{source.at(node)} imports from retrodict itself"
        for source, node, target in _own_imports()
        if target == "retrodict" and source.name != "retrodict"
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_are_entered_through_the_door():
    # A leading underscore makes a module private to its room.
    wrong = [
        f"{source.at(node)} imports {target}"
        for source, node, target in _own_imports()
        if source.room not in {"", _room(target)}
        and any(part.startswith("_") for part in target.split(".")[2:])
    ]
    assert not wrong, "Private modules of another room:\n" + "\n".join(wrong)


def test_no_import_cycles():
    graph = {name: set() for name in sources()}
    for source, _, target in _own_imports():
        if target in graph and target != source.name:
            graph[source.name].add(target)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail("Import cycle: " + " -> ".join(error.args[1]))
    assert len(order) == len(graph)


@pytest.mark.parametrize("name", sorted(sources()))
def test_module_is_small(name: str):
    source = sources()[name]
    lines = source.text.count("\n")
    assert lines <= MAX_FILE_LINES, f"{source.path} has {lines} lines"
    long = [
        f"{source.at(function)}: {function.name} has {code_lines(function)} lines"
        for function, _ in source.functions()
        if code_lines(function) > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("name", sorted(sources()))
def test_functions_take_few_arguments(name: str):
    source = sources()[name]
    if source.room in COMMANDS:
        return
    wide = [
        f"{source.at(function)}: {function.name} takes {len(parameters(function))}, "
        f"{len(positional(function))} of them by position"
        for function, _ in source.functions()
        if len(parameters(function)) > MAX_PARAMETERS
        or (
            len(positional(function)) > MAX_POSITIONAL
            and not function.name.startswith("_")
        )
    ]
    assert not wide, "\n".join(wide)


@pytest.mark.parametrize("name", sorted(sources()))
def test_module_says_what_it_is_for(name: str):
    source = sources()[name]
    assert ast.get_docstring(source.tree), f"{source.path} has no docstring"


# --- what the package stands on -------------------------------------------------------

# Import names that differ from the name of the distribution.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "jax_cosmo": "jax-cosmo"}
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}


def _declared() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    for extra in set(extras) - {"test", "dev", "docs"}:
        wanted += extras[extra]
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in wanted)
    return {name.group().lower().replace("_", "-") for name in names if name}


def test_every_imported_library_is_declared():
    declared = _declared()
    missing = set()
    for source in sources().values():
        for node, target in imported_modules(source):
            top = target.split(".")[0]
            if top == "retrodict" or top in sys.stdlib_module_names:
                continue
            name = DISTRIBUTIONS.get(top, top).lower().replace("_", "-")
            if name not in declared:
                missing.add(f"{source.at(node)}: {top}")
    assert not missing, "Not declared in pyproject.toml:\n" + "\n".join(sorted(missing))


def test_nothing_can_run_code_from_a_file():
    wrong = [
        f"{source.at(node)} imports {target}"
        for source in sources().values()
        for node, target in imported_modules(source)
        if target.split(".")[0] in FORBIDDEN
    ]
    for source in sources().values():
        for node in ast.walk(source.tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in {"eval", "exec"}:
                wrong.append(f"{source.at(node)} calls {called}")
    assert not wrong, "\n".join(wrong)


def test_shape_annotations_stay_objects():
    # jaxtyping needs the annotation itself, not its text.
    wrong = [
        str(source.path)
        for source in sources().values()
        if "jaxtyping" in source.text
        and any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for node in source.tree.body
        )
    ]
    assert not wrong, wrong


def test_tests_mirror_the_package():
    rooms = {source.room for source in sources().values()}
    folders = {
        path.name
        for path in (REPOSITORY / "tests").iterdir()
        if path.is_dir() and any(path.rglob("test_*.py"))
    }
    strangers = folders - rooms - {"core", "reference"}
    assert not strangers, f"Folders of tests without a room: {sorted(strangers)}"
