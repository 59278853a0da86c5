"""Trust: checks with thresholds and words, and one verdict about any posterior.

`validate` simulates and asks; `judge` decides from arrays alone. Checks of one kind
have a file of their own (`marginal`, `joint`, `local`, `soundness`), `family` turns
tests into checks with one known rate of false alarms, `thresholds` says from what size
an error matters and `words` how it is told.
"""

from .bridge import Bridge
from .budget import LearningCurve, advise_budget
from .frequentist import CoverageTable, frequentist_coverage
from .identifiability import Identifiability, identifiability
from .informed import Informed, informed
from .judge import judge
from .proof import Proof
from .recalibrate import Recalibrated, recalibrate
from .reweighted import Reliability, Reweighted, reweighted
from .updated import Updated, replicates, validate_at
from .validate import Posterior, validate
from .verdict import Calibration, Check, Verdict
from .weights import (
    Ensemble,
    Laplace,
    Swag,
    Uncertainty,
    uncertainty,
    weight_posterior,
)
from .worth import Worth, worth


__all__ = [
    "Bridge",
    "Calibration",
    "Check",
    "CoverageTable",
    "Ensemble",
    "Identifiability",
    "Informed",
    "Laplace",
    "LearningCurve",
    "Posterior",
    "Proof",
    "Recalibrated",
    "Reliability",
    "Reweighted",
    "Swag",
    "Uncertainty",
    "Updated",
    "Verdict",
    "Worth",
    "advise_budget",
    "frequentist_coverage",
    "identifiability",
    "informed",
    "judge",
    "recalibrate",
    "replicates",
    "reweighted",
    "uncertainty",
    "validate",
    "validate_at",
    "weight_posterior",
    "worth",
]
