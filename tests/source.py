"""The package as text: what the repository-wide tests read instead of running it."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "retrodict"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One module of the package, parsed.

    Attributes:
        name: Dotted name, such as ``retrodict.model.prior``.
        path: The file.
        is_package: Whether it is an ``__init__.py``.
        text: Its content.
        tree: Its syntax tree.
    """

    name: str
    path: Path
    is_package: bool
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The second part of the name; empty for the package itself."""
        return (*self.name.split("."), "")[1]

    def at(self, node: ast.AST) -> str:
        """Say where a node is, the way compilers do."""
        return f"{self.path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 1)}"

    def functions(self) -> Iterator[tuple[Function, ast.ClassDef | None]]:
        """Yield every function and, for a method, its class."""
        owners = {
            child: node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ClassDef)
            for child in node.body
        }
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node, owners.get(node)


@functools.cache
def sources() -> dict[str, Source]:
    """Parse every module of the package, by dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        text = path.read_text(encoding="utf-8")
        found[name] = Source(name, path, is_package, text, ast.parse(text, str(path)))
    return found


def imported_modules(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Yield the absolute name of every module a module imports.

    Deferred imports and those under ``TYPE_CHECKING`` count like the others. Of
    ``from package import name``, ``package.name`` is yielded if that is a module of
    ours, else ``package``.
    """
    known = sources()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node, inner if inner in known else base


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = source.name.split(".")
    drop = node.level - 1 if source.is_package else node.level
    parts = parts[: len(parts) - drop]
    return ".".join([*parts, node.module] if node.module else parts)


def parameters(function: Function) -> list[ast.arg]:
    """Return all parameters of a function but ``self``, ``cls``, ``*a`` and ``**k``."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [arg for arg in named if arg.arg not in {"self", "cls", "mcs"}]


def positional(function: Function) -> list[ast.arg]:
    """Return the parameters that can be given by position."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    return [arg for arg in named if arg.arg not in {"self", "cls", "mcs"}]


def code_lines(function: Function) -> int:
    """Count the lines of a function without decorators and docstring."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        docstring = body[0]
        hidden = (docstring.end_lineno or 0) - docstring.lineno + 1
    else:
        hidden = 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - hidden
