"""The public surface: what it holds, what it says about itself, what it costs."""

import ast
import contextlib
import functools
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import retrodict as rd
from source import PACKAGE, parameters, sources


# --- names ----------------------------------------------------------------------------


# What the import hook of the tests (jaxtyping with beartype) adds to a module.
HOOK = {"jaxtyping"}


def test_all_is_sorted_and_complete():
    rooms = {source.room for source in sources().values()}
    own = {name for name in dir(rd) if not name.startswith("_")} - rooms - HOOK
    assert list(rd.__all__) == sorted(rd.__all__)
    assert set(rd.__all__) == own


def test_no_name_is_hidden_by_a_module():
    # `import retrodict.report` binds `retrodict.report`: no function may be called so.
    rooms = {name.split(".")[1] for name in sources() if "." in name}
    assert not rooms & set(rd.__all__)
    for name in rd.__all__:
        assert not isinstance(getattr(rd, name), ModuleType), name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = rd.no_such_name  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", sorted(sources()))
def test_all_of_every_module_exists(name: str):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    missing = [item for item in listed if not hasattr(module, item)]
    assert not missing, f"{name}.__all__ lists what is not there: {missing}"
    assert list(listed) == sorted(listed), f"{name}.__all__ is not sorted"


# --- docstrings -----------------------------------------------------------------------

SECTION = re.compile(r"^(\w[\w ]*):\s*$", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\*{0,2}\w+)(?: \([^)]*\))?:", re.MULTILINE)


def documented(docstring: str, *titles: str) -> list[str]:
    """Return the names listed in the sections of a Google-style docstring."""
    text = inspect.cleandoc(docstring)
    marks = [*SECTION.finditer(text)]
    names = []
    for here, after in zip(marks, [*marks, None][1:], strict=True):
        if here.group(1) in titles:
            body = text[here.end() : after.start() if after else None]
            names += [entry.lstrip("*") for entry in ENTRY.findall(body)]
    return names


