"""The methods that the benchmark measures.

A method is a function ``(model, budget, seed, effort) -> Answer``. It is given the
prior and the simulator, which it may call ``budget`` times, and nothing else; what it
returns is then shown the observations. A new method is one function and one line of
:data:`METHODS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key

from ..model import Model
from ..posterior import Posterior, Refined, fit, refine
from ..simulations import Simulations, simulate


@runtime_checkable
class Answer(Protocol):
    """What a method has learned: a posterior for any observation.

    Attributes:
        train_s: Seconds of training, without compilation and simulation. Read after
            sampling, so that a method may train when it sees the observations.
        compile_s: Seconds of compilation, likewise.
    """

    train_s: float
    compile_s: float

    def sample(
        self, key: Key[Array, ""], xs: np.ndarray, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw from the posterior of every observation."""
        ...

    def log_prob(
        self, theta: np.ndarray, xs: np.ndarray
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return the normalized log-density of theta at every observation, in nats."""
        ...


Method = Callable[[Model, int, int, str], Answer]


@dataclass
class Trained:
    """A posterior that was trained before any observation.

    Attributes:
        posterior: The posterior for any observation.
        train_s: Seconds of training.
        compile_s: Seconds of compilation.
    """

    posterior: Posterior | Refined
    train_s: float
    compile_s: float

    def sample(self, key: Key[Array, ""], xs: Any, num_samples: int) -> np.ndarray:
        """Draw from the posterior of every observation."""
        return self.posterior.sample(key, xs, num_samples)

    def log_prob(self, theta: Any, xs: Any) -> np.ndarray:
        """Return the normalized log-density of theta at every observation, in nats."""
        return self.posterior.log_prob(theta, xs)


def amortized(model: Model, budget: int, seed: int, effort: str) -> Answer:
    """Train one posterior for all observations, on simulations from the prior."""
    _, posterior = _fitted(model, budget, seed, effort)
    return Trained(posterior, posterior.record.train_s, posterior.record.compile_s)


def refined(model: Model, budget: int, seed: int, effort: str) -> Answer:
    """Train a posterior and a likelihood; choose between them by held-out score."""
    sims, posterior = _fitted(model, budget, seed, effort)
    both = refine(posterior, sims)
    learned = [] if posterior.likelihood else [both.likelihood]  # else within `fit`
    parts = (posterior.record, *learned)
    train_s, compile_s = (
        sum(getattr(part, name) for part in parts) for name in ("train_s", "compile_s")
    )
    return Trained(both, train_s, compile_s)


def _fitted(
    model: Model, budget: int, seed: int, effort: str
) -> tuple[Simulations, Posterior]:
    sims = simulate(model, budget, seed=seed)
    return sims, fit(sims, seed=seed, effort="fast" if effort == "fast" else "auto")


METHODS = MappingProxyType({"amortized": amortized, "refined": refined})
"""The function of each method, by name."""

EFFORTS = ("fast", "auto")
"""How much may be spent on training, in the words of ``fit``."""
