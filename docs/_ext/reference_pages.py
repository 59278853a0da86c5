"""Write the reference pages before Sphinx reads them.

One page per room of the package with the public names defined there, and one page with
the help of every command. Nothing is listed by hand, so nothing can be forgotten.
"""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main


# In the order in which data flows through them.
ROOMS = {
    "model": "Models: what you write",
    "simulations": "Simulations",
    "estimators": "Estimators",
    "training": "Training",
    "posterior": "Posteriors",
    "diagnostics": "Diagnostics",
    "trust": "Trust: checks and the verdict",
    "physics": "Physics: inference over functions",
    "report": "Reports",
    "workflow": "The whole workflow",
    "worlds": "Worlds: ready studies",
    "bench": "Benchmarks",
    "_core": "Errors and other basics",
}


def public_names() -> dict[str, list[str]]:
    """Return the names of ``retrodict.__all__`` by the room that defines them."""
    package = importlib.import_module("retrodict")
    rooms: dict[str, list[str]] = {room: [] for room in ROOMS}
    for name in package.__all__:
        module = getattr(getattr(package, name), "__module__", None) or ""
        room = (*module.split("."), "")[1]
        rooms[room if room in rooms else "_core"].append(name)
    return {room: names for room, names in rooms.items() if names}


def room_page(room: str, names: list[str]) -> str:
    """Return the page of one room, in MyST."""
    package = importlib.import_module("retrodict")
    parts = [f"# {ROOMS[room]}"]
    for name in names:
        value = getattr(package, name)
        parts.append(f"## `{name}`")
        if inspect.isclass(value):
            kind, options = "autoclass", ["   :members:"]
        elif callable(value):
            kind, options = "autofunction", []
        else:
            kind, options = "autodata", []
        body = "\n".join([f".. {kind}:: retrodict.{name}", *options])
        parts.append(f"```{{eval-rst}}\n{body}\n```")
    return "\n\n".join(parts) + "\n"


def command_app() -> Any:
    """Return the click command behind ``retrodict``."""
    app = importlib.import_module("retrodict.cli.app").app
    return typer.main.get_command(app)


def commands(command: Any, path: str = "retrodict") -> Iterator[tuple[str, Any]]:
    """Yield every command below ``command`` with its full name."""
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        if not child.hidden:
            yield from commands(child, f"{path} {name}")


def _plain(text: str | None) -> str:
    return inspect.cleandoc(text or "").replace("\b\n", "").replace("\f", "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def command_section(path: str, command: Any) -> str:
    """Return the section of one command: its purpose, arguments and options."""
    parts = [f"## `{path}`", _plain(command.help)]
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        names = (parameter.name or "").upper()
        if parameter.param_type_name == "option":
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        told = _cell(getattr(parameter, "help", None) or "")
        rows.append(f"| `{names}` | {told} |")
    if rows:
        parts.append("\n".join(["| | |", "|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)


def command_page(command: Any) -> str:
    """Return the page of the command line, in MyST."""
    sections = [command_section(*item) for item in commands(command)]
    return "\n\n".join(["# Command line", *sections]) + "\n"


def pages() -> dict[str, str]:
    """Return all generated pages by file name."""
    rooms = public_names()
    found = {
        f"{number:02d}-{room.strip('_')}.md": room_page(room, names)
        for number, (room, names) in enumerate(rooms.items(), start=1)
    }
    found["00-command-line.md"] = command_page(command_app())
    return found


def write(app: Any) -> None:
    """Bring the folder of generated pages up to date."""
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
