"""A model: prior and simulator, what was observed, and what is asked."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpyro.distributions import constraints

from .._core.errors import DataError, ModelError
from .prior import Prior, check_names
from .region import Region
from .simulator import PythonSimulator, as_simulator
from .space import Field, Space
from .structure import as_structures, complete_structures, maskable
from .support import from_constraint
from .symmetry import Symmetries, as_symmetries, check_symmetries


SUPPORTS = {
    "real": constraints.real,
    "positive": constraints.positive,
    "unit_interval": constraints.unit_interval,
}


@dataclass(frozen=True)
class Derived:
    """A quantity computed from the sampled parameters of one simulation.

    Attributes:
        function: ``theta -> value``; ``theta`` is the dictionary of one simulation's
            parameters, nuisances included.
        support: Where the value may lie: ``"real"``, ``"positive"``,
            ``"unit_interval"`` or a numpyro constraint. Needed only when ``infer``
            names the quantity.
        unit: Unit as text.
        label: Label in figures (mathtext allowed).
    """

    function: Callable[[Mapping[str, Any]], Any]
    support: Any = None
    unit: str = ""
    label: str = ""


class Model:
    """Prior, simulator and question; everything a posterior is inferred from.

    Args:
        prior: The parameters and their prior.
        simulator: ``simulator(key, theta) -> x`` in JAX, or ``simulator(rng, theta)``
            in Python. ``theta`` is a dictionary of one simulation's parameters, ``x``
            an array or a dictionary of arrays whose shapes are always the same.
        observed: The real observation, of the structure of ``x``; may be absent.
        derive: Quantities computed from the parameters, by name.
        infer: Names of the targets, sampled or derived. By default every sampled
            parameter that is not a :class:`Nuisance`.
        name: Name for files and reports.
        structure: What the axes of ``x`` mean, by series: ``"exchangeable"``,
            ``"series"``, ``"image"``, ``"vector"``, or a :class:`Structure` that lets
            values be missing. One word will do where ``x`` is one array.
        block_size: Rows that a JAX simulator computes at once, 1000 by default; fewer
            suit one that takes a second a row.

    Raises:
        ModelError: If names do not fit together or the simulator has other arguments.
        DataError: If ``observed`` holds values that are not finite.
    """

    def __init__(
        self,
        prior: Prior,
        simulator: Any,
        *,
        observed: Any = None,
        derive: Mapping[str, Derived] | None = None,
        infer: Sequence[str] | None = None,
        name: str = "model",
        structure: Any = None,
        block_size: int | None = None,
    ):
        if not isinstance(prior, Prior):
            raise ModelError(f"prior: Expected a retrodict.Prior; got {prior!r}.")
        self.prior = prior
        self.simulator = as_simulator(simulator)
        self.derive = dict(derive or {})
        self.name = name
        self.block_size = block_size
        self.structure = as_structures(structure)
        self.symmetries: tuple[Mapping[str, str], ...] = ()
        _check_derived(self.derive, prior)
        default = [n for n in prior.names if n not in prior.nuisances]
        self.targets = self._space(default if infer is None else infer)
        self.observed = None if observed is None else self._cleaned(observed)

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the inferred components, in flat order."""
        return self.targets.names

    def target_prior(self) -> Prior | None:
        """Return the prior of the targets, or None where its density is not known.

        It is unknown where a target is derived, or where the parameters of a numpyro
        function are inferred in part.
        """
        names = [field.name for field in self.targets.fields]
        if any(name in self.derive for name in names):
            return None
        return self.prior.of(names)

    @property
    def target_symmetries(self) -> Symmetries:
        """What of the symmetries is left to the targets; a cut prior may have none."""
        if self.prior.region is not None:
            return Symmetries()
        names = self.target_names
        whole = [one for one in self.symmetries if set(one) <= set(names)]
        return as_symmetries(names, whole)

    @property
    def maskable(self) -> frozenset[str]:
        """Names of the series of x whose values may be missing."""
        return maskable(self.structure)

    @property
    def units(self) -> dict[str, str]:
        """Unit of every sampled and derived quantity."""
        units = {field.name: field.unit for field in self.prior.space.fields}
        return units | {name: d.unit for name, d in self.derive.items()}

    @property
    def labels(self) -> dict[str, str]:
        """Figure label of every sampled and derived quantity."""
        labels = {field.name: field.label for field in self.prior.space.fields}
        return labels | {name: d.label or name for name, d in self.derive.items()}

    def observing(self, observed: Any) -> "Model":
        """Return the same model with another observation.

        Args:
            observed: An array, or a dictionary of series, shaped like one simulation.

        Raises:
            DataError: If it holds values that are not finite.
        """
        model = copy.copy(self)
        model.observed = self._cleaned(observed)
        return model

    def inferring(self, names: Sequence[str]) -> "Model":
        """Return the same model, asked for other targets.

        Args:
            names: Sampled or derived quantities; ``model.prior.names`` asks for the
                joint posterior of all parameters, nuisances included.

        Raises:
            ModelError: If a name is unknown or given twice, or there is none.
        """
        model = copy.copy(self)
        model.targets = model._space(names)
        return model

    def with_prior(self, prior: Prior) -> "Model":
        """Return the same model with another prior.

        Args:
            prior: Of the same parameters.

        Raises:
            ModelError: If it is whole and has not the symmetries of the model.
        """
        if prior.region is None:
            check_symmetries(prior, self.symmetries)
        model = copy.copy(self)
        model.__dict__.pop("_draw_rows", None)  # compiled for the old one
        model.prior = prior
        return model

    def with_symmetries(self, maps: Sequence[Mapping[str, str]]) -> "Model":
        """Return the same model, with changes of theta that make no difference.

        The posterior has them exactly. The prior is tried; that the simulator cannot
        tell is taken on trust.

        Args:
            maps: Of the components that move, which one takes their place, after a
                minus with the other sign: ``{"a": "b", "b": "a"}`` exchanges two. What
                they imply together holds too, up to 24 images of a theta.

        Raises:
            ModelError: If a map is no exchange of components of the parameters, there
                are more images, or the prior has not the symmetry.
        """
        check_symmetries(self.prior, maps)
        model = copy.copy(self)
        model.symmetries = tuple(maps)
        return model

    def restricted(self, region: Region) -> "Model":
        """Return the same model with its prior cut off outside a region.

        Args:
            region: Of sampled parameters, derived quantities or both.

        Raises:
            ModelError: As :meth:`check_restricted`.
        """
        self.check_restricted(region.space)
        names = {field.name for field in region.space.fields} & set(self.derive)
        derive = {name: self.derive[name].function for name in sorted(names)}
        if not derive:
            return self.with_prior(self.prior.restricted(region))

        def complete(theta: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**theta, **{name: f(theta) for name, f in derive.items()}}

        return self.with_prior(self.prior.restricted(region, complete))

    def check_restricted(self, space: Space) -> None:
        """Refuse to cut the prior to a region of some quantities.

        Args:
            space: The quantities.

        Raises:
            ModelError: If the prior is cut already; or if Python computes one of the
                quantities, so that the draws of the prior cannot be compiled.
        """
        if self.prior.region is not None:
            raise ModelError(
                "prior: Expected a whole one to cut; got one that is cut to "
                f"{self.prior.region.describe()}. Narrow the distributions themselves."
            )
        derived = [f.name for f in space.fields if f.name in self.derive]
        if derived and self._is_python:
            raise ModelError(
                "infer: Expected sampled parameters or, with a JAX simulator, derived "
                f"quantities, for rounds; got {derived}, which Python computes. Name "
                "sampled parameters."
            )

    def _cleaned(self, observed: Any) -> Any:
        cleaned = clean_observation(observed, self.maskable)
        series = cleaned if isinstance(cleaned, Mapping) else {"x": cleaned}
        complete_structures(self.structure, {k: v.shape for k, v in series.items()})
        return cleaned

    def flatten(self, values: Mapping[str, Any]) -> np.ndarray:
        """Stack the targets among ``values`` to ``(n, theta_dim)`` float64."""
        return self.targets.flatten(values)

    def unflatten(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Split ``theta``, ``(..., theta_dim)``, into one array per target."""
        return self.targets.unflatten(theta)

    def derived(self, theta: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Compute every derived quantity for rows of sampled parameters.

        Args:
            theta: One array ``(n, *shape)`` per sampled parameter. A quantity whose
                function asks for a parameter that is not there is left out.

        Returns:
            One array ``(n, *shape)`` per derived quantity, float64.
        """
        results = {}
        for name, item in self.derive.items():
            try:
                results[name] = _map_rows(item.function, theta, self._is_python)
            except KeyError as error:
                if str(error.args[0]) not in self.prior.names:
                    raise unknown_parameter(f"derive[{name!r}]", error, self) from error
        return results

    @property
    def _is_python(self) -> bool:
        return isinstance(self.simulator, PythonSimulator)

    def _space(self, names: Sequence[str]) -> Space:
        known = {*self.prior.names, *self.derive}
        check_names("infer", dict.fromkeys(names), sorted(known))
        _check_unique(list(names))
        if not names:
            raise ModelError("infer: Expected at least one target; got none.")
        return Space(tuple(self._target(n) for n in names))

    def _target(self, name: str) -> Field:
        if name in self.prior.names:
            return self.prior.space.select([name]).fields[0]
        item = self.derive[name]
        constraint = item.support  # numpyro's parametrized constraints have no hash
        if isinstance(constraint, str):
            constraint = SUPPORTS.get(constraint)
        if constraint is None:
            raise ModelError(
                f"infer: the derived target {name!r} must declare its support. "
                f"Expected one of {list(SUPPORTS)} or a numpyro constraint; got "
                f"{item.support!r}. Write Derived(function, support='positive')."
            )
        draws = self.prior.sample(jax.random.key(0), 2)
        shape = self.derived(draws)[name].shape[1:]
        support = from_constraint(constraint, shape, name)
        return Field(name, shape, support, item.unit, item.label or name)


def unknown_parameter(where: str, error: KeyError, model: Model) -> ModelError:
    """Turn the ``KeyError`` of a misspelt parameter into an error that says so."""
    try:
        check_names(f"{where}: theta", {str(error.args[0]): 0}, model.prior.names)
    except ModelError as clear:
        return clear
    return ModelError(f"{where} raised KeyError: {error}")


def clean_observation(observed: Any, missing: Collection[str] = ()) -> Any:
    """Return an observation as NumPy arrays, refusing what is not finite numbers.

    Args:
        observed: An array, or a dictionary of series; one array is called ``"x"``.
        missing: Series whose values may be missing, which is NaN.

    Raises:
        DataError: Naming the field, the count and the first index of bad values.
    """
    if isinstance(observed, Mapping):
        return {
            str(k): _clean_array(v, f"x_obs[{k!r}]", str(k) in missing)
            for k, v in observed.items()
        }
    return _clean_array(observed, "x_obs", "x" in missing)


def _clean_array(value: Any, name: str, missing: bool = False) -> np.ndarray:
    if np.ma.isMaskedArray(value):
        value = np.ma.filled(value.astype(np.float64), np.nan)  # masked: missing
    try:
        array = np.asarray(value)
        if array.dtype.kind in "cSU":
            raise TypeError(array.dtype)  # NumPy would drop the imaginary part
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        got = f"{value!r} ({error})"
        raise DataError(f"{name}: Expected an array of numbers; got {got}.") from error
    bad = np.isinf(array) if missing else ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{name}: Expected finite numbers; got {int(bad.sum())} that are not, the "
            f"first {array[first]} at index {first}. Remove or impute missing values, "
            "and do the same in the simulator; or declare that they may be missing: "
            "Model(..., structure=Structure(kind, missing=True))."
        )
    return array


def _check_unique(targets: Sequence[str]) -> None:
    twice = [name for name in dict.fromkeys(targets) if targets.count(name) > 1]
    if twice:
        raise ModelError(f"infer: Expected every target once; got {twice[0]!r} twice.")


def _check_derived(derive: Mapping[str, Derived], prior: Prior) -> None:
    for name, item in derive.items():
        if not isinstance(item, Derived):
            raise ModelError(
                f"derive[{name!r}]: Expected retrodict.Derived(function, ...); got "
                f"{item!r}."
            )
        if name in prior.names:
            raise ModelError(
                f"derive: {name!r} is the name of a sampled parameter. Expected "
                "another name."
            )


def _map_rows(
    function: Callable[..., Any], theta: Mapping[str, Any], python: bool
) -> np.ndarray:
    if python:  # its functions may use NumPy, which cannot be traced
        count = len(next(iter(theta.values())))
        rows = ({k: v[i] for k, v in theta.items()} for i in range(count))
        return np.array([np.asarray(function(row), np.float64) for row in rows])
    with jax.enable_x64(True):
        arrays = {k: jax.numpy.asarray(v, dtype=float) for k, v in theta.items()}
        return np.asarray(jax.jit(jax.vmap(function))(arrays), dtype=np.float64)
