"""A learned likelihood for entries of x with two values each: spikes, tests, presences.

Each entry is Bernoulli given theta, independent of the others, with a log-odds that is
linear or quadratic in unconstrained theta, whichever predicts held-out simulations
better. Where entries depend on each other the likelihood is wrong; what is made with it
is kept only if it improves a held-out score.

Source: McCullagh, Nelder (1989), Generalized linear models, ch. 4.
Deviations from the source: a ridge penalty.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.special import log_expit

from .._core.quadratic import quadratic_features
from .._core.seeds import numpy_generator
from ..diagnostics import logistic_regression


MAX_ENTRIES = 2000
FITTED = 0.8  # of the rows, while linear and quadratic are compared


@dataclass(frozen=True)
class BinaryLikelihood:
    """P(x | theta) of binary entries, independent given theta.

    Attributes:
        low: Smaller value of every entry.
        high: Larger value of every entry.
        weights: ``(features, entries)`` of the log-odds of the larger value.
        compile_s: Zero; nothing is compiled.
        train_s: Seconds spent fitting.
    """

    low: np.ndarray
    high: np.ndarray
    weights: np.ndarray
    compile_s: float = 0.0
    train_s: float = 0.0

    def alternatives(self) -> tuple["BinaryLikelihood", ...]:
        """Return itself: there is no other."""
        return (self,)

    def sample(
        self, key: Key[Array, ""], value: Float[np.ndarray, "n dim"]
    ) -> Float[np.ndarray, "n entries"]:
        """Draw one x for every row of standardized, unconstrained theta."""
        log_p = log_expit(self._log_odds(value))
        drawn = np.log(numpy_generator(key).uniform(size=log_p.shape)) < log_p
        return np.where(drawn, self.high, self.low)

    def coordinates(self, x: Float[np.ndarray, "n entries"]) -> np.ndarray:
        """Return 1 for the larger value of an entry, and -1 for any other."""
        return np.where((x == self.high) & (self.high > self.low), 1.0, -1.0)

    def log_prob(
        self, coordinates: Float[np.ndarray, "n entries"], value: np.ndarray
    ) -> Float[np.ndarray, " n"]:
        """Return the log-probability of coordinates of x given theta, in nats."""
        return log_expit(coordinates * self._log_odds(value)).sum(1)

    def _log_odds(self, value: np.ndarray) -> np.ndarray:
        return _features(value, len(self.weights)) @ self.weights


def is_binary(x: Float[np.ndarray, "n entries"]) -> bool:
    """Say whether there are entries, and each takes two values at most."""
    if not 1 <= x.shape[1] <= MAX_ENTRIES:
        return False
    return bool(((x == x.min(0)) | (x == x.max(0))).all())


def fit_binary(
    value: Float[np.ndarray, "n dim"], x: Float[np.ndarray, "n entries"]
) -> BinaryLikelihood:
    """Fit the log-odds of every entry.

    Args:
        value: Standardized, unconstrained theta.
        x: Entries with two values each.
    """
    begun = time.perf_counter()
    low, high = x.min(0), x.max(0)
    larger = (x == high) & (high > low)
    fitted = np.arange(len(x)) < FITTED * len(x)
    sizes = [value.shape[1] + 1, quadratic_features(value[:1]).shape[1]]
    scores = [
        BinaryLikelihood(low, high, _weights(value[fitted], larger[fitted], size))
        .log_prob(np.where(larger, 1.0, -1.0)[~fitted], value[~fitted])
        .mean()
        for size in sizes
    ]
    best = sizes[int(np.argmax(scores))]
    found = BinaryLikelihood(low, high, _weights(value, larger, best))
    return replace(found, train_s=time.perf_counter() - begun)


def _weights(
    value: np.ndarray, larger: Bool[np.ndarray, "n entries"], size: int
) -> np.ndarray:
    features = _features(value, size)
    return np.stack([logistic_regression(features, one) for one in larger.T], axis=1)


def _features(value: np.ndarray, size: int) -> np.ndarray:
    """Return the constant and the entries or, if there is room, products too."""
    return quadratic_features(np.asarray(value, np.float64))[:, :size]
