r"""Is an observation like the simulations? A reference fitted once, asked many times.

A network answers for any x, also for one its simulator cannot produce. Four distances
of x from the training simulations are measured and each compared with the same distance
of held-out simulations:

- ``distance``: Mahalanobis, over principal components with a shrunk covariance,
  :math:`(x-\bar x)^\top \hat\Sigma^{-1} (x-\bar x)`, sees wrong combinations and noise;
- ``neighbor``: to the 5th nearest of up to 1000 stored simulations, sees holes and
  curved supports;
- ``kernel``: maximum mean discrepancy (MMD) between x alone and the stored simulations
  :math:`x_i`, which falls with :math:`\tfrac1n \sum_i \exp(-|x-x_i|^2 / 2 h^2)`, sees
  where they are rare over a neighborhood of width h, their median distance;
- ``column``: the largest deviation of one column from its median, in units of its own
  lower or upper spread, names the summary that is off.

The smallest of the four p-values, times a factor measured on held-out simulations
(between 1, all four alike, and 4, Bonferroni), is the p-value of x.

x may be the simulator's output or what a network makes of it, its embedding.

Source: covariance: Ledoit, Wolf (2004), A well-conditioned estimator for
large-dimensional covariance matrices, J. Multivariate Analysis 88; the idea of judging
x in summary space, by MMD: Schmitt et al. (2024), arXiv:2406.03154.
Deviations from the source: calibrated by held-out ranks rather than by theory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, PRNGKeyArray
from scipy.spatial.distance import cdist, pdist
from scipy.special import logsumexp

from .._core.seeds import numpy_generator
from ._tail import tail_p_values


# An alarm below this p-value is false for one observation in a hundred.
ALARM_LEVEL = 0.01
NEAREST = 5
# More columns are folded into so many sums with random signs (a count sketch), for the
# first three distances only; the last always looks at every column.
MAX_FOLDED = 512
MIN_SIMULATIONS = 50
MAX_PAIRED = 500  # simulations whose median distance is the width of the kernel
# So many sds are as good as infinitely many, and their squares do not overflow.
FAR = 1e6


@dataclass(frozen=True)
class OutlierResult:
    """What a reference says of one observation.

    Attributes:
        p_value: Share of simulations at least as unusual; an alarm below 0.01.
        p_distance: The same for the Mahalanobis distance alone.
        p_neighbor: For the distance to the nearest simulations alone.
        p_kernel: For the maximum mean discrepancy alone.
        p_column: For the largest deviation of one column alone.
        columns: Indices of the most deviating columns, worst first.
        deviations: Their signed distances from the median, in sds of simulations.
    """

    p_value: float
    p_distance: float
    p_neighbor: float
    p_kernel: float
    p_column: float
    columns: tuple[int, ...]
    deviations: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class OutlierReference:
    """What typical simulations look like, as plain arrays that can be stored.

    Attributes:
        center: Mean of each column of x.
        scale: Spread of each column; tiny where the column never varies.
        median: Median of each column.
        lower: Spread below the median, from the 2.5 % quantile.
        upper: Spread above the median, from the 97.5 % quantile.
        bucket: Index of the sum that each column is folded into.
        sign: Its sign in that sum.
        whitening: From folded columns to whitened components.
        references: Whitened simulations for nearest neighbors and kernel.
        bandwidth: Width of the kernel among whitened simulations.
        held_out: Sorted statistics of held-out simulations, one row per distance.
        factor: Multiplies the smallest of four p-values.
    """

    center: Float64[np.ndarray, " x_dim"]
    scale: Float64[np.ndarray, " x_dim"]
    median: Float64[np.ndarray, " x_dim"]
    lower: Float64[np.ndarray, " x_dim"]
    upper: Float64[np.ndarray, " x_dim"]
    bucket: Int[np.ndarray, " x_dim"]
    sign: Float64[np.ndarray, " x_dim"]
    whitening: Float64[np.ndarray, "folded components"]
    references: Float32[np.ndarray, "num_references components"]
    bandwidth: Float64[np.ndarray, " 1"]
    held_out: Float64[np.ndarray, "4 num_held_out"]
    factor: Float64[np.ndarray, " 1"]

    def check(self, x_obs: Float[np.ndarray, " x_dim"]) -> OutlierResult:
        """Judge one flat observation and name its most unusual columns.

        Raises:
            ValueError: If its length is wrong or an entry is not finite.
        """
        p_values = self._each(x_obs[None])
        deviation = self._deviations(x_obs[None])[0]
        worst = np.argsort(-np.abs(deviation), kind="stable")[:5]
        return OutlierResult(
            float(self._combine(p_values)[0]),
            *(float(p) for p in p_values[0]),
            columns=tuple(int(i) for i in worst),
            deviations=tuple(float(deviation[i]) for i in worst),
        )

    def p_values(
        self, x: Float[np.ndarray, "num_sims x_dim"]
    ) -> Float[np.ndarray, " num_sims"]:
        """Judge many flat observations, each by itself.

        Raises:
            ValueError: If the number of columns is wrong or an entry is not finite.
        """
        return self._combine(self._each(x))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give all content as named arrays, for a file of arrays."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "OutlierReference":
        """Rebuild a reference from `to_arrays`, equal to the bit.

        Raises:
            ValueError: If an array is missing or unknown.
        """
        expected = {f.name for f in fields(cls)}
        if set(arrays) != expected:
            raise ValueError(
                f"Expected arrays {sorted(expected)}; got {sorted(arrays)}."
            )
        return cls(**arrays)

    def _combine(self, p_values: np.ndarray) -> np.ndarray:
        return np.minimum(self.factor * p_values.min(axis=-1), 1.0)

    def _each(self, x: np.ndarray) -> np.ndarray:
        _require_columns(x, len(self.center))
        statistics = self._statistics(x)
        each = map(tail_p_values, self.held_out, statistics)
        return np.stack(list(each), axis=-1)

    def _statistics(self, x: np.ndarray) -> np.ndarray:
        white = self._whiten(x)
        stored = self.references.astype(np.float64)
        nearest = min(NEAREST, len(stored)) - 1
        neighbor, kernel = [], []
        for rows in np.array_split(white, -(-len(white) // 1000)):
            apart = cdist(rows, stored)
            neighbor.append(np.partition(apart, nearest, axis=1)[:, nearest])
            # The logarithm keeps the order, and is not 0 - 1 for all that is far.
            near = np.asarray(logsumexp(-0.5 * (apart / self.bandwidth) ** 2, axis=1))
            kernel.append(-near)
        distance = np.sqrt(np.sum(white**2, axis=1))
        column = np.abs(self._deviations(x)).max(axis=1)
        return np.stack(
            [distance, np.concatenate(neighbor), np.concatenate(kernel), column]
        )

    def _whiten(self, x: np.ndarray) -> np.ndarray:
        standard = np.clip((x - self.center) / self.scale, -FAR, FAR)
        return _fold(standard, self.bucket, self.sign) @ self.whitening

    def _deviations(self, x: np.ndarray) -> np.ndarray:
        shift = x - self.median
        sds = shift / np.where(shift < 0, self.lower, self.upper)
        return np.clip(sds, -FAR, FAR)


def fit_outlier_reference(
    key: PRNGKeyArray,
    x: Float[np.ndarray, "num_sims x_dim"],
    *,
    held_out_fraction: float = 0.2,
    held_out: Int[np.ndarray, " num_held_out"] | None = None,
    num_references: int = 1000,
) -> OutlierReference:
    """Learn from training simulations what a typical x looks like.

    Args:
        key: PRNG key that splits the simulations.
        x: Flat simulator output, as from `flatten_output`.
        held_out_fraction: Share of rows that calibrates p-values, at most 5000 rows.
        held_out: These rows instead, for an x that was fitted to the others.
        num_references: Rows stored for the nearest-neighbor distance, at most 2000.

    Returns:
        A reference that judges observations.

    Raises:
        ValueError: If there are fewer than 50 rows, an entry is not finite, or a
            keyword is outside its range.
    """
    _require_columns(x, x.shape[1])
    if len(x) < MIN_SIMULATIONS:
        raise ValueError(
            f"Expected {MIN_SIMULATIONS} simulations or more; got x of shape {x.shape}."
        )
    if not 0 < held_out_fraction < 1 or not 1 <= num_references <= 2000:
        raise ValueError(
            "Expected 0 < held_out_fraction < 1 and 1 <= num_references <= 2000; got "
            f"{held_out_fraction} and {num_references}."
        )
    rng = numpy_generator(key)
    if held_out is None:
        num_held_out = min(max(int(held_out_fraction * len(x)), 20), 5000)
        held_out = rng.permutation(len(x))[:num_held_out]
    # float64 throughout: single precision cannot even square data of scale 1e21.
    x = x.astype(np.float64)
    fitted, judged = np.delete(x, held_out, axis=0), x[held_out]
    raw = _describe(rng, fitted, num_references)
    statistics = np.sort(raw._statistics(judged), axis=1)
    p_values = OutlierReference(**{**raw.to_arrays(), "held_out": statistics})._each(
        judged
    )
    # Counted near the alarm level, one standard error up: false alarms weigh more.
    count = np.sum(p_values.min(axis=1) <= 2 * ALARM_LEVEL)
    share = (count + np.sqrt(count)) / (2 * ALARM_LEVEL * len(judged))
    factor = np.clip(np.array([share]), 1.0, 4.0)
    return OutlierReference(
        **{**raw.to_arrays(), "held_out": statistics, "factor": factor}
    )


def _describe(
    rng: np.random.Generator, x: np.ndarray, num_references: int
) -> OutlierReference:
    """Measure centers, spreads, whitening and references; nothing calibrated yet."""
    dim = x.shape[1]
    center, deviation = x.mean(axis=0), x.std(axis=0)
    # Columns have units of their own, so "constant" means: varies by no more than the
    # rounding of its own mean. Only a column of zeros must borrow a scale.
    typical = np.median(deviation[deviation > 0]) if (deviation > 0).any() else 1.0
    scale = np.maximum(deviation, 1e-7 * np.abs(center))
    scale = np.where(scale > 0, scale, 1e-9 * typical)
    low, median, high = np.quantile(x, [0.025, 0.5, 0.975], axis=0)
    bucket, sign = _folding(rng, dim)
    folded = _fold((x - center) / scale, bucket, sign)
    whitening = _whitening(folded)
    chosen = folded[rng.permutation(len(x))[:num_references]] @ whitening
    typical_distance = np.median(pdist(chosen[:MAX_PAIRED])) if len(chosen) > 1 else 1.0
    return OutlierReference(
        center=center,
        scale=scale,
        median=median,
        lower=_half_spread(median - low, scale),
        upper=_half_spread(high - median, scale),
        bucket=bucket,
        sign=sign,
        whitening=whitening,
        references=chosen.astype(np.float32),
        bandwidth=np.array([max(float(typical_distance), 1e-9)]),
        held_out=np.zeros((4, 0)),
        factor=np.ones(1),
    )


def _half_spread(distance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Turn the distance of a 2.5 % quantile into one sd of a normal distribution."""
    # A bound (no mass below zero, say) leaves no spread on its side: then the sd, as a
    # quantile on the median says nothing of how far off a value is.
    return np.where(distance > 0.1 * scale, distance / 1.959964, scale)


