r"""Sharpen slow chains: importance sampling from kernels around their draws.

Where chains mix slowly, thousands of draws tell as much as a few hundred independent
ones. They still show where the posterior is: draws of the chains, shrunk towards their
mean, are the centers of a mixture of Student kernels with the mean of the chains and a
little more than their covariance. Independent draws :math:`u` of this mixture
:math:`q`, in the unconstrained coordinates of the prior, get the weights
:math:`p(u \mid x) / q(u)`; a first, smaller round puts the kernels in order.

Source: West (1993), Approximating posterior distributions by mixtures, Journal of the
Royal Statistical Society B 55; in cosmology as in Wraith et al. (2009), Estimation of
cosmological parameters using adaptive importance sampling, arXiv:0903.0837.
Deviation from the source: two rounds, with all kernels of one width.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy.special import logsumexp

from .._core.resampling import resample
from .._core.seeds import numpy_generator
from ..model import Baseline, Model
from ._nuts import LogLikelihood, make_log_density


NUM_KERNELS = 500
WIDTH = 0.7  # of a kernel, in sds of the chains
DEGREES = 8.0  # of freedom
ROUNDS = (4_000, 16_000)


def sharpen(
    key: Key[Array, ""],
    model: Model,
    log_likelihood: LogLikelihood,
    found: Baseline,
    *,
    rounds: tuple[int, ...] = ROUNDS,
) -> Baseline:
    """Replace the draws of chains by as many weighted and resampled ones.

    Args:
        key: PRNG key.
        model: Gives the prior and its unconstrained coordinates.
        log_likelihood: Log-density of the data, in nats, for one theta.
        found: What the chains found.
        rounds: Draws of every round.

    Returns:
        The same with new draws, and their effective sample size among the diagnostics.
    """
    space, rng = model.prior.space, numpy_generator(key)
    u = np.asarray(space.unconstrain(space.flatten(found.draws)), np.float64)
    num_kept = len(u)
    evaluate = _evaluator(make_log_density(model, log_likelihood))
    log_weights = np.zeros(len(u))
    for count in rounds:
        centers = u[resample(rng, log_weights, NUM_KERNELS)]
        u, log_q = _draw(rng, centers, count)
        log_weights = np.nan_to_num(evaluate(u) - log_q, nan=-np.inf)
    share = np.exp(log_weights - logsumexp(log_weights))
    theta = np.asarray(space.constrain(u[resample(rng, log_weights, num_kept)]))
    told = {"ESS after importance sampling": float(1 / np.sum(share**2))}
    return replace(
        found,
        method=f"{found.method}, sharpened by importance sampling",
        draws=space.unflatten(theta),
        diagnostics={**found.diagnostics, **told},
    )


def _evaluator(
    log_density: Callable[[Array], Array],
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log-density of many rows, in float64."""
    jax.clear_caches()  # see `nuts`: nothing traced in single precision may be reused

    def evaluate(u: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, " n"]:
        with jax.enable_x64(True):
            every = jax.jit(lambda u: jax.lax.map(log_density, u, batch_size=100))
            return np.asarray(every(jnp.asarray(u)))

    return evaluate


def _draw(
    rng: np.random.Generator, centers: Float[np.ndarray, "kernels dim"], count: int
) -> tuple[Float[np.ndarray, "count dim"], Float[np.ndarray, " count"]]:
    """Draw from the mixture; return its log-density too, up to a constant."""
    mean, root = centers.mean(0), np.linalg.cholesky(np.cov(centers.T))
    # In coordinates in which the centers have mean 0 and covariance 1.
    white = np.sqrt(1 - WIDTH**2) * np.linalg.solve(root, (centers - mean).T).T
    dim = white.shape[1]
    noise = rng.standard_normal((count, dim))
    noise /= np.sqrt(rng.chisquare(DEGREES, (count, 1)) / DEGREES)
    draws = white[rng.integers(len(white), size=count)] + WIDTH * noise
    log_q = np.empty(count)
    for part in np.array_split(np.arange(count), max(count // 1000, 1)):
        far = ((draws[part, None] - white) ** 2).sum(-1) / (WIDTH**2 * DEGREES)
        log_q[part] = logsumexp(-0.5 * (DEGREES + dim) * np.log1p(far), axis=1)
    return mean + draws @ root.T, log_q
