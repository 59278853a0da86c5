r"""A field as a network, and its derivatives at a point.

:math:`u_w(z) = c(z, N_w(z))`: a network of tanh layers, whose output the problem's own
transform :math:`c` turns into something that satisfies the boundary and initial
conditions whatever the weights are (hard constraints).

Source: Lagaris, Likas and Fotiadis (1998), arXiv:physics/9705023.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key


Layers = list[tuple[Any, Any]]
Constrain = Callable[[Any, Array], Array]


@dataclass(frozen=True, eq=False)
class Jet:
    """A field and its derivatives at one point, by name.

    ``d.x`` and ``d.t`` are coordinates, ``d.u`` is the field ``(components,)``, and
    ``d.u_t``, ``d.u_x``, ``d.u_xx`` are its derivatives: those that were asked for.

    Attributes:
        entries: The arrays by name.
    """

    entries: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        entries = object.__getattribute__(self, "entries")
        if name not in entries:
            raise AttributeError(
                f"The equation asks for {name!r}. Expected one of {sorted(entries)}: "
                "name further derivatives in Twin(derivatives=...)."
            )
        return entries[name]


def init_mlp(key: Key[Array, ""], sizes: Sequence[int]) -> Layers:
    """Draw the weights of a tanh network: Glorot's variance, biases zero."""
    layers = []
    keys = jr.split(key, len(sizes) - 1)
    for key_layer, (fan_in, fan_out) in zip(keys, pairwise(sizes), strict=True):
        scale = np.sqrt(2 / (fan_in + fan_out))
        matrix = scale * jr.normal(key_layer, (fan_out, fan_in), float)
        layers.append((matrix, jnp.zeros(fan_out)))
    return layers


def draw_features(
    key: Key[Array, ""],
    dim: int,
    widths: Sequence[int],
    slopes: tuple[float, float],
) -> Layers:
    r"""Draw hidden layers that are kept: steps of every width at every place of a box.

    The first layer is :math:`\tanh(a \cdot (x - c))` with centers spread over the box
    :math:`[-1.1, 1.1]^d`, directions even and :math:`\log |a|` even within ``slopes``.

    Source: random-feature collocation, as in Dong and Li (2021), Comput. Methods Appl.
    Mech. Eng. 387:114129; slopes of several sizes are ours.
    """
    key_first, key_rest = jr.split(key)
    keys = jr.split(key_first, 3)
    first = widths[0]
    direction = jr.normal(keys[0], (first, dim), float)
    direction /= jnp.linalg.norm(direction, axis=1, keepdims=True)
    low, high = np.log(slopes)
    slope = jnp.exp(jr.uniform(keys[1], (first, 1), float, low, high))
    center = jr.uniform(keys[2], (first, dim), float, -1.1, 1.1)
    matrix = slope * direction
    layer = (matrix, -jnp.sum(matrix * center, axis=1))
    return [layer, *init_mlp(key_rest, widths)] if len(widths) > 1 else [layer]


def apply_mlp(layers: Layers, x: Float[Array, " in"]) -> Float[Array, " out"]:
    """Evaluate the network at one input."""
    for matrix, bias in layers[:-1]:
        x = jnp.tanh(matrix @ x + bias)
    matrix, bias = layers[-1]
    return matrix @ x + bias


@dataclass(frozen=True, eq=False)
class NetworkField:
    """A network of points of a box, with hard constraints.

    Attributes:
        domain: Ends of each axis, by name, in order.
        channels: Number of outputs of the network.
        constrain: ``(point, raw) -> u``, the hard constraints.
        hidden: Widths of the hidden layers.
        inputs: Axes that the network sees.
        kept: Hidden layers that are no unknowns: those of the output layer alone are.
    """

    domain: Mapping[str, tuple[float, float]]
    channels: int
    constrain: Constrain
    hidden: tuple[int, ...]
    inputs: tuple[str, ...]
    kept: Layers = field(default_factory=list)

    def init(self, key: Key[Array, ""]) -> Layers:
        """Draw weights; those of an output layer on kept features are zero."""
        if self.kept:
            shape = self.channels, self.hidden[-1]
            return [(jnp.zeros(shape), jnp.zeros(self.channels))]
        return init_mlp(key, (len(self.inputs), *self.hidden, self.channels))

    def __call__(self, weights: Layers, point: Float[Array, " dim"]) -> Array:
        """Evaluate the field ``(components,)`` at one point."""
        ends = np.array([self.domain[axis] for axis in self.inputs])
        middle, half = ends.mean(1), np.diff(ends)[:, 0] / 2
        seen = point[np.array([list(self.domain).index(a) for a in self.inputs])]
        raw = apply_mlp([*self.kept, *weights], (seen - middle) / half)
        return self.constrain(named(self.domain, point), raw)

    def jet(
        self, weights: Layers, point: Float[Array, " dim"], derivatives: Sequence[str]
    ) -> Jet:
        """Evaluate the field and derivatives, named ``"t"`` or ``"xx"``."""
        entries = {**named(self.domain, point).entries, "u": self(weights, point)}
        for word in derivatives:
            function = lambda p: self(weights, p)  # noqa: E731
            for letter in word:
                function = _along(function, self._direction(letter))
            entries[f"u_{word}"] = function(point)
        return Jet(entries)

    def _direction(self, axis: str) -> np.ndarray:
        return np.array([float(name == axis) for name in self.domain])


def named(axes: Mapping[str, Any], point: Float[Array, " dim"]) -> Jet:
    """Name the coordinates of a point."""
    return Jet({name: point[i] for i, name in enumerate(axes)})


def _along(function: Callable[[Array], Array], direction: np.ndarray) -> Any:
    def derivative(point: Array) -> Array:
        return jax.jvp(function, (point,), (jnp.asarray(direction, point.dtype),))[1]

    return derivative
