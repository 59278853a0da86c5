"""What the axes of x mean, as far as a model says so: it decides how x is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .._core.choices import check_choice
from .._core.errors import ModelError


StructureKind = Literal["vector", "grid", "series", "exchangeable", "image"]
KINDS = get_args(StructureKind)
NUM_AXES = {  # how many axes one simulation may have
    "vector": range(99),
    "grid": range(2, 99),
    "series": range(1, 3),
    "exchangeable": range(1, 99),
    "image": range(2, 4),
}


@dataclass(frozen=True)
class Structure:
    """What the axes of one series of x mean.

    Attributes:
        kind: ``"vector"``: entries, each with a meaning of its own. ``"exchangeable"``:
            rows along the first axis whose order means nothing. ``"series"``: rows in
            order, one channel or a last axis of channels. ``"image"``: height, width
            and perhaps channels. ``"grid"``: what is not declared otherwise and has
            more than one axis.
        missing: Whether values may be missing: NaN, in simulations and observations. A
            row or series shorter than the longest is filled up with NaN.
    """

    kind: str
    missing: bool = False

    def __post_init__(self) -> None:
        check_choice("structure", self.kind, KINDS)


def as_structures(declared: Any) -> dict[str, Structure]:
    """Return declared structures by series; one word or structure is that of ``"x"``.

    Raises:
        ModelError: If a declaration is neither a word nor a :class:`Structure`.
    """
    if declared is None:
        return {}
    if not isinstance(declared, Mapping):
        declared = {"x": declared}
    found = {}
    for name, item in declared.items():
        if not isinstance(item, Structure) and item not in KINDS:
            raise ModelError(
                f"structure: Expected one of {list(KINDS)} or a Structure for "
                f"{name!r}; got {item!r}."
            )
        found[name] = item if isinstance(item, Structure) else Structure(item)
    return found


def maskable(structures: Mapping[str, Structure]) -> frozenset[str]:
    """Return the names of the series whose values may be missing."""
    return frozenset(name for name, item in structures.items() if item.missing)


def complete_structures(
    declared: Mapping[str, Structure], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Structure]:
    """Return the structure of every series, by its number of axes if undeclared.

    Args:
        declared: What the model says.
        shapes: Shape of every series in one simulation.

    Raises:
        ModelError: If a series is not in x, or has another number of axes than its
            structure.
    """
    for name in declared:
        check_choice("structure", name, sorted(shapes))
    found = {}
    for name, shape in shapes.items():
        default = Structure("vector" if len(shape) < 2 else "grid")
        item = declared.get(name, default)
        if len(shape) not in NUM_AXES[item.kind]:
            raise ModelError(
                f"structure: {name!r} is declared {item.kind!r}. Expected another "
                f"number of axes; got the shape {shape}."
            )
        found[name] = item
    return found
