"""From theta to x at any scale: campaigns, workers, the data set.

Names are imported when they are first used: a worker process imports this package too,
and would otherwise load JAX before its first simulation.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .at import simulate_at
    from .cluster import Dask
    from .dataset import STATUSES, Simulations, as_series, like_series
    from .inline import compiled_simulator
    from .pool import Pool
    from .simulate import check_shapes, simulate
    from .status import campaign_status
    from .verify import Damage, repair, verify

_HOMES = {
    "Damage": "verify",
    "Dask": "cluster",
    "Pool": "pool",
    "STATUSES": "dataset",
    "Simulations": "dataset",
    "as_series": "dataset",
    "campaign_status": "status",
    "check_shapes": "simulate",
    "compiled_simulator": "inline",
    "like_series": "dataset",
    "repair": "verify",
    "simulate": "simulate",
    "simulate_at": "at",
    "verify": "verify",
}

__all__ = [
    "Damage",
    "Dask",
    "Pool",
    "STATUSES",
    "Simulations",
    "as_series",
    "campaign_status",
    "check_shapes",
    "compiled_simulator",
    "like_series",
    "repair",
    "simulate",
    "simulate_at",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
