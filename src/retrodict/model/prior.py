"""The prior: named numpyro distributions, or one numpyro model function."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Key
from numpyro.infer.util import log_density

from .._core.choices import did_you_mean
from .._core.errors import ModelError
from .describe import describe_distribution
from .region import Region
from .space import Field, Space, refuse_nan
from .support import from_constraint


MAX_DRAWS = 100_000  # of a restricted prior, for one theta

Complete = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Nuisance:
    """Mark a parameter as one that is simulated but not asked about.

    Its uncertainty enters the posterior of the others because it varies among the
    simulations; it is left out of the inferred targets unless ``infer`` names it.

    Attributes:
        distribution: Its prior.
    """

    distribution: dist.Distribution


class Prior:
    """Named parameters and their joint distribution before seeing data.

    Give one numpyro distribution per name; array-valued distributions make array-valued
    parameters. For parameters that depend on each other, give a numpyro model function
    instead, whose ``numpyro.sample`` sites are the parameters.

    Args:
        function: A numpyro model function without arguments (instead of names).
        units: Unit of each parameter as text, by name.
        labels: Label of each parameter in figures, by name (mathtext allowed).
        **distributions: One distribution, or ``Nuisance(distribution)``, per name.

    Raises:
        ModelError: If a distribution is discrete, has a support that depends on other
            parameters or has no bijection, or if ``units`` or ``labels`` name a
            parameter that does not exist.

    Attributes:
        region: The part of parameter space it is restricted to, if it is.

    Example:
        >>> import numpyro.distributions as dist
        >>> prior = Prior(beta=dist.HalfNormal(1.0), units={"beta": "1/day"})
        >>> prior.names
        ('beta',)
    """

    def __init__(
        self,
        function: Callable[[], Any] | None = None,
        /,
        *,
        units: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        **distributions: dist.Distribution | Nuisance,
    ):
        if (function is None) == (not distributions):
            raise ModelError(
                "Prior: Expected named distributions, or one numpyro model function; "
                f"got {'both' if distributions else 'neither'}. Write for example "
                "Prior(beta=dist.HalfNormal(1.0))."
            )
        self._function = function
        self.region: Region | None = None
        self._complete: Complete | None = None
        self._balled: Prior | None = None  # of what the ellipsoids draw
        if function is None:
            self._sites = {k: _distribution(k, v) for k, v in distributions.items()}
        else:
            self._sites = _trace(function)
        self.nuisances = tuple(
            name for name, v in distributions.items() if isinstance(v, Nuisance)
        )
        check_names("units", units or {}, self._sites)
        check_names("labels", labels or {}, self._sites)
        self.space = Space(
            tuple(
                _field(
                    name,
                    site,
                    (units or {}).get(name),
                    (labels or {}).get(name),
                    independent=function is None,
                )
                for name, site in self._sites.items()
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in declared order."""
        return tuple(self._sites)

    def restricted(self, region: Region, complete: "Complete | None" = None) -> "Prior":
        """Return this prior cut off outside a region, and normalized.

        Args:
            region: What is kept, with its mass under this prior.
            complete: ``theta -> theta`` with the quantities added that the region asks
                for and the prior does not sample. Without it, the region is one of some
                or all parameters.
        """
        prior = copy.copy(self)
        prior.region = region
        prior._complete = complete
        if region.balls is not None:
            prior._balled = self.of([field.name for field in region.space.fields])
        return prior

    def draw(self, key: Key[Array, ""]) -> dict[str, Array]:
        """Draw one theta; a pure function of ``key`` that can be compiled."""
        region = self.region
        if region is None:
            return self._draw(key)

        def attempt(number: Any) -> tuple[dict[str, Array], Any]:
            return self._attempt(jr.fold_in(key, number), region)

        def again(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            return state[0] + 1, *attempt(state[0])

        def outside(state: tuple[Any, Any, Any]) -> Any:
            return ~state[2] & (state[0] < MAX_DRAWS)

        first = attempt(jnp.uint32(0))
        return jax.lax.while_loop(outside, again, (jnp.uint32(1), *first))[1]

    def _attempt(
        self, key: Key[Array, ""], region: Region
    ) -> tuple[dict[str, Array], Any]:
        """Draw one theta, and say whether it is one of the restricted prior."""
        balls, prior = region.balls, self._balled
        if balls is None or prior is None:
            theta = self._draw(key)
            return theta, self._inside(theta, region)
        key_balls, key_accept = jr.split(key)
        u = balls.draw(key_balls)
        times = region.count(u)  # how many ellipsoids could have drawn it
        share = jnp.exp(prior.unconstrained_log_density(u) - balls.log_bound)
        accepted = jr.uniform(key_accept) * times < share
        drawn = prior.space.unflatten(prior.space.constrain(u))
        rest = self._draw(jr.fold_in(key, 2))  # 0 and 1 are those of the split
        return {**rest, **drawn}, (times > 0) & accepted

    def _inside(self, theta: Mapping[str, Array], region: Region) -> Any:
        return region.inside(theta if self._complete is None else self._complete(theta))

    def unconstrained_log_density(self, u: Any) -> Array:
        """Return the log-density of unconstrained coordinates, of the whole prior.

        Args:
            u: One point ``(unconstrained_dim,)``; can be compiled.
        """
        theta = self.space.unflatten(self.space.constrain(u))
        return self._log_density(theta) + self.space.log_det(u)

    def _draw(self, key: Key[Array, ""]) -> dict[str, Array]:
        if self._function is None:
            return {
                name: jnp.asarray(site.sample(_site_key(key, name)))
                for name, site in self._sites.items()
            }
        with numpyro.handlers.seed(rng_seed=key):
            trace = numpyro.handlers.trace(self._function).get_trace()
        return {name: trace[name]["value"] for name in self._sites}

    def sample(self, key: Key[Array, ""], num_samples: int) -> dict[str, np.ndarray]:
        """Draw ``num_samples`` parameters in float64.

        Args:
            key: PRNG key.
            num_samples: Number of draws.

        Returns:
            One array ``(num_samples, *shape)`` per name.
        """
        with jax.enable_x64(True):
            keys = jax.vmap(partial(jr.fold_in, key))(np.arange(num_samples))
            draws = jax.jit(jax.vmap(self.draw))(keys)
        return {name: np.asarray(value) for name, value in draws.items()}

    def log_prob(self, theta: Mapping[str, Any]) -> np.ndarray:
        """Return the normalized log-density of rows of theta, in nats.

        Args:
            theta: One array ``(n, *shape)`` per name.

        Returns:
            ``(n,)`` float64; minus infinity outside the support.

        Raises:
            ValueError: If a parameter is missing, shaped otherwise or NaN.
        """
        flat = refuse_nan(self.space.flatten(theta))
        inside = self.space.contains(flat)
        safe = np.where(inside[:, None], flat, flat[inside][:1] if inside.any() else 1)
        with jax.enable_x64(True):
            rows = {k: jnp.asarray(v) for k, v in self._rows(safe).items()}
            values = jax.jit(jax.vmap(self.log_density))(rows)
        return np.where(inside, np.asarray(values), -np.inf)

    def log_density(self, theta: Mapping[str, Array]) -> Array:
        """Return the log-density of one theta inside the support; can be compiled.

        Args:
            theta: One array per name.
        """
        if self.region is not None:
            base = self._log_density(theta) - math.log(self.region.mass)
            return jnp.where(self._inside(theta, self.region), base, -jnp.inf)
        return self._log_density(theta)

    def _log_density(self, theta: Mapping[str, Array]) -> Array:
        if self._function is not None:
            return jnp.asarray(log_density(self._function, (), {}, dict(theta))[0])
        terms = [jnp.sum(s.log_prob(theta[k])) for k, s in self._sites.items()]
        return sum(terms[1:], terms[0])

    def of(self, names: Sequence[str]) -> "Prior | None":
        """Return the prior of some parameters alone, in the order of ``names``.

        Args:
            names: Names of sampled parameters.

        Returns:
            Their joint prior; None if it is not known, because the parameters of a
            numpyro function may depend on each other.
        """
        if self._function is not None or self.region is not None:
            if set(names) != set(self.names):
                return None
            prior = copy.copy(self)
            prior._sites = {name: self._sites[name] for name in names}
            prior.space = self.space.select(names)
            return prior
        sites: Any = {name: self._sites[name] for name in names}
        return Prior(**sites)

    def describe(self) -> dict[str, str]:
        """Say in words how each parameter is distributed, for reports."""
        texts = {name: describe_distribution(s) for name, s in self._sites.items()}
        if self.region is not None:
            cut = f", cut to {self.region.describe()}"
            whole = copy.copy(self)
            whole.region = None
            named = {field.name for field in self.region.space.fields}
            some = named if self._complete is None else set(self.names)
            return {
                name: text + cut * (name in some)
                for name, text in whole.describe().items()
            }
        if self._function is None:
            return texts
        sites = _run(self._function, 1)
        again = {n: describe_distribution(s) for n, s in sites.items()}
        return {
            name: text
            if text == again[name]
            else f"{text.partition('(')[0]}, given other parameters"
            for name, text in texts.items()
        }

    def _rows(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        return self.space.unflatten(flat)


def _site_key(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Key of one parameter: the others may be reordered without changing its draws."""
    return jr.fold_in(key, np.uint32(crc32(name.encode())))


def check_names(argument: str, given: Mapping[str, Any], known: Any) -> None:
    """Refuse a name that is not among ``known``, suggesting the nearest.

    Raises:
        ModelError: Naming the argument, the bad name and the likely right one.
    """
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ModelError(
                f"{argument}: Expected names among {list(known)}; got {name!r}.{hint}"
            )


def _distribution(name: str, value: Any) -> dist.Distribution:
    if isinstance(value, Nuisance):
        value = value.distribution
    if not isinstance(value, dist.Distribution):
        raise ModelError(
            f"Prior: parameter {name!r}: Expected a numpyro distribution or "
            f"Nuisance(distribution); got {value!r}. Write for example "
            f"{name}=dist.Normal(0, 1)."
        )
    return value.to_event(len(value.batch_shape))


def _trace(function: Callable[[], Any]) -> dict[str, dist.Distribution]:
    """Run a numpyro model twice and return its sample sites.

    Two runs that differ in a site's support reveal a support that depends on other
    parameters: an artifact, which carries no code, could not keep it.
    """
    first, second = _run(function, 0), _run(function, 1)
    if not first:
        raise ModelError("Prior: the numpyro model function has no `numpyro.sample`.")
    for name, site in first.items():
        shape = tuple(site.batch_shape) + tuple(site.event_shape)
        before = from_constraint(site.support, shape, name)
        if from_constraint(second[name].support, shape, name) != before:
            raise ModelError(
                f"Prior: the support of {name!r} depends on other parameters. Expected "
                "bounds that are constants; sample a parameter with fixed bounds and "
                "compute the dependent one in the simulator or in `derive`."
            )
    return first


def _run(function: Callable[[], Any], seed: int) -> dict[str, dist.Distribution]:
    with numpyro.handlers.seed(rng_seed=seed):
        trace = numpyro.handlers.trace(function).get_trace()
    sites = {k: v for k, v in trace.items() if v["type"] == "sample"}
    for name, site in sites.items():
        if site["is_observed"]:
            raise ModelError(
                f"Prior: the site {name!r} is observed (`obs=` or `numpyro.factor`). "
                "Expected a prior alone; the simulator makes the data."
            )
    return {name: site["fn"] for name, site in sites.items()}


def _light_tail(site: dist.Distribution) -> Any:
    """Return the scale of a positive prior whose tail is exponential or lighter."""
    light = isinstance(site, dist.Exponential | dist.HalfNormal)
    if isinstance(site, dist.Gamma):
        light = bool(np.all(np.asarray(site.concentration) >= 1))
    return np.asarray(site.mean) if light else None


def _field(
    name: str, site: Any, unit: str | None, label: str | None, *, independent: bool
) -> Field:
    shape = tuple(site.batch_shape) + tuple(site.event_shape)
    base = site.base_dist if isinstance(site, dist.Independent) else site
    log_scale = isinstance(base, dist.LogUniform)
    scale = _light_tail(base) if independent else None
    support = from_constraint(
        site.support, shape, name, log_scale=log_scale, scale=scale
    )
    return Field(name, shape, support, unit or "", label or name)
