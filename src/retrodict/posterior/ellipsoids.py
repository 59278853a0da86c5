r"""The part of a prior that holds a posterior: ellipsoids in unconstrained targets.

Source: Feroz, Hobson, Bridges (2009), MultiNest, arXiv:0809.3437, sec. 5.2 (a union of
ellipsoids around clusters, drawn from by volume and by how many hold a point).
Deviations from the source: clusters by k-means, their number the one with the least
volume; radii by a quantile of the draws and a margin. The bound of the rejection is the
largest of 20 000 densities: where it is exceeded the draws are a little too flat.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.cluster.vq import kmeans2

from .._core.quadratic import MAX_PRODUCTS
from .._core.seeds import numpy_generator
from ..model import Balls, Model, Region


NUM_CLUSTERS = (1, 2, 4, 8, 16)
PER_COLUMN = 20  # draws per coordinate that a cluster needs
LEVEL = 0.999  # of the draws, that ellipsoids hold before they are widened
MARGIN = 1.2  # of their radius
NUM_POINTS = 20_000  # behind the mass of a region
SELDOM = 0.05  # mass below which the prior itself is not worth drawing from
NUM_BLOCKS = 50  # of as many draws of the prior, where it must be drawn from
ENOUGH = 2000 / NUM_POINTS  # hits, in parts of a block: a mass good to 2 %
HEADROOM = 0.05  # above the largest log-density among the points, nats


def ellipsoids(
    key: Key[Array, ""],
    theta: Float[np.ndarray, "n dim"],
    model: Model,
    within: Region | None = None,
    *,
    level: float = LEVEL,
    margin: float = MARGIN,
) -> Region:
    """Return the region of a model's prior around draws, with its mass.

    Of more than 12 coordinates the axes are those of the coordinates. Where the density
    of the prior of the targets is known the region has balls to draw from, if its mass
    is small; else draws of the prior must be rejected, and the mass may be 0 if none
    of a million hits.

    Args:
        key: PRNG key of clusters, and of the points behind the mass.
        theta: Draws of a posterior of the model's targets.
        model: The model, with its whole prior.
        within: A region that the new one is a part of.
        level: Share of the draws that the ellipsoids hold before they are widened.
        margin: Factor of their radius.
    """
    u = model.targets.unconstrain(theta)
    key_clusters, key_mass = jr.split(key)
    mean, scale = u.mean(0), u.std(0)
    z = (u - mean) / scale
    cover = partial(_cover, z, level=level, margin=margin)
    shapes = [cover(labels) for labels in _clusterings(key_clusters, z)]
    centers, factors = min(shapes, key=lambda shape: Balls(*shape).log_volume)
    weights = np.stack([_score(*one) for one in zip(centers, factors, strict=True)], 1)
    region = Region(model.targets, mean, scale, weights, within=within)
    balls = Balls(mean + scale * centers, scale[:, None] * factors)
    return _with_mass(key_mass, region, balls, model)


def _clusterings(key: Key[Array, ""], z: np.ndarray) -> list[np.ndarray]:
    """Return labels of the draws for every number of clusters that is big enough."""
    rng = numpy_generator(key)
    least = PER_COLUMN * z.shape[1]
    found = [np.zeros(len(z), int)]
    for number in NUM_CLUSTERS[1:]:
        _, labels = kmeans2(z, number, minit="++", rng=rng)
        if np.bincount(labels, minlength=number).min() >= least:
            found.append(labels)
    return found


def _cover(
    z: np.ndarray, labels: np.ndarray, *, level: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return centers and factors of the ellipsoids around clusters."""
    parts = [z[labels == label] for label in np.unique(labels)]
    both = [_around(part, level, margin) for part in parts]
    return np.stack([c for c, _ in both]), np.stack([f for _, f in both])


def _around(
    z: Float[np.ndarray, "n dim"], level: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    center = z.mean(0)
    covariance = np.atleast_2d(np.cov(z.T)) + 1e-9 * np.eye(z.shape[1])
    if z.shape[1] > MAX_PRODUCTS:
        covariance = np.diag(np.diag(covariance))
    factor = np.linalg.cholesky(covariance)
    distances = np.linalg.norm(np.linalg.solve(factor, (z - center).T), axis=0)
    return center, margin * np.quantile(distances, level) * factor


def _score(center: np.ndarray, factor: np.ndarray) -> Float[np.ndarray, " columns"]:
    """Return the weights of quadratic features that make 1 - distance squared."""
    dim = len(center)
    inverse = np.linalg.inv(factor)
    precision = inverse.T @ inverse
    twice = 2 * precision - np.diag(np.diag(precision))
    products = twice[np.triu_indices(dim)] if dim <= MAX_PRODUCTS else np.diag(twice)
    constant = 1 - center @ precision @ center
    return np.concatenate([[constant], 2 * precision @ center, -products])


def _with_mass(
    key: Key[Array, ""], region: Region, balls: Balls, model: Model
) -> Region:
    """Measure the mass by draws of the prior or, where few hit, of the ellipsoids."""
    key_prior, key_balls = jr.split(key)
    hits = _hits(key_prior, region, model)
    if hits >= SELDOM:
        return replace(region, mass=hits)
    prior = model.target_prior()
    if prior is None:
        return replace(region, mass=_rejected(key_balls, region, model))
    with jax.enable_x64(True):
        points = jax.jit(jax.vmap(balls.draw))(jr.split(key_balls, NUM_POINTS))
        density = jax.jit(jax.vmap(prior.unconstrained_log_density))
        log_p, points = np.asarray(density(points)), np.asarray(points)
    times = region.count(points)
    bound = float(log_p[times > 0].max())
    share = np.where(times > 0, np.exp(log_p - bound), 0.0) / np.maximum(times, 1)
    mass = float(share.mean() * np.exp(bound + balls.log_volume))
    balls = replace(balls, log_bound=bound + HEADROOM)
    return replace(region, mass=mass, balls=balls)


def _hits(key: Key[Array, ""], region: Region, model: Model) -> float:
    """Return the part of draws of the prior whose targets lie inside."""
    theta = model.prior.sample(key, NUM_POINTS)
    targets = model.flatten({**theta, **model.derived(theta)})
    return float(region.contains(targets).mean())


def _rejected(key: Key[Array, ""], region: Region, model: Model) -> float:
    """Return the mass by blocks of draws of the prior, until enough have hit."""
    hits = 0.0
    for number in range(NUM_BLOCKS):
        hits += _hits(jr.fold_in(key, number), region, model)
        if hits >= ENOUGH:
            return hits / (number + 1)
    return hits / NUM_BLOCKS
