"""Ready studies, one file each: a model, its data, a classical baseline and words.

A world is a module of this package with a function ``study() -> Study``. It is
imported when it is asked for, so that listing the worlds costs nothing.
"""

from importlib import import_module
from types import MappingProxyType

from .._core.choices import check_choice
from ..model import Study


WORLDS = MappingProxyType(
    {
        "beam": "A cantilever under load: its stiffness from displacement sensors.",
        "hare_lynx": "Hare and lynx pelts 1900 to 1920: a predator and its prey.",
        "heater": "A real heater and its sensor: what one temperature can tell.",
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
    check_choice("world", name, WORLDS, ", or path/to/model.py:name")
    return import_module(f".{name}", __package__).study()


__all__ = ["WORLDS", "load_world"]
