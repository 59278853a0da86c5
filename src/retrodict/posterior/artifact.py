"""The parts of a posterior in one file: no code, verified before it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import ValidationError

from .._core.errors import ArtifactError
from ..estimators import Affine, Estimator, VectorScaler
from ..estimators.standardize import scaler_arrays, scaler_from_arrays
from ..model import StructureKind, Symmetries
from ..training import build_estimator
from .archive import (
    from_json,
    from_tensors,
    read_archive,
    to_json,
    to_tensors,
    write_archive,
)
from .network import Network
from .record import Record
from .spec import (
    ArtifactSpec,
    SeriesSpec,
    TrainingSpec,
    estimator_name,
    field_spec,
    settings_spec,
)
from .typical import Typical


MEMBERS = {
    "spec.json",
    "training.json",
    "weights.safetensors",
    "statistics.safetensors",
    "preview.safetensors",
}
HISTORY = ("train", "validation", "prior_mean", "prior_sd")
# float32 programs compiled on another processor differ in the last bits
PREVIEW_TOLERANCE = 1e-2


class Parts(NamedTuple):
    """What a posterior is made of.

    Attributes:
        network: The trained ensemble.
        reference: What simulated x look like.
        record: How it was made.
        preview: A few simulations, series and theta, that loading is tested on.
    """

    network: Network
    reference: Typical
    record: Record
    preview: tuple[Mapping[str, np.ndarray], np.ndarray]


def write_artifact(path: Path, parts: Parts) -> None:
    """Write the parts to one file, replacing another only when it is complete.

    Raises:
        StorageError: If the file cannot be written.
    """
    record = vars(parts.record)
    facts = {k: _plain(v) for k, v in record.items() if k not in HISTORY}
    members = {
        "spec.json": to_json(_describe(parts).model_dump(mode="json")),
        "training.json": to_json(facts),
        "weights.safetensors": to_tensors(_weights(parts.network.members)),
        "statistics.safetensors": to_tensors(_statistics(parts)),
        "preview.safetensors": to_tensors(_preview(parts)),
    }
    version = parts.record.versions.get("retrodict", "")
    write_archive(path, members, version)


def read_artifact(path: Path) -> Parts:
    """Read the parts and verify checksums, structure and a stored prediction.

    Raises:
        ArtifactError: If the file is missing, damaged, tampered with, or of a schema
            that this version does not know.
    """
    members = read_archive(path, MEMBERS)
    try:
        from_json(members["spec.json"], path)  # bounded, without repeated keys
        spec = ArtifactSpec.model_validate_json(members["spec.json"])
        TrainingSpec.model_validate_json(members["training.json"])
        tensors = {
            name: from_tensors(members[f"{name}.safetensors"], path, name)
            for name in ("weights", "statistics", "preview")
        }
        facts = from_json(members["training.json"], path)
        parts = _assemble(spec, tensors, facts, path)
        _self_test(parts, tensors["preview"], path)
    except ArtifactError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError("spec", f"{path}: {where}: {first['msg']}.") from error
    except Exception as error:  # whatever a consistent but senseless file provokes
        raise ArtifactError(
            "content", f"{path}: {type(error).__name__}: {error}."
        ) from error
    return parts


def _describe(parts: Parts) -> ArtifactSpec:
    network = parts.network
    series = {}
    for name, scaler in network.scalers.items():
        vector = isinstance(scaler, VectorScaler)
        structure = network.x_spec.structure[name]
        series[name] = SeriesSpec(
            shape=list(network.x_spec.shapes[name]),
            scaler="vector" if vector else "channel",
            columns=scaler.num_columns if isinstance(scaler, VectorScaler) else None,
            kind=cast(StructureKind, structure.kind),
            missing=structure.missing,
        )
    return ArtifactSpec(
        estimator=estimator_name(network.settings.density),
        model_name=parts.record.model_name,
        settings=settings_spec(network.settings),
        fields=[field_spec(field) for field in network.space.fields],
        series=series,
        single=network.x_spec.single,
        symmetries=[list(e) for e in network.symmetries.elements],
    )


def _assemble(
    spec: ArtifactSpec,
    tensors: Mapping[str, Mapping[str, np.ndarray]],
    facts: Mapping[str, Any],
    path: Path,
) -> Parts:
    statistics = tensors["statistics"]
    scalers = {
        name: scaler_from_arrays(
            item.structure(), _below(statistics, f"scaler/{name}/")
        )
        for name, item in sorted(spec.series.items())
    }
    settings, space = spec.settings.build(), spec.space()
    shape = spec.num_columns(), settings.feature_bins + 1
    edges = jax.ShapeDtypeStruct(shape, np.float32)  # a shape: nothing is allocated
    skeleton = eqx.filter_eval_shape(
        build_estimator,
        jax.random.key(0),
        settings,
        spec.standardized_shapes(),
        edges if shape[0] else None,
        space.unconstrained_dim,
        structure=spec.structure(),
    )
    members = _fill(skeleton, tensors["weights"], settings.num_members, path)
    scale = Affine(statistics["scale/mean"], statistics["scale/scale"])
    symmetries = Symmetries(tuple(map(tuple, spec.symmetries)))
    network = Network(
        members, settings, space, spec.x_spec(), scalers, scale, symmetries
    )
    reference = Typical.from_arrays(_below(statistics, "reference/"))
    arrays = {name: statistics[f"history/{name}"] for name in HISTORY}
    _check_statistics(statistics, spec, path)
    record = Record(**{**facts, "skipped": tuple(facts["skipped"]), **arrays})
    series = spec.x_spec().rows(_below(tensors["preview"], "x/"), "preview")
    preview = series, tensors["preview"]["theta"]
    return Parts(network, reference, record, preview)


def _check_statistics(
    statistics: Mapping[str, np.ndarray], spec: ArtifactSpec, path: Path
) -> None:
    """Compare the shapes that the prediction of the self-test does not depend on."""
    space = spec.space()
    history = (len(statistics["history/train"]), spec.settings.num_members)
    expected = {
        "scale/mean": (space.unconstrained_dim,),
        "scale/scale": (space.unconstrained_dim,),
        "history/train": history,
        "history/validation": history,
        "history/prior_mean": (space.dim,),
        "history/prior_sd": (space.dim,),
    }
    for name, shape in expected.items():
        if statistics[name].shape != shape or statistics[name].dtype.kind != "f":
            raise ArtifactError(
                "statistics",
                f"{path}: {name}: Expected {shape}; got {statistics[name].shape}.",
            )


def _weights(members: tuple[Estimator, ...]) -> dict[str, np.ndarray]:
    arrays = {}
    for number, member in enumerate(members):
        for name, leaf in _named_leaves(member):
            arrays[f"member{number}{name}"] = np.asarray(leaf)
    return arrays


def _named_leaves(estimator: Estimator) -> list[tuple[str, Any]]:
    arrays = eqx.filter(estimator, lambda leaf: hasattr(leaf, "dtype"))
    leaves = jax.tree_util.tree_flatten_with_path(arrays)[0]
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def _fill(
    skeleton: Estimator, weights: Mapping[str, np.ndarray], count: int, path: Path
) -> tuple[Estimator, ...]:
    """Put the stored arrays into the skeleton's places, comparing shape and type."""
    expected = {
        name: (leaf.shape, str(leaf.dtype)) for name, leaf in _named_leaves(skeleton)
    }
    wanted = {f"member{m}{n}": v for m in range(count) for n, v in expected.items()}
    found = {name: (value.shape, str(value.dtype)) for name, value in weights.items()}
    if found != wanted:
        odd = sorted(set(found.items()) ^ set(wanted.items()), key=str)[0]
        raise ArtifactError("weights", f"{path}: the weights do not fit: {odd}.")
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise ArtifactError("weights", f"{path}: a weight is not finite.")
    places, treedef = jax.tree.flatten(skeleton, is_leaf=_is_place)
    members = []
    for number in range(count):
        names = iter(expected)
        filled = [
            jnp.asarray(weights[f"member{number}{next(names)}"])
            if _is_place(leaf)
            else leaf
            for leaf in places
        ]
        members.append(jax.tree.unflatten(treedef, filled))
    return tuple(members)


