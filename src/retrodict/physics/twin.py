r"""A digital twin: an equation with unknown parameters, matched to what sensors saw.

.. math::
    L(w, \theta) = \sum_i \frac{(u_w(x_i) - y_i)^2}{2\sigma_d^2} + N_d \log\sigma_d
      + \sum_j \frac{r_{w,\theta}(z_j)^2}{2\sigma_r^2} + N_r \log\sigma_r
      - \log p(\theta) - \log p(w)

is, but for constants, the negative log-posterior of a network's weights and the
parameters (:class:`retrodict.Problem`); :math:`\sigma_r` says by how much the equation
may be violated. On a grid the equation is solved instead (:math:`\sigma_r \to 0`).

Source: Raissi, Perdikaris and Karniadakis (2019), J. Comput. Phys. 378:686. Deviation:
Gauss-Newton in place of Adam and L-BFGS, noise scales in place of tuned loss weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from .._core.choices import check_choice
from .._core.errors import ModelError
from .._core.seeds import numpy_generator, stream_key
from ..model import Prior
from .answer import MapAnswer
from .differences import Boundary, March, on_points
from .fields import Constrain, Jet, NetworkField, draw_features, named
from .map_fit import map_fit
from .problem import Problem
from .term import Term


FIELDS = ("mlp", "grid")
Scale = float | str | np.ndarray


@dataclass(frozen=True, eq=False)
class Sensor:
    """What was measured of the field.

    Attributes:
        points: Coordinates of every measurement, one array ``(n,)`` per axis.
        values: What was measured, ``(n,)`` or ``(n, k)``.
        sigma: Standard deviation of the noise, or the name of the parameter it is.
        observe: ``u -> value``, what a sensor sees of the field ``(components,)`` at
            its point; the first component by default.
    """

    points: Mapping[str, np.ndarray]
    values: np.ndarray
    sigma: Scale
    observe: Callable[[Array], Array] = field(default_factory=lambda: _first)


def _first(u: Array) -> Array:
    return u[0]


def _free(point: Jet, raw: Array) -> Array:
    del point
    return raw


@dataclass(frozen=True, eq=False)
class Twin:
    """An inverse problem for an ordinary or a partial differential equation.

    Attributes:
        domain: Ends of each axis by name; the axis of time is called ``"t"``.
        equation: ``(d, theta) -> residual``, ``(components,)``, zero where the equation
            holds; ``d`` has the coordinates ``d.x``, ``d.t``, the field ``d.u`` and its
            derivatives ``d.u_t``, ``d.u_xx``. With time, it must be ``d.u_t - F``.
        prior: The unknown parameters.
        sensors: What was measured.
        derivatives: Those that the equation uses, such as ``("t", "xx")``.
        components: Number of components of the field.
        constrain: ``(point, raw) -> u``: hard boundary and initial conditions; ``raw``
            is what the network says, ``(channels,)``, or zeros.
        residual_sigma: Scale by which the equation may be violated, per component; or
            the name of a parameter; or a function of the point, where a network cannot
            follow, such as a corner at which initial and boundary values disagree.
        start: Where the search for parameters starts; the prior's median by default.
        channels: Number of outputs of the network; ``components`` by default. More of
            them can be the coefficients of functions that ``constrain`` knows.
    """

    domain: Mapping[str, tuple[float, float]]
    equation: Callable[[Jet, Any], Array]
    prior: Prior
    sensors: tuple[Sensor, ...]
    derivatives: tuple[str, ...] = ("t",)
    components: int = 1
    constrain: Constrain = field(default_factory=lambda: _free)
    residual_sigma: Scale | Callable[[Jet], Any] = 1e-4
    start: Mapping[str, Any] | None = None
    channels: int | None = None

    def points(self, sensor: Sensor) -> Float[np.ndarray, "n dim"]:
        """Return the points of ``sensor`` as one array, axes in the domain's order."""
        missing = [axis for axis in self.domain if axis not in sensor.points]
        if missing:
            raise ModelError(
                f"Sensor.points: Expected the axes {list(self.domain)}; got "
                f"{sorted(sensor.points)}. Add {missing[0]!r}."
            )
        columns = [np.asarray(sensor.points[axis], float) for axis in self.domain]
        return np.stack(np.broadcast_arrays(*columns), axis=1)


