"""Simulation-based inference: from a simulator and a prior to a posterior you trust.

Names are imported when they are first used: ``import retrodict`` itself takes
milliseconds, loads no JAX and allocates nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ._core.errors import (
        ArtifactError,
        DataError,
        InterruptedRun,
        ModelError,
        RetrodictError,
        StorageError,
    )
    from .model import (
        Axis,
        Baseline,
        Command,
        Derived,
        FigureInput,
        Model,
        Nuisance,
        Prior,
        Structure,
        Study,
    )
    from .physics import MapAnswer, Problem, Sensor, Term, Twin, fit_twin, map_fit
    from .posterior import (
        ConditionedPosterior,
        Posterior,
        Refined,
        Restricted,
        Sequential,
        fit,
        load,
        refine,
        restrict,
    )
    from .report.figures import pair_plot
    from .simulations import Dask, Pool, Simulations, simulate
    from .training import Settings
    from .trust import Recalibrated, Verdict, recalibrate, validate
    from .workflow import Result, run
    from .worlds import load_world

_HOMES = {
    "._core.errors": (
        "ArtifactError",
        "DataError",
        "InterruptedRun",
        "ModelError",
        "RetrodictError",
        "StorageError",
    ),
    ".model": (
        "Axis",
        "Baseline",
        "Command",
        "Derived",
        "FigureInput",
        "Model",
        "Nuisance",
        "Prior",
        "Structure",
        "Study",
    ),
    ".posterior": (
        "ConditionedPosterior",
        "Posterior",
        "Refined",
        "Restricted",
        "Sequential",
        "fit",
        "load",
        "refine",
        "restrict",
    ),
    ".simulations": ("Dask", "Pool", "Simulations", "simulate"),
    ".physics": (
        "MapAnswer",
        "Problem",
        "Sensor",
        "Term",
        "Twin",
        "fit_twin",
        "map_fit",
    ),
    ".training": ("Settings",),
    ".trust": ("Recalibrated", "Verdict", "recalibrate", "validate"),
    ".report.figures": ("pair_plot",),
    ".workflow": ("Result", "run"),
    ".worlds": ("load_world",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ArtifactError",
    "Axis",
    "Baseline",
    "Command",
    "ConditionedPosterior",
    "Dask",
    "DataError",
    "Derived",
    "FigureInput",
    "InterruptedRun",
    "MapAnswer",
    "Model",
    "ModelError",
    "Nuisance",
    "Pool",
    "Posterior",
    "Prior",
    "Problem",
    "Recalibrated",
    "Refined",
    "Restricted",
    "Result",
    "RetrodictError",
    "Sensor",
    "Sequential",
    "Settings",
    "Simulations",
    "StorageError",
    "Structure",
    "Study",
    "Term",
    "Twin",
    "Verdict",
    "fit",
    "fit_twin",
    "load",
    "load_world",
    "map_fit",
    "pair_plot",
    "recalibrate",
    "refine",
    "restrict",
    "run",
    "simulate",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'retrodict' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
