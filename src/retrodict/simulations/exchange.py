"""Write a campaign as one file that other programs read: NetCDF or Zarr."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._core.errors import DataError, ModelError, StorageError
from .dataset import Block
from .messages import STATUSES
from .store import Folder


def export(path: str | Path, to: str | Path) -> int:
    """Write theta, x, status and index of every stored row as an xarray DataTree.

    Groups: ``prior`` (theta), ``prior_predictive`` (x), ``sample_stats`` (status, with
    its words as attributes). The dimension of rows is ``sample``; its coordinate is the
    index of the row in the campaign.

    Args:
        path: The campaign's folder.
        to: File ending in ``.nc``, or folder ending in ``.zarr`` (needs zarr).

    Returns:
        Number of rows written.

    Raises:
        DataError: If the campaign is empty or damaged.
        ModelError: If ``to`` has another ending, or zarr is not installed.
        StorageError: If it cannot be written.
    """
    to = Path(to)
    if to.suffix not in (".nc", ".zarr"):
        raise ModelError(f"--to: Expected a name ending in .nc or .zarr; got {to}.")
    folder = Folder(Path(path))
    blocks = [folder.read(line) for line in folder.lines()]
    if not blocks:
        raise DataError(f"{folder.path}: holds no complete block yet. Resume it first.")
    tree = _tree(blocks, folder)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        if to.suffix == ".nc":
            tree.to_netcdf(to, engine="h5netcdf")
        else:
            tree.to_zarr(to)
    except ImportError as error:
        raise ModelError("--to: .zarr needs the package zarr. Install it.") from error
    except OSError as error:
        raise StorageError(f"Cannot write {to}: {error}.") from error
    return sum(map(len, blocks))


def _tree(blocks: list[Block], folder: Folder):
    import xarray as xr

    index = np.concatenate([np.arange(b.rows.start, b.rows.stop) for b in blocks])
    status = np.concatenate([block.status for block in blocks])
    words = {"flag_values": list(range(len(STATUSES))), "flag_meanings": STATUSES}
    stats = xr.Dataset(
        {"status": ("sample", status, {**words, "flag_meanings": " ".join(STATUSES)})}
    )
    groups = {
        "prior": _dataset([block.theta for block in blocks]),
        "prior_predictive": _dataset([block.x for block in blocks]),
        "sample_stats": stats,
    }
    tree = xr.DataTree.from_dict(
        {name: data.assign_coords(sample=index) for name, data in groups.items()}
    )
    facts = folder.facts
    tree.attrs = {k: facts[k] for k in ("model", "seed", "stream")}
    return tree


def _dataset(parts: list[dict[str, np.ndarray]]):
    import xarray as xr

    return xr.Dataset({name: _variable(name, parts) for name in parts[0]})


def _variable(name: str, parts: list[dict[str, np.ndarray]]):
    values = np.concatenate(list(_arrays(name, parts)))
    dims = [f"{name}_dim_{i}" for i in range(values.ndim - 1)]
    return (["sample", *dims], values)


def _arrays(name: str, parts: list[dict[str, np.ndarray]]) -> Iterator[np.ndarray]:
    return (part[name] for part in parts)
