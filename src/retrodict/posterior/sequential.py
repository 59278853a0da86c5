"""Refine in rounds: a posterior for one observation, from simulations near it.

See :mod:`retrodict.posterior.rounds` for the method and its source.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Array, Float, Key

from .._core.seconds import total_seconds
from ..model import Model
from ..simulations import Simulations
from .fit import fit
from .posterior import Posterior
from .refined import can_refine, check_trained_on, refine_by_likelihood
from .restricted import Restricted
from .rounds import one_row, simulate_in_rounds


@dataclass(frozen=True)
class Sequential:
    """What the rounds found: a posterior for one observation.

    Attributes:
        posterior: The posterior; it is zero outside the last region.
        x_obs: The observation.
        simulations: Those that the last training used.
        masses: Prior probability of the region of each round.
        num_simulations: Simulations of these rounds together.
        train_s: Seconds of their trainings, compilation apart.
        compile_s: Seconds of compilation.
    """

    posterior: Restricted
    x_obs: Any
    simulations: Simulations
    masses: tuple[float, ...]
    num_simulations: int
    train_s: float
    compile_s: float

    def sample(
        self, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples theta_dim"]:
        """Draw theta at the observation.

        Args:
            key: PRNG key.
            num_samples: Number of draws.
        """
        return self.posterior.sample(key, one_row(self.x_obs), num_samples)[0]

    def log_prob(self, theta: Any) -> Float[np.ndarray, " num_samples"]:
        """Return the normalized log-density at the observation, in nats.

        Args:
            theta: ``(num_samples, theta_dim)``.
        """
        theta = np.asarray(theta, np.float64)[None]
        return self.posterior.log_prob(theta, one_row(self.x_obs))[0]


def refine_in_rounds(
    posterior: Posterior,
    model: Model,
    x_obs: Any,
    *,
    rounds: int = 4,
    num_simulations: int = 1000,
    simulations: Simulations | None = None,
    seed: int = 0,
    effort: Literal["auto", "fast"] = "auto",
) -> Sequential:
    """Spend simulations on one observation; arguments as :func:`retrodict.refine`."""
    for name, count in (("rounds", rounds), ("num_simulations", num_simulations)):
        if count < 1:
            raise ValueError(f"{name}: Expected at least 1; got {count}.")
    if simulations is not None:
        check_trained_on(posterior, simulations)
    counts = [num_simulations] * rounds
    found = simulate_in_rounds(
        posterior, model, x_obs, counts, simulations=simulations, seed=seed
    )
    data = found.simulations
    best = trained = fit(data, seed=seed, effort=effort)
    costs: list[Any] = [*found.records, trained.record]  # what has seconds
    if can_refine(data):
        best = refine_by_likelihood(trained, data)
        costs.append(best.likelihood)
    return Sequential(
        Restricted(best, found.regions[-1]),
        x_obs,
        data,
        tuple(region.mass for region in found.regions),
        found.num_simulations,
        **total_seconds(costs),
    )
