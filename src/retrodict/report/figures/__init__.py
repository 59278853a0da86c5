"""Figures as functions of plain arrays; each returns a matplotlib ``Figure``.

Importing this package imports matplotlib; importing :mod:`retrodict` or
:mod:`retrodict.report` does not.
"""

from .calibration import contraction_plot, coverage_plot, ecdf_plot, rank_plot
from .embed import data_uri
from .informed import informed_plot
from .pair import marginal_plot, pair_plot
from .predictive import field_plot, outside, predictive_plot
from .training import training_plot


__all__ = [
    "contraction_plot",
    "coverage_plot",
    "data_uri",
    "ecdf_plot",
    "field_plot",
    "informed_plot",
    "marginal_plot",
    "outside",
    "pair_plot",
    "predictive_plot",
    "rank_plot",
    "training_plot",
]
