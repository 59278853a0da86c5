"""Ready studies, one file each: a model, its data, a classical baseline and words.

A world is a module of this package with a function ``study() -> Study``. It is
imported when it is asked for, so that listing the worlds costs nothing.
"""

from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from .._core.choices import check_choice
from ..model import Study


WORLDS = MappingProxyType(
    {
        "beam": "A cantilever under load: its stiffness from displacement sensors.",
        "cranes": "Whooping cranes 1938 to 2009: how many are born, how many die?",
        "gene_expression": "A hidden delay, and the model that lacks it.",
        "hare_lynx": "Hare and lynx pelts 1900 to 1920: a predator and its prey.",
        "heater": "A real heater and its sensor: what one temperature can tell.",
        "influenza": "An outbreak in a boarding school in 1978: how infectious was it?",
        "kids1000": "How clumpy the universe is, from the shapes of its galaxies.",
        "lensing": "Toy universes: what maps of dark matter tell beyond their spectra.",
        "lorenz96": "A chaotic atmosphere, read by its climate, not its weather.",
        "mrna": "Real single cells: a hundred posteriors of two modes each.",
        "ridge": "Galaxy clustering knows sigma_8 times bias, and neither alone.",
        "soil": "Real soil in July: how fast does heat go down?",
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


@dataclass(frozen=True)
class Entry:
    """One line of the gallery.

    Attributes:
        name: The word for ``retrodict run``.
        about: What the world is about.
        field: Field of science.
        data: ``"included"``, or that a folder must be given.
        parameters: Names of what is inferred.
        parts: Names of its other runs.
        minutes: About how long a run takes, with its baseline, on one core.
    """

    name: str
    about: str
    field: str
    data: str
    parameters: tuple[str, ...]
    parts: tuple[str, ...]
    minutes: float


def gallery() -> list[Entry]:
    """Load every world and return what a reader chooses by, in order of their names."""
    entries = []
    for name, about in WORLDS.items():
        study = load_world(name)
        entries.append(
            Entry(
                name,
                about,
                study.field,
                "--data DIR" if study.load else "included",
                tuple(study.model.target_names),
                tuple(sorted(study.parts)),
                study.minutes,
            )
        )
    return entries


__all__ = ["Entry", "WORLDS", "gallery", "load_world"]
