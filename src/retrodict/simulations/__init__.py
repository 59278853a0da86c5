"""From theta to x at any scale: campaigns, workers, the data set.

Names are imported when they are first used: a worker process imports this package too,
and would otherwise load JAX before its first simulation.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .at import simulate_at, simulations_at
    from .cancel import cancel
    from .cluster import Dask
    from .command import recall, remember
    from .damage import Damage, repair, verify
    from .dataset import (
        STATUSES,
        Simulations,
        as_series,
        concatenated,
        like_series,
        take_rows,
    )
    from .exchange import export
    from .inline import compiled_simulator
    from .pool import Pool
    from .run import campaign_of, check_shapes, fill, run_shard, simulate
    from .shards import merge, plan, planned_shards
    from .status import campaign_status
    from .store import Store, accept_source

_HOMES = {
    "Damage": "damage",
    "Dask": "cluster",
    "Pool": "pool",
    "STATUSES": "dataset",
    "Simulations": "dataset",
    "Store": "store",
    "accept_source": "store",
    "as_series": "dataset",
    "campaign_of": "run",
    "campaign_status": "status",
    "cancel": "cancel",
    "check_shapes": "run",
    "compiled_simulator": "inline",
    "concatenated": "dataset",
    "export": "exchange",
    "fill": "run",
    "like_series": "dataset",
    "merge": "shards",
    "plan": "shards",
    "planned_shards": "shards",
    "recall": "command",
    "remember": "command",
    "repair": "damage",
    "run_shard": "run",
    "simulate": "run",
    "simulate_at": "at",
    "simulations_at": "at",
    "take_rows": "dataset",
    "verify": "damage",
}

__all__ = [
    "Damage",
    "Dask",
    "Pool",
    "STATUSES",
    "Simulations",
    "Store",
    "accept_source",
    "as_series",
    "campaign_of",
    "campaign_status",
    "cancel",
    "check_shapes",
    "compiled_simulator",
    "concatenated",
    "export",
    "fill",
    "like_series",
    "merge",
    "plan",
    "planned_shards",
    "recall",
    "remember",
    "repair",
    "run_shard",
    "simulate",
    "simulate_at",
    "simulations_at",
    "take_rows",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
