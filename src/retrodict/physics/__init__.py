"""MAP inference over functions: learned laws of motion and physics-informed twins.

One core: a :class:`Problem` is a sum of named log-densities over physical parameters
and the weights of a function; :func:`map_fit` finds its maximum and its curvature.
"""

from .answer import MapAnswer
from .map_fit import map_fit
from .problem import Problem
from .term import Term


__all__ = ["MapAnswer", "Problem", "Term", "map_fit"]
