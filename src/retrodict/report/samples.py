"""``samples.nc``: all draws of a run as an ArviZ DataTree."""

from collections.abc import Mapping

import numpy as np

from .._core.errors import StorageError
from ..simulations import as_series
from .result import Result


def write_samples(result: Result) -> None:
    """Write draws, predictions and the observation as an ArviZ DataTree.

    Raises:
        StorageError: If the file cannot be written.
    """
    import arviz_base

    groups = {
        "posterior": _chain({**result.draws, **result.derived}),
        "observed_data": as_series(result.study.model.observed),
    }
    if result.predictive:
        groups["posterior_predictive"] = _chain(result.predictive)
    if result.baseline is not None:
        groups["baseline"] = _chain(result.baseline.draws)
    calibration = result.verdict.calibration
    groups["prior_sbc"] = {
        name: calibration.pit[None, :, i] for i, name in enumerate(calibration.names)
    }
    tree = arviz_base.from_dict(groups)
    path = result.out / "samples.nc"
    temporary = path.with_suffix(".tmp")
    try:
        tree.to_netcdf(temporary, engine="h5netcdf")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error}.") from error


def _chain(draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give draws ArviZ's axis of chains, of length one."""
    return {name: values[None] for name, values in draws.items()}
