"""Trust: checks with thresholds and words, and one verdict about any posterior.

`validate` simulates and asks; `judge` decides from arrays alone. Checks of one kind
have a file of their own (`marginal`, `joint`, `local`, `soundness`), `family` turns
tests into checks with one known rate of false alarms, `thresholds` says from what size
an error matters and `words` how it is told.
"""

from .bridge import Bridge
from .identifiability import Identifiability, identifiability
from .judge import judge
from .proof import Proof
from .recalibrate import Recalibrated, recalibrate
from .validate import Posterior, validate
from .verdict import Calibration, Check, Verdict


__all__ = [
    "Bridge",
    "Calibration",
    "Check",
    "Identifiability",
    "Posterior",
    "Proof",
    "Recalibrated",
    "Verdict",
    "identifiability",
    "judge",
    "recalibrate",
    "validate",
]
