"""What a scientist writes: prior, simulator, model, study."""

from .._core.external import Command
from .loading import as_study, load_study
from .model import Derived, Model, clean_observation, unknown_parameter
from .prior import Nuisance, Prior
from .region import Balls, Region
from .simulator import JaxSimulator, PythonSimulator, as_simulator
from .space import Field, Space, refuse_nan
from .structure import Structure, StructureKind, complete_structures
from .study import Axis, Baseline, FigureInput, Study
from .support import Kind, Support
from .symmetry import MAX_IMAGES, Symmetries


__all__ = [
    "Axis",
    "Balls",
    "Baseline",
    "Command",
    "Derived",
    "Field",
    "FigureInput",
    "JaxSimulator",
    "Kind",
    "MAX_IMAGES",
    "Model",
    "Nuisance",
    "Prior",
    "PythonSimulator",
    "Region",
    "Space",
    "Structure",
    "StructureKind",
    "Study",
    "Support",
    "Symmetries",
    "as_simulator",
    "as_study",
    "clean_observation",
    "complete_structures",
    "load_study",
    "refuse_nan",
    "unknown_parameter",
]
