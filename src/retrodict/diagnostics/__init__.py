"""Diagnostics: arrays in, numbers out. One method per file, with its paper.

Nothing here knows a posterior class, a threshold or a word of judgement; those are in
`retrodict.trust`.
"""

from ._tail import tail_p_values
from .c2st import c2st
from .contraction import contraction, z_scores
from .coverage import (
    binomial_band,
    central_levels,
    coverage_auc,
    expected_coverage,
    hpd_levels,
)
from .dependence import Dependence, dependence_test
from .ecdf import EcdfBand, ecdf, ecdf_band, uniformity_grid, uniformity_p_value
from .features import column_names, flatten_output, standardize, summary_features
from .ood import ALARM_LEVEL, OutlierReference, OutlierResult, fit_outlier_reference
from .ratio import (
    LocalRatio,
    candidate_features,
    joint_ratio_test,
    local_ratio_test,
    nearness,
    num_context,
)
from .regression import Prediction, prediction_test
from .sbc import normal_scores, pit_values, sbc_ranks
from .success import SuccessTest, logistic_regression, success_test
from .tarp import tarp_levels, tarp_references


__all__ = [
    "ALARM_LEVEL",
    "Dependence",
    "EcdfBand",
    "LocalRatio",
    "OutlierReference",
    "OutlierResult",
    "Prediction",
    "SuccessTest",
    "binomial_band",
    "c2st",
    "candidate_features",
    "central_levels",
    "column_names",
    "contraction",
    "coverage_auc",
    "dependence_test",
    "ecdf",
    "ecdf_band",
    "expected_coverage",
    "fit_outlier_reference",
    "flatten_output",
    "hpd_levels",
    "joint_ratio_test",
    "local_ratio_test",
    "logistic_regression",
    "nearness",
    "normal_scores",
    "num_context",
    "pit_values",
    "prediction_test",
    "sbc_ranks",
    "standardize",
    "success_test",
    "summary_features",
    "tail_p_values",
    "tarp_levels",
    "tarp_references",
    "uniformity_grid",
    "uniformity_p_value",
    "z_scores",
]