@dataclass(frozen=True)
class Network:
    """How a field is represented by a network.

    Attributes:
        hidden: Widths of the hidden layers.
        deep: Whether the hidden layers are unknown too. By default they are drawn once
            and kept, and the output layer alone is inferred.
        slopes: Smallest and largest slope of kept features, per half the width of the
            domain: a field that varies within a tenth of the domain needs about 20.
        inputs: Axes that the network sees; all of them by default. Others can enter by
            the twin's ``constrain``.
        collocation: Points at which the equation must hold.
        relax: One fit per entry, with the equation's scale multiplied by it: a loose
            equation first lets the network follow the data. Before each fit but the
            first, half of the points move to where the equation is violated most.
        weight_scale: Prior standard deviation of every weight.
        max_steps: Most iterations per round.
        tolerance: Predicted decrease, in nats, at which the search has converged; 1e-4
            puts every parameter within .014 posterior standard deviations.
    """

    hidden: tuple[int, ...] = (250,)
    deep: bool = False
    slopes: tuple[float, float] = (0.5, 6.0)
    inputs: tuple[str, ...] | None = None
    collocation: int = 400
    relax: tuple[float, ...] = (100.0, 10.0, 1.0)
    weight_scale: float = 100.0
    max_steps: int = 60
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Grid:
    """How a field is represented by a grid.

    Attributes:
        nodes: Nodes in space.
        step: Longest step in time; a 500th of the domain by default. Diffusion
            :math:`D` on spacing :math:`h` is stable up to about :math:`h^2 / 2D`.
    """

    nodes: int = 41
    step: float | None = None


@dataclass(frozen=True, eq=False)
class FieldAnswer:
    """The answer of one representation of the field.

    Attributes:
        method: Name of the method, for tables.
        fit: The MAP, as any posterior.
        field: ``(theta, weights, points) -> u``, ``(n, components)``; points are
            ``(n, dim)``, on a grid in time in increasing order.
        relax: Factors of the equation's scale, one per entry of ``fit.path``.
    """

    method: str
    fit: MapAnswer
    field: Callable[[Any, Any, np.ndarray], Array]
    relax: tuple[float, ...] = ()

    def predict(self, points: Float[np.ndarray, "n dim"]) -> np.ndarray:
        """Return the most probable field ``(n, components)`` at points."""
        with jax.enable_x64(True):
            function = jax.jit(lambda theta, w: self.field(theta, w, points))
            theta = {k: jnp.asarray(v) for k, v in self.fit.theta.items()}
            return np.asarray(function(theta, self.fit.weights))


def fit_twin(
    twin: Twin,
    field: str = "mlp",
    *,
    seed: int = 0,
    network: Network | None = None,
    grid: Grid | None = None,
) -> FieldAnswer:
    """Infer a twin's parameters, with the field as a network or on a grid.

    Args:
        twin: Equation, sensors and prior.
        field: ``"mlp"``: physics-informed network, MAP by Gauss-Newton. ``"grid"``:
            finite differences, the equation solved for every candidate.
        seed: Seed of weights and collocation points.
        network: Size of the network and its search.
        grid: Size of the grid.

    Returns:
        Parameters with uncertainty, and the field.

    Raises:
        ModelError: If ``field`` is neither of the two, or a sensor lacks an axis.
    """
    check_choice("field", field, FIELDS)
    if field == "grid":
        return _fit_grid(twin, grid or Grid(), seed)
    return _fit_network(twin, network or Network(), seed)


