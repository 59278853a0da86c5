"""The declarative part of an artifact: what to build, in bounded numbers and names."""

import dataclasses
import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Bounded

from ..estimators import standardized_shape
from ..model import (
    MAX_IMAGES,
    Field,
    Kind,
    Space,
    Structure,
    StructureKind,
    Support,
    complete_structures,
)
from ..training import Settings
from .record import XSpec


Name = Annotated[str, Bounded(min_length=1, max_length=200)]
Text = Annotated[str, Bounded(max_length=2000)]
Size = Annotated[int, Bounded(ge=1, le=10_000_000)]  # sums are bounded below
Count = Annotated[int, Bounded(ge=0, le=2**63 - 1)]
MAX_COMPONENTS = 10_000  # of theta
MAX_ENTRIES = 10**8  # of x
BOUNDED = {
    "lower": ("lower",),
    "upper": ("upper",),
    "half_line": ("lower", "scale"),
    "interval": ("lower", "upper"),
    "log_interval": ("lower", "upper"),
}


class AbstractSpec(BaseModel):
    """Plain values only: no other names, no coercion, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class SupportSpec(AbstractSpec):
    """Where a target may lie."""

    kind: Kind
    lower: list[float]
    upper: list[float]
    scale: list[Annotated[float, Bounded(gt=0)]]


class FieldSpec(AbstractSpec):
    """One target."""

    name: Name
    shape: Annotated[list[Size], Bounded(max_length=4)]
    support: SupportSpec
    unit: Text
    label: Text

    @model_validator(mode="after")
    def _bounds_fit(self):
        kind, size = self.support.kind, math.prod(self.shape)
        needed = BOUNDED.get(kind, ())
        for side in ("lower", "upper", "scale"):
            expected = size if side in needed else 0
            if len(getattr(self.support, side)) != expected:
                raise ValueError(f"bounds of {self.name!r} do not fit its support")
        pairs = zip(self.support.lower, self.support.upper, strict=False)
        if any(low >= high for low, high in pairs):
            raise ValueError(f"an interval of {self.name!r} is empty")
        if kind in ("simplex", "ordered") and not self.shape:
            raise ValueError(f"{self.name!r} has no axis for its support")
        return self

    def build(self) -> Field:
        """Return the field."""
        shape = tuple(self.shape)
        given = self.support
        numbers = map(tuple, (given.lower, given.upper, given.scale))
        support = Support(given.kind, shape, *numbers)
        return Field(self.name, shape, support, self.unit, self.label)


class SeriesSpec(AbstractSpec):
    """One series of x."""

    shape: Annotated[list[Size], Bounded(max_length=4)]
    scaler: Literal["vector", "channel"]
    columns: Size | None  # standardized entries of a vector, logarithms included
    kind: StructureKind | None = None  # files of the first version do not say
    missing: bool = False

    @model_validator(mode="after")
    def _kind_fits(self):
        vector = self.scaler == "vector"
        if (self.structure().kind == "vector") != vector:
            raise ValueError(f"a {self.kind} with the scaler of a {self.scaler}")
        if vector != (self.columns is not None):
            raise ValueError("columns belong to vectors")
        return self

    def structure(self) -> Structure:
        """Return what the axes of the series mean."""
        default = "vector" if self.scaler == "vector" else "grid"
        return Structure(self.kind or default, self.missing)


class SettingsSpec(AbstractSpec):
    """Architecture and schedule, within what a machine can hold."""

    num_members: Annotated[int, Bounded(ge=1, le=100)]
    num_layers: Annotated[int, Bounded(ge=1, le=64)]
    num_bins: Annotated[int, Bounded(ge=1, le=128)]
    flow_width: Annotated[int, Bounded(ge=1, le=4096)]
    embedding_width: Annotated[int, Bounded(ge=1, le=4096)]
    context_dim: Annotated[int, Bounded(ge=1, le=4096)]
    num_blocks: Annotated[int, Bounded(ge=0, le=64)]
    feature_bins: Annotated[int, Bounded(ge=1, le=256)]
    epochs: Size
    batch_size: Size
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    validation_fraction: float
    clip_norm: float
    linear_start: bool
    constant_shape: bool
    vector_embedding: Literal["residual", "plain"] = "residual"
    grid_embedding: Literal["convolution", "local_average", "map_average"] = (
        "convolution"
    )
    set_embedding: Literal["deep_set", "set_transformer"] = "deep_set"
    series_embedding: Literal["convolution", "gru", "transformer"] = "convolution"
    density: Literal[
        "spline_coupling",
        "autoregressive",
        "affine_autoregressive",
        "mixture_density",
        "flow_matching",
    ] = "spline_coupling"
    num_components: Annotated[int, Bounded(ge=1, le=1024)] = 8
    embedding_epochs: Annotated[int, Bounded(ge=0, le=2**31 - 1)] = 0
    fit_base_scale: bool = True

    def build(self) -> Settings:
        """Return the settings."""
        return Settings(**self.model_dump())


class ArtifactSpec(AbstractSpec):
    """Everything needed to build the network that the weights belong to."""

    estimator: Annotated[str, Bounded(pattern=r"^npe/[a-z-]+@1$")]
    model_name: Text
    settings: SettingsSpec
    fields: Annotated[list[FieldSpec], Bounded(min_length=1, max_length=1000)]
    series: Annotated[dict[Name, SeriesSpec], Bounded(min_length=1)]
    single: bool
    symmetries: Annotated[list[list[int]], Bounded(max_length=MAX_IMAGES - 1)] = []

    @model_validator(mode="after")
    def _sizes_fit(self):
        if self.estimator != estimator_name(self.settings.density):
            raise ValueError(f"{self.estimator!r} does not name the density")
        if sum(math.prod(field.shape) for field in self.fields) > MAX_COMPONENTS:
            raise ValueError(f"theta has more than {MAX_COMPONENTS} components")
        if sum(math.prod(item.shape) for item in self.series.values()) > MAX_ENTRIES:
            raise ValueError(f"x has more than {MAX_ENTRIES} entries")
        if len({field.name for field in self.fields}) != len(self.fields):
            raise ValueError("a name of theta occurs twice")
        places = list(range(1, self.space().dim + 1))
        if any(sorted(map(abs, element)) != places for element in self.symmetries):
            raise ValueError("a symmetry does not move every component to a place")
        if self.single and set(self.series) != {"x"}:
            raise ValueError("x is one array, which must be called 'x'")
        return self

    def space(self) -> Space:
        """Return the space of the targets."""
        return Space(tuple(field.build() for field in self.fields))

    def x_spec(self) -> XSpec:
        """Return the structure of x."""
        shapes = {name: tuple(item.shape) for name, item in self.series.items()}
        return XSpec(shapes, self.single, self.structure())

    def structure(self) -> dict[str, Structure]:
        """Return what the axes of every series mean."""
        found = {name: item.structure() for name, item in self.series.items()}
        shapes = {name: tuple(item.shape) for name, item in self.series.items()}
        return complete_structures(found, shapes)

    def num_columns(self) -> int:
        """Return how many standardized entries of vectors the network sees."""
        return sum(item.columns or 0 for item in self.series.values())

    def standardized_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every series as the network sees it."""
        return {
            name: standardized_shape(tuple(item.shape), item.structure())
            if item.columns is None
            else (item.columns,)
            for name, item in self.series.items()
        }


