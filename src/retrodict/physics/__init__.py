"""MAP inference over functions: learned laws of motion and physics-informed twins.

One core: a :class:`Problem` is a sum of named log-densities over physical parameters
and the weights of a function; :func:`map_fit` finds its maximum and its curvature.
"""

from .answer import MapAnswer
from .fields import apply_mlp, init_mlp
from .law import Law
from .map_fit import map_fit
from .problem import Problem
from .refitted import Refitted
from .shooting import Learned, Series, shooting_problem
from .term import Term
from .twin import (
    FieldAnswer,
    Grid,
    Network,
    Sensor,
    Twin,
    fit_twin,
    grid_problem,
    network_problem,
)


__all__ = [
    "FieldAnswer",
    "Grid",
    "Law",
    "Learned",
    "MapAnswer",
    "Network",
    "Problem",
    "Refitted",
    "Sensor",
    "Series",
    "Term",
    "Twin",
    "apply_mlp",
    "fit_twin",
    "grid_problem",
    "init_mlp",
    "map_fit",
    "network_problem",
    "shooting_problem",
]