SELF = {"self", "cls"}
VARIABLE = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def _signature(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    signature = inspect.signature(function).parameters
    return {name: value for name, value in signature.items() if name not in SELF}


def _methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods that are written in our package."""
    for name, member in inspect.getmembers(cls):
        origin = getattr(member, "__module__", None) or ""
        if name.startswith("_") or not origin.startswith("retrodict"):
            continue
        if inspect.isfunction(member) or inspect.ismethod(member):
            yield f"{cls.__name__}.{name}", member


@functools.cache
def _public() -> dict[str, Any]:
    """Return what the public names stand for; a broken one fails its own test below."""
    found = {}
    for name in rd.__all__:
        with contextlib.suppress(Exception):
            found[name] = getattr(rd, name)
    return found


def _callables() -> dict[str, Callable[..., Any]]:
    found = {}
    for name, value in _public().items():
        if inspect.isclass(value):
            found.update(_methods(value))
        elif callable(value):
            found[name] = value
    return found


def _classes() -> dict[str, type]:
    return {name: value for name, value in _public().items() if inspect.isclass(value)}


@pytest.mark.parametrize("name", rd.__all__)
def test_public_name_has_a_docstring(name: str):
    text = inspect.getdoc(getattr(rd, name)) or ""
    first = text.split("\n")[0]
    assert first.endswith((".", "!", "?")), f"{name}: no first sentence: {first!r}"
    bare = re.sub(r"\W+", "", first).lower()
    assert bare != name.lower(), f"{name}: the docstring repeats the name"


@pytest.mark.parametrize("name", sorted(_callables()))
def test_arguments_are_documented(name: str):
    """Functions list their arguments; a short method may name them in a sentence."""
    function = _callables()[name]
    text = inspect.getdoc(function) or ""
    assert text, f"{name} has no docstring"
    told = documented(text, "Args")
    if not told and "." in name:
        told = [item for item in _signature(function) if f"``{item}``" in text]
    wanted = [*_signature(function)]
    assert told == wanted, f"{name} takes {wanted}, its docstring names {told}"


@pytest.mark.parametrize("name", sorted(_classes()))
def test_constructor_is_documented(name: str):
    cls = _classes()[name]
    if issubclass(cls, BaseException) or inspect.isabstract(cls):
        assert cls.__doc__
        return
    taken = _signature(cls.__init__)
    wanted = {item for item, value in taken.items() if value.kind not in VARIABLE}
    told = set(documented(cls.__doc__ or "", "Args", "Attributes"))
    assert wanted <= told, f"{name} does not document {sorted(wanted - told)}"
    stray = set(documented(cls.__doc__ or "", "Args")) - set(taken)
    assert not stray, f"{name} documents what it does not take: {sorted(stray)}"


@pytest.mark.parametrize("name", sorted(sources()))
def test_documented_arguments_exist(name: str):
    """Whoever documents arguments, in public or not, documents those there are."""
    source = sources()[name]
    wrong = []
    for function, _ in source.functions():
        told = documented(ast.get_docstring(function) or "", "Args")
        real = [argument.arg for argument in parameters(function)]
        variable = (function.args.vararg, function.args.kwarg)
        told = [item for item in told if item not in {v.arg for v in variable if v}]
        if told and told != real:
            wrong.append(f"{source.at(function)}: {function.name}{real} says {told}")
    assert not wrong, "\n".join(wrong)


# --- vocabulary -----------------------------------------------------------------------

BANNED = {
    "params": "trainable (weights) or theta (parameters of the simulator)",
    "parameters": "theta",
    "x_o": "x_obs",
    "x_0": "x_obs",
    "observable": "x_obs",
    "rng_key": "key",
    "potential": "log_prob or log_density",
    "simulator_fn": "simulator",
    "default_x": "an argument x_obs",
    "percentage": "a ..._fraction in [0, 1]",
    "eps": "tolerance, or a constant",
    "data": "x, x_obs or simulations",
}
# A path on the command line is called what the option is called; a spline and a
# network have parameters of their own.
MAY_SAY = {
    "cli": {"data"},
    "workflow": {"data"},
    "estimators": {"parameters"},
}


@pytest.mark.parametrize("name", sorted(sources()))
def test_parameter_names_are_the_house_words(name: str):
    source = sources()[name]
    wrong = []
    for function, _ in source.functions():
        for argument in parameters(function):
            word = argument.arg
            if word in MAY_SAY.get(source.room, ()):
                continue
            if word in BANNED:
                wrong.append(f"{source.at(argument)}: {word}; say {BANNED[word]}")
            elif re.match(r"n_[a-z]", word):
                wrong.append(f"{source.at(argument)}: {word}; say num_{word[2:]}")
    assert not wrong, "\n".join(wrong)


# --- classes --------------------------------------------------------------------------


def _own_classes() -> dict[str, type]:
    return {
        f"{cls.__module__}.{cls.__qualname__}": cls
        for name in sources()
        for cls in vars(importlib.import_module(name)).values()
        if inspect.isclass(cls) and cls.__module__.startswith("retrodict")
    }


def test_classes_are_abstract_or_final():
    wrong = [
        f"{name} extends {base.__qualname__}"
        for name, cls in _own_classes().items()
        for base in cls.__bases__
        if base.__module__.startswith("retrodict")
        and not issubclass(base, BaseException)
        and not base.__name__.lstrip("_").startswith("Abstract")
    ]
    assert not wrong, "Only Abstract... classes are extended:\n" + "\n".join(wrong)


# --- cost -----------------------------------------------------------------------------

HEAVY = (
    "arviz_base",
    "arviz_plots",
    "arviz_stats",
    "h5py",
    "jinja2",
    "matplotlib",
    "pandas",
    "pydantic",
    "rich",
    "sklearn",
    "typer",
    "xarray",
)

PROBE = """
import json, sys, threading
import jax
import numpyro.distributions
before = dict(jax.config.values)
threads = threading.active_count()
import retrodict
for name in {names}:
    getattr(retrodict, name)
after = dict(jax.config.values)
threads = threading.active_count() - threads  # before live_arrays starts the backend
print(json.dumps({{
    "heavy": [name for name in {heavy} if name in sys.modules],
    "arrays": len(jax.live_arrays()),
    "config": [name for name in after if after[name] != before.get(name)],
    "threads": threads,
}}))
"""


def _probe(names: list[str]) -> dict[str, Any]:
    """Import the package in a fresh interpreter, use ``names``, say what it cost."""
    code = PROBE.format(names=names, heavy=HEAVY)
    path = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_import_is_light():
    free = {"heavy": [], "arrays": 0, "config": [], "threads": 0}
    assert _probe([]) == free


def test_using_every_name_leaves_jax_alone():
    cost = _probe(list(rd.__all__))
    assert (cost["arrays"], cost["config"]) == (0, [])