def _folding(rng: np.random.Generator, dim: int) -> tuple[np.ndarray, np.ndarray]:
    if dim <= MAX_FOLDED:
        return np.arange(dim), np.ones(dim)
    return rng.permutation(dim) % MAX_FOLDED, rng.choice([-1.0, 1.0], size=dim)


def _fold(x: np.ndarray, bucket: np.ndarray, sign: np.ndarray) -> np.ndarray:
    if len(bucket) <= MAX_FOLDED:
        return x
    folded = np.zeros((MAX_FOLDED, len(x)))
    np.add.at(folded, bucket, (x * sign).T)
    return folded.T


def _whitening(x: np.ndarray) -> np.ndarray:
    """Find the matrix that makes the shrunk covariance of the rows the identity."""
    num, dim = x.shape
    covariance = x.T @ x / num
    target = np.trace(covariance) / dim
    spread = np.sum((covariance - target * np.eye(dim)) ** 2)
    error = (np.sum(np.sum(x**2, axis=1) ** 2) / num - np.sum(covariance**2)) / num
    shrink = float(np.clip(error / spread, 1e-9, 1.0)) if spread > 0 else 1e-9
    values, vectors = np.linalg.eigh(covariance)
    shrunk = (1 - shrink) * np.maximum(values, 0.0) + shrink * target
    return vectors / np.sqrt(np.maximum(shrunk, 1e-300))


def _require_columns(x: np.ndarray, dim: int) -> None:
    if x.ndim != 2 or x.shape[1] != dim or dim == 0:
        raise ValueError(
            f"Expected x with {dim or 'at least one'} numbers per simulation; "
            f"got shape {x.shape}."
        )
    num_bad = int(np.sum(~np.isfinite(x)))
    if num_bad:
        raise ValueError(
            f"Expected finite x; got {num_bad} non-finite entries. Drop failed "
            "simulations first; an observation with gaps needs a model with gaps."
        )
