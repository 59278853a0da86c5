"""What a posterior remembers of how it was made, and of what x must look like."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._core.errors import DataError
from ..model import Structure, clean_observation
from ..simulations import as_series


@dataclass(frozen=True)
class Record:
    """Provenance and history of a training.

    Attributes:
        model_name: Name of the model.
        seed: Seed of the training.
        settings: Architecture and schedule, by name.
        num_simulations: Rows it was given, failed ones included.
        counts: Number of rows per status.
        simulation_seed: Seed of the simulations.
        dataset: SHA-256 of the simulations.
        failures: ``fraction`` of rows that failed; ``auc`` and ``p_value`` of a
            classifier of success by theta, where enough rows failed.
        train: Training loss ``(epochs, members)``: mean -log q(theta|x), nats; NaN
            where training minimizes something else, as flow matching does.
        validation: Validation loss ``(epochs, members)``, likewise.
        skipped: Non-finite steps each member skipped.
        compile_s: Seconds of compilation.
        train_s: Seconds of training.
        prior_mean: Mean of the simulated targets ``(theta_dim,)``.
        prior_sd: Their standard deviation.
        prior_text: The prior in words, by parameter.
        versions: Versions of the libraries.
        rounds: Of a posterior made in rounds for one observation: ``asked``, how many
            there were to be, ``number``, how many there were, ``budget`` of all of
            them, and ``mass``, the prior probability of the region around it that the
            posterior was trained in. Else empty.
    """

    model_name: str
    seed: int
    settings: Mapping[str, Any]
    num_simulations: int
    counts: Mapping[str, int]
    simulation_seed: int
    dataset: str
    failures: Mapping[str, float]
    train: np.ndarray
    validation: np.ndarray
    skipped: tuple[int, ...]
    compile_s: float
    train_s: float
    prior_mean: np.ndarray
    prior_sd: np.ndarray
    prior_text: Mapping[str, str]
    versions: Mapping[str, str]
    rounds: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_rounds(self) -> int:
        """Number of rounds asked for; 1 where every observation may be asked about."""
        return int(self.rounds.get("asked", 1))

    @property
    def budget(self) -> int:
        """Simulations spent, those outside the last region included."""
        return int(self.rounds.get("budget", self.num_simulations))

    @property
    def best_epoch(self) -> np.ndarray:
        """Epoch whose weights each member kept, from 0."""
        return np.argmin(np.nan_to_num(self.validation, nan=np.inf), axis=0)


@dataclass(frozen=True)
class XSpec:
    """The structure every observation must have.

    Attributes:
        shapes: Shape of each series.
        single: Whether x is one array rather than a dictionary.
        structure: What the axes of each series mean.
    """

    shapes: Mapping[str, tuple[int, ...]]
    single: bool
    structure: Mapping[str, Structure] = field(default_factory=dict)

    def rows(self, xs: Any, name: str = "xs") -> dict[str, np.ndarray]:
        """Return series ``(num_observations, *shape)``, or say what is wrong.

        Raises:
            DataError: If series are missing, shaped otherwise or not finite.
        """
        series = as_series(self._clean(xs))
        shapes = {k: v.shape[1:] for k, v in series.items()}
        lengths = {len(v) for v in series.values() if v.ndim}
        scalars = any(v.ndim == 0 for v in series.values())
        if shapes != dict(self.shapes) or len(lengths) != 1 or 0 in lengths or scalars:
            wanted = {k: ("n", *v) for k, v in self.shapes.items()}
            found = {k: v.shape for k, v in series.items()}
            raise DataError(f"{name}: Expected {wanted}; got {found}.")
        return series

    def one(self, x_obs: Any) -> dict[str, np.ndarray]:
        """Return one observation as series ``(1, *shape)``, or say what is wrong.

        Raises:
            DataError: If series are missing, shaped otherwise or not finite.
        """
        series = as_series(self._clean(x_obs))
        found = {k: v.shape for k, v in series.items()}
        if found != dict(self.shapes):
            raise DataError(
                f"x_obs: Expected {dict(self.shapes)}, the shape of the simulations; "
                f"got {found}."
            )
        return {k: v[None] for k, v in series.items()}

    def _clean(self, xs: Any) -> Any:
        missing = [name for name, item in self.structure.items() if item.missing]
        return clean_observation(xs, missing)
