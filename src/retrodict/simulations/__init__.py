"""From theta to x at any scale: campaigns, workers, the data set."""

from .at import simulate_at
from .dataset import STATUSES, Simulations, as_series, like_series
from .inline import compiled_simulator
from .simulate import check_shapes, simulate


__all__ = [
    "STATUSES",
    "Simulations",
    "as_series",
    "check_shapes",
    "compiled_simulator",
    "like_series",
    "simulate",
    "simulate_at",
]
