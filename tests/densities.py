"""One constructor for every density, away from its start, for the laws they obey."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from retrodict.estimators import (
    AbstractDensity,
    AbstractLayeredFlow,
    Autoregressive,
    Correlated,
    FlowMatching,
    MixtureDensity,
    SplineCoupling,
    trainable,
)


COND_DIM, DIRECT_DIM = 5, 2
CONDITION = np.array([0.3, -1.2, 0.8, 0.5, -0.4], np.float32)
SHARED = {"width": 16, "direct_dim": DIRECT_DIM}

DENSITIES: dict[str, Callable[..., AbstractDensity]] = {
    "spline_coupling": functools.partial(SplineCoupling, num_layers=3, **SHARED),
    "autoregressive": functools.partial(Autoregressive, num_layers=2, **SHARED),
    "affine_autoregressive": functools.partial(
        Autoregressive, num_layers=3, transform="affine", **SHARED
    ),
    "mixture_density": functools.partial(MixtureDensity, num_components=4, **SHARED),
    "correlated": Correlated,
    "flow_matching": functools.partial(FlowMatching, num_layers=2, **SHARED),
}


def new_density(name: str, dim: int) -> AbstractDensity:
    """Return a density as it is drawn."""
    return DENSITIES[name](jr.key(dim), dim, COND_DIM)


@functools.cache
def moved_density(name: str, dim: int, size: float = 0.15) -> AbstractDensity:
    """Return a density whose weights are all away from their start."""
    with jax.enable_x64(False):  # it may be asked for inside a float64 test
        density = new_density(name, dim)
        weights, fixed = eqx.partition(density, trainable(density))
        leaves, treedef = jax.tree.flatten(weights)
        rng = np.random.default_rng(17)
        moved = [leaf + size * rng.standard_normal(leaf.shape, "f4") for leaf in leaves]
        whole = eqx.combine(jax.tree.unflatten(treedef, moved), fixed)
        return (
            with_base(whole, 1.2) if isinstance(whole, AbstractLayeredFlow) else whole
        )


def with_base(flow: Any, scale: float) -> Any:
    """Return the flow, or an estimator that has one, with a base of another width."""

    def place(tree: Any) -> Any:
        return getattr(tree, "density", tree).base_scale.value

    return eqx.tree_at(place, flow, jnp.asarray(scale, jnp.float32))


def in_float64(density: AbstractDensity) -> AbstractDensity:
    """Return the same density with weights in float64; inside ``enable_x64``."""
    return jax.tree.map(
        lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, density
    )


def log_probs(density: AbstractDensity, values: np.ndarray) -> np.ndarray:
    """Return the log-density of rows of values at :data:`CONDITION`, by chunks."""
    parts = np.array_split(values.astype(np.float32), -(-len(values) // 20_000))
    size = len(parts[0])
    padded = [np.pad(p, ((0, size - len(p)), (0, 0))) for p in parts]
    done = [
        np.asarray(_log_probs(density, p))[: len(q)]
        for p, q in zip(padded, parts, strict=True)
    ]
    return np.concatenate(done).astype(float)


def draws(density: AbstractDensity, key: jax.Array, num: int) -> np.ndarray:
    """Return draws at :data:`CONDITION`."""
    return np.asarray(_draws(density, jr.split(key, num)), float)


# the density is an argument: what is compiled for one test serves the others
@eqx.filter_jit
def _log_probs(density, values):
    return jax.vmap(density.log_prob, (0, None))(values, jnp.asarray(CONDITION))


@eqx.filter_jit
def _draws(density, keys):
    return jax.vmap(density.sample, (0, None))(keys, jnp.asarray(CONDITION))