class TrainingSpec(AbstractSpec):
    """What is remembered of the training, histories apart."""

    model_name: Text
    seed: Count
    settings: dict[Name, int | float | bool | Text]
    num_simulations: Annotated[int, Bounded(ge=1, le=2**63 - 1)]
    counts: dict[Name, Count]
    simulation_seed: Count
    dataset: Annotated[str, Bounded(pattern="[0-9a-f]{64}", max_length=64)]
    failures: dict[Name, float]
    skipped: list[Count]
    compile_s: float
    train_s: float
    prior_text: dict[Name, str]
    versions: dict[Name, Text]
    rounds: dict[Name, float] = {}


def estimator_name(density: str) -> str:
    """Return the name, with version, under which an estimator is stored."""
    return f"npe/{density.replace('_', '-')}@1"


def field_spec(field: Field) -> FieldSpec:
    """Describe one target."""
    numbers = {
        name: list(getattr(field.support, name)) for name in ("lower", "upper", "scale")
    }
    support = SupportSpec.model_validate({"kind": field.support.kind, **numbers})
    shape = list(field.shape)
    return FieldSpec(
        name=field.name,
        shape=shape,
        support=support,
        unit=field.unit,
        label=field.label,
    )


def settings_spec(settings: Settings) -> SettingsSpec:
    """Describe the settings."""
    return SettingsSpec(**dataclasses.asdict(settings))