def _is_place(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _statistics(parts: Parts) -> dict[str, np.ndarray]:
    network = parts.network
    arrays = {"scale/mean": network.scale.mean, "scale/scale": network.scale.scale}
    for name, scaler in network.scalers.items():
        for key, value in scaler_arrays(scaler).items():
            arrays[f"scaler/{name}/{key}"] = value
    for key, value in parts.reference.to_arrays().items():
        arrays[f"reference/{key}"] = np.asarray(value)
    for name in HISTORY:
        arrays[f"history/{name}"] = getattr(parts.record, name)
    return arrays


def _preview(parts: Parts) -> dict[str, np.ndarray]:
    series, theta = parts.preview
    arrays = {f"x/{name}": value for name, value in series.items()}
    return arrays | {"theta": theta, "log_prob": _predict(parts)}


def _predict(parts: Parts) -> np.ndarray:
    series, theta = parts.preview
    network = parts.network
    return network.log_prob(theta[:, None], network.embed(series))[:, 0]


def _self_test(parts: Parts, preview: Mapping[str, np.ndarray], path: Path) -> None:
    found, stored = _predict(parts), preview["log_prob"]
    if not np.allclose(found, stored, rtol=PREVIEW_TOLERANCE, atol=PREVIEW_TOLERANCE):
        raise ArtifactError(
            "self-test",
            f"{path}: the loaded network does not repeat its stored predictions. Load "
            "it with the versions in its training record, or train again.",
        )


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    start = len(prefix)
    return {k[start:]: v for k, v in arrays.items() if k.startswith(prefix)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value
