"""The two kinds of simulator, told apart by the name of their first argument."""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core.errors import ModelError
from .._core.external import Command, command_facts


@dataclass(frozen=True)
class JaxSimulator:
    """A function ``(key, theta) -> x`` that JAX can compile and vectorize."""

    function: Callable[..., Any]

    def source(self) -> str | None:
        """Return a digest of the file it is written in; ``None`` if there is none."""
        return _digest(_file_of(self.function))


@dataclass(frozen=True)
class PythonSimulator:
    """A function ``(rng, theta) -> x`` of a NumPy generator, run row by row."""

    function: Callable[..., Any]

    def program(self) -> dict[str, Any] | None:
        """Return how a fresh interpreter finds it: a file and a name, or a command.

        ``None`` for functions that only exist in this process: those of a notebook or
        of the running script, lambdas and inner functions.
        """
        function = self.function
        if isinstance(function, Command):
            return {"command": command_facts(function)}
        name = getattr(function, "__qualname__", "<locals>")
        if function.__module__ == "__main__" or "<" in name:
            return None
        file = _file_of(function)
        return {"file": str(file), "name": name} if file else None

    def source(self) -> str | None:
        """Return a digest of the file it is written in; ``None`` if there is none."""
        function = self.function
        if isinstance(function, Command):
            return _digest(Path(function.argv[0]))
        return _digest(_file_of(function))


Simulator = JaxSimulator | PythonSimulator


def as_simulator(simulator: Any) -> Simulator:
    """Recognize a simulator by its first argument: ``key`` is JAX, ``rng`` is Python.

    Raises:
        ModelError: If it is not callable or its arguments are others.
    """
    if isinstance(simulator, JaxSimulator | PythonSimulator):
        return simulator
    if not callable(simulator):
        raise ModelError(
            f"simulator: Expected a function; got {simulator!r}. Write "
            "`def simulator(key, theta): ...`."
        )
    parameters = list(inspect.signature(simulator).parameters)
    if len(parameters) == 2 and parameters[0] == "key":
        return JaxSimulator(simulator)
    if len(parameters) == 2 and parameters[0] == "rng":
        return PythonSimulator(simulator)
    raise ModelError(
        "simulator: Expected the arguments (key, theta) for a JAX function, or (rng, "
        f"theta) for a Python function with a NumPy generator; got {parameters}. "
        "Rename the first argument."
    )


def _file_of(function: Callable[..., Any]) -> Path | None:
    try:
        file = inspect.getsourcefile(function)
    except TypeError:  # an object with a call, or compiled code
        return None
    return Path(file).resolve() if file else None


def _digest(file: Path | None) -> str | None:
    if file is None or not file.is_file():
        return None
    return hashlib.sha256(file.read_bytes()).hexdigest()
