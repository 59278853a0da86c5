"""Ready studies, one file each: a model, its data, a classical baseline and words.

A world is a module of this package with a function ``study() -> Study``. It is
imported when it is asked for, so that listing the worlds costs nothing.
"""

import difflib
from importlib import import_module
from types import MappingProxyType

from .._core.errors import ModelError
from ..model import Study


WORLDS = MappingProxyType(
    {
        "hare_lynx": "Hare and lynx pelts 1900 to 1920: a predator and its prey.",
        "influenza": "An outbreak in a boarding school in 1978: how infectious was it?",
        "two_moons": "A benchmark whose exact posterior is two thin crescents.",
    }
)
"""What each world is about, in one line, by name."""


def load_world(name: str) -> Study:
    """Build the study of one world.

    Args:
        name: One of :data:`WORLDS`.

    Raises:
        ModelError: If there is no such world; the message suggests the nearest.
    """
    if name not in WORLDS:
        close = difflib.get_close_matches(name, list(WORLDS), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ModelError(
            f"world: Expected one of {list(WORLDS)}, or path/to/model.py:name; got "
            f"{name!r}.{hint}"
        )
    return import_module(f".{name}", __package__).study()


__all__ = ["WORLDS", "load_world"]
