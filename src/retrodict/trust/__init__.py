"""Trust: checks with thresholds and words, and one verdict about any posterior.

`validate` simulates and asks; `judge` decides from arrays alone. Checks of one kind
have a file of their own (`marginal`, `joint`, `local`, `soundness`), `family` turns
tests into checks with one known rate of false alarms, `thresholds` says from what size
an error matters and `words` how it is told.
"""

from .judge import judge
from .validate import Posterior, validate
from .verdict import Calibration, Check, Verdict


__all__ = [
    "Calibration",
    "Check",
    "Posterior",
    "Verdict",
    "judge",
    "validate",
]
