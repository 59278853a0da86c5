r"""What simulations look like, so that an observation that differs is noticed.

Three places are looked at, each with p-values calibrated on held-out simulations:

- x itself, in the coordinates the networks see;
- what the first network of an ensemble makes of x, its *embedding*: where that lies
  far from those of all simulations, the density is extrapolated;
- the networks' *disagreement*: the mean Kullback-Leibler divergence between the
  posteriors of any two, in nats. They were fitted to agree on simulations alone.

Source: Schmitt, Bürkner, Köthe, Radev (2024), Detecting model misspecification in
amortized Bayesian inference, arXiv:2406.03154 (the embedding); Lakshminarayanan et al.
(2017), arXiv:1612.01474 (disagreement).
Deviations from the source: single observations, p-values from held-out simulations.
The estimate of the divergence is "k3" of Schulman (2020), Approximating KL divergence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._core.errors import DataError
from .._core.seeds import numpy_generator, stream_key
from ..diagnostics import (
    OutlierReference,
    OutlierResult,
    fit_outlier_reference,
    tail_p_values,
)
from ..estimators import apply_scalers
from .network import Network


# Alarms below these are false for 1.2 of 100 observations, all three together.
LEVELS = {"x": 0.007, "embedding": 0.003, "disagreement": 0.002}
NUM_FITTED, NUM_HELD_OUT, MIN_HELD_OUT = 4000, 2000, 40  # rows that are embedded
NUM_NETWORKS, NUM_DRAWS, NUM_COMPARED, ROWS = 3, 32, 500, 1024
MAX_NATS, MAX_GAP = 1e6, 3.0
SEED = 0


class Oddity(NamedTuple):
    """How unusual one observation is; p-values are shares of simulations.

    Attributes:
        x: What its entries say, the most deviating ones named by their columns.
        p_embedding: P-value of its embedding.
        p_disagreement: P-value of the networks' disagreement; 1 where there is one.
        disagreement: That disagreement, nats.
        usual_disagreement: Median over held-out simulations, nats.
    """

    x: OutlierResult
    p_embedding: float
    p_disagreement: float
    disagreement: float
    usual_disagreement: float


@dataclass(frozen=True, eq=False)
class Typical:
    """What simulations look like to us and to the networks.

    Attributes:
        x: In the standardized coordinates of x.
        embedding: In those of the first network's embedding.
        disagreement: Sorted logarithms of the networks' disagreement at held-out
            simulations; none where there is a single network.
    """

    x: OutlierReference
    embedding: OutlierReference
    disagreement: Float[np.ndarray, " num_held_out"]

    def check(self, network: Network, series: Mapping[str, np.ndarray]) -> Oddity:
        """Judge one observation, given as series ``(1, *shape)``.

        An observation at which a network overflows is as unusual as can be.
        """
        flat = flat_series(apply_scalers(network.scalers, series))[0]
        context = network.embed(series)
        embedded = context[0, 0].astype(np.float64)
        p_embedding = 0.0
        if np.isfinite(embedded).all():
            p_embedding = self.embedding.check(embedded).p_value
        p_disagreement, value, usual = 1.0, 0.0, 0.0
        if len(self.disagreement):
            found = _log_disagreement(network, context)
            p_disagreement = float(tail_p_values(self.disagreement, found)[0])
            value, usual = np.exp([found[0], np.median(self.disagreement)])
        return Oddity(
            self.x.check(flat), p_embedding, p_disagreement, float(value), float(usual)
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give all content as named arrays, for a file of arrays."""
        found = {"disagreement": self.disagreement}
        for name in ("x", "embedding"):
            arrays = getattr(self, name).to_arrays()
            found |= {f"{name}/{key}": value for key, value in arrays.items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Typical":
        """Rebuild from `to_arrays`, equal to the bit.

        Raises:
            ValueError: If an array is missing or unknown.
        """
        parts: dict[str, dict[str, np.ndarray]] = {"x": {}, "embedding": {}}
        rest = dict(arrays)
        for key in arrays:
            name, _, inner = key.partition("/")
            if name in parts and inner:
                parts[name][inner] = rest.pop(key)
        if set(rest) != {"disagreement"}:
            raise ValueError(f"Expected the array disagreement; got {sorted(rest)}.")
        x, embedding = (OutlierReference.from_arrays(part) for part in parts.values())
        return cls(x, embedding, rest["disagreement"])


def fit_typical(
    key: Key[Array, ""],
    network: Network,
    series: Mapping[str, np.ndarray],
    held_out: Int[np.ndarray, " num_held_out"],
) -> Typical:
    """Learn what simulations look like.

    Args:
        key: PRNG key.
        network: The trained networks.
        series: Simulations, series ``(n, *shape)``.
        held_out: Rows that the first network was not fitted to.
    """
    key_x, key_embedding = jr.split(key)
    count = len(next(iter(series.values())))
    flat = flat_series(apply_scalers(network.scalers, series))
    judged = held_out[held_out < count][:NUM_HELD_OUT]
    if len(judged) < MIN_HELD_OUT:  # too few to know a tail from
        judged = numpy_generator(key).permutation(count)[:MIN_HELD_OUT]
    fitted = np.setdiff1d(np.arange(count), judged)[:NUM_FITTED]
    rows = np.concatenate([judged, fitted])
    blocks = np.array_split(rows, -(-len(rows) // ROWS))  # large x in bounded memory
    parts = [
        network.embed({k: np.asarray(v[block]) for k, v in series.items()})
        for block in blocks
    ]
    context = np.concatenate(parts, axis=1)
    few = context[:, : min(len(judged), NUM_COMPARED)]
    agreed = np.sort(_log_disagreement(network, few))
    return Typical(
        fit_outlier_reference(key_x, flat),
        fit_outlier_reference(
            key_embedding,
            context[0].astype(np.float64),
            held_out=np.arange(len(judged)),
        ),
        agreed if len(network.members) > 1 else agreed[:0],
    )


def _log_disagreement(
    network: Network, context: Float[np.ndarray, "m n c"]
) -> Float[np.ndarray, " n"]:
    """Return the log of the mean divergence between any two of the first networks."""
    members = network.members[:NUM_NETWORKS]
    if len(members) < 2:
        return np.zeros(context.shape[1])
    shared = {"_programs": network._programs}
    key = stream_key(SEED, "disagreement")
    try:
        draws = [
            replace(network, members=(member,), **shared).sample(
                jr.fold_in(key, m), context[m : m + 1], NUM_DRAWS
            )
            for m, member in enumerate(members)
        ]
    except DataError:  # the network overflows
        return np.full(context.shape[1], np.log(MAX_NATS))
    points = np.concatenate(draws, axis=1)
    few = replace(network, members=members, **shared)
    log_prob = few.member_log_prob(points, context[: len(members)])
    by_source = log_prob.reshape(len(members), context.shape[1], -1, NUM_DRAWS)
    own = np.einsum("mnms->mns", by_source)
    gap = own - np.maximum(by_source, -MAX_NATS).swapaxes(1, 2)  # (k, m, n, s)
    # E_m[gap + q_k/q_m - 1] is the divergence too, with far less noise where small.
    each = gap - 1 + np.exp(-np.maximum(gap, -MAX_GAP))
    pairs = len(members) * (len(members) - 1)  # k = m adds nothing
    nats = each.mean(axis=3).sum(axis=(0, 1)) / pairs
    return np.log(np.clip(np.nan_to_num(nats, nan=MAX_NATS), 1e-6, MAX_NATS))


def flat_series(z: Mapping[str, np.ndarray]) -> np.ndarray:
    """Join standardized series to ``(n, columns)``, in the order of their names."""
    parts = [z[name].reshape(len(z[name]), -1) for name in sorted(z)]
    return np.concatenate(parts, axis=1).astype(np.float64)