def network_problem(
    twin: Twin,
    settings: Network,
    points: Float[np.ndarray, "n dim"],
    relax: float = 1.0,
) -> Problem:
    """Write a twin as a problem over weights and parameters.

    Args:
        twin: The twin.
        settings: Size of its network.
        points: Collocation points.
        relax: Factor of the scale by which the equation may be violated.
    """
    field = _network_field(twin, settings)

    def residual(theta: Any, weights: Any, row: Any) -> Any:
        point, factor = row
        jet = field.jet(weights, point, twin.derivatives)
        value = twin.equation(jet, theta)
        sigma = _residual_scale(twin, theta, point)
        return dist.Normal(0.0, factor * sigma), value

    factors = np.full(len(points), relax)
    terms = [Term("residual", residual, (points, factors))]
    for name, sensor in zip(_sensor_names(twin), twin.sensors, strict=True):

        def data(theta: Any, weights: Any, row: Any, sensor: Sensor = sensor) -> Any:
            seen = sensor.observe(field(weights, row[0]))
            return dist.Normal(seen, _scale(sensor.sigma, theta)), row[1]

        rows = (twin.points(sensor), np.asarray(sensor.values, float))
        terms.append(Term(name, data, rows))
    return Problem(
        terms,
        prior=twin.prior,
        init=field.init,
        weight_scale=settings.weight_scale,
        start=twin.start,
    )


def grid_problem(twin: Twin, grid: Grid) -> Problem:
    """Write a twin as a problem over parameters alone, the equation solved.

    What was measured is the one row of its one term.
    """
    solve = _solver(twin, grid)
    points = [twin.points(sensor) for sensor in twin.sensors]
    ends = np.cumsum([len(p) for p in points])[:-1]

    def misfits(theta: Any, weights: Any, row: Any) -> Any:
        del weights
        parts = jnp.split(solve(theta, np.concatenate(points)), ends)
        seen, scales = [], []
        for sensor, u in zip(twin.sensors, parts, strict=True):
            value = jax.vmap(sensor.observe)(u)
            scale = jnp.broadcast_to(_scale(sensor.sigma, theta), value.shape)
            seen.append(value.reshape(-1))
            scales.append(scale.reshape(-1))
        return dist.Normal(jnp.concatenate(seen), jnp.concatenate(scales)), row

    values = [np.asarray(sensor.values, float).reshape(-1) for sensor in twin.sensors]
    term = Term("data", misfits, np.concatenate(values)[None])
    return Problem([term], prior=twin.prior, start=twin.start)


def _fit_network(twin: Twin, settings: Network, seed: int) -> FieldAnswer:
    key = stream_key(seed, "collocation")
    field = _network_field(twin, settings)
    points = _uniform(key, twin, settings.collocation)

    def stage(index: int, factor: float) -> Any:
        def following(theta: Any, weights: Any) -> Problem:
            moved = _resample(
                jr.fold_in(key, index), (twin, field), (theta, weights), points
            )
            return network_problem(twin, settings, moved, factor)

        return following

    # The scale of the equation that is inferred is not relaxed.
    known = not isinstance(twin.residual_sigma, str)
    relax = settings.relax if known else (1.0,)
    first, *rest = relax
    fit = map_fit(
        network_problem(twin, settings, points, first),
        seed=seed,
        max_steps=settings.max_steps,
        tolerance=settings.tolerance,
        stages=[stage(index, factor) for index, factor in enumerate(rest)],
    )

    def evaluate(theta: Any, weights: Any, where: np.ndarray) -> Array:
        del theta
        return jax.vmap(lambda p: field(weights, p))(jnp.asarray(where))

    return FieldAnswer("network (PINN), Laplace", fit, evaluate, relax)


def _fit_grid(twin: Twin, grid: Grid, seed: int) -> FieldAnswer:
    solve = _solver(twin, grid)
    fit = map_fit(grid_problem(twin, grid), seed=seed)
    method = "grid, Gauss-Newton, Laplace"
    return FieldAnswer(method, fit, lambda theta, _, where: solve(theta, where))


