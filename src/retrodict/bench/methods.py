"""The methods that the benchmark measures.

A method is a function of a :class:`Problem`: the prior and the simulator, which it may
call ``budget`` times, and nothing else. What it returns is then shown the observations.
A new method is one function and one line of :data:`METHODS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._core.errors import ModelError
from .._core.seconds import total_seconds
from ..model import Model
from ..posterior import (
    MIN_SIMULATIONS,
    Posterior,
    Refined,
    Sequential,
    fit,
    refine,
)
from ..simulations import Simulations, simulate
from .tasks import SYMMETRIES


@runtime_checkable
class Answer(Protocol):
    """What a method has learned: a posterior for any observation.

    The seconds are read after :meth:`train_at`, in which a method may train for the
    observations.
    """

    @property
    def train_s(self) -> float:
        """Seconds of training, without compilation and simulation."""
        ...

    @property
    def compile_s(self) -> float:
        """Seconds of compilation."""
        ...

    def train_at(self, xs: np.ndarray) -> None:
        """Learn what has to be learned for these observations, before any draw."""
        ...

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


@dataclass(frozen=True)
class Problem:
    """What a method is given.

    Attributes:
        model: Prior and simulator, without an observation.
        budget: Simulator calls.
        seed: Seed of everything.
        effort: How much may be spent on training, of :data:`EFFORTS`.
    """

    model: Model
    budget: int
    seed: int
    effort: str

    @cached_property
    def fitted(self) -> tuple[Simulations, Posterior]:
        """Simulations from the prior and what `fit` makes of them, made once."""
        sims = simulate(self.model, self.budget, seed=self.seed)
        return sims, fit(sims, seed=self.seed, effort=self.training)

    @property
    def training(self) -> Literal["auto", "fast"]:
        """The effort as :func:`retrodict.fit` is told it."""
        return "fast" if self.effort == "fast" else "auto"


Method = Callable[[Problem], Answer]


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

    def train_at(self, xs: Any) -> None:
        """Do nothing: all is learned."""

    def sample(self, key: Key[Array, ""], xs: Any, num_samples: int) -> np.ndarray:
        """Draw from the posterior of every observation."""
        return self.posterior.sample(key, xs, num_samples)

    def log_prob(self, theta: Any, xs: Any) -> np.ndarray:
        """Return the normalized log-density of theta at every observation, in nats."""
        return self.posterior.log_prob(theta, xs)


def amortized(problem: Problem) -> Answer:
    """Train one posterior for all observations, on simulations from the prior."""
    _, posterior = problem.fitted
    return Trained(posterior, posterior.record.train_s, posterior.record.compile_s)


def refined(problem: Problem) -> Answer:
    """Train a posterior and a likelihood; choose between them by held-out score."""
    sims, posterior = problem.fitted
    both = refine(posterior, sims)
    return Trained(both, **total_seconds((posterior.record, both.likelihood)))


def declared(problem: Problem) -> Answer:
    """Refine as :func:`refined`, with the symmetries of the task declared.

    The only method that is told more than prior and simulator: its scores stand apart.
    """
    model = problem.model
    told = model.with_symmetries(SYMMETRIES.get(model.name, ()))
    return refined(replace(problem, model=told))


FIRST_SHARE = 0.2  # of the budget, before any observation is known
ROUNDS = 3


class InRounds:
    """Truncated proposals: a training of its own for every observation.

    Each observation is given the whole budget, of which a fifth is shared by all.
    Seconds are those of one observation, on average.

    Raises:
        ModelError: If a fifth of the budget is too little to train on.

    Attributes:
        train_s: Seconds of training.
        compile_s: Seconds of compilation.
    """

    def __init__(self, problem: Problem):
        self._problem = problem
        first_share = int(FIRST_SHARE * problem.budget)
        if first_share < MIN_SIMULATIONS:
            raise ModelError(
                "--budget: Expected at least "
                f"{round(MIN_SIMULATIONS / FIRST_SHARE)} simulations for the method "
                f"'sequential', which begins with a fifth; got {problem.budget}."
            )
        first = replace(problem, budget=first_share, effort="fast")
        self._sims, self._first = first.fitted
        self._per_round = (problem.budget - len(self._sims)) // ROUNDS
        self._found: dict[bytes, Sequential] = {}

    @property
    def train_s(self) -> float:
        """Seconds of training."""
        return self._seconds("train_s")

    @property
    def compile_s(self) -> float:
        """Seconds of compilation."""
        return self._seconds("compile_s")

    def train_at(self, xs: Any) -> None:
        """Simulate and train for every observation."""
        for x in xs:
            self._at(x)

    def sample(self, key: Key[Array, ""], xs: Any, num_samples: int) -> np.ndarray:
        """Draw from the posterior of every observation."""
        keys = jr.split(key, len(xs))
        pairs = zip(keys, xs, strict=True)
        return np.stack([self._at(x).sample(k, num_samples) for k, x in pairs])

    def log_prob(self, theta: Any, xs: Any) -> np.ndarray:
        """Return the normalized log-density of theta at every observation, in nats."""
        rows = zip(theta, xs, strict=True)
        return np.stack([self._at(x).log_prob(row) for row, x in rows])

    def _at(self, x: np.ndarray) -> Sequential:
        name = np.asarray(x).tobytes()
        if name not in self._found:
            self._found[name] = refine(
                self._first,
                self._problem.model,
                x,
                rounds=ROUNDS,
                num_simulations=self._per_round,
                simulations=self._sims,
                seed=self._problem.seed,
                effort=self._problem.training,
            )
        return self._found[name]

    def _seconds(self, name: str) -> float:
        each = [getattr(found, name) for found in self._found.values()]
        return getattr(self._first.record, name) + float(np.mean(each or [0.0]))


METHODS = MappingProxyType(
    {
        "amortized": amortized,
        "refined": refined,
        "declared": declared,
        "sequential": InRounds,
    }
)
"""The function of each method, by name."""

EFFORTS = ("fast", "auto")
"""How much may be spent on training, in the words of ``fit``."""
