"""The two kinds of simulator, told apart by the name of their first argument."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core.errors import ModelError


@dataclass(frozen=True)
class JaxSimulator:
    """A function ``(key, theta) -> x`` that JAX can compile and vectorize."""

    function: Callable[..., Any]


@dataclass(frozen=True)
class PythonSimulator:
    """A function ``(rng, theta) -> x`` of a NumPy generator, run row by row."""

    function: Callable[..., Any]

    def location(self) -> tuple[str, str] | None:
        """Return the file and name by which a fresh interpreter can import it.

        ``None`` for functions that only exist in this process: those of a notebook or
        of the running script, lambdas and inner functions.
        """
        function = self.function
        name = getattr(function, "__qualname__", "<locals>")
        if function.__module__ == "__main__" or "<" in name:
            return None
        file = inspect.getsourcefile(function)
        return (str(Path(file).resolve()), name) if file else None


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