def _solver(twin: Twin, grid: Grid) -> Callable[[Any, np.ndarray], Array]:
    """Return ``(theta, points) -> u``, ``(n, components)``."""
    axes = list(twin.domain)
    if "t" not in axes:
        nodes = np.linspace(*twin.domain[axes[0]], grid.nodes)
        with jax.enable_x64(True):
            boundary = Boundary(
                axes[0], nodes, twin.equation, twin.constrain, twin.components
            )

        def solve_static(theta: Any, where: np.ndarray) -> Array:
            return jnp.asarray(on_points(nodes, where[:, 0])) @ boundary(theta)

        return solve_static
    low, high = twin.domain["t"]
    march = March(
        twin.domain,
        twin.equation,
        twin.constrain,
        twin.channels or twin.components,
        nodes=grid.nodes,
        step=grid.step or (high - low) / 500,
    )

    def solve(theta: Any, where: np.ndarray) -> Array:
        times, index = np.unique(where[:, axes.index("t")], return_inverse=True)
        u = march(theta, times)
        if march.space is None:
            return u[index, 0]
        space = where[:, axes.index(march.space)]
        matrix = on_points(march.nodes, space)
        return jnp.einsum("mn,mnc->mc", matrix, u[index])

    return solve


def _network_field(twin: Twin, settings: Network) -> NetworkField:
    inputs, kept = settings.inputs or tuple(twin.domain), []
    if not settings.deep:
        with jax.enable_x64(True):
            key, size = stream_key(0, "features"), len(inputs)
            kept = draw_features(key, size, settings.hidden, settings.slopes)
            kept = [(np.asarray(a), np.asarray(b)) for a, b in kept]
    channels = twin.channels or twin.components
    return NetworkField(
        twin.domain, channels, twin.constrain, settings.hidden, inputs, kept
    )


def _sensor_names(twin: Twin) -> list[str]:
    if len(twin.sensors) == 1:
        return ["data"]
    return [f"data {i + 1}" for i in range(len(twin.sensors))]


def _scale(scale: Scale, theta: Any) -> Any:
    return theta[scale] if isinstance(scale, str) else scale


def _residual_scale(twin: Twin, theta: Any, point: Array) -> Any:
    if callable(twin.residual_sigma):
        return twin.residual_sigma(named(twin.domain, point))
    return _scale(twin.residual_sigma, theta)


def _uniform(key: Key[Array, ""], twin: Twin, count: int) -> np.ndarray:
    """Spread points evenly: one per interval on a line, a Halton set in a plane."""
    from scipy.stats import qmc

    ends = np.array(list(twin.domain.values()), float)
    if len(ends) == 1:
        unit = (np.arange(count)[:, None] + 0.5) / count
        unit = np.concatenate([np.zeros((1, 1)), unit, np.ones((1, 1))])
    else:
        unit = qmc.Halton(len(ends), rng=numpy_generator(key)).random(count)
    return ends[:, 0] + unit * np.diff(ends)[:, 0]


def _resample(
    key: Key[Array, ""],
    twin_and_field: tuple[Twin, NetworkField],
    found: tuple[Any, Any],
    points: Float[np.ndarray, "n dim"],
) -> np.ndarray:
    """Keep half of the points; put as many where the equation is violated most.

    Source: residual-based adaptive distribution, Wu et al. (2023), Comput. Methods
    Appl. Mech. Eng. 403:115671.
    """
    (twin, field), (theta, weights) = twin_and_field, found
    key_where, key_pick = jr.split(key)
    ends = np.array(list(twin.domain.values()), float)
    unit = np.asarray(jr.uniform(key_where, (20 * len(points), len(ends))))
    candidates = ends[:, 0] + unit * np.diff(ends)[:, 0]

    def violation(point: Array) -> Array:
        value = twin.equation(field.jet(weights, point, twin.derivatives), theta)
        return jnp.sum((value / _residual_scale(twin, theta, point)) ** 2)

    squares = np.asarray(jax.jit(jax.vmap(violation))(jnp.asarray(candidates)))
    share = np.sqrt(squares)
    share = share / share.mean() + 1.0
    noise = np.asarray(jr.gumbel(key_pick, (len(candidates),)))
    chosen = np.argsort(-(np.log(share) + noise))[: len(points) // 2]
    return np.concatenate([points[::2], candidates[chosen]])
